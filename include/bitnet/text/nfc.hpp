// SPDX-License-Identifier: Apache-2.0
// Unicode normalization form C: canonical decomposition, ordering and composition (UAX #15).
#pragma once

#include <bitnet/text/unicode.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

namespace unicode {

// Hangul syllables are composed by arithmetic (Unicode Standard, section 3.12).
inline constexpr char32_t hangul_first = 0xAC00;
inline constexpr char32_t leading_first = 0x1100;
inline constexpr char32_t vowel_first = 0x1161;
inline constexpr char32_t trailing_first = 0x11A7;  // one before the first: 0 means none
inline constexpr char32_t leading_count = 19;
inline constexpr char32_t vowel_count = 21;
inline constexpr char32_t trailing_count = 28;
inline constexpr char32_t hangul_count = leading_count * vowel_count * trailing_count;

/// Canonical combining class; 0 for characters that start a sequence.
[[nodiscard]] constexpr std::uint32_t combining_class(char32_t code) noexcept {
  if (code < 0x300 || code > last_code_point) return 0;
  const std::uint32_t key = static_cast<std::uint32_t>(code) << 8 | 0xFFU;
  return *(std::upper_bound(std::begin(combining_starts), std::end(combining_starts), key) - 1) &
         0xFFU;
}

/// Appends the full canonical decomposition of `code`. Mappings nest a few levels at most.
inline void decompose(char32_t code, std::vector<char32_t>& out) {
  if (code >= hangul_first && code < hangul_first + hangul_count) {
    const char32_t index = code - hangul_first;
    out.push_back(leading_first + index / (vowel_count * trailing_count));
    out.push_back(vowel_first + index / trailing_count % vowel_count);
    if (index % trailing_count != 0) out.push_back(trailing_first + index % trailing_count);
    return;
  }
  const std::uint64_t key = std::uint64_t{code} << 42;
  const auto* found = std::lower_bound(std::begin(decompositions), std::end(decompositions), key);
  if (code < 0xC0 || found == std::end(decompositions) || *found >> 42 != code)
    return out.push_back(code);
  decompose(static_cast<char32_t>(*found >> 21 & 0x1FFFFFU), out);
  if (const auto second = static_cast<char32_t>(*found & 0x1FFFFFU); second != 0)
    decompose(second, out);
}

/// The character that two compose to, or 0.
[[nodiscard]] constexpr char32_t compose(char32_t first, char32_t second) noexcept {
  if (first - leading_first < leading_count && second - vowel_first < vowel_count)
    return hangul_first +
           ((first - leading_first) * vowel_count + (second - vowel_first)) * trailing_count;
  if (first - hangul_first < hangul_count && (first - hangul_first) % trailing_count == 0 &&
      second - trailing_first - 1 < trailing_count - 1)
    return first + (second - trailing_first);
  const std::uint64_t key = std::uint64_t{first} << 42 | std::uint64_t{second} << 21;
  const auto* found = std::lower_bound(std::begin(compositions), std::end(compositions), key);
  if (found == std::end(compositions) || *found >> 21 != key >> 21) return 0;
  return static_cast<char32_t>(*found & 0x1FFFFFU);
}

/// Puts a run of marks in canonical order: by class, and within a class as they are.
inline void order_marks(std::span<char32_t> run) {
  if (run.size() < 2) return;
  std::vector<std::uint64_t> keys(run.size());  // class, place, code point
  for (std::size_t i = 0; i < run.size(); ++i)
    keys[i] = std::uint64_t{combining_class(run[i])} << 56 | std::uint64_t{i} << 21 | run[i];
  std::sort(keys.begin(), keys.end());
  for (std::size_t i = 0; i < run.size(); ++i) run[i] = static_cast<char32_t>(keys[i] & 0x1FFFFFU);
}

}  // namespace unicode

/// `text` in normalization form C; bytes that are no UTF-8 stay as they are. The result is `text`
/// itself if it has no character from U+0300 on, else it lives in `storage`.
[[nodiscard]] inline std::string_view to_nfc(std::string_view text, std::string& storage) {
  // Lead bytes from 0xCC on begin the characters from U+0300 on: below, all text is composed.
  if (std::none_of(text.begin(), text.end(),
                   [](char c) { return static_cast<unsigned char>(c) >= 0xCC; }))
    return text;
  storage.clear();
  std::vector<char32_t> codes;
  const auto flush = [&] {
    for (std::size_t i = 0; i < codes.size();) {  // canonical order within runs of marks
      std::size_t end = i;
      while (end < codes.size() && unicode::combining_class(codes[end]) != 0) ++end;
      unicode::order_marks(std::span{codes}.subspan(i, end - i));
      i = end + 1;
    }
    std::size_t size = 0;  // composed so far
    std::size_t starter = codes.size();
    std::uint32_t last_class = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const char32_t code = codes[i];
      const std::uint32_t cls = unicode::combining_class(code);
      const bool adjacent = starter + 1 == size;
      if (starter < size && (adjacent || last_class < cls)) {
        if (const char32_t composed = unicode::compose(codes[starter], code); composed != 0) {
          codes[starter] = composed;
          continue;
        }
      }
      if (cls == 0) starter = size;
      last_class = cls;
      codes[size++] = code;
    }
    for (std::size_t i = 0; i < size; ++i) append_utf8(storage, codes[i]);
    codes.clear();
  };
  for (std::size_t position = 0; position < text.size();) {
    const decoded_char c = decode_utf8(text, position);
    if (c.valid) {
      unicode::decompose(c.code, codes);
    } else {
      flush();
      storage.append(text.substr(position, c.size));
    }
    position += c.size;
  }
  flush();
  return storage;
}

}  // namespace text
BITNET_NAMESPACE_END
