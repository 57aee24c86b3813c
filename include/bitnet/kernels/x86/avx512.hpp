// SPDX-License-Identifier: Apache-2.0
// AVX-512: the register of 16 floats as it is, and integer dots by pairs of bytes of a whole line.
#pragma once

#include <bitnet/kernels/x86/avx2.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX512
namespace kernels {
namespace on_avx512 {

using tag = isa::avx512;

struct f32x16 {
  __m512 v;
};
struct i32x16 {
  __m512i v;
};
struct i16x32 {
  __m512i v;
};

inline constexpr std::size_t decode_rows = 4;
inline constexpr std::size_t prefill_rows = 4;
inline constexpr std::size_t prefill_tokens = 4;
// Two panels are 8 sums, of which 4 have to be in flight: on Zen 4 they take F16 from memory at 28
// GB/s and from a cache at 29, one alone at 25 and 26. 16 to 64 KiB ahead, into the second level,
// are alike; 8 or 16 KiB into the first take a quarter longer.
inline constexpr std::size_t panels_of_four = 2;
inline constexpr std::size_t panels_of_two = 2;
inline constexpr std::size_t panel_ahead = 16384;

// ---- verbs, as described in scalar.hpp ----------------------------------------------------------

template <class T>
BITNET_INLINE f32x16 load(const void* p) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    return {_mm512_loadu_ps(static_cast<const float*>(p))};
  } else {
    const __m256i halves = _mm256_loadu_si256(static_cast<const __m256i*>(p));
    if constexpr (std::is_same_v<T, f16>) {
      return {_mm512_cvtph_ps(halves)};
    } else {
      return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
    }
  }
}
BITNET_INLINE void store(float* p, f32x16 a) noexcept { _mm512_storeu_ps(p, a.v); }
BITNET_INLINE void store(f16* p, f32x16 a) noexcept {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_maskz_cvtps_ph(0xffff, a.v, _MM_FROUND_TO_NEAREST_INT));
}
BITNET_INLINE std::int32_t store(std::int8_t* p, f32x16 a) noexcept {
  const __m512i q = _mm512_cvtps_epi32(a.v);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(q));
  const __m256i eight =
      _mm256_add_epi32(_mm512_castsi512_si256(q), _mm512_extracti64x4_epi64(q, 1));
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  return _mm_cvtsi128_si32(sum);
}
BITNET_INLINE void store(std::int16_t* p, f32x16 a) noexcept {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(a.v)));
}
BITNET_INLINE f32x16 broadcast(float x) noexcept { return {_mm512_set1_ps(x)}; }
BITNET_INLINE f32x16 load_doubled(const float* p) noexcept {
  const __m512i lanes = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return {_mm512_permutexvar_ps(lanes, _mm512_castps256_ps512(_mm256_loadu_ps(p)))};
}

BITNET_INLINE f32x16 add(f32x16 a, f32x16 b) noexcept { return {_mm512_add_ps(a.v, b.v)}; }
BITNET_INLINE f32x16 sub(f32x16 a, f32x16 b) noexcept { return {_mm512_sub_ps(a.v, b.v)}; }
BITNET_INLINE f32x16 mul(f32x16 a, f32x16 b) noexcept { return {_mm512_mul_ps(a.v, b.v)}; }
BITNET_INLINE f32x16 div(f32x16 a, f32x16 b) noexcept { return {_mm512_div_ps(a.v, b.v)}; }
BITNET_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) noexcept {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
BITNET_INLINE f32x16 max(f32x16 a, f32x16 b) noexcept { return {_mm512_max_ps(a.v, b.v)}; }
BITNET_INLINE f32x16 min(f32x16 a, f32x16 b) noexcept { return {_mm512_min_ps(a.v, b.v)}; }
BITNET_INLINE f32x16 flip(f32x16 a, __m512i sign) noexcept {
  return {_mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a.v), sign))};
}
BITNET_INLINE f32x16 abs(f32x16 a) noexcept {
  const __m512i rest = _mm512_set1_epi32(0x7fffffff);
  return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a.v), rest))};
}
BITNET_INLINE f32x16 negate(f32x16 a) noexcept {
  return flip(a, _mm512_set1_epi32(std::numeric_limits<std::int32_t>::min()));
}
BITNET_INLINE f32x16 negate_even(f32x16 a) noexcept {
  return flip(a, _mm512_set1_epi64(0x80000000LL));
}
BITNET_INLINE f32x16 swap_pairs(f32x16 a) noexcept { return {_mm512_permute_ps(a.v, 0xb1)}; }
BITNET_INLINE f32x16 zero_nan(f32x16 a) noexcept {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.v, a.v, _CMP_ORD_Q), a.v)};
}
BITNET_INLINE f32x16 power_of_two(f32x16 n) noexcept {
  const __m512i bits = _mm512_castps_si512(_mm512_add_ps(n.v, _mm512_set1_ps(12582912.0F)));
  return {_mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_slli_epi32(bits, 23), _mm512_set1_epi32(0x3f800000)))};
}
BITNET_INLINE float fold_sum(f32x16 a) noexcept {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 v = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  v = _mm_add_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 0x55)));
}
BITNET_INLINE float fold_max(f32x16 a) noexcept {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
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

BITNET_INLINE i32x16 zero_i32() noexcept { return {_mm512_setzero_si512()}; }
BITNET_INLINE f32x16 to_float(i32x16 a) noexcept { return {_mm512_cvtepi32_ps(a.v)}; }
BITNET_INLINE i16x32 load_pairs(const void* p) noexcept {
  return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
BITNET_INLINE i16x32 broadcast_pair(const std::int16_t* p) noexcept {
  std::int32_t two;
  std::memcpy(&two, p, sizeof two);
  return {_mm512_set1_epi32(two)};
}
BITNET_INLINE i32x16 add_pairs(i16x32 a, i16x32 b, i32x16 c) noexcept {
  c.v = _mm512_add_epi32(c.v, _mm512_madd_epi16(a.v, b.v));
  BITNET_KEEP_ORDER(c.v);
  return c;
}

#include <bitnet/kernels/body/float.inc>

}  // namespace on_avx512
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
