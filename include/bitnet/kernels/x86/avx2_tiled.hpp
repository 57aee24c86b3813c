// SPDX-License-Identifier: Apache-2.0
// AVX2: integer dots by pairs of bytes, and lookups of signed sums for binary weights.
#pragma once

#include <bitnet/kernels/x86/avx2.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX2
namespace kernels {
namespace on_avx2 {

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
/// 32 codes of a line, and 4 activations against each 4 of them.
BITNET_INLINE __m256i load_half(const void* p) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
BITNET_INLINE __m256i broadcast_four(const std::int8_t* p) noexcept {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm256_set1_epi32(four);
}

/// How far ahead of the line in use a decoder asks for memory.
inline constexpr std::size_t line_prefetch = 2048;

#include <bitnet/kernels/body/tile_ends.inc>

/// Codes times activations by pairs: maddubs gives 16-bit sums of two products. Planes follow each
/// other by 16-bit shifts: what crosses from a byte into the one below it never reaches the bits
/// in use.
struct dots : plain_sums {
  template <quant::encoding E>
  static constexpr std::int32_t offset = E == quant::encoding::int8 ? 0 : quant::meaning(E).offset;

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
  /// One token with fewer operations: planes 1 and 3 are not shifted down, so that their sums are
  /// four times as large and apart from the others. They are widened after `steps` lines: a pair is
  /// at most 2 * 12 * 127 = 3048 in magnitude, and 10 of them 30480, below 32767.
  static BITNET_INLINE void add_ternary_alone(const std::uint8_t* line, std::size_t count,
                                              const std::int8_t* x, i32x16& sums) noexcept {
    constexpr std::size_t steps = 5;
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i first = _mm256_set1_epi8(3), second = _mm256_set1_epi8(12);
    while (count != 0) {
      const std::size_t now = count < steps ? count : steps;
      __m256i low = _mm256_setzero_si256(), high = low, low4 = low, high4 = low;
      for (std::size_t i = 0; i < now; ++i, line += quant::line_bytes, x += 16) {
        prefetch(line + line_prefetch);
        __m256i a = load_half(line), b = load_half(line + 32);
        BITNET_UNROLL
        for (std::size_t p = 0; p < 4; p += 2) {
          const __m256i even = broadcast_four(x + 4 * p), odd = broadcast_four(x + 4 * p + 4);
          BITNET_ADD_WORDS(low, _mm256_maddubs_epi16(_mm256_and_si256(a, first), even),
                           _mm256_add_epi16);
          BITNET_ADD_WORDS(high, _mm256_maddubs_epi16(_mm256_and_si256(b, first), even),
                           _mm256_add_epi16);
          BITNET_ADD_WORDS(low4, _mm256_maddubs_epi16(_mm256_and_si256(a, second), odd),
                           _mm256_add_epi16);
          BITNET_ADD_WORDS(high4, _mm256_maddubs_epi16(_mm256_and_si256(b, second), odd),
                           _mm256_add_epi16);
          a = _mm256_srli_epi16(a, 4);
          b = _mm256_srli_epi16(b, 4);
        }
      }
      count -= now;
      low = _mm256_add_epi16(low, _mm256_srai_epi16(low4, 2));  // exact, and at most 15240
      high = _mm256_add_epi16(high, _mm256_srai_epi16(high4, 2));
      sums.low = _mm256_add_epi32(sums.low, _mm256_madd_epi16(low, ones));
      sums.high = _mm256_add_epi32(sums.high, _mm256_madd_epi16(high, ones));
    }
  }

  /// 16-bit sums are widened after `steps` lines. A pair is at most 2 * 3 * 127 = 762 in magnitude
  /// for codes up to 3, and 40 of them 30480, below 32767.
  template <std::size_t T>
  static BITNET_INLINE void add_ternary(const std::uint8_t* line, std::size_t count,
                                        const std::int8_t* const (&x)[T],
                                        i32x16 (&sums)[T]) noexcept {
    constexpr std::size_t planes = 4, steps = 10;
    const __m256i ones = _mm256_set1_epi16(1), mask = _mm256_set1_epi8(3);
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
            BITNET_ADD_WORDS(low[t], _mm256_maddubs_epi16(pa, in), _mm256_add_epi16);
            BITNET_ADD_WORDS(high[t], _mm256_maddubs_epi16(pb, in), _mm256_add_epi16);
          }
          a = _mm256_srli_epi16(a, 2);
          b = _mm256_srli_epi16(b, 2);
        }
        column += 4 * planes;
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

/// Many tokens are no other case here: unpacking takes ports that multiplying leaves idle, so that
/// codes unpacked once in the cache (as body/tile_blocks.inc has it) gained nothing on Zen 3.
template <quant::encoding>
inline std::size_t block_all(const quant::tiled_view&, const quant::quantized_rows&,
                             matrix_view<float>, std::size_t, std::size_t) noexcept {
  return 0;
}

/// Products with binary weights, looked up; see body/lookup.inc. Digits are added for four of the
/// eight half bytes of a row: at most 4 * 16 = 64 in magnitude, which fits a byte.
struct lookup {
  static constexpr std::size_t in_line = 2, apart = 4;
  static constexpr bool reads_apart = true;
  struct indices {
    __m256i low[2], high[2];
  };
  struct digits {
    __m256i low, high;
  };
  using joined = __m256i;

  static BITNET_INLINE indices split(const std::uint8_t* line) noexcept {
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i a = load_half(line), b = load_half(line + 32);
    return {{_mm256_and_si256(a, mask), _mm256_and_si256(b, mask)},
            {_mm256_and_si256(_mm256_srli_epi16(a, 4), mask),
             _mm256_and_si256(_mm256_srli_epi16(b, 4), mask)}};
  }
  static BITNET_INLINE digits find(const indices& at, const std::int8_t* sums) noexcept {
    digits d{_mm256_shuffle_epi8(load_half(sums), at.low[0]),
             _mm256_shuffle_epi8(load_half(sums + 64), at.low[0])};
    select(d, at.low[1], sums + 32);
    select(d, at.high[0], sums + 128);
    select(d, at.high[1], sums + 160);
    return d;
  }
  /// low + 32 * high of columns 0..15 and of 16..31, which are in the halves of the registers.
  static BITNET_INLINE joined join(const digits& d) noexcept {
    const __m256i weights = _mm256_set1_epi16(0x2001);
    const __m256i a = _mm256_maddubs_epi16(weights, _mm256_unpacklo_epi8(d.low, d.high));
    const __m256i b = _mm256_maddubs_epi16(weights, _mm256_unpackhi_epi8(d.low, d.high));
    __m256i sum =
        _mm256_add_epi16(_mm256_permute2x128_si256(a, b, 0x21), _mm256_blend_epi32(a, b, 0xf0));
    BITNET_KEEP_ORDER(sum);
    return sum;
  }
  static BITNET_INLINE i32x16 widen(joined sums) noexcept {
    return {_mm256_madd_epi16(sums, _mm256_set1_epi32(1)),
            _mm256_madd_epi16(sums, _mm256_set1_epi32(0x10000))};
  }

 private:
  static BITNET_INLINE void select(digits& d, __m256i at, const std::int8_t* sums) noexcept {
    d.low = _mm256_add_epi8(d.low, _mm256_shuffle_epi8(load_half(sums), at));
    BITNET_KEEP_ORDER(d.low);
    d.high = _mm256_add_epi8(d.high, _mm256_shuffle_epi8(load_half(sums + 64), at));
    BITNET_KEEP_ORDER(d.high);
  }
};

/// The 16 signed sums of four values, in 16 bits.
BITNET_INLINE __m256i signed_sums(const std::int8_t* four) noexcept {
  const __m256i ones = _mm256_set1_epi8(1);
  std::int16_t pairs[2];
  std::memcpy(pairs, four, sizeof pairs);
  // For n = 0, 1 .. 15: the signs that bits 0 and 1, and bits 2 and 3 stand for.
  const __m256i first = _mm256_set1_epi64x(0x010101ffff01ffffLL);
  const __m256i second =
      _mm256_setr_epi64x(-1, static_cast<long long>(0xff01ff01ff01ff01ULL),
                         static_cast<long long>(0x01ff01ff01ff01ffULL), 0x0101010101010101LL);
  const __m256i a = _mm256_sign_epi8(_mm256_set1_epi16(pairs[0]), first);
  const __m256i b = _mm256_sign_epi8(_mm256_set1_epi16(pairs[1]), second);
  return _mm256_add_epi16(_mm256_maddubs_epi16(ones, a), _mm256_maddubs_epi16(ones, b));
}

BITNET_INLINE void store_digits(std::int8_t* p, __m256i a, __m256i b) noexcept {
  const __m256i mixed = _mm256_packs_epi16(a, b);  // by 64 bits: a, b, a, b
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(mixed, 0xd8));
}

inline tag tabulate(tag self, const quant::quantized_rows& x, std::size_t row) noexcept {
  const std::int8_t* v = x.values + row * x.padded();
  std::int8_t* to = x.sums + row * x.padded() * quant::sums_per_value;
  const __m256i up = _mm256_set1_epi16(16);
  for (std::size_t c = 0; c < x.padded(); c += 32, v += 32, to += quant::sums_per_line)
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t half = i / 2, bytes = 2 * (i % 2);
      const std::int8_t* four = v + 8 * bytes + 4 * half;
      const __m256i a = signed_sums(four), b = signed_sums(four + 8);
      const __m256i high_a = _mm256_srai_epi16(_mm256_add_epi16(a, up), 5);
      const __m256i high_b = _mm256_srai_epi16(_mm256_add_epi16(b, up), 5);
      std::int8_t* digits = to + 128 * half + 16 * bytes;
      store_digits(digits, _mm256_sub_epi16(a, _mm256_slli_epi16(high_a, 5)),
                   _mm256_sub_epi16(b, _mm256_slli_epi16(high_b, 5)));
      store_digits(digits + 64, high_a, high_b);
    }
  return self;
}

#include <bitnet/kernels/body/lookup.inc>
#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_avx2
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
