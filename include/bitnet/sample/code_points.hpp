// SPDX-License-Identifier: Apache-2.0
// Sets of characters for grammars, and their spelling as ranges of UTF-8 bytes.
#pragma once

#include <bitnet/config.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {
namespace detail {

inline constexpr char32_t max_code_point = 0x10FFFF;

[[nodiscard]] constexpr bool is_character(char32_t c) noexcept {
  return c < 0xD800 || (c > 0xDFFF && c <= max_code_point);
}

/// Characters from low to high. Surrogates in between are none and mean nothing.
struct code_point_range {
  char32_t low;
  char32_t high;
};

/// Sorts and merges ranges; `negated` makes them what they leave out.
inline void normalize(std::vector<code_point_range>& ranges, bool negated) {
  std::sort(ranges.begin(), ranges.end(),
            [](const auto& a, const auto& b) { return a.low < b.low; });
  std::size_t count = 0;
  for (const code_point_range& r : ranges) {
    if (count != 0 && r.low <= ranges[count - 1].high + 1) {
      ranges[count - 1].high = std::max(ranges[count - 1].high, r.high);
    } else {
      ranges[count++] = r;
    }
  }
  ranges.resize(count);
  if (!negated) return;
  std::vector<code_point_range> rest;
  char32_t next = 0;
  for (const code_point_range& r : ranges) {
    if (r.low > next) rest.push_back({next, r.low - 1});
    next = r.high + 1;
  }
  if (next <= max_code_point) rest.push_back({next, max_code_point});
  ranges = std::move(rest);
}

/// UTF-8 of a character, and its size.
struct utf8_bytes {
  std::array<std::uint8_t, 4> byte{};
  std::size_t size = 0;
};
[[nodiscard]] constexpr utf8_bytes to_utf8(char32_t c) noexcept {
  const auto low = [c](unsigned shift) {
    return static_cast<std::uint8_t>(0x80U | (static_cast<std::uint32_t>(c) >> shift & 0x3FU));
  };
  const auto high = [c](unsigned mark, unsigned shift) {
    return static_cast<std::uint8_t>(mark | static_cast<std::uint32_t>(c) >> shift);
  };
  if (c < 0x80) return {{static_cast<std::uint8_t>(c)}, 1};
  if (c < 0x800) return {{high(0xC0, 6), low(0)}, 2};
  if (c < 0x10000) return {{high(0xE0, 12), low(6), low(0)}, 3};
  return {{high(0xF0, 18), low(12), low(6), low(0)}, 4};
}

inline void append_utf8(std::string& out, char32_t c) {
  const utf8_bytes u = to_utf8(c);
  for (std::size_t i = 0; i < u.size; ++i) out.push_back(static_cast<char>(u.byte[i]));
}

/// Reads the character that `text` begins with; its size, or 0 if that is not valid UTF-8.
[[nodiscard]] inline std::size_t read_utf8(std::string_view text, char32_t& out) noexcept {
  if (text.empty()) return 0;
  const auto first = static_cast<std::uint8_t>(text[0]);
  const std::size_t size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (text.size() < size) return 0;
  char32_t c = size == 1 ? first : first & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) c = c << 6 | (static_cast<std::uint8_t>(text[i]) & 0x3FU);
  if (!is_character(c)) return 0;
  const utf8_bytes u = to_utf8(c);  // what does not come out the same was overlong or broken
  if (u.size != size) return 0;
  for (std::size_t i = 0; i < size; ++i)
    if (u.byte[i] != static_cast<std::uint8_t>(text[i])) return 0;
  out = c;
  return size;
}

/// One range of bytes for each byte of a character.
struct utf8_ranges {
  std::array<std::uint8_t, 4> low{};
  std::array<std::uint8_t, 4> high{};
  std::size_t size = 0;
};

/// use(ranges) for ranges of bytes that together spell the characters of `r` and no others: `r` is
/// cut where the size changes, around surrogates, and where a byte before a full range would have
/// to know the byte that follows.
template <class Use>
void split_utf8(code_point_range r, Use&& use) {
  constexpr std::array<char32_t, 6> ends{0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF, max_code_point};
  std::vector<code_point_range> left{r};
  while (!left.empty()) {
    r = left.back();
    left.pop_back();
    const auto cut = [&](char32_t at) {  // goes on with what lies up to `at`
      left.push_back({at + 1, r.high});
      r.high = at;
    };
    for (const char32_t end : ends)
      if (r.low <= end && end < r.high) cut(end);
    if (!is_character(r.low)) continue;
    for (unsigned shift = 6; shift < 24; shift += 6) {
      const char32_t mask = (char32_t{1} << shift) - 1;
      if ((r.low & ~mask) == (r.high & ~mask)) break;
      if ((r.low & mask) != 0)
        cut(r.low | mask);
      else if ((r.high & mask) != mask)
        cut((r.high & ~mask) - 1);
    }
    const utf8_bytes a = to_utf8(r.low);
    const utf8_bytes b = to_utf8(r.high);
    use(utf8_ranges{a.byte, b.byte, a.size});
  }
}

}  // namespace detail
}  // namespace sample
BITNET_NAMESPACE_END
