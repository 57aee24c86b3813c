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

/// 32 one-bit codes in order as a binary word: byte c, plane p is code 4p + c. The index bits
/// rotate from (p, c) to (c, p), a cycle of five and hence four exchanges.
[[nodiscard]] constexpr std::uint32_t binary_word(std::uint32_t in_order) noexcept {
  return swap_index_bits<3, 4>(
      swap_index_bits<2, 4>(swap_index_bits<1, 3>(swap_index_bits<0, 2>(in_order))));
}

/// Exchanges field f of word p with field p of word f in each byte, for fields of two bits: 16
/// bytes that hold 4 runs of 16 codes become the 4 ternary2 words of those runs, run f in word f.
constexpr void transpose_fields(std::uint32_t (&w)[4]) noexcept {
  const auto exchange = [](std::uint32_t& a, std::uint32_t& b, unsigned shift, std::uint32_t mask) {
    const std::uint32_t differ = ((a >> shift) ^ b) & mask;
    b ^= differ;
    a ^= differ << shift;
  };
  exchange(w[0], w[1], 2, 0x33333333U);
  exchange(w[2], w[3], 2, 0x33333333U);
  exchange(w[0], w[2], 4, 0x0f0f0f0fU);
  exchange(w[1], w[3], 4, 0x0f0f0f0fU);
}

/// The ternary2 words of 64 codes whose code 16 * f + j lies in bits 2f of byte j.
inline void load_ternary_words(const void* bytes, std::uint32_t (&w)[4]) noexcept {
  std::memcpy(w, bytes, sizeof w);
  transpose_fields(w);
}

}  // namespace quant
BITNET_NAMESPACE_END
