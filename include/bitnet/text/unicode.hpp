// SPDX-License-Identifier: Apache-2.0
// UTF-8 decoding and encoding, and the character classes that pre-tokenizers ask for.
#pragma once

#include <bitnet/text/unicode_tables.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace text {

/// Major Unicode category, with White_Space set apart. Values are those of the generated table.
enum class char_class : std::uint8_t {
  other = 0,        ///< control, format, private use, surrogate, unassigned
  letter = 1,       ///< \p{L}
  number = 2,       ///< \p{N}
  mark = 3,         ///< \p{M}
  punctuation = 4,  ///< \p{P}
  symbol = 5,       ///< \p{S}
  whitespace = 6    ///< White_Space (\s), whatever its category
};

inline constexpr char32_t replacement_character = 0xFFFD;
inline constexpr char32_t last_code_point = 0x10FFFF;

namespace unicode {

/// Class of any code point, by binary search among some three thousand runs.
[[nodiscard]] constexpr char_class find_class(char32_t code) noexcept {
  const std::uint32_t key = static_cast<std::uint32_t>(code) << 3 | 7U;
  const auto* after = std::upper_bound(std::begin(class_starts), std::end(class_starts), key);
  return static_cast<char_class>(*(after - 1) & 7U);
}

/// Latin text, the usual case, does not search.
inline constexpr auto low_classes = [] {
  std::array<char_class, 256> classes{};
  for (std::size_t code = 0; code < classes.size(); ++code)
    classes[code] = find_class(static_cast<char32_t>(code));
  return classes;
}();

}  // namespace unicode

/// Class of a code point; values above U+10FFFF are `other`.
[[nodiscard]] constexpr char_class class_of(char32_t code) noexcept {
  if (code < unicode::low_classes.size()) return unicode::low_classes[code];
  return code <= last_code_point ? unicode::find_class(code) : char_class::other;
}

/// One decoded character: its code point and how many bytes it took.
struct decoded_char {
  char32_t code;
  std::uint32_t size;
  bool valid;  ///< false: a byte that begins no character, read as U+FFFD of size 1
};

/// Decodes the character at `position` < text.size(). Lenient in the way the engines are whose
/// token ids we match: overlong forms stand for their character and surrogates pass, but nothing
/// above U+10FFFF does.
[[nodiscard]] constexpr decoded_char decode_utf8(std::string_view text,
                                                 std::size_t position) noexcept {
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return static_cast<unsigned char>(text[position + i]);
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const std::uint32_t size = lead >= 0xF8   ? 0
                             : lead >= 0xF0 ? 4
                             : lead >= 0xE0 ? 3
                             : lead >= 0xC0 ? 2
                                            : 0;
  if (size == 0 || text.size() - position < size) return {replacement_character, 1, false};
  std::uint32_t code = lead & (0x7FU >> size);
  for (std::uint32_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {replacement_character, 1, false};
    code = code << 6 | (byte(i) & 0x3FU);
  }
  if (code > last_code_point) return {replacement_character, 1, false};
  return {code, size, true};
}

/// Appends a code point (at most U+10FFFF, surrogates included) in its shortest form.
inline void append_utf8(std::string& out, char32_t code) {
  const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto value = static_cast<std::uint32_t>(code);
  if (value < 0x80) {
    put(value);
  } else if (value < 0x800) {
    put(0xC0U | value >> 6);
    put(0x80U | (value & 0x3FU));
  } else if (value < 0x10000) {
    put(0xE0U | value >> 12);
    put(0x80U | (value >> 6 & 0x3FU));
    put(0x80U | (value & 0x3FU));
  } else {
    put(0xF0U | value >> 18);
    put(0x80U | (value >> 12 & 0x3FU));
    put(0x80U | (value >> 6 & 0x3FU));
    put(0x80U | (value & 0x3FU));
  }
}

/// The text with every byte that begins no character replaced by U+FFFD and every overlong form
/// shortened. Clean text is returned as it is; otherwise the result lives in `storage`.
[[nodiscard]] inline std::string_view repair_utf8(std::string_view text, std::string& storage) {
  // The length of a code point's shortest form tells overlong ones apart.
  const auto shortest = [](char32_t code) -> std::uint32_t {
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  };
  std::size_t position = 0;
  while (position < text.size()) {
    const decoded_char c = decode_utf8(text, position);
    if (!c.valid || c.size != shortest(c.code)) break;
    position += c.size;
  }
  if (position == text.size()) return text;
  storage.assign(text.substr(0, position));
  while (position < text.size()) {
    const decoded_char c = decode_utf8(text, position);
    append_utf8(storage, c.code);
    position += c.size;
  }
  return storage;
}

}  // namespace text
BITNET_NAMESPACE_END
