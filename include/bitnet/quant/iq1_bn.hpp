// SPDX-License-Identifier: Apache-2.0
// IQ1_BN (type 134 of ik_llama.cpp): ternary, base 3, one f16 scale at the head of each row.
#pragma once

#include <bitnet/quant/base3.hpp>
#include <bitnet/quant/bit_matrix.hpp>
#include <bitnet/quant/scaled_rows.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = (trit - 1) * scale, 1.625 bits a weight and 2 bytes a row. A block of 64 is four groups of
/// 16: three bytes of five digits for 15 weights, and the last weight as a digit of `extra`. The
/// least significant digit comes first.
struct iq1_bn : scaled_rows<iq1_bn> {
  static constexpr std::string_view name = "IQ1_BN";
  static constexpr std::size_t block_size = 64;
  static constexpr encoding tile = encoding::ternary2;
  static constexpr std::size_t group = 0;
  static constexpr bool has_mins = false;
  static constexpr bool f16_scales = true;

  using header = f16;
  struct block {
    std::uint8_t q[12];
    std::uint8_t extra;
  };
  static_assert(sizeof(block) == 13);

  [[nodiscard]] static float scale(header h) noexcept { return to_float(h); }
  [[nodiscard]] static header make_header(float scale) noexcept { return to_f16(scale); }

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    for (std::size_t g = 0; g < 4; ++g) {
      const std::uint32_t group_codes = in_order(b, g);
      for (std::size_t i = 0; i < 16; ++i) out[16 * g + i] = code_bits(group_codes, 2 * i, 3U);
    }
  }

  static block make_block(std::span<const std::uint8_t, block_size> codes) noexcept {
    block b;
    for (std::size_t i = 0; i < 12; ++i) {
      const std::uint8_t* c = &codes[16 * (i / 3) + 5 * (i % 3)];
      b.q[i] = base3_byte({c[4], c[3], c[2], c[1], c[0]});
    }
    b.extra = base3_byte({0, codes[63], codes[47], codes[31], codes[15]});
    return b;
  }

  /// See line_format.
  static constexpr bool writes_lines(std::size_t) noexcept { return true; }
  static void write_lines(packed_rows w, std::size_t row, std::uint8_t* words) noexcept {
    for (std::size_t i = 0; i < w.cols / block_size; ++i) {
      const block b = block_of(w, row, i);
      for (std::size_t g = 0; g < 4; ++g, words += line_bytes)
        store_u32(words, ternary_word(in_order(b, g)));
    }
  }

 private:
  /// The codes of group g, weight i in bits 2i.
  static std::uint32_t in_order(const block& b, std::size_t g) noexcept {
    const std::uint8_t* q = b.q + 3 * g;
    const std::uint32_t last = code_bits(base3_codes[b.extra], 2 * g, 3U);
    return std::uint32_t{base3_codes[q[0]]} | std::uint32_t{base3_codes[q[1]]} << 10 |
           std::uint32_t{base3_codes[q[2]]} << 20 | last << 30;
  }
};
static_assert(row_format<iq1_bn> && tileable_format<iq1_bn> && line_format<iq1_bn>);

}  // namespace quant
BITNET_NAMESPACE_END
