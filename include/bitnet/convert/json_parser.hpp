// SPDX-License-Identifier: Apache-2.0
// From JSON text (RFC 8259) to a flat list of nodes; json.hpp reads them.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/text/unicode.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace convert::json {

enum class kind : std::uint8_t { null, boolean, number, string, array, object };

/// What two members of one name are. Published configurations have some: the program that they are
/// for takes the last.
enum class twins : std::uint8_t { refused, last_counts };

/// A value; those inside an array or object follow it.
struct node {
  std::string_view text;   ///< of a string, number or boolean
  std::string_view key;    ///< of a member of an object
  std::uint32_t next = 0;  ///< first node that is not part of this one
  std::uint32_t count = 0;
  std::uint32_t offset = 0;
  json::kind kind = json::kind::null;
};

/// A parsed file. Strings lie in the bytes that were parsed, which must outlive it, or in `decoded`
/// where they were written with escapes.
struct document {
  std::string name;  ///< of the file, for messages
  std::vector<node> nodes;
  std::deque<std::string> decoded;

  /// What an error is about: "config.json: rope_theta".
  [[nodiscard]] std::string label(std::string_view what) const {
    return what.empty() ? name : name + ": " + std::string{what};
  }
};

/// Reads all of `text`. Refused, with the place: everything that RFC 8259 does not have (comments,
/// trailing commas, NaN, text behind the value), members of one name (see twins), strings that are
/// not UTF-8, lone surrogates, and errc::limit for texts over 1 GiB, of more than four million
/// values or 64 deep.
class parser {
 public:
  parser(std::string_view text, std::string_view name, json::twins twins)
      : text_{text}, twins_{twins} {
    document_.name = name;
  }

  [[nodiscard]] result<document> run() && {
    if (text_.size() > max_bytes) return fail(errc::limit, "the file is over 1 GiB");
    BITNET_CHECK(parse_value({}, 0));
    skip_blank();
    if (at_ != text_.size()) return fail(errc::malformed, "text follows the JSON value");
    return std::move(document_);
  }

 private:
  static constexpr std::size_t max_bytes = std::size_t{1} << 30;
  static constexpr std::size_t max_values = std::size_t{1} << 22;
  static constexpr unsigned max_depth = 64;

  [[nodiscard]] error fail(errc code, const char* message) const {
    return {code, message, document_.name, at_};
  }
  [[nodiscard]] char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
  [[nodiscard]] bool take(char c) noexcept {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void skip_blank() noexcept {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }

  status parse_value(std::string_view key, unsigned depth) {
    if (depth == max_depth) return fail(errc::limit, "the values are nested too deeply");
    if (document_.nodes.size() == max_values) return fail(errc::limit, "too many values");
    skip_blank();
    const auto index = static_cast<std::uint32_t>(document_.nodes.size());
    document_.nodes.push_back({.text = {}, .key = key, .offset = static_cast<std::uint32_t>(at_)});
    switch (peek()) {
      case '{':
        BITNET_CHECK(parse_members(index, depth));
        break;
      case '[':
        BITNET_CHECK(parse_elements(index, depth));
        break;
      case '"':
        document_.nodes[index].kind = kind::string;
        BITNET_CHECK(parse_string(document_.nodes[index].text));
        break;
      case 't':
        BITNET_CHECK(parse_word("true", index, kind::boolean));
        break;
      case 'f':
        BITNET_CHECK(parse_word("false", index, kind::boolean));
        break;
      case 'n':
        BITNET_CHECK(parse_word("null", index, kind::null));
        break;
      default:
        BITNET_CHECK(parse_number(index));
        break;
    }
    document_.nodes[index].next = static_cast<std::uint32_t>(document_.nodes.size());
    return {};
  }

  status parse_members(std::uint32_t index, unsigned depth) {
    document_.nodes[index].kind = kind::object;
    ++at_;
    skip_blank();
    if (take('}')) return {};
    for (;;) {
      skip_blank();
      std::string_view key;
      if (peek() != '"') return fail(errc::malformed, "the name of a member is expected");
      BITNET_CHECK(parse_string(key));
      skip_blank();
      if (!take(':')) return fail(errc::malformed, "a colon is expected");
      BITNET_CHECK(parse_value(key, depth + 1));
      ++document_.nodes[index].count;
      skip_blank();
      if (take('}')) return twins_ == twins::refused ? refuse_twins(index) : status{};
      if (!take(',')) return fail(errc::malformed, "a comma or the end of the object is expected");
    }
  }

  status parse_elements(std::uint32_t index, unsigned depth) {
    document_.nodes[index].kind = kind::array;
    ++at_;
    skip_blank();
    if (take(']')) return {};
    for (;;) {
      BITNET_CHECK(parse_value({}, depth + 1));
      ++document_.nodes[index].count;
      skip_blank();
      if (take(']')) return {};
      if (!take(',')) return fail(errc::malformed, "a comma or the end of the array is expected");
    }
  }

  /// Readers differ in which of two members of one name they take, so neither is.
  status refuse_twins(std::uint32_t index) const {
    const auto& nodes = document_.nodes;
    std::vector<std::uint32_t> members;
    members.reserve(nodes[index].count);
    for (auto i = static_cast<std::size_t>(index) + 1; i < nodes.size(); i = nodes[i].next)
      members.push_back(static_cast<std::uint32_t>(i));
    std::sort(members.begin(), members.end(), [&](std::uint32_t a, std::uint32_t b) {
      return nodes[a].key != nodes[b].key ? nodes[a].key < nodes[b].key : a < b;
    });
    for (std::size_t i = 1; i < members.size(); ++i)
      if (nodes[members[i]].key == nodes[members[i - 1]].key)
        return error{errc::malformed, "the object has two members of this name",
                     document_.label(nodes[members[i]].key), nodes[members[i]].offset};
    return {};
  }

  status parse_word(std::string_view word, std::uint32_t index, json::kind meaning) {
    if (text_.substr(at_, word.size()) != word) return fail(errc::malformed, "a value is expected");
    document_.nodes[index].kind = meaning;
    if (meaning == kind::boolean) document_.nodes[index].text = text_.substr(at_, word.size());
    at_ += word.size();
    return {};
  }

  status parse_number(std::uint32_t index) {
    const std::size_t begin = at_;
    const auto digits = [&] {
      const std::size_t first = at_;
      while (peek() >= '0' && peek() <= '9') ++at_;
      return at_ != first;
    };
    static_cast<void>(take('-'));
    const bool zero = peek() == '0';
    const std::size_t first = at_;
    if (!digits()) return fail(errc::malformed, "a value is expected");
    if (zero && at_ - first > 1) return fail(errc::malformed, "a number begins with a zero");
    if (take('.') && !digits()) return fail(errc::malformed, "digits are expected");
    if (take('e') || take('E')) {
      if (!take('+')) static_cast<void>(take('-'));
      if (!digits()) return fail(errc::malformed, "digits are expected");
    }
    document_.nodes[index].kind = kind::number;
    document_.nodes[index].text = text_.substr(begin, at_ - begin);
    return {};
  }

  /// Strings without escapes are views of the text.
  status parse_string(std::string_view& out) {
    const std::size_t begin = ++at_;
    BITNET_CHECK(skip_plain());
    if (peek() == '"') {
      out = text_.substr(begin, at_ - begin);
      ++at_;
      return {};
    }
    std::string decoded{text_.substr(begin, at_ - begin)};
    while (!take('"')) {
      BITNET_CHECK(parse_escape(decoded));
      const std::size_t plain = at_;
      BITNET_CHECK(skip_plain());
      decoded.append(text_.substr(plain, at_ - plain));
    }
    out = document_.decoded.emplace_back(std::move(decoded));
    return {};
  }

  /// Up to the next quote or backslash.
  status skip_plain() {
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\') {
      const auto byte = static_cast<unsigned char>(text_[at_]);
      if (byte < 0x20) return fail(errc::malformed, "a string holds a control character");
      if (byte < 0x80) {
        ++at_;
        continue;
      }
      const text::decoded_char c = text::decode_utf8(text_, at_);
      const std::uint32_t shortest = c.code < 0x800 ? 2 : c.code < 0x10000 ? 3 : 4;
      if (!c.valid || c.code < 0x80 || c.size != shortest || is_surrogate(c.code))
        return fail(errc::malformed, "a string is not UTF-8");
      at_ += c.size;
    }
    if (at_ == text_.size()) return fail(errc::truncated, "the file ends inside a string");
    return {};
  }

  [[nodiscard]] static bool is_surrogate(char32_t c) noexcept { return c >= 0xD800 && c < 0xE000; }

  /// One escape, at its backslash.
  status parse_escape(std::string& out) {
    ++at_;
    const char c = peek();
    constexpr std::string_view names = "\"\\/bfnrt";
    constexpr std::string_view values = "\"\\/\b\f\n\r\t";
    if (c != 'u') {
      const std::size_t i = c == '\0' ? std::string_view::npos : names.find(c);
      if (i == std::string_view::npos)
        return fail(errc::malformed, "an escape is of no known kind");
      ++at_;
      out.push_back(values[i]);
      return {};
    }
    BITNET_TRY(char32_t code, parse_hex());
    if (is_surrogate(code)) {
      if (code >= 0xDC00 || peek() != '\\') return fail(errc::malformed, "a surrogate is alone");
      ++at_;
      BITNET_TRY(const char32_t low, parse_hex());
      if (low < 0xDC00 || low >= 0xE000) return fail(errc::malformed, "a surrogate is alone");
      code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
    }
    text::append_utf8(out, code);
    return {};
  }

  /// The four digits after "u", at which the text stands.
  result<char32_t> parse_hex() {
    if (!take('u')) return fail(errc::malformed, "a surrogate is alone");
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return fail(errc::malformed, "four hexadecimal digits are expected");
      code = code * 16 + static_cast<std::uint32_t>(digit);
    }
    return static_cast<char32_t>(code);
  }

  std::string_view text_;
  json::twins twins_;
  std::size_t at_ = 0;
  document document_;
};

/// Parses `text`, which must outlive the document; `name` is that of its file.
[[nodiscard]] inline result<document> parse(std::string_view text, std::string_view name,
                                            twins members = twins::refused) {
  return parser{text, name, members}.run();
}

}  // namespace convert::json
BITNET_NAMESPACE_END
