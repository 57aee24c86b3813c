// SPDX-License-Identifier: Apache-2.0
// NEON: integer dots by widening products of bytes, and lookups of signed sums for binary weights.
#pragma once

#include <bitnet/kernels/arm/neon.hpp>

BITNET_NAMESPACE_BEGIN
namespace kernels {
namespace on_neon {

BITNET_INLINE i32x16 broadcast_i32(std::int32_t x) noexcept {
  const int32x4_t v = vdupq_n_s32(x);
  return {v, v, v, v};
}
BITNET_INLINE i32x16 add(i32x16 x, i32x16 y) noexcept {
  return {vaddq_s32(x.a, y.a), vaddq_s32(x.b, y.b), vaddq_s32(x.c, y.c), vaddq_s32(x.d, y.d)};
}
BITNET_INLINE i32x16 sub(i32x16 x, i32x16 y) noexcept {
  return {vsubq_s32(x.a, y.a), vsubq_s32(x.b, y.b), vsubq_s32(x.c, y.c), vsubq_s32(x.d, y.d)};
}

/// How far ahead of the line in use a decoder asks for memory.
inline constexpr std::size_t line_prefetch = 1024;

/// The four planes of 4 rows of a ternary2 line. The last one needs no mask.
BITNET_INLINE void split_planes(const std::uint8_t* p, int8x16_t (&planes)[4]) noexcept {
  const uint8x16_t codes = vld1q_u8(p), mask = vdupq_n_u8(3);
  planes[0] = vreinterpretq_s8_u8(vandq_u8(codes, mask));
  planes[1] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(codes, 2), mask));
  planes[2] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(codes, 4), mask));
  planes[3] = vreinterpretq_s8_u8(vshrq_n_u8(codes, 6));
}

/// 16 activations, four times 4 of them.
BITNET_INLINE void spread(const std::int8_t* p, int8x16_t (&fours)[4]) noexcept {
  const int32x4_t x = vreinterpretq_s32_s8(vld1q_s8(p));
  fours[0] = vreinterpretq_s8_s32(vdupq_laneq_s32(x, 0));
  fours[1] = vreinterpretq_s8_s32(vdupq_laneq_s32(x, 1));
  fours[2] = vreinterpretq_s8_s32(vdupq_laneq_s32(x, 2));
  fours[3] = vreinterpretq_s8_s32(vdupq_laneq_s32(x, 3));
}

/// 4 activations, four times.
BITNET_INLINE int8x16_t broadcast_four(const std::int8_t* p) noexcept {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

#include <bitnet/kernels/body/tile_ends.inc>

/// Codes times activations in 16 bits, a lane for each column of 4. Of the two pipes of a
/// Cortex-A72 only one multiplies, so that what unpacks and broadcasts goes on beside it.
struct dots : plain_sums {
  template <quant::encoding E>
  static constexpr std::int32_t offset = E == quant::encoding::int8 ? 0 : quant::meaning(E).offset;

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add(const std::uint8_t* line, std::size_t count,
                                const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    if constexpr (T > 2) {  // the sums of two tokens fill half of the registers
      static_assert(T <= 4);
      const std::int8_t* const first[2] = {x[0], x[1]};
      i32x16 s[2] = {sums[0], sums[1]};
      add<E, 2>(line, count, first, s);
      sums[0] = s[0];
      sums[1] = s[1];
      if constexpr (T == 3) {
        const std::int8_t* const last[1] = {x[2]};
        i32x16 t[1] = {sums[2]};
        add<E, 1>(line, count, last, t);
        sums[2] = t[0];
      } else {
        const std::int8_t* const second[2] = {x[2], x[3]};
        i32x16 t[2] = {sums[2], sums[3]};
        add<E, 2>(line, count, second, t);
        sums[2] = t[0];
        sums[3] = t[1];
      }
    } else if constexpr (E == quant::encoding::int8) {
      add_int8<T>(line, count, x, sums);
    } else {
      add_ternary<T>(line, count, x, sums);
    }
  }

 private:
  /// Sums of rows 0, 1 in low and 2, 3 in high, a lane for each column.
  static BITNET_INLINE int32x4_t fold(int32x4_t sum, int16x8_t low, int16x8_t high) noexcept {
    return vpadalq_s16(sum, vpaddq_s16(low, high));
  }
  static BITNET_INLINE int16x8_t multiply_add(int16x8_t sum, int8x16_t w, int8x16_t x) noexcept {
    return vmlal_s8(sum, vget_low_s8(w), vget_low_s8(x));
  }

  /// 16-bit sums are widened after `steps` lines. A product is at most 3 * 127 = 381 in magnitude
  /// for codes up to 3. Of 10 lines a lane gets 40, 15240 at most; two lanes are 30480, below
  /// 32767.
  template <std::size_t T>
  static BITNET_INLINE void add_ternary(const std::uint8_t* line, std::size_t count,
                                        const std::int8_t* const (&x)[T],
                                        i32x16 (&sums)[T]) noexcept {
    constexpr std::size_t steps = 10;
    std::size_t column = 0;
    while (count != 0) {
      const std::size_t now = count < steps ? count : steps;
      int16x8_t low[T][4], high[T][4];
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) {
        BITNET_UNROLL
        for (std::size_t q = 0; q < 4; ++q) low[t][q] = high[t][q] = vdupq_n_s16(0);
      }
      for (std::size_t i = 0; i < now; ++i, line += quant::line_bytes, column += 16) {
        if constexpr (T == 1) prefetch(line + line_prefetch);
        int8x16_t in[T][4];
        BITNET_UNROLL
        for (std::size_t t = 0; t < T; ++t) spread(x[t] + column, in[t]);
        BITNET_UNROLL
        for (std::size_t q = 0; q < 4; ++q) {
          int8x16_t planes[4];
          split_planes(line + 16 * q, planes);
          BITNET_UNROLL
          for (std::size_t p = 0; p < 4; ++p) {
            BITNET_UNROLL
            for (std::size_t t = 0; t < T; ++t) {
              low[t][q] = multiply_add(low[t][q], planes[p], in[t][p]);
              high[t][q] = vmlal_high_s8(high[t][q], planes[p], in[t][p]);
            }
          }
        }
      }
      count -= now;
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) {
        sums[t].a = fold(sums[t].a, low[t][0], high[t][0]);
        sums[t].b = fold(sums[t].b, low[t][1], high[t][1]);
        sums[t].c = fold(sums[t].c, low[t][2], high[t][2]);
        sums[t].d = fold(sums[t].d, low[t][3], high[t][3]);
      }
    }
  }

  /// Two lines make a 16-bit sum: at most 2 * 128 * 127 = 32512 in magnitude, since x never is
  /// -128. A line that is left over goes with zeros, from memory that there is.
  template <std::size_t T>
  static BITNET_INLINE void add_int8(const std::uint8_t* line, std::size_t count,
                                     const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    const uint8x16_t top = vdupq_n_u8(128);
    int32x4_t low[T][4], high[T][4];
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t) {
      BITNET_UNROLL
      for (std::size_t q = 0; q < 4; ++q) low[t][q] = high[t][q] = vdupq_n_s32(0);
    }
    for (std::size_t i = 0; i < count; i += 2, line += 2 * quant::line_bytes) {
      const bool both = i + 1 < count;
      const std::uint8_t* next = both ? line + quant::line_bytes : line;
      if constexpr (T == 1) {
        prefetch(line + line_prefetch);
        prefetch(next + line_prefetch);
      }
      int8x16_t in[T][2];
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) {
        in[t][0] = broadcast_four(x[t] + 4 * i);
        in[t][1] = both ? broadcast_four(x[t] + 4 * i + 4) : vdupq_n_s8(0);
      }
      BITNET_UNROLL
      for (std::size_t q = 0; q < 4; ++q) {
        const int8x16_t first = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(line + 16 * q), top));
        const int8x16_t second = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(next + 16 * q), top));
        BITNET_UNROLL
        for (std::size_t t = 0; t < T; ++t) {
          const int16x8_t one = vmull_s8(vget_low_s8(first), vget_low_s8(in[t][0]));
          const int16x8_t two = vmull_high_s8(first, in[t][0]);
          low[t][q] = vpadalq_s16(low[t][q], multiply_add(one, second, in[t][1]));
          high[t][q] = vpadalq_s16(high[t][q], vmlal_high_s8(two, second, in[t][1]));
        }
      }
    }
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t)
      sums[t] = on_neon::add(
          sums[t], {vpaddq_s32(low[t][0], high[t][0]), vpaddq_s32(low[t][1], high[t][1]),
                    vpaddq_s32(low[t][2], high[t][2]), vpaddq_s32(low[t][3], high[t][3])});
  }
};

/// Many tokens are no other case here: multiplying takes twice the instructions of unpacking for
/// two tokens already, and more pipes can unpack than multiply.
template <quant::encoding>
inline std::size_t block_all(const quant::tiled_view&, const quant::quantized_rows&,
                             matrix_view<float>, std::size_t, std::size_t) noexcept {
  return 0;
}

/// Products with binary weights, looked up; see body/lookup.inc. Digits are added for four of the
/// eight half bytes of a row: at most 4 * 16 = 64 in magnitude, which fits a byte.
struct lookup {
  static constexpr std::size_t in_line = 1, apart = 1;
  static constexpr bool reads_apart = false;
  struct indices {
    uint8x16_t low[4], high[4];
  };
  struct digits {
    int8x16_t low[2], high[2];
  };
  struct joined {
    int16x8_t first, second;  ///< rows 0..7 and 8..15
  };

  static BITNET_INLINE indices split(const std::uint8_t* line) noexcept {
    indices at;
    BITNET_UNROLL
    for (std::size_t i = 0; i < 4; ++i) {
      const uint8x16_t bytes = vld1q_u8(line + 16 * i);
      at.low[i] = vandq_u8(bytes, vdupq_n_u8(15));
      at.high[i] = vshrq_n_u8(bytes, 4);
    }
    return at;
  }
  static BITNET_INLINE digits find(const indices& at, const std::int8_t* sums) noexcept {
    return {{select(at.low, sums), select(at.high, sums + 128)},
            {select(at.low, sums + 64), select(at.high, sums + 192)}};
  }
  /// low + 32 * high, and the rows in their order: those of a register alternate between the first
  /// 8 and the last 8.
  static BITNET_INLINE joined join(const digits& d) noexcept {
    const auto value = [](int16x8_t low, int16x8_t high) {
      return vaddq_s16(low, vshlq_n_s16(high, 5));
    };
    const int16x8_t a = value(vaddl_s8(vget_low_s8(d.low[0]), vget_low_s8(d.low[1])),
                              vaddl_s8(vget_low_s8(d.high[0]), vget_low_s8(d.high[1])));
    const int16x8_t b =
        value(vaddl_high_s8(d.low[0], d.low[1]), vaddl_high_s8(d.high[0], d.high[1]));
    return {vuzp1q_s16(a, b), vuzp2q_s16(a, b)};
  }
  static BITNET_INLINE i32x16 widen(joined sums) noexcept {
    return {vmovl_s16(vget_low_s16(sums.first)), vmovl_high_s16(sums.first),
            vmovl_s16(vget_low_s16(sums.second)), vmovl_high_s16(sums.second)};
  }

 private:
  /// The digits that four tables give for 16 rows, added up.
  static BITNET_INLINE int8x16_t select(const uint8x16_t (&at)[4],
                                        const std::int8_t* sums) noexcept {
    const int8x16_t a = vqtbl1q_s8(vld1q_s8(sums), at[0]);
    const int8x16_t b = vqtbl1q_s8(vld1q_s8(sums + 16), at[1]);
    const int8x16_t c = vqtbl1q_s8(vld1q_s8(sums + 32), at[2]);
    const int8x16_t d = vqtbl1q_s8(vld1q_s8(sums + 48), at[3]);
    return vaddq_s8(vaddq_s8(a, b), vaddq_s8(c, d));
  }
};

inline tag tabulate(tag self, const quant::quantized_rows& x, std::size_t row) noexcept {
  // For n = 0, 1 .. 15: the signs that bits 0, 1, 2 and 3 stand for.
  const int8x8_t one = vcreate_s8(0x01ff01ff01ff01ffU), two = vcreate_s8(0x0101ffff0101ffffU);
  const int8x8_t four = vcreate_s8(0x01010101ffffffffU);
  const std::int8_t* v = x.values + row * x.padded();
  std::int8_t* to = x.sums + row * x.padded() * quant::sums_per_value;
  for (std::size_t c = 0; c < x.padded(); c += 32, v += 32, to += quant::sums_per_line)
    for (std::size_t group = 0; group < 8; ++group) {
      const std::int8_t* x4 = v + 4 * group;
      int16x8_t sum = vmull_s8(vdup_n_s8(x4[0]), one);
      sum = vmlal_s8(sum, vdup_n_s8(x4[1]), two);
      sum = vmlal_s8(sum, vdup_n_s8(x4[2]), four);
      const int16x8_t last = vdupq_n_s16(x4[3]);
      const int16x8_t a = vsubq_s16(sum, last), b = vaddq_s16(sum, last);
      // Rounding up at half is what (sum + 16) / 32, rounded down, does.
      const int16x8_t high_a = vrshrq_n_s16(a, 5), high_b = vrshrq_n_s16(b, 5);
      const int16x8_t low_a = vsubq_s16(a, vshlq_n_s16(high_a, 5));
      const int16x8_t low_b = vsubq_s16(b, vshlq_n_s16(high_b, 5));
      std::int8_t* digits = to + group % 2 * 128 + group / 2 * 16;
      vst1q_s8(digits, vmovn_high_s16(vmovn_s16(low_a), low_b));
      vst1q_s8(digits + 64, vmovn_high_s16(vmovn_s16(high_a), high_b));
    }
  return self;
}

#include <bitnet/kernels/body/lookup.inc>
#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_neon
}  // namespace kernels
BITNET_NAMESPACE_END
