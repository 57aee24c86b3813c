// SPDX-License-Identifier: Apache-2.0
// AVX2: the register of 16 floats as two halves, and integer dots by pairs of bytes.
#pragma once

#include <bitnet/isa/region.hpp>
#include <bitnet/kernels/reference.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX2
namespace kernels {
namespace on_avx2 {

using tag = isa::avx2;

struct f32x16 {
  __m256 low, high;
};
struct i32x16 {
  __m256i low, high;
};
struct i16x32 {
  __m256i low, high;
};

inline constexpr std::size_t decode_rows = 4;
inline constexpr std::size_t prefill_rows = 2;
inline constexpr std::size_t prefill_tokens = 3;
inline constexpr std::size_t panels_of_four = 1;
inline constexpr std::size_t panels_of_two = 2;
inline constexpr std::size_t panel_ahead = 16384;  // a tenth faster than 8 KiB into the first level

// ---- verbs, as described in scalar.hpp ----------------------------------------------------------

template <class T>
BITNET_INLINE f32x16 load(const void* p) noexcept {
  const char* bytes = static_cast<const char*>(p);
  if constexpr (std::is_same_v<T, float>) {
    float const* f = static_cast<const float*>(p);
    return {_mm256_loadu_ps(f), _mm256_loadu_ps(f + 8)};
  } else {
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16));
    if constexpr (std::is_same_v<T, f16>) {
      return {_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)};
    } else {
      return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(low), 16)),
              _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(high), 16))};
    }
  }
}
BITNET_INLINE void store(float* p, f32x16 a) noexcept {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
BITNET_INLINE void store(f16* p, f32x16 a) noexcept {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(a.low, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8),
                   _mm256_cvtps_ph(a.high, _MM_FROUND_TO_NEAREST_INT));
}
BITNET_INLINE std::int32_t store(std::int8_t* p, f32x16 a) noexcept {
  const __m256i low = _mm256_cvtps_epi32(a.low), high = _mm256_cvtps_epi32(a.high);
  const __m256i mixed = _mm256_packs_epi32(low, high);  // halves interleaved by 128 bits
  const __m256i words = _mm256_permute4x64_epi64(mixed, 0xd8);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(p),
      _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  const __m256i pairs = _mm256_add_epi32(low, high);
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  return _mm_cvtsi128_si32(sum);
}
BITNET_INLINE void store(std::int16_t* p, f32x16 a) noexcept {
  const __m256i mixed = _mm256_packs_epi32(_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(mixed, 0xd8));
}
BITNET_INLINE f32x16 broadcast(float x) noexcept {
  const __m256 v = _mm256_set1_ps(x);
  return {v, v};
}
BITNET_INLINE f32x16 load_doubled(const float* p) noexcept {
  const __m256 v = _mm256_loadu_ps(p);
  return {_mm256_permutevar8x32_ps(v, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
          _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
}

BITNET_INLINE f32x16 add(f32x16 a, f32x16 b) noexcept {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
BITNET_INLINE f32x16 sub(f32x16 a, f32x16 b) noexcept {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
BITNET_INLINE f32x16 mul(f32x16 a, f32x16 b) noexcept {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
BITNET_INLINE f32x16 div(f32x16 a, f32x16 b) noexcept {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
BITNET_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) noexcept {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
BITNET_INLINE f32x16 max(f32x16 a, f32x16 b) noexcept {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
BITNET_INLINE f32x16 min(f32x16 a, f32x16 b) noexcept {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
BITNET_INLINE f32x16 abs(f32x16 a) noexcept {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
BITNET_INLINE f32x16 negate(f32x16 a) noexcept {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_xor_ps(sign, a.low), _mm256_xor_ps(sign, a.high)};
}
BITNET_INLINE f32x16 negate_even(f32x16 a) noexcept {
  const __m256 sign = _mm256_setr_ps(-0.0F, 0.0F, -0.0F, 0.0F, -0.0F, 0.0F, -0.0F, 0.0F);
  return {_mm256_xor_ps(sign, a.low), _mm256_xor_ps(sign, a.high)};
}
BITNET_INLINE f32x16 swap_pairs(f32x16 a) noexcept {
  return {_mm256_permute_ps(a.low, 0xb1), _mm256_permute_ps(a.high, 0xb1)};
}
BITNET_INLINE f32x16 zero_nan(f32x16 a) noexcept {
  return {_mm256_and_ps(a.low, _mm256_cmp_ps(a.low, a.low, _CMP_ORD_Q)),
          _mm256_and_ps(a.high, _mm256_cmp_ps(a.high, a.high, _CMP_ORD_Q))};
}
BITNET_INLINE f32x16 power_of_two(f32x16 n) noexcept {
  const __m256 magic = _mm256_set1_ps(12582912.0F);
  const __m256i one = _mm256_set1_epi32(0x3f800000);
  const auto scaled = [&](__m256 half) {
    const __m256i bits = _mm256_castps_si256(_mm256_add_ps(half, magic));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(bits, 23), one));
  };
  return {scaled(n.low), scaled(n.high)};
}
BITNET_INLINE float fold_sum(f32x16 a) noexcept {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  __m128 v = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  v = _mm_add_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 0x55)));
}
BITNET_INLINE float fold_max(f32x16 a) noexcept {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  __m128 v = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  v = _mm_max_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_max_ss(v, _mm_shuffle_ps(v, v, 0x55)));
}
BITNET_INLINE void prefetch(const void* p) noexcept {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
}
BITNET_INLINE void prefetch_panel(const void* p) noexcept {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
}

BITNET_INLINE i32x16 zero_i32() noexcept {
  return {_mm256_setzero_si256(), _mm256_setzero_si256()};
}
BITNET_INLINE f32x16 to_float(i32x16 a) noexcept {
  return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
}
BITNET_INLINE i16x32 load_pairs(const void* p) noexcept {
  const __m128i* halves = static_cast<const __m128i*>(p);
  return {_mm256_cvtepi8_epi16(_mm_loadu_si128(halves)),
          _mm256_cvtepi8_epi16(_mm_loadu_si128(halves + 1))};
}
BITNET_INLINE i16x32 broadcast_pair(const std::int16_t* p) noexcept {
  std::int32_t two;
  std::memcpy(&two, p, sizeof two);
  const __m256i v = _mm256_set1_epi32(two);
  return {v, v};
}
BITNET_INLINE i32x16 add_pairs(i16x32 a, i16x32 b, i32x16 c) noexcept {
  c.low = _mm256_add_epi32(c.low, _mm256_madd_epi16(a.low, b.low));
  BITNET_KEEP_ORDER(c.low);
  c.high = _mm256_add_epi32(c.high, _mm256_madd_epi16(a.high, b.high));
  BITNET_KEEP_ORDER(c.high);
  return c;
}

#include <bitnet/kernels/body/float.inc>

}  // namespace on_avx2
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
