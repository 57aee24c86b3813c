// SPDX-License-Identifier: Apache-2.0
// Typed, bounds-checked access to the key-value section of a GGUF file, without copying it.
#pragma once

#include <bitnet/core/memory.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/gguf/types.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace gguf {

namespace detail {
class parser;

/// Reads a little-endian value that may be unaligned.
template <class T>
[[nodiscard]] inline T load(const std::byte* p) noexcept {
  if constexpr (std::is_same_v<T, bool>) {
    return *p != std::byte{0};  // any other byte would not be a valid bool object
  } else {
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
}

[[nodiscard]] inline std::string_view text_of(const std::byte* p, std::uint64_t size) noexcept {
  return {reinterpret_cast<const char*>(p), static_cast<std::size_t>(size)};
}

/// Walks a view by position.
template <class View>
class view_iterator {
 public:
  using value_type = typename View::value_type;
  using difference_type = std::ptrdiff_t;

  view_iterator() noexcept = default;
  view_iterator(View view, std::size_t i) noexcept : view_{view}, i_{i} {}
  [[nodiscard]] value_type operator*() const noexcept { return view_[i_]; }
  view_iterator& operator++() noexcept {
    ++i_;
    return *this;
  }
  view_iterator operator++(int) noexcept {
    view_iterator old = *this;
    ++i_;
    return old;
  }
  [[nodiscard]] bool operator==(const view_iterator& other) const noexcept {
    return i_ == other.i_;
  }

 private:
  View view_{};
  std::size_t i_ = 0;
};

/// Integers that a metadata value can be read as.
template <class T>
concept metadata_integer = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char> &&
                           !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
                           !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;

/// The tag under which a value of type T is stored.
template <class T>
  requires(std::same_as<T, bool> || metadata_integer<T> || std::floating_point<T>)
[[nodiscard]] constexpr value_type type_for() noexcept {
  static_assert(sizeof(T) <= 8);
  if constexpr (std::is_same_v<T, bool>) {
    return value_type::boolean;
  } else if constexpr (std::floating_point<T>) {
    return sizeof(T) == 4 ? value_type::f32 : value_type::f64;
  } else {
    constexpr value_type types[4][2] = {{value_type::u8, value_type::i8},
                                        {value_type::u16, value_type::i16},
                                        {value_type::u32, value_type::i32},
                                        {value_type::u64, value_type::i64}};
    constexpr int row = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
    return types[row][std::is_signed_v<T> ? 1 : 0];
  }
}
}  // namespace detail

/// An array of scalars in the bytes of the file. Cheap to copy; valid while the file's bytes are.
/// Elements may be unaligned, so they come by value.
template <class T>
class array_view {
 public:
  using value_type = T;
  using iterator = detail::view_iterator<array_view>;

  array_view() noexcept = default;
  array_view(const std::byte* data, std::size_t size) noexcept : data_{data}, size_{size} {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] T operator[](std::size_t i) const noexcept {
    BITNET_ASSERT(i < size_, "array_view index out of range");
    return detail::load<T>(data_ + i * sizeof(T));
  }
  [[nodiscard]] iterator begin() const noexcept { return {*this, 0}; }
  [[nodiscard]] iterator end() const noexcept { return {*this, size_}; }

 private:
  static_assert(sizeof(T) <= 8 && (!std::is_same_v<T, bool> || sizeof(bool) == 1));
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// An array of strings in the bytes of the file; element i is found in constant time through an
/// index that the parsed file owns. Valid while both the file's bytes and the parsed file are (the
/// parsed file may be moved).
template <>
class array_view<std::string_view> {
 public:
  using value_type = std::string_view;
  using iterator = detail::view_iterator<array_view>;

  array_view() noexcept = default;
  array_view(const std::byte* base, const std::uint64_t* starts, std::size_t size) noexcept
      : base_{base}, starts_{starts}, size_{size} {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::string_view operator[](std::size_t i) const noexcept {
    BITNET_ASSERT(i < size_, "array_view index out of range");
    const std::byte* p = base_ + starts_[i];
    return detail::text_of(p + 8, detail::load<std::uint64_t>(p));
  }
  [[nodiscard]] iterator begin() const noexcept { return {*this, 0}; }
  [[nodiscard]] iterator end() const noexcept { return {*this, size_}; }

 private:
  const std::byte* base_ = nullptr;        // where `starts_` count from
  const std::uint64_t* starts_ = nullptr;  // position of each length prefix
  std::size_t size_ = 0;
};

using string_array = array_view<std::string_view>;

/// One value as it lies in the file. Valid while the parsed file and its bytes are.
class metadata_value {
 public:
  [[nodiscard]] value_type type() const noexcept { return type_; }
  /// Type of the elements of an array; the value's own type otherwise.
  [[nodiscard]] value_type element_type() const noexcept { return element_; }
  /// Elements of an array; 1 otherwise.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  /// Position of the value (behind its type tag) in the file.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  /// The value as encoded in the file, behind its type tag.
  [[nodiscard]] std::span<const std::byte> encoded() const noexcept { return encoded_; }

  /// The value as a T: `bool` from a bool; an integer type from any integer that is in its range;
  /// `float` or `double` from f32 and f64; `std::string_view` from a string; `array_view<T>` from
  /// an array of T (or, for integers, of the other signedness if all elements are in range);
  /// `string_array` from an array of strings.
  /// Errors, which name `key`: wrong_type; malformed if a number is out of the range of T.
  template <class T>
  [[nodiscard]] result<T> as(std::string_view key = {}) const noexcept {
    return read(key, std::type_identity<T>{});
  }

 private:
  friend class detail::parser;

  static constexpr std::size_t array_header = 12;  // element type and count

  [[nodiscard]] error wrong_type(std::string_view key, const char* message) const noexcept {
    return {errc::wrong_type, message, key, offset_};
  }
  [[nodiscard]] error out_of_range(std::string_view key) const noexcept {
    return {errc::malformed, "the number is outside the range that this key allows", key, offset_};
  }
  template <class T>
  [[nodiscard]] T load() const noexcept {
    return detail::load<T>(encoded_.data());
  }

  [[nodiscard]] result<bool> read(std::string_view key, std::type_identity<bool>) const noexcept {
    if (type_ != value_type::boolean) return wrong_type(key, "the value is not a bool");
    return load<bool>();
  }

  template <detail::metadata_integer T>
  [[nodiscard]] result<T> read(std::string_view key, std::type_identity<T>) const noexcept {
    std::int64_t number = 0;
    switch (type_) {
      case value_type::u8:
        number = load<std::uint8_t>();
        break;
      case value_type::i8:
        number = load<std::int8_t>();
        break;
      case value_type::u16:
        number = load<std::uint16_t>();
        break;
      case value_type::i16:
        number = load<std::int16_t>();
        break;
      case value_type::u32:
        number = load<std::uint32_t>();
        break;
      case value_type::i32:
        number = load<std::int32_t>();
        break;
      case value_type::i64:
        number = load<std::int64_t>();
        break;
      case value_type::u64: {
        const auto wide = load<std::uint64_t>();
        if (!std::in_range<T>(wide)) return out_of_range(key);
        return static_cast<T>(wide);
      }
      default:
        return wrong_type(key, "the value is not an integer");
    }
    if (!std::in_range<T>(number)) return out_of_range(key);
    return static_cast<T>(number);
  }

  template <std::floating_point T>
  [[nodiscard]] result<T> read(std::string_view key, std::type_identity<T>) const noexcept {
    if (type_ == value_type::f32) return static_cast<T>(load<float>());
    if (type_ != value_type::f64) return wrong_type(key, "the value is not a float");
    const auto wide = load<double>();
    if constexpr (sizeof(T) < sizeof(double)) {
      constexpr double most = static_cast<double>(std::numeric_limits<T>::max());
      constexpr double infinity = std::numeric_limits<double>::infinity();
      const double size = wide < 0 ? -wide : wide;
      if (size > most && size < infinity) return out_of_range(key);
    }
    return static_cast<T>(wide);
  }

  [[nodiscard]] result<std::string_view> read(std::string_view key,
                                              std::type_identity<std::string_view>) const noexcept {
    if (type_ != value_type::string) return wrong_type(key, "the value is not a string");
    return detail::text_of(encoded_.data() + 8, encoded_.size() - 8);
  }

  template <class T>
  [[nodiscard]] result<array_view<T>> read(std::string_view key,
                                           std::type_identity<array_view<T>>) const noexcept {
    if (type_ != value_type::array) return wrong_type(key, "the value is not an array");
    const array_view<T> view{encoded_.data() + array_header, static_cast<std::size_t>(count_)};
    if (element_ == detail::type_for<T>()) return view;
    if constexpr (detail::metadata_integer<T>) {
      // In the range that both signs share a number has the same bits under either.
      using other =
          std::conditional_t<std::is_signed_v<T>, std::make_unsigned_t<T>, std::make_signed_t<T>>;
      if (element_ == detail::type_for<other>()) {
        for (const T x : view)
          if (!std::in_range<T>(static_cast<other>(x))) return out_of_range(key);
        return view;
      }
    }
    return wrong_type(key, "the array has elements of another type");
  }

  [[nodiscard]] result<string_array> read(std::string_view key,
                                          std::type_identity<string_array>) const noexcept {
    if (type_ != value_type::array) return wrong_type(key, "the value is not an array");
    if (element_ != value_type::string) return wrong_type(key, "the array is not one of strings");
    return string_array{encoded_.data(), starts_, static_cast<std::size_t>(count_)};
  }

  std::span<const std::byte> encoded_{};
  const std::uint64_t* starts_ = nullptr;  // of an array of strings
  std::uint64_t count_ = 1;
  std::uint64_t offset_ = 0;
  value_type type_ = value_type::u8;
  value_type element_ = value_type::u8;
};

/// One key and its value. Keys are bytes: no encoding is assumed.
struct metadata_entry {
  std::string_view key;
  metadata_value value;
};

/// The key-value section of a parsed file, in file order, with lookup in O(log n). Immutable, so it
/// may be read by any number of threads. Values point into the file's bytes.
class metadata {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] auto begin() const noexcept { return entries_.cbegin(); }
  [[nodiscard]] auto end() const noexcept { return entries_.cend(); }

  /// The value of a key, or null.
  [[nodiscard]] const metadata_value* find(std::string_view key) const noexcept {
    const auto at = std::lower_bound(
        sorted_.begin(), sorted_.end(), key,
        [this](std::uint32_t i, std::string_view k) { return entries_[i].key < k; });
    if (at == sorted_.end() || entries_[*at].key != key) return nullptr;
    return &entries_[*at].value;
  }
  [[nodiscard]] bool contains(std::string_view key) const noexcept { return find(key) != nullptr; }

  /// The value of a required key, as metadata_value::as() reads it; errc::missing if absent.
  template <class T>
  [[nodiscard]] result<T> get(std::string_view key) const noexcept {
    const metadata_value* v = find(key);
    if (v == nullptr) return error{errc::missing, "the file lacks this key", key};
    return v->as<T>(key);
  }
  /// The value of an optional key. A key that is there with a wrong type is still an error.
  template <class T>
  [[nodiscard]] result<std::optional<T>> get_optional(std::string_view key) const noexcept {
    const metadata_value* v = find(key);
    if (v == nullptr) return std::optional<T>{};
    BITNET_TRY(T value, v->as<T>(key));
    return std::optional<T>{std::move(value)};
  }
  /// The value of an optional key, or `fallback`. A wrong type is still an error.
  template <class T>
  [[nodiscard]] result<T> get_or(std::string_view key,
                                 std::type_identity_t<T> fallback) const noexcept {
    const metadata_value* v = find(key);
    if (v == nullptr) return result<T>{std::move(fallback)};
    return v->as<T>(key);
  }

 private:
  friend class detail::parser;

  std::vector<metadata_entry> entries_;
  std::vector<std::uint32_t> sorted_;                         // positions by key
  std::vector<aligned_buffer<std::uint64_t>> string_starts_;  // one per array of strings
};

}  // namespace gguf
BITNET_NAMESPACE_END
