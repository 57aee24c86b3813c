// SPDX-License-Identifier: Apache-2.0
// Vectors of 32-bit words that hold two 16-bit or four 8-bit integers each, and their dot products,
// on the instruction set that the compiler's flags allow.
#pragma once

#include <bitnet/isa/region.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns inside its own AVX-512 header about registers left undefined on purpose.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

BITNET_NAMESPACE_BEGIN
namespace train {
namespace detail {

/// A word from memory that need not be aligned.
[[nodiscard]] BITNET_INLINE std::int32_t load_word(const void* p) noexcept {
  std::int32_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

#if BITNET_FLAGS_AVX512

/// A vector of words: sums of products, or what is multiplied. Memory is aligned to 64 bytes unless
/// a function says otherwise.
struct word_vector {
  using type = __m512i;
  static constexpr std::size_t width = 16;
  static constexpr std::size_t tile_rows = 8;

  static BITNET_INLINE type zero() noexcept { return _mm512_setzero_si512(); }
  static BITNET_INLINE type load(const std::int32_t* p) noexcept { return _mm512_load_si512(p); }
  /// y[0, width) = or += (sum * row) * cols, y not aligned; cols may be null.
  static BITNET_INLINE void store(type sum, float row, const float* cols, bool add,
                                  float* y) noexcept {
    __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(row));
    if (cols != nullptr) x = _mm512_mul_ps(x, _mm512_load_ps(cols));
    if (add) x = _mm512_add_ps(x, _mm512_loadu_ps(y));
    _mm512_storeu_ps(y, x);
  }
};

/// Words of two int16: sum += a[0] b[0] + a[1] b[1].
struct pairs {
  using operand = __m512i;
  static BITNET_INLINE operand load(const std::int32_t* b) noexcept { return _mm512_load_si512(b); }
  static BITNET_INLINE void dot(__m512i& sum, std::int32_t a, operand b) noexcept {
#if BITNET_FLAGS_AVX512_VNNI
    sum = _mm512_dpwssd_epi32(sum, _mm512_set1_epi32(a), b);
#else
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_set1_epi32(a), b));
#endif
  }
};

/// Words of four bytes: sum += a[0] b[0] + ... + a[3] b[3] for unsigned a and signed b within
/// [-64, 64].
struct quads {
  using operand = __m512i;
  static BITNET_INLINE operand load(const std::int32_t* b) noexcept { return _mm512_load_si512(b); }
  static BITNET_INLINE void dot(__m512i& sum, std::int32_t a, operand b) noexcept {
#if BITNET_FLAGS_AVX512_VNNI
    sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(a), b);
#else
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_set1_epi32(a), b),
                                                  _mm512_set1_epi16(1)));
#endif
  }
};

#elif BITNET_FLAGS_AVX2

struct word_vector {
  using type = __m256i;
  static constexpr std::size_t width = 8;
  static constexpr std::size_t tile_rows = 4;

  static BITNET_INLINE type zero() noexcept { return _mm256_setzero_si256(); }
  static BITNET_INLINE type load(const std::int32_t* p) noexcept {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  static BITNET_INLINE void store(type sum, float row, const float* cols, bool add,
                                  float* y) noexcept {
    __m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(row));
    if (cols != nullptr) x = _mm256_mul_ps(x, _mm256_load_ps(cols));
    if (add) x = _mm256_add_ps(x, _mm256_loadu_ps(y));
    _mm256_storeu_ps(y, x);
  }
};

struct pairs {
  using operand = __m256i;
  static BITNET_INLINE operand load(const std::int32_t* b) noexcept { return word_vector::load(b); }
  static BITNET_INLINE void dot(__m256i& sum, std::int32_t a, operand b) noexcept {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_set1_epi32(a), b));
  }
};

struct quads {
  using operand = __m256i;
  static BITNET_INLINE operand load(const std::int32_t* b) noexcept { return word_vector::load(b); }
  static BITNET_INLINE void dot(__m256i& sum, std::int32_t a, operand b) noexcept {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi32(a), b),
                                                  _mm256_set1_epi16(1)));
  }
};

#elif BITNET_ARCH_X86_64

struct word_vector {
  using type = __m128i;
  static constexpr std::size_t width = 4;
  static constexpr std::size_t tile_rows = 4;

  static BITNET_INLINE type zero() noexcept { return _mm_setzero_si128(); }
  static BITNET_INLINE type load(const std::int32_t* p) noexcept {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(p));
  }
  static BITNET_INLINE void store(type sum, float row, const float* cols, bool add,
                                  float* y) noexcept {
    __m128 x = _mm_mul_ps(_mm_cvtepi32_ps(sum), _mm_set1_ps(row));
    if (cols != nullptr) x = _mm_mul_ps(x, _mm_load_ps(cols));
    if (add) x = _mm_add_ps(x, _mm_loadu_ps(y));
    _mm_storeu_ps(y, x);
  }
};

struct pairs {
  using operand = __m128i;
  static BITNET_INLINE operand load(const std::int32_t* b) noexcept { return word_vector::load(b); }
  static BITNET_INLINE void dot(__m128i& sum, std::int32_t a, operand b) noexcept {
    sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_set1_epi32(a), b));
  }
};

struct quads {
  struct operand {  // the even and the odd bytes as int16
    __m128i even, odd;
  };
  static BITNET_INLINE operand load(const std::int32_t* b) noexcept {
    const __m128i x = word_vector::load(b);
    return {_mm_srai_epi16(_mm_slli_epi16(x, 8), 8), _mm_srai_epi16(x, 8)};
  }
  static BITNET_INLINE void dot(__m128i& sum, std::int32_t a, const operand& b) noexcept {
    const __m128i x = _mm_set1_epi32(a);
    const __m128i even = _mm_madd_epi16(_mm_and_si128(x, _mm_set1_epi16(255)), b.even);
    const __m128i odd = _mm_madd_epi16(_mm_srli_epi16(x, 8), b.odd);
    sum = _mm_add_epi32(sum, _mm_add_epi32(even, odd));
  }
};

#else

struct word_vector {
  struct type {
    std::int32_t lane[8];
  };
  static constexpr std::size_t width = 8;
  static constexpr std::size_t tile_rows = 4;

  static BITNET_INLINE type zero() noexcept { return {}; }
  static BITNET_INLINE type load(const std::int32_t* p) noexcept {
    type x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  static BITNET_INLINE void store(const type& sum, float row, const float* cols, bool add,
                                  float* y) noexcept {
    for (std::size_t i = 0; i < width; ++i) {
      float x = static_cast<float>(sum.lane[i]) * row;
      if (cols != nullptr) x *= cols[i];
      y[i] = add ? y[i] + x : x;
    }
  }
};

struct pairs {
  struct operand {
    std::int32_t low[word_vector::width], high[word_vector::width];
  };
  static BITNET_INLINE operand load(const std::int32_t* b) noexcept {
    operand x;
    for (std::size_t i = 0; i < word_vector::width; ++i) {
      x.low[i] = static_cast<std::int16_t>(b[i]);
      x.high[i] = b[i] >> 16;
    }
    return x;
  }
  static BITNET_INLINE void dot(word_vector::type& sum, std::int32_t a, const operand& b) noexcept {
    const std::int32_t low = static_cast<std::int16_t>(a), high = a >> 16;
    for (std::size_t i = 0; i < word_vector::width; ++i)
      sum.lane[i] += low * b.low[i] + high * b.high[i];
  }
};

struct quads {
  struct operand {
    std::int32_t byte[4][word_vector::width];
  };
  static BITNET_INLINE operand load(const std::int32_t* b) noexcept {
    operand x;
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t i = 0; i < word_vector::width; ++i)
        x.byte[k][i] = static_cast<std::int8_t>(b[i] >> 8 * k);
    return x;
  }
  static BITNET_INLINE void dot(word_vector::type& sum, std::int32_t a, const operand& b) noexcept {
    for (std::size_t k = 0; k < 4; ++k) {
      const std::int32_t x = a >> 8 * k & 255;
      for (std::size_t i = 0; i < word_vector::width; ++i) sum.lane[i] += x * b.byte[k][i];
    }
  }
};

#endif

}  // namespace detail
}  // namespace train
BITNET_NAMESPACE_END

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
