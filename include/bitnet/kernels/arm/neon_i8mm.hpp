// SPDX-License-Identifier: Apache-2.0
// NEON with products of 8-bit matrices: 2 rows by 8 columns times 8 columns by 2 tokens in one
// instruction, twice what a dot product does.
#pragma once

#include <bitnet/kernels/arm/neon_dotprod.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_NEON_I8MM
namespace kernels {
namespace on_neon::i8mm {

using tag = isa::neon_i8mm;
using dotprod::quarter_sums;

/// Few tokens take dot products: a matrix product would leave half of its results unused for one
/// token, and for two it needs the columns of two planes side by side, which costs what it saves.
/// Bytes need not be made signed here.
struct dots {
  template <quant::encoding E>
  static constexpr std::int32_t offset = quant::meaning(E).offset;

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add(const std::uint8_t* line, std::size_t count,
                                const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    if constexpr (E == quant::encoding::int8) {
      add_int8<T>(line, count, x, sums);
    } else {
      dotprod::dots::add<E, T>(line, count, x, sums);
    }
  }

 private:
  template <std::size_t T>
  static BITNET_INLINE void add_int8(const std::uint8_t* line, std::size_t count,
                                     const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    constexpr std::size_t chains = T == 1 ? 2 : 1;  // or each would wait for the one before it
    quarter_sums s[chains][T];
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t) s[0][t] = quarter_sums{sums[t]};
    const auto add_line = [&](std::size_t i, quarter_sums(&to)[T]) {
      if constexpr (T == 1) prefetch(line + i * quant::line_bytes + line_prefetch);
      int8x16_t in[T];
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) in[t] = broadcast_four(x[t] + 4 * i);
      BITNET_UNROLL
      for (std::size_t q = 0; q < 4; ++q) {
        const uint8x16_t codes = vld1q_u8(line + i * quant::line_bytes + 16 * q);
        BITNET_UNROLL
        for (std::size_t t = 0; t < T; ++t) BITNET_USDOT_LANE(to[t].of[q], codes, in[t], 0);
      }
    };
    std::size_t i = 0;
    for (; i + 2 <= count; i += 2) {
      add_line(i, s[0]);
      add_line(i + 1, s[chains - 1]);
    }
    if (i < count) add_line(i, s[0]);
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t) {
      sums[t] = s[0][t].value();
      if constexpr (chains > 1) sums[t] = on_neon::add(sums[t], s[1][t].value());
    }
  }
};

/// Unpacked codes for many tokens; see body/tile_blocks.inc. The 128 bytes of two steps are 8
/// columns of 16 rows, row after row: two rows are an operand. 8 pairs of rows by 3 pairs of tokens
/// are 24 sums, which with 3 pairs of activations leave room for 5 operands on their way.
struct blocks {
  static constexpr std::size_t tiles = 1, tokens = 6;
  template <quant::encoding E>
  static constexpr bool serves = E != quant::encoding::int8;  // whose lines are not in that order

  template <quant::encoding E>
  static BITNET_INLINE void unpack(const std::uint8_t* line, std::size_t count,
                                   std::uint8_t* codes) noexcept {
    if constexpr (E == quant::encoding::binary) {
      for (std::size_t i = 0; i < 4 * count; ++i) unpack_bits(line + 16 * i, codes + 128 * i);
    } else {
      for (std::size_t i = 0; i < 4 * count; ++i) {
        auto* to = reinterpret_cast<std::int8_t*>(codes) + i / 4 * 256 + i % 4 * 32;
        int8x16_t planes[4];
        split_planes(line + 16 * i, planes);
        store_pair(to, planes[0], planes[1]);
        store_pair(to + 128, planes[2], planes[3]);
      }
    }
  }

  static BITNET_INLINE void add(const std::uint8_t* const (&codes)[1], std::size_t steps,
                                const std::int8_t* const (&x)[tokens],
                                i32x16 (&sums)[1][tokens]) noexcept {
    constexpr std::size_t pairs = tokens / 2;
    int32x4_t s[pairs][8];  // of two rows: row 0 by tokens 0 and 1, row 1 by them
    BITNET_UNROLL
    for (std::size_t t = 0; t < pairs; ++t) {
      BITNET_UNROLL
      for (std::size_t r = 0; r < 8; ++r) s[t][r] = vdupq_n_s32(0);
    }
    // A step left over is the first half of a pair: code 0 or activations 0 are in the other half,
    // since lines are whole and activations padded.
    const auto* from = reinterpret_cast<const std::int8_t*>(codes[0]);
    for (std::size_t i = 0; i < steps; i += 2, from += 128) {
      int8x16_t in[pairs];
      BITNET_UNROLL
      for (std::size_t t = 0; t < pairs; ++t)
        in[t] = vcombine_s8(vld1_s8(x[2 * t] + 4 * i), vld1_s8(x[2 * t + 1] + 4 * i));
      BITNET_UNROLL
      for (std::size_t r = 0; r < 8; ++r) {
        const int8x16_t rows = vld1q_s8(from + 16 * r);
        BITNET_UNROLL
        for (std::size_t t = 0; t < pairs; ++t) BITNET_SMMLA(s[t][r], rows, in[t]);
      }
    }
    BITNET_UNROLL
    for (std::size_t t = 0; t < pairs; ++t) {
      const auto of = [&](auto pick) {
        return i32x16{pick(s[t][0], s[t][1]), pick(s[t][2], s[t][3]), pick(s[t][4], s[t][5]),
                      pick(s[t][6], s[t][7])};
      };
      i32x16 &one = sums[0][2 * t], &two = sums[0][2 * t + 1];
      one = on_neon::add(one, of([](int32x4_t a, int32x4_t b) { return vuzp1q_s32(a, b); }));
      two = on_neon::add(two, of([](int32x4_t a, int32x4_t b) { return vuzp2q_s32(a, b); }));
    }
  }

 private:
  /// 4 rows of two planes as 8 columns of two rows, twice.
  static BITNET_INLINE void store_pair(std::int8_t* to, int8x16_t a, int8x16_t b) noexcept {
    const int32x4_t first = vreinterpretq_s32_s8(a), second = vreinterpretq_s32_s8(b);
    vst1q_s8(to, vreinterpretq_s8_s32(vzip1q_s32(first, second)));
    vst1q_s8(to + 16, vreinterpretq_s8_s32(vzip2q_s32(first, second)));
  }

  /// As in neon_dotprod.hpp, with the 8 columns of a row side by side.
  static BITNET_INLINE void unpack_bits(const std::uint8_t* line, std::uint8_t* codes) noexcept {
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201U));
    const uint8x16_t rows = vcombine_u8(vdup_n_u8(0), vdup_n_u8(2)), two = vdupq_n_u8(2);
    const uint8x16_t bytes = vld1q_u8(line);
    for (std::size_t r = 0; r < 16; r += 2) {
      const auto first = static_cast<std::uint8_t>(2 * (r % 8) + r / 8);
      const uint8x16_t used = vqtbl1q_u8(bytes, vaddq_u8(rows, vdupq_n_u8(first)));
      vst1q_u8(codes + 8 * r, vandq_u8(vtstq_u8(used, bit), two));
    }
  }
};

#include <bitnet/kernels/body/tile_blocks.inc>
#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_neon::i8mm
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
