// SPDX-License-Identifier: Apache-2.0
// NEON: the register of 16 floats as four quarters. Every 64-bit ARM processor has it, so there is
// no target region.
#pragma once

#include <bitnet/isa/region.hpp>
#include <bitnet/kernels/reference.hpp>

BITNET_NAMESPACE_BEGIN
namespace kernels {
namespace on_neon {

using tag = isa::neon;

struct f32x16 {
  float32x4_t a, b, c, d;
};
struct i32x16 {
  int32x4_t a, b, c, d;
};
/// The pairs of lanes 0..7 and 8..15 apart: what comes first of each, and what comes second. So
/// they are multiplied without a horizontal sum.
struct i16x32 {
  int16x8_t first[2], second[2];
};

// 16 sums fill half of the 32 registers. Processors add 2 to 4 products at a time, each 4 cycles
// after the one it needs, so that 16 are enough for none to wait.
inline constexpr std::size_t decode_rows = 4;
inline constexpr std::size_t prefill_rows = 2;
inline constexpr std::size_t prefill_tokens = 2;
inline constexpr std::size_t panels_of_four = 1;
inline constexpr std::size_t panels_of_two = 2;
inline constexpr std::size_t panel_ahead = 8192;

/// f of each quarter of the operands.
template <class F, class... V>
BITNET_INLINE f32x16 quarters(F f, const V&... v) noexcept {
  return {f(v.a...), f(v.b...), f(v.c...), f(v.d...)};
}

// ---- verbs, as described in scalar.hpp ----------------------------------------------------------

template <class T>
BITNET_INLINE f32x16 load(const void* p) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    const float* f = static_cast<const float*>(p);
    return {vld1q_f32(f), vld1q_f32(f + 4), vld1q_f32(f + 8), vld1q_f32(f + 12)};
  } else {
    // By bytes: the address may be odd.
    const auto* bytes = static_cast<const std::uint8_t*>(p);
    const uint16x8_t low = vreinterpretq_u16_u8(vld1q_u8(bytes));
    const uint16x8_t high = vreinterpretq_u16_u8(vld1q_u8(bytes + 16));
    if constexpr (std::is_same_v<T, f16>) {
      const float16x8_t l = vreinterpretq_f16_u16(low), h = vreinterpretq_f16_u16(high);
      return {vcvt_f32_f16(vget_low_f16(l)), vcvt_high_f32_f16(l), vcvt_f32_f16(vget_low_f16(h)),
              vcvt_high_f32_f16(h)};
    } else {
      return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(low), 16)),
              vreinterpretq_f32_u32(vshll_high_n_u16(low, 16)),
              vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(high), 16)),
              vreinterpretq_f32_u32(vshll_high_n_u16(high, 16))};
    }
  }
}
BITNET_INLINE void store(float* p, f32x16 x) noexcept {
  vst1q_f32(p, x.a);
  vst1q_f32(p + 4, x.b);
  vst1q_f32(p + 8, x.c);
  vst1q_f32(p + 12, x.d);
}
BITNET_INLINE void store(f16* p, f32x16 x) noexcept {
  const float16x8_t low = vcvt_high_f16_f32(vcvt_f16_f32(x.a), x.b);
  const float16x8_t high = vcvt_high_f16_f32(vcvt_f16_f32(x.c), x.d);
  auto* halves = reinterpret_cast<std::uint16_t*>(p);
  vst1q_u16(halves, vreinterpretq_u16_f16(low));
  vst1q_u16(halves + 8, vreinterpretq_u16_f16(high));
}
/// To nearest, halves to even, as 16-bit numbers.
BITNET_INLINE int16x8_t round_eight(float32x4_t low, float32x4_t high) noexcept {
  return vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(low)), vcvtnq_s32_f32(high));
}
BITNET_INLINE std::int32_t store(std::int8_t* p, f32x16 x) noexcept {
  const int16x8_t low = round_eight(x.a, x.b), high = round_eight(x.c, x.d);
  vst1q_s8(p, vqmovn_high_s16(vqmovn_s16(low), high));
  return vaddlvq_s16(vaddq_s16(low, high));  // of numbers below 2^14 in magnitude
}
BITNET_INLINE void store(std::int16_t* p, f32x16 x) noexcept {
  vst1q_s16(p, round_eight(x.a, x.b));
  vst1q_s16(p + 8, round_eight(x.c, x.d));
}
BITNET_INLINE f32x16 broadcast(float x) noexcept {
  const float32x4_t v = vdupq_n_f32(x);
  return {v, v, v, v};
}
BITNET_INLINE f32x16 load_doubled(const float* p) noexcept {
  const float32x4_t low = vld1q_f32(p), high = vld1q_f32(p + 4);
  return {vzip1q_f32(low, low), vzip2q_f32(low, low), vzip1q_f32(high, high),
          vzip2q_f32(high, high)};
}

BITNET_INLINE f32x16 add(f32x16 x, f32x16 y) noexcept {
  return quarters([](float32x4_t s, float32x4_t t) { return vaddq_f32(s, t); }, x, y);
}
BITNET_INLINE f32x16 sub(f32x16 x, f32x16 y) noexcept {
  return quarters([](float32x4_t s, float32x4_t t) { return vsubq_f32(s, t); }, x, y);
}
BITNET_INLINE f32x16 mul(f32x16 x, f32x16 y) noexcept {
  return quarters([](float32x4_t s, float32x4_t t) { return vmulq_f32(s, t); }, x, y);
}
BITNET_INLINE f32x16 div(f32x16 x, f32x16 y) noexcept {
  return quarters([](float32x4_t s, float32x4_t t) { return vdivq_f32(s, t); }, x, y);
}
BITNET_INLINE f32x16 fma(f32x16 x, f32x16 y, f32x16 z) noexcept {
  return quarters([](float32x4_t s, float32x4_t t, float32x4_t u) { return vfmaq_f32(u, s, t); }, x,
                  y, z);
}
/// Not fmax and fmin, which give NaN where either is NaN.
BITNET_INLINE float32x4_t larger(float32x4_t s, float32x4_t t) noexcept {
  return vbslq_f32(vcgtq_f32(s, t), s, t);
}
BITNET_INLINE f32x16 max(f32x16 x, f32x16 y) noexcept { return quarters(larger, x, y); }
BITNET_INLINE f32x16 min(f32x16 x, f32x16 y) noexcept {
  return quarters([](float32x4_t s, float32x4_t t) { return vbslq_f32(vcltq_f32(s, t), s, t); }, x,
                  y);
}
BITNET_INLINE f32x16 abs(f32x16 x) noexcept {
  return quarters([](float32x4_t s) { return vabsq_f32(s); }, x);
}
BITNET_INLINE f32x16 negate(f32x16 x) noexcept {
  return quarters([](float32x4_t s) { return vnegq_f32(s); }, x);
}
BITNET_INLINE f32x16 negate_even(f32x16 x) noexcept {
  const uint32x4_t sign = vreinterpretq_u32_u64(vdupq_n_u64(0x80000000U));
  return quarters(
      [&](float32x4_t s) {
        return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(s), sign));
      },
      x);
}
BITNET_INLINE f32x16 swap_pairs(f32x16 x) noexcept {
  return quarters([](float32x4_t s) { return vrev64q_f32(s); }, x);
}
BITNET_INLINE f32x16 zero_nan(f32x16 x) noexcept {
  return quarters(
      [](float32x4_t s) {
        return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(s), vceqq_f32(s, s)));
      },
      x);
}
BITNET_INLINE f32x16 power_of_two(f32x16 n) noexcept {
  const float32x4_t magic = vdupq_n_f32(12582912.0F);
  const uint32x4_t one = vdupq_n_u32(0x3f800000U);
  return quarters(
      [&](float32x4_t s) {
        const uint32x4_t bits = vreinterpretq_u32_f32(vaddq_f32(s, magic));
        return vreinterpretq_f32_u32(vaddq_u32(vshlq_n_u32(bits, 23), one));
      },
      n);
}
BITNET_INLINE float fold_sum(f32x16 x) noexcept {
  const float32x4_t four = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
  return vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
}
BITNET_INLINE float fold_max(f32x16 x) noexcept {
  const float32x4_t four = larger(larger(x.a, x.c), larger(x.b, x.d));
  const float32x4_t two = larger(four, vextq_f32(four, four, 2));
  return vgetq_lane_f32(larger(two, vextq_f32(two, two, 1)), 0);
}
BITNET_INLINE void prefetch(const void* p) noexcept { BITNET_PREFETCH(p); }
BITNET_INLINE void prefetch_panel(const void* p) noexcept { prefetch(p); }

BITNET_INLINE i32x16 zero_i32() noexcept {
  const int32x4_t zero = vdupq_n_s32(0);
  return {zero, zero, zero, zero};
}
BITNET_INLINE f32x16 to_float(i32x16 x) noexcept {
  return {vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b), vcvtq_f32_s32(x.c), vcvtq_f32_s32(x.d)};
}
BITNET_INLINE i16x32 load_pairs(const void* p) noexcept {
  const auto* bytes = static_cast<const std::uint8_t*>(p);
  const int16x8_t low = vreinterpretq_s16_u8(vld1q_u8(bytes));
  const int16x8_t high = vreinterpretq_s16_u8(vld1q_u8(bytes + 16));
  return {{vshrq_n_s16(vshlq_n_s16(low, 8), 8), vshrq_n_s16(vshlq_n_s16(high, 8), 8)},
          {vshrq_n_s16(low, 8), vshrq_n_s16(high, 8)}};
}
BITNET_INLINE i16x32 broadcast_pair(const std::int16_t* p) noexcept {
  const int16x8_t first = vdupq_n_s16(p[0]), second = vdupq_n_s16(p[1]);
  return {{first, first}, {second, second}};
}
BITNET_INLINE i32x16 add_pairs(i16x32 x, i16x32 y, i32x16 z) noexcept {
  const auto low = [](int32x4_t sum, int16x8_t s, int16x8_t t) {
    return vmlal_s16(sum, vget_low_s16(s), vget_low_s16(t));
  };
  z.a = low(z.a, x.first[0], y.first[0]);
  z.b = vmlal_high_s16(z.b, x.first[0], y.first[0]);
  z.c = low(z.c, x.first[1], y.first[1]);
  z.d = vmlal_high_s16(z.d, x.first[1], y.first[1]);
  z.a = low(z.a, x.second[0], y.second[0]);
  z.b = vmlal_high_s16(z.b, x.second[0], y.second[0]);
  z.c = low(z.c, x.second[1], y.second[1]);
  z.d = vmlal_high_s16(z.d, x.second[1], y.second[1]);
  return z;
}

#include <bitnet/kernels/body/float.inc>

}  // namespace on_neon
}  // namespace kernels
BITNET_NAMESPACE_END
