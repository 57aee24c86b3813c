// SPDX-License-Identifier: Apache-2.0
// Bit permutations that turn the packed words of file formats into words of a tile line.
#pragma once

#include <bitnet/config.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

BITNET_NAMESPACE_BEGIN
namespace quant {

[[nodiscard]] inline std::uint32_t load_u32(const void* p) noexcept {
  std::uint32_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}
inline void store_u32(void* p, std::uint32_t word) noexcept { std::memcpy(p, &word, sizeof word); }

/// The bits of `word` from bit `first` on that `mask` selects, as a code.
[[nodiscard]] constexpr std::uint8_t code_bits(std::uint32_t word, std::size_t first,
                                               std::uint32_t mask) noexcept {
  return static_cast<std::uint8_t>(word >> first & mask);
}

/// Moves every bit of a word to the position whose index has bits Low and High exchanged.
template <unsigned Low, unsigned High>
[[nodiscard]] constexpr std::uint32_t swap_index_bits(std::uint32_t x) noexcept {
  static_assert(Low < High && High < 5);
  constexpr std::uint32_t moving = [] {
    std::uint32_t mask = 0;
    for (unsigned i = 0; i < 32; ++i)
      if ((i >> Low & 1U) == 1 && (i >> High & 1U) == 0) mask |= 1U << i;
    return mask;
  }();
  constexpr unsigned distance = (1U << High) - (1U << Low);
  const std::uint32_t differ = (x ^ (x >> distance)) & moving;
  return x ^ differ ^ (differ << distance);
}

/// 16 two-bit codes in order (code i in bits 2i) as a ternary2 word: byte c, plane p is code
/// 4p + c.
[[nodiscard]] constexpr std::uint32_t ternary_word(std::uint32_t in_order) noexcept {
  return swap_index_bits<2, 4>(swap_index_bits<1, 3>(in_order));
}

/// The ternary2 words of four runs of 16 codes, two in each 64 bits: arithmetic on both at once,
/// and nothing that a compiler would gather in memory first.
struct ternary_runs {
  std::uint64_t first;   ///< runs 0 and 1
  std::uint64_t second;  ///< runs 2 and 3

  [[nodiscard]] constexpr std::uint32_t operator[](std::size_t run) const noexcept {
    return static_cast<std::uint32_t>((run < 2 ? first : second) >> run % 2 * 32);
  }
};

/// From 16 bytes that hold code 16 * f + j in bits 2f of byte j. Seen as four words, field f of
/// word p changes places with field p of word f in each byte.
[[nodiscard]] inline ternary_runs load_ternary_runs(const void* bytes) noexcept {
  std::uint64_t w[2];
  std::memcpy(w, bytes, sizeof w);
  const auto within = [](std::uint64_t pair) {  // words 0 and 1, or 2 and 3
    const std::uint64_t differ = (pair >> 2 ^ pair >> 32) & 0x33333333U;
    return pair ^ differ << 32 ^ differ << 2;
  };
  const std::uint64_t a = within(w[0]), b = within(w[1]);
  const std::uint64_t differ = (a >> 4 ^ b) & 0x0f0f0f0f0f0f0f0fU;
  return {a ^ differ << 4, b ^ differ};
}

}  // namespace quant
BITNET_NAMESPACE_END
