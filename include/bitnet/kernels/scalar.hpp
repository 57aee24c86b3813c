// SPDX-License-Identifier: Apache-2.0
// The register of 16 floats in plain C++, and the float kernels on it: every machine, the oracle.
//
// The verbs below are the vocabulary of the kernels in body/, which are compiled once for each
// register type. Their contract, the same for every instruction set, is stated here. No kernel
// writes a product that feeds a sum except as fma: compilers may fuse the two, and then builds
// would differ.
#pragma once

#include <bitnet/core/bit_cast.hpp>
#include <bitnet/core/half.hpp>
#include <bitnet/core/math.hpp>
#include <bitnet/isa/region.hpp>
#include <bitnet/isa/tags.hpp>
#include <bitnet/kernels/table.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

BITNET_NAMESPACE_BEGIN
namespace kernels {
namespace on_scalar {

using tag = isa::scalar;

struct f32x16 {
  float v[16];
};
struct i32x16 {
  std::int32_t v[16];
};
struct i16x32 {
  std::int16_t v[32];
};

inline constexpr std::size_t decode_rows = 1;   ///< rows of a dense matrix side by side, 1 token
inline constexpr std::size_t prefill_rows = 1;  ///< rows and tokens of a dense block
inline constexpr std::size_t prefill_tokens = 1;
inline constexpr std::size_t panels_of_four = 1;  ///< panels side by side for 4 vectors,
inline constexpr std::size_t panels_of_two = 1;   ///< and for 2 (panels.inc)
inline constexpr std::size_t panel_ahead = 8192;  ///< bytes from what is read to prefetch_panel

template <class F>
BITNET_INLINE f32x16 each(F f) noexcept {
  f32x16 r;
  for (std::size_t i = 0; i < 16; ++i) r.v[i] = f(i);
  return r;
}

/// 16 values of T (float, f16, bf16) from unaligned memory.
template <class T>
BITNET_INLINE f32x16 load(const void* p) noexcept {
  T t[16];
  std::memcpy(t, p, sizeof t);
  if constexpr (std::is_same_v<T, float>) {
    return each([&](std::size_t i) { return t[i]; });
  } else {
    return each([&](std::size_t i) { return to_float(t[i]); });
  }
}
BITNET_INLINE void store(float* p, f32x16 a) noexcept { std::memcpy(p, a.v, sizeof a.v); }
/// Rounds to nearest, halves to even.
inline BITNET_NOINLINE void store(f16* p, f32x16 a) noexcept {
  for (std::size_t i = 0; i < 16; ++i) p[i] = to_f16(a.v[i]);
}
/// Rounds |a| <= 2^20 to nearest, halves to even; values in [-128, 127]. Returns their sum.
inline BITNET_NOINLINE std::int32_t store(std::int8_t* p, f32x16 a) noexcept {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < 16; ++i) {
    const std::int32_t q = round_to_even(a.v[i]);
    p[i] = static_cast<std::int8_t>(q);
    sum += q;
  }
  return sum;
}
/// Rounds |a| <= 32767 to nearest, halves to even.
BITNET_INLINE void store(std::int16_t* p, f32x16 a) noexcept {
  for (std::size_t i = 0; i < 16; ++i) p[i] = static_cast<std::int16_t>(round_to_even(a.v[i]));
}
BITNET_INLINE f32x16 broadcast(float x) noexcept {
  return each([&](std::size_t) { return x; });
}
/// p[0], p[0], p[1], p[1] .. p[7], p[7].
BITNET_INLINE f32x16 load_doubled(const float* p) noexcept {
  return each([&](std::size_t i) { return p[i / 2]; });
}

BITNET_INLINE f32x16 add(f32x16 a, f32x16 b) noexcept {
  return each([&](std::size_t i) { return a.v[i] + b.v[i]; });
}
BITNET_INLINE f32x16 sub(f32x16 a, f32x16 b) noexcept {
  return each([&](std::size_t i) { return a.v[i] - b.v[i]; });
}
BITNET_INLINE f32x16 mul(f32x16 a, f32x16 b) noexcept {
  return each([&](std::size_t i) { return a.v[i] * b.v[i]; });
}
BITNET_INLINE f32x16 div(f32x16 a, f32x16 b) noexcept {
  return each([&](std::size_t i) { return a.v[i] / b.v[i]; });
}
/// a * b + c, rounded once.
BITNET_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) noexcept {
  return each([&](std::size_t i) { return fused_multiply_add(a.v[i], b.v[i], c.v[i]); });
}
/// a > b ? a : b, so b where either is NaN.
BITNET_INLINE f32x16 max(f32x16 a, f32x16 b) noexcept {
  return each([&](std::size_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
/// a < b ? a : b, so b where either is NaN.
BITNET_INLINE f32x16 min(f32x16 a, f32x16 b) noexcept {
  return each([&](std::size_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
BITNET_INLINE f32x16 abs(f32x16 a) noexcept {
  return each([&](std::size_t i) {
    return bit_cast<float>(bit_cast<std::uint32_t>(a.v[i]) & 0x7fffffffU);
  });
}
BITNET_INLINE f32x16 negate(f32x16 a) noexcept {
  return each([&](std::size_t i) { return -a.v[i]; });
}
/// Lanes 0, 2, 4 .. with the other sign.
BITNET_INLINE f32x16 negate_even(f32x16 a) noexcept {
  return each([&](std::size_t i) { return i % 2 == 0 ? -a.v[i] : a.v[i]; });
}
/// Lanes 1, 0, 3, 2 ..
BITNET_INLINE f32x16 swap_pairs(f32x16 a) noexcept {
  return each([&](std::size_t i) { return a.v[i ^ 1U]; });
}
/// NaN becomes 0.
BITNET_INLINE f32x16 zero_nan(f32x16 a) noexcept {
  return each([&](std::size_t i) { return a.v[i] == a.v[i] ? a.v[i] : 0.0F; });
}
/// 2^n for whole n in [-126, 127]; any value otherwise. Adding 1.5 * 2^23 leaves n in the low bits.
BITNET_INLINE f32x16 power_of_two(f32x16 n) noexcept {
  return each([&](std::size_t i) {
    return bit_cast<float>((bit_cast<std::uint32_t>(n.v[i] + 12582912.0F) << 23) + 0x3f800000U);
  });
}
/// The one order of every sum: lane j += lane j + 8, then + 4, + 2, + 1.
BITNET_INLINE float fold_sum(f32x16 a) noexcept {
  for (std::size_t half = 8; half != 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) a.v[i] = a.v[i] + a.v[i + half];
  return a.v[0];
}
BITNET_INLINE float fold_max(f32x16 a) noexcept {
  for (std::size_t half = 8; half != 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) a.v[i] = a.v[i] > a.v[i + half] ? a.v[i] : a.v[i + half];
  return a.v[0];
}
BITNET_INLINE void prefetch(const void*) noexcept {}
/// Of what panels.inc will read: into the cache level that suits panel_ahead.
BITNET_INLINE void prefetch_panel(const void*) noexcept {}

BITNET_INLINE i32x16 zero_i32() noexcept { return {}; }
/// To nearest, halves to even.
BITNET_INLINE f32x16 to_float(i32x16 a) noexcept {
  return each([&](std::size_t i) { return static_cast<float>(a.v[i]); });
}
/// 32 int8 numbers: a pair for each lane.
BITNET_INLINE i16x32 load_pairs(const void* p) noexcept {
  std::int8_t t[32];
  std::memcpy(t, p, sizeof t);
  i16x32 r;
  for (std::size_t i = 0; i < 32; ++i) r.v[i] = t[i];
  return r;
}
/// p[0], p[1] for every lane.
BITNET_INLINE i16x32 broadcast_pair(const std::int16_t* p) noexcept {
  i16x32 r;
  for (std::size_t i = 0; i < 32; ++i) r.v[i] = p[i % 2];
  return r;
}
/// c + the products of the two numbers of each lane.
BITNET_INLINE i32x16 add_pairs(i16x32 a, i16x32 b, i32x16 c) noexcept {
  for (std::size_t i = 0; i < 16; ++i)
    c.v[i] += a.v[2 * i] * b.v[2 * i] + a.v[2 * i + 1] * b.v[2 * i + 1];
  return c;
}

#define BITNET_REGISTER_INLINE inline BITNET_NOINLINE
#include <bitnet/kernels/body/float.inc>

}  // namespace on_scalar
}  // namespace kernels
BITNET_NAMESPACE_END
