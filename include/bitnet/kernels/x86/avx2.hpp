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

inline constexpr std::size_t decode_rows = 4;
inline constexpr std::size_t prefill_rows = 2;
inline constexpr std::size_t prefill_tokens = 3;

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

#include <bitnet/kernels/body/float.inc>

// ---- integer dots -------------------------------------------------------------------------------

BITNET_INLINE i32x16 broadcast_i32(std::int32_t x) noexcept {
  const __m256i v = _mm256_set1_epi32(x);
  return {v, v};
}
BITNET_INLINE i32x16 add(i32x16 a, i32x16 b) noexcept {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
BITNET_INLINE i32x16 sub(i32x16 a, i32x16 b) noexcept {
  return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}
BITNET_INLINE f32x16 to_float(i32x16 a) noexcept {
  return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
}
/// 32 codes of a line, and 4 activations against each 4 of them.
BITNET_INLINE __m256i load_half(const std::uint8_t* p) noexcept {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
BITNET_INLINE __m256i broadcast_four(const std::int8_t* p) noexcept {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm256_set1_epi32(four);
}
/// Bits of a code, and the mask of a byte's first one. Planes follow each other by 16-bit shifts:
/// what crosses from a byte into the one below it never reaches the bits in use.
template <quant::encoding E>
inline constexpr int code_bits = static_cast<int>(32 / quant::columns_per_line(E));
template <quant::encoding E>
inline constexpr char code_mask = static_cast<char>((1 << code_bits<E>)-1);

/// How far ahead of the line in use a decoder asks for memory.
inline constexpr std::size_t line_prefetch = 2048;

/// Codes times activations by pairs: maddubs gives 16-bit sums of two products.
struct dots {
  static constexpr std::size_t tokens = 4;
  template <quant::encoding E>
  static constexpr quant::code_meaning raw = E == quant::encoding::int8 ? quant::code_meaning{1, 0}
                                                                        : quant::meaning(E);

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add(const std::uint8_t* line, std::size_t count,
                                const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    if constexpr (E == quant::encoding::int8) {
      add_int8<T>(line, count, x, sums);
    } else {
      add_planes<E, T>(line, count, x, sums);
    }
  }

 private:
  /// 16-bit sums are widened after `steps` lines. A pair is at most 2 * 3 * 127 = 762 in magnitude
  /// for 2-bit codes, and 40 of them 30480; at most 2 * 127 = 254 for 1-bit codes, and 128 of them
  /// 32512; both below 32767.
  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add_planes(const std::uint8_t* line, std::size_t count,
                                       const std::int8_t* const (&x)[T],
                                       i32x16 (&sums)[T]) noexcept {
    constexpr std::size_t planes = 8 / code_bits<E>;
    constexpr std::size_t steps = E == quant::encoding::binary ? 16 : 10;
    const __m256i ones = _mm256_set1_epi16(1), mask = _mm256_set1_epi8(code_mask<E>);
    std::size_t column = 0;
    while (count != 0) {
      const std::size_t now = count < steps ? count : steps;
      __m256i low[T], high[T];
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) low[t] = high[t] = _mm256_setzero_si256();
      for (std::size_t i = 0; i < now; ++i, line += quant::line_bytes) {
        if constexpr (T == 1) prefetch(line + line_prefetch);
        __m256i a = load_half(line), b = load_half(line + 32);
        BITNET_UNROLL
        for (std::size_t p = 0; p < planes; ++p) {
          const __m256i pa = _mm256_and_si256(a, mask), pb = _mm256_and_si256(b, mask);
          BITNET_UNROLL
          for (std::size_t t = 0; t < T; ++t) {
            const __m256i in = broadcast_four(x[t] + column + 4 * p);
            low[t] = _mm256_add_epi16(low[t], _mm256_maddubs_epi16(pa, in));
            BITNET_KEEP_ORDER(low[t]);
            high[t] = _mm256_add_epi16(high[t], _mm256_maddubs_epi16(pb, in));
            BITNET_KEEP_ORDER(high[t]);
          }
          a = _mm256_srli_epi16(a, code_bits<E>);
          b = _mm256_srli_epi16(b, code_bits<E>);
        }
        column += quant::columns_per_line(E);
      }
      count -= now;
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) {
        sums[t].low = _mm256_add_epi32(sums[t].low, _mm256_madd_epi16(low[t], ones));
        sums[t].high = _mm256_add_epi32(sums[t].high, _mm256_madd_epi16(high[t], ones));
      }
    }
  }

  /// maddubs wants one unsigned side: |w| * (x with the sign of w). A pair is at most
  /// 2 * 128 * 127 = 32512 since x never is -128, so it does not saturate; it is widened at once.
  template <std::size_t T>
  static BITNET_INLINE void add_int8(const std::uint8_t* line, std::size_t count,
                                     const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    const __m256i ones = _mm256_set1_epi16(1), top = _mm256_set1_epi8(-128);
    for (std::size_t i = 0; i < count; ++i, line += quant::line_bytes) {
      if constexpr (T == 1) prefetch(line + line_prefetch);
      const __m256i a = _mm256_xor_si256(load_half(line), top);
      const __m256i b = _mm256_xor_si256(load_half(line + 32), top);
      const __m256i size_a = _mm256_abs_epi8(a), size_b = _mm256_abs_epi8(b);
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) {
        const __m256i in = broadcast_four(x[t] + 4 * i);
        const __m256i pa = _mm256_maddubs_epi16(size_a, _mm256_sign_epi8(in, a));
        const __m256i pb = _mm256_maddubs_epi16(size_b, _mm256_sign_epi8(in, b));
        sums[t].low = _mm256_add_epi32(sums[t].low, _mm256_madd_epi16(pa, ones));
        sums[t].high = _mm256_add_epi32(sums[t].high, _mm256_madd_epi16(pb, ones));
      }
    }
  }
};

#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_avx2
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
