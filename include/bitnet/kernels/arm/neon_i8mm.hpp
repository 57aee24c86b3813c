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

/// Few tokens take dot products: a matrix product would leave half of its results unused for one
/// token, and for two it needs the columns of two planes side by side, which costs what it saves.
/// Bytes need not be made signed here.
struct dots : plain_sums {
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
    dotprod::dots::each_line<T>(count, sums, [&](std::size_t i, i32x16(&to)[T]) {
      const std::uint8_t* p = line + i * quant::line_bytes;
      if constexpr (T == 1) prefetch(p + line_prefetch);
      const uint8x16_t a = vld1q_u8(p), b = vld1q_u8(p + 16);
      const uint8x16_t c = vld1q_u8(p + 32), d = vld1q_u8(p + 48);
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) {
        const int8x16_t in = broadcast_four(x[t] + 4 * i);
        BITNET_USDOT_LANE(to[t].a, a, in, 0);
        BITNET_USDOT_LANE(to[t].b, b, in, 0);
        BITNET_USDOT_LANE(to[t].c, c, in, 0);
        BITNET_USDOT_LANE(to[t].d, d, in, 0);
      }
    });
  }
};

/// Unpacked codes for many tokens; see body/tile_blocks.inc. The 128 bytes of two steps are 8
/// columns of 16 rows, row after row: two rows are an operand. 8 pairs of rows by 2 pairs of tokens
/// are 16 sums, enough for none to wait; with 3 pairs of tokens compilers keep sums in memory.
struct blocks {
  static constexpr std::size_t tiles = 1, tokens = 4;
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
    // A step left over is the first half of a pair: code 0 or activations 0 are in the other half,
    // since lines are whole and activations padded.
    const auto* from = reinterpret_cast<const std::int8_t*>(codes[0]);
    pair_sums first, second;
    for (std::size_t i = 0; i < steps; i += 2, from += 128) {
      const int8x16_t one = vcombine_s8(vld1_s8(x[0] + 4 * i), vld1_s8(x[1] + 4 * i));
      const int8x16_t two = vcombine_s8(vld1_s8(x[2] + 4 * i), vld1_s8(x[3] + 4 * i));
      const dotprod::rows16 top = dotprod::load_rows(from), bottom = dotprod::load_rows(from + 64);
      first.add(top, bottom, one);
      second.add(top, bottom, two);
    }
    first.add_to(sums[0][0], sums[0][1]);
    second.add_to(sums[0][2], sums[0][3]);
  }

 private:
  /// 16 rows by 2 tokens. A register is of two rows: row 0 by both tokens, row 1 by both.
  struct pair_sums {
    i32x16 top = zero_i32(), bottom = zero_i32();

    BITNET_INLINE void add(const dotprod::rows16& t, const dotprod::rows16& b,
                           int8x16_t x) noexcept {
      BITNET_SMMLA(top.a, t.a, x);
      BITNET_SMMLA(top.b, t.b, x);
      BITNET_SMMLA(top.c, t.c, x);
      BITNET_SMMLA(top.d, t.d, x);
      BITNET_SMMLA(bottom.a, b.a, x);
      BITNET_SMMLA(bottom.b, b.b, x);
      BITNET_SMMLA(bottom.c, b.c, x);
      BITNET_SMMLA(bottom.d, b.d, x);
    }
    BITNET_INLINE void add_to(i32x16& first, i32x16& second) const noexcept {
      first = on_neon::add(first, {vuzp1q_s32(top.a, top.b), vuzp1q_s32(top.c, top.d),
                                   vuzp1q_s32(bottom.a, bottom.b), vuzp1q_s32(bottom.c, bottom.d)});
      second =
          on_neon::add(second, {vuzp2q_s32(top.a, top.b), vuzp2q_s32(top.c, top.d),
                                vuzp2q_s32(bottom.a, bottom.b), vuzp2q_s32(bottom.c, bottom.d)});
    }
  };

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
