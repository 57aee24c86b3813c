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

/// sum += products of 4 rows' codes with activations [4 Lane, 4 Lane + 4) of x.
template <int Lane>
BITNET_INLINE void add_dot(int32x4_t& sum, int8x16_t codes, int8x16_t x) noexcept {
  BITNET_SDOT_LANE(sum, codes, x, Lane);
}

/// The codes of 16 rows in 4 columns.
struct rows16 {
  int8x16_t a, b, c, d;
};
BITNET_INLINE rows16 load_rows(const std::int8_t* p) noexcept {
  return {vld1q_s8(p), vld1q_s8(p + 16), vld1q_s8(p + 32), vld1q_s8(p + 48)};
}
/// The 4 quarters are written out: GCC at -O2 takes sums apart into registers before it unrolls
/// loops in loops, and would keep them in memory.
template <int Lane>
BITNET_INLINE void add_rows(i32x16& sum, const rows16& codes, int8x16_t x) noexcept {
  add_dot<Lane>(sum.a, codes.a, x);
  add_dot<Lane>(sum.b, codes.b, x);
  add_dot<Lane>(sum.c, codes.c, x);
  add_dot<Lane>(sum.d, codes.d, x);
}

/// Codes times activations straight into 32-bit sums, which may wrap on the way: what is left after
/// the offset is exact.
struct dots : plain_sums {
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

  /// Lines of bytes, as add_line(i, to) adds line i to `to`. One token has two sets of sums, or
  /// each product would wait for the one before it.
  template <std::size_t T, class F>
  static BITNET_INLINE void each_line(std::size_t count, i32x16 (&sums)[T], F add_line) noexcept {
    if constexpr (T == 1) {
      i32x16 even[1] = {sums[0]}, odd[1] = {zero_i32()};
      std::size_t i = 0;
      for (; i + 2 <= count; i += 2) {
        add_line(i, even);
        add_line(i + 1, odd);
      }
      if (i < count) add_line(i, even);
      sums[0] = on_neon::add(even[0], odd[0]);
    } else {
      for (std::size_t i = 0; i < count; ++i) add_line(i, sums);
    }
  }

 private:
  /// One token with fewer instructions: planes 1 and 2 are masked but not shifted down, so that
  /// their sums are 4 and 16 times as large and apart from the others. 39 instructions a line, and
  /// 12 sums, which is what 4 pipes with 3 cycles each keep busy. Sums are brought together after
  /// 2^12 lines, when one is at most 2^12 * 4 * 48 * 127 < 2^27 in magnitude.
  static BITNET_INLINE void add_ternary_alone(const std::uint8_t* line, std::size_t count,
                                              const std::int8_t* x, i32x16& sums) noexcept {
    constexpr std::size_t steps = 4096;
    const uint8x16_t first = vdupq_n_u8(3), second = vdupq_n_u8(12), third = vdupq_n_u8(48);
    const auto add_quarter = [&](const std::uint8_t* p, int8x16_t in, int32x4_t& one,
                                 int32x4_t& four, int32x4_t& sixteen) {
      const uint8x16_t codes = vld1q_u8(p);
      add_dot<0>(one, vreinterpretq_s8_u8(vandq_u8(codes, first)), in);
      add_dot<1>(four, vreinterpretq_s8_u8(vandq_u8(codes, second)), in);
      add_dot<2>(sixteen, vreinterpretq_s8_u8(vandq_u8(codes, third)), in);
      add_dot<3>(one, vreinterpretq_s8_u8(vshrq_n_u8(codes, 6)), in);
    };
    const auto whole = [](int32x4_t one, int32x4_t four, int32x4_t sixteen) {
      return vsraq_n_s32(vsraq_n_s32(one, four, 2), sixteen, 4);
    };
    i32x16 one = sums;
    while (count != 0) {
      const std::size_t now = count < steps ? count : steps;
      count -= now;
      i32x16 four = zero_i32(), sixteen = zero_i32();
      for (const std::uint8_t* const end = line + now * quant::line_bytes; line != end;
           line += quant::line_bytes, x += 16) {
        prefetch(line + line_prefetch);
        const int8x16_t in = vld1q_s8(x);
        add_quarter(line, in, one.a, four.a, sixteen.a);
        add_quarter(line + 16, in, one.b, four.b, sixteen.b);
        add_quarter(line + 32, in, one.c, four.c, sixteen.c);
        add_quarter(line + 48, in, one.d, four.d, sixteen.d);
      }
      one = {whole(one.a, four.a, sixteen.a), whole(one.b, four.b, sixteen.b),
             whole(one.c, four.c, sixteen.c), whole(one.d, four.d, sixteen.d)};
    }
    sums = one;
  }

  template <std::size_t T>
  static BITNET_INLINE void add_ternary(const std::uint8_t* line, std::size_t count,
                                        const std::int8_t* const (&x)[T],
                                        i32x16 (&sums)[T]) noexcept {
    const auto add_quarter = [&](const std::uint8_t* p, const int8x16_t(&in)[T],
                                 int32x4_t i32x16::*quarter) {
      int8x16_t planes[4];
      split_planes(p, planes);
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) {
        add_dot<0>(sums[t].*quarter, planes[0], in[t]);
        add_dot<1>(sums[t].*quarter, planes[1], in[t]);
        add_dot<2>(sums[t].*quarter, planes[2], in[t]);
        add_dot<3>(sums[t].*quarter, planes[3], in[t]);
      }
    };
    for (std::size_t i = 0; i < count; ++i, line += quant::line_bytes) {
      int8x16_t in[T];
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) in[t] = vld1q_s8(x[t] + 16 * i);
      add_quarter(line, in, &i32x16::a);
      add_quarter(line + 16, in, &i32x16::b);
      add_quarter(line + 32, in, &i32x16::c);
      add_quarter(line + 48, in, &i32x16::d);
    }
  }

  /// Codes as signed numbers.
  template <std::size_t T>
  static BITNET_INLINE void add_int8(const std::uint8_t* line, std::size_t count,
                                     const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    const auto rows = [](const std::uint8_t* p) {
      return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(128)));
    };
    each_line<T>(count, sums, [&](std::size_t i, i32x16(&to)[T]) {
      const std::uint8_t* p = line + i * quant::line_bytes;
      if constexpr (T == 1) prefetch(p + line_prefetch);
      const rows16 codes{rows(p), rows(p + 16), rows(p + 32), rows(p + 48)};
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) add_rows<0>(to[t], codes, broadcast_four(x[t] + 4 * i));
    });
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

/// Unpacked codes for many tokens; see body/tile_blocks.inc. 4 tokens by 16 rows are 16 sums,
/// enough for none to wait; compilers load all codes of a step before they use them, and with more
/// tokens would keep sums in memory for that.
struct blocks {
  static constexpr std::size_t tiles = 1, tokens = 4;
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
    const auto* from = reinterpret_cast<const std::int8_t*>(codes[0]);
    i32x16 s[tokens];
    BITNET_UNROLL
    for (std::size_t t = 0; t < tokens; ++t) s[t] = sums[0][t];
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
    for (std::size_t t = 0; t < tokens; ++t) sums[0][t] = s[t];
  }

 private:
  template <int Lane>
  static BITNET_INLINE void add_step(const std::int8_t* codes, const int8x16_t (&x)[tokens],
                                     i32x16 (&sums)[tokens]) noexcept {
    const rows16 rows = load_rows(codes);
    BITNET_UNROLL
    for (std::size_t t = 0; t < tokens; ++t) add_rows<Lane>(sums[t], rows, x[t]);
  }
};

#include <bitnet/kernels/body/tile_blocks.inc>
#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_neon::dotprod
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
