// SPDX-License-Identifier: Apache-2.0
// A strict JSON reader for files that nobody vouches for: configurations, vocabularies, tables.
#pragma once

#include <bitnet/convert/json_parser.hpp>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

BITNET_NAMESPACE_BEGIN
namespace convert::json {

/// One value of a document, which must outlive it.
class value {
 public:
  [[nodiscard]] json::kind kind() const noexcept { return node().kind; }
  [[nodiscard]] bool is(json::kind k) const noexcept { return kind() == k; }
  /// Name of a member of an object; empty for what is none.
  [[nodiscard]] std::string_view key() const noexcept { return node().key; }
  /// Text of a string or number.
  [[nodiscard]] std::string_view text() const noexcept { return node().text; }
  /// Number of elements or members.
  [[nodiscard]] std::size_t size() const noexcept { return node().count; }

  /// Elements or members, in the order of the file.
  class iterator {
   public:
    iterator(const document* d, std::uint32_t index) noexcept : document_{d}, index_{index} {}
    [[nodiscard]] value operator*() const noexcept { return {*document_, index_}; }
    iterator& operator++() noexcept {
      index_ = document_->nodes[index_].next;
      return *this;
    }
    [[nodiscard]] bool operator==(const iterator& other) const noexcept {
      return index_ == other.index_;
    }

   private:
    const document* document_;
    std::uint32_t index_;
  };
  [[nodiscard]] iterator begin() const noexcept { return {document_, index_ + 1}; }
  [[nodiscard]] iterator end() const noexcept {
    return {document_, is_container() ? node().next : index_ + 1};
  }

  /// The member of that name, if this is an object that has one; the last of several.
  [[nodiscard]] std::optional<value> find(std::string_view name) const noexcept {
    std::optional<value> found;
    if (is(json::kind::object))
      for (const value member : *this)
        if (member.key() == name) found.emplace(member);
    return found;
  }
  /// The same, but null counts as absent, as the writers of configurations mean it.
  [[nodiscard]] std::optional<value> find_set(std::string_view name) const noexcept {
    const auto member = find(name);
    return member && !member->is(json::kind::null) ? member : std::nullopt;
  }

  /// This value as T: bool, std::uint64_t, std::int64_t, double, std::string_view, or value for
  /// whatever it is. errc::wrong_type names the file and the key.
  template <class T>
  [[nodiscard]] result<T> as() const {
    if constexpr (std::is_same_v<T, value>) {
      return *this;
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      if (is(json::kind::string)) return text();
      return wrong(errc::wrong_type, "a string is expected");
    } else if constexpr (std::is_same_v<T, bool>) {
      if (is(json::kind::boolean)) return text() == "true";
      return wrong(errc::wrong_type, "true or false is expected");
    } else {
      return as_number<T>();
    }
  }
  /// The member `name` as T; errc::missing names it.
  template <class T>
  [[nodiscard]] result<T> get(std::string_view name) const {
    const auto member = find_set(name);
    if (!member)
      return error{errc::missing, "the file lacks this key", document_->label(name), offset()};
    return member->template as<T>();
  }
  template <class T>
  [[nodiscard]] result<std::optional<T>> get_optional(std::string_view name) const {
    const auto member = find_set(name);
    if (!member) return std::optional<T>{};
    BITNET_TRY(T x, member->template as<T>());
    return std::optional<T>{std::move(x)};
  }
  template <class T>
  [[nodiscard]] result<T> get_or(std::string_view name, T fallback) const {
    BITNET_TRY(auto x, get_optional<T>(name));
    return x ? *std::move(x) : fallback;
  }

  /// An error about this value, with its file, key and place.
  [[nodiscard]] error wrong(errc code, const char* message) const {
    return {code, message, document_->label(key().empty() ? text() : key()), offset()};
  }
  /// Byte of the file at which the value begins.
  [[nodiscard]] std::uint64_t offset() const noexcept { return node().offset; }

  value(const document& d, std::uint32_t index) noexcept : document_{&d}, index_{index} {}

 private:
  [[nodiscard]] const json::node& node() const noexcept { return document_->nodes[index_]; }
  [[nodiscard]] bool is_container() const noexcept {
    return is(json::kind::array) || is(json::kind::object);
  }

  template <class T>
  [[nodiscard]] result<T> as_number() const {
    if (!is(json::kind::number)) return wrong(errc::wrong_type, "a number is expected");
    const std::string_view s = text();
    if constexpr (std::is_integral_v<T>) {
      T x{};
      const auto done = std::from_chars(s.data(), s.data() + s.size(), x);
      if (done.ec == std::errc{} && done.ptr == s.data() + s.size()) return x;
      return wrong(errc::wrong_type, "a whole number of 64 bits is expected");
    } else {
      static_assert(std::is_same_v<T, double>);
#if defined(__cpp_lib_to_chars)
      double x = 0.0;
      const auto done = std::from_chars(s.data(), s.data() + s.size(), x);
      if (done.ec == std::errc{}) return x;
#else
      const double x = std::strtod(std::string{s}.c_str(), nullptr);
      if (x - x == 0.0) return x;
#endif
      return wrong(errc::limit, "the number is out of range");
    }
  }

  const document* document_;
  std::uint32_t index_;
};

/// The value that a parsed document is.
[[nodiscard]] inline value root(const document& d) noexcept { return {d, 0}; }

}  // namespace convert::json
BITNET_NAMESPACE_END
