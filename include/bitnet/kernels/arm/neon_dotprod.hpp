// SPDX-License-Identifier: Apache-2.0
// NEON with dot products: four products of bytes added to 32 bits in one instruction. Its second
// operand is 4 bytes out of a register, so that activations are loaded by 16 and never broadcast.
#pragma once

#include <bitnet/kernels/arm/neon_tiled.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_NEON_DOTPROD
namespace kernels {
namespace on_neon::dotprod {

using tag = isa::neon_dotprod;

/// sum + products of 4 rows' codes with activations [4 Lane, 4 Lane + 4) of x.
template <int Lane>
BITNET_INLINE void add_dot(int32x4_t& sum, int8x16_t codes, int8x16_t x) noexcept {
  BITNET_SDOT_LANE(sum, codes, x, Lane);
}

/// 16 sums as they are added to: by quarter of 4 rows.
struct quarter_sums {
  int32x4_t of[4];
  BITNET_INLINE explicit quarter_sums(i32x16 x) noexcept : of{x.a, x.b, x.c, x.d} {}
  BITNET_INLINE quarter_sums() noexcept : quarter_sums{zero_i32()} {}
  [[nodiscard]] BITNET_INLINE i32x16 value() const noexcept { return {of[0], of[1], of[2], of[3]}; }
};

/// Codes times activations straight into 32-bit sums, which may wrap on the way: what is left after
/// the offset is exact.
struct dots {
  template <quant::encoding E>
  static constexpr std::int32_t offset = on_neon::dots::offset<E>;

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add(const std::uint8_t* line, std::size_t count,
                                const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    if constexpr (E == quant::encoding::int8) {
      add_int8<T>(line, count, x, sums);
    } else if constexpr (T == 1) {
      add_ternary_alone(line, count, x[0], sums[0]);
    } else {
      add_ternary<T>(line, count, x, sums);
    }
  }

 private:
  /// One token with fewer instructions: planes 1 and 2 are masked but not shifted down, so that
  /// their sums are 4 and 16 times as large and apart from the others. 37 instructions a line, and
  /// 12 sums, which is what 4 pipes with 3 cycles each keep busy. Sums are brought together after
  /// 2^12 lines, when one is at most 2^12 * 4 * 48 * 127 < 2^27 in magnitude.
  static BITNET_INLINE void add_ternary_alone(const std::uint8_t* line, std::size_t count,
                                              const std::int8_t* x, i32x16& sums) noexcept {
    constexpr std::size_t steps = 4096;
    const uint8x16_t first = vdupq_n_u8(3), second = vdupq_n_u8(12), third = vdupq_n_u8(48);
    quarter_sums total{sums};
    while (count != 0) {
      const std::size_t now = count < steps ? count : steps;
      count -= now;
      quarter_sums four, sixteen;
      for (const std::uint8_t* const end = line + now * quant::line_bytes; line != end;
           line += quant::line_bytes, x += 16) {
        prefetch(line + line_prefetch);
        const int8x16_t in = vld1q_s8(x);
        BITNET_UNROLL
        for (std::size_t q = 0; q < 4; ++q) {
          const uint8x16_t codes = vld1q_u8(line + 16 * q);
          add_dot<0>(total.of[q], vreinterpretq_s8_u8(vandq_u8(codes, first)), in);
          add_dot<1>(four.of[q], vreinterpretq_s8_u8(vandq_u8(codes, second)), in);
          add_dot<2>(sixteen.of[q], vreinterpretq_s8_u8(vandq_u8(codes, third)), in);
          add_dot<3>(total.of[q], vreinterpretq_s8_u8(vshrq_n_u8(codes, 6)), in);
        }
      }
      BITNET_UNROLL
      for (std::size_t q = 0; q < 4; ++q)
        total.of[q] = vsraq_n_s32(vsraq_n_s32(total.of[q], four.of[q], 2), sixteen.of[q], 4);
    }
    sums = total.value();
  }

  template <std::size_t T>
  static BITNET_INLINE void add_ternary(const std::uint8_t* line, std::size_t count,
                                        const std::int8_t* const (&x)[T],
                                        i32x16 (&sums)[T]) noexcept {
    quarter_sums s[T];
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t) s[t] = quarter_sums{sums[t]};
    for (std::size_t i = 0; i < count; ++i, line += quant::line_bytes) {
      int8x16_t in[T];
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) in[t] = vld1q_s8(x[t] + 16 * i);
      BITNET_UNROLL
      for (std::size_t q = 0; q < 4; ++q) {
        int8x16_t planes[4];
        split_planes(line + 16 * q, planes);
        BITNET_UNROLL
        for (std::size_t t = 0; t < T; ++t) {
          add_dot<0>(s[t].of[q], planes[0], in[t]);
          add_dot<1>(s[t].of[q], planes[1], in[t]);
          add_dot<2>(s[t].of[q], planes[2], in[t]);
          add_dot<3>(s[t].of[q], planes[3], in[t]);
        }
      }
    }
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t) sums[t] = s[t].value();
  }

  /// Codes as signed numbers. One token has two sets of sums, or each product would wait for the
  /// one before it.
  template <std::size_t T>
  static BITNET_INLINE void add_int8(const std::uint8_t* line, std::size_t count,
                                     const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    constexpr std::size_t chains = T == 1 ? 2 : 1;
    const uint8x16_t top = vdupq_n_u8(128);
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
        const uint8x16_t codes = veorq_u8(vld1q_u8(line + i * quant::line_bytes + 16 * q), top);
        BITNET_UNROLL
        for (std::size_t t = 0; t < T; ++t)
          add_dot<0>(to[t].of[q], vreinterpretq_s8_u8(codes), in[t]);
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

/// 16 bytes of a binary line, 8 columns, as bytes 4 * r + c: bits as 0 and 2, so that 1 less is the
/// weight. Many tokens pay for it: a dot product is then less than looking sums up takes.
BITNET_INLINE void unpack_bits(const std::uint8_t* line, std::uint8_t* codes) noexcept {
  // Where rows 0 to 3 lie in the 16 bytes; the others follow at even distance.
  const uint8x16_t rows = vreinterpretq_u8_u32(
      vmovl_u16(vcreate_u16(0x0006000400020000U)));  // a row in each 32-bit lane
  const uint8x16_t spread_rows =
      vreinterpretq_u8_u32(vmulq_n_u32(vreinterpretq_u32_u8(rows), 0x01010101U));
  const uint8x16_t low = vreinterpretq_u8_u32(vdupq_n_u32(0x08040201U));
  const uint8x16_t high = vshlq_n_u8(low, 4), two = vdupq_n_u8(2);
  const uint8x16_t bytes = vld1q_u8(line);
  for (std::size_t q = 0; q < 4; ++q) {
    // Row r is in byte 2 * (r % 8) + r / 8.
    const auto first = static_cast<std::uint8_t>(8 * (q % 2) + q / 2);
    const uint8x16_t used = vqtbl1q_u8(bytes, vaddq_u8(spread_rows, vdupq_n_u8(first)));
    vst1q_u8(codes + 16 * q, vandq_u8(vtstq_u8(used, low), two));
    vst1q_u8(codes + 64 + 16 * q, vandq_u8(vtstq_u8(used, high), two));
  }
}

/// Unpacked codes for many tokens; see body/tile_blocks.inc. 5 tokens by 16 rows are 20 sums; with
/// the activations and codes of a step they fit the registers, and 20 products share a load of
/// codes for each 5 of them.
struct blocks {
  static constexpr std::size_t tiles = 1, tokens = 5;
  template <quant::encoding E>
  static constexpr bool serves = E != quant::encoding::int8;  // whose bytes are not signed yet

  template <quant::encoding E>
  static BITNET_INLINE void unpack(const std::uint8_t* line, std::size_t count,
                                   std::uint8_t* codes) noexcept {
    if constexpr (E == quant::encoding::binary) {
      for (std::size_t i = 0; i < 4 * count; ++i) unpack_bits(line + 16 * i, codes + 128 * i);
    } else {
      for (std::size_t i = 0; i < 4 * count; ++i) {
        auto* to = reinterpret_cast<std::int8_t*>(codes) + i / 4 * 256 + i % 4 * 16;
        int8x16_t planes[4];
        split_planes(line + 16 * i, planes);
        BITNET_UNROLL
        for (std::size_t p = 0; p < 4; ++p) vst1q_s8(to + 64 * p, planes[p]);
      }
    }
  }

  static BITNET_INLINE void add(const std::uint8_t* const (&codes)[1], std::size_t steps,
                                const std::int8_t* const (&x)[tokens],
                                i32x16 (&sums)[1][tokens]) noexcept {
    quarter_sums s[tokens];
    BITNET_UNROLL
    for (std::size_t t = 0; t < tokens; ++t) s[t] = quarter_sums{sums[0][t]};
    const auto* from = reinterpret_cast<const std::int8_t*>(codes[0]);
    std::size_t i = 0;
    for (; i + 4 <= steps; i += 4, from += 256) {
      int8x16_t in[tokens];
      BITNET_UNROLL
      for (std::size_t t = 0; t < tokens; ++t) in[t] = vld1q_s8(x[t] + 4 * i);
      add_step<0>(from, in, s);
      add_step<1>(from + 64, in, s);
      add_step<2>(from + 128, in, s);
      add_step<3>(from + 192, in, s);
    }
    for (; i < steps; ++i, from += 64) {
      int8x16_t in[tokens];
      BITNET_UNROLL
      for (std::size_t t = 0; t < tokens; ++t) in[t] = broadcast_four(x[t] + 4 * i);
      add_step<0>(from, in, s);
    }
    BITNET_UNROLL
    for (std::size_t t = 0; t < tokens; ++t) sums[0][t] = s[t].value();
  }

 private:
  template <int Lane>
  static BITNET_INLINE void add_step(const std::int8_t* codes, const int8x16_t (&x)[tokens],
                                     quarter_sums (&sums)[tokens]) noexcept {
    BITNET_UNROLL
    for (std::size_t q = 0; q < 4; ++q) {
      const int8x16_t rows = vld1q_s8(codes + 16 * q);
      BITNET_UNROLL
      for (std::size_t t = 0; t < tokens; ++t) add_dot<Lane>(sums[t].of[q], rows, x[t]);
    }
  }
};

#include <bitnet/kernels/body/tile_blocks.inc>
#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_neon::dotprod
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
