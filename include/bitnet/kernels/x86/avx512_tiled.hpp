// SPDX-License-Identifier: Apache-2.0
// AVX-512: integer dots by pairs of bytes, and lookups of signed sums, on whole lines.
#pragma once

#include <bitnet/kernels/x86/avx2_tiled.hpp>
#include <bitnet/kernels/x86/avx512.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX512
namespace kernels {
namespace on_avx512 {

BITNET_INLINE i32x16 broadcast_i32(std::int32_t x) noexcept { return {_mm512_set1_epi32(x)}; }
BITNET_INLINE i32x16 add(i32x16 a, i32x16 b) noexcept { return {_mm512_add_epi32(a.v, b.v)}; }
BITNET_INLINE i32x16 sub(i32x16 a, i32x16 b) noexcept { return {_mm512_sub_epi32(a.v, b.v)}; }

BITNET_INLINE __m512i load_line(const void* p) noexcept { return _mm512_loadu_si512(p); }
BITNET_INLINE __m512i broadcast_four(const std::int8_t* p) noexcept {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}
using on_avx2::line_prefetch;
/// Asks for a line 6 KiB on, to the second cache level: with as many lines under way as it takes to
/// be served at full speed, the first one would have no more places for those in use.
BITNET_INLINE void prefetch_far(const std::uint8_t* line) noexcept {
  _mm_prefetch(reinterpret_cast<const char*>(line) + 6144, _MM_HINT_T1);
}

#include <bitnet/kernels/body/tile_ends.inc>

/// Codes times activations by pairs, as in avx2_tiled.hpp, where the bounds are shown.
struct dots : plain_sums {
  template <quant::encoding E>
  static constexpr std::int32_t offset = E == quant::encoding::int8 ? 0 : quant::meaning(E).offset;

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add(const std::uint8_t* line, std::size_t count,
                                const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    if constexpr (E == quant::encoding::int8) {
      add_int8<T>(line, count, x, sums);
    } else {
      add_ternary<T>(line, count, x, sums);
    }
  }

 private:
  template <std::size_t T>
  static BITNET_INLINE void add_ternary(const std::uint8_t* line, std::size_t count,
                                        const std::int8_t* const (&x)[T],
                                        i32x16 (&sums)[T]) noexcept {
    constexpr std::size_t planes = 4, steps = 10;
    const __m512i ones = _mm512_set1_epi16(1), mask = _mm512_set1_epi8(3);
    std::size_t column = 0;
    while (count != 0) {
      const std::size_t now = count < steps ? count : steps;
      __m512i pairs[T];
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) pairs[t] = _mm512_setzero_si512();
      for (std::size_t i = 0; i < now; ++i, line += quant::line_bytes) {
        if constexpr (T == 1) prefetch(line + line_prefetch);
        __m512i codes = load_line(line);
        BITNET_UNROLL
        for (std::size_t p = 0; p < planes; ++p) {
          const __m512i used = _mm512_and_si512(codes, mask);
          BITNET_UNROLL
          for (std::size_t t = 0; t < T; ++t) {
            const __m512i in = broadcast_four(x[t] + column + 4 * p);
            pairs[t] = _mm512_add_epi16(pairs[t], _mm512_maddubs_epi16(used, in));
            BITNET_KEEP_ORDER(pairs[t]);
          }
          codes = _mm512_srli_epi16(codes, 2);
        }
        column += 4 * planes;
      }
      count -= now;
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t)
        sums[t].v = _mm512_add_epi32(sums[t].v, _mm512_madd_epi16(pairs[t], ones));
    }
  }

  template <std::size_t T>
  static BITNET_INLINE void add_int8(const std::uint8_t* line, std::size_t count,
                                     const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    const __m512i ones = _mm512_set1_epi16(1), top = _mm512_set1_epi8(-128);
    for (std::size_t i = 0; i < count; ++i, line += quant::line_bytes) {
      if constexpr (T == 1) prefetch(line + line_prefetch);
      const __m512i w = _mm512_xor_si512(load_line(line), top);
      const __m512i size = _mm512_abs_epi8(w);
      const __mmask64 negative = _mm512_movepi8_mask(w);
      BITNET_UNROLL
      for (std::size_t t = 0; t < T; ++t) {
        const __m512i in = broadcast_four(x[t] + 4 * i);
        const __m512i turned = _mm512_mask_sub_epi8(in, negative, _mm512_setzero_si512(), in);
        sums[t].v = _mm512_add_epi32(sums[t].v,
                                     _mm512_madd_epi16(_mm512_maddubs_epi16(size, turned), ones));
      }
    }
  }
};

/// Unpacked ternary codes for many tokens; see body/tile_blocks.inc and, for the bound,
/// avx2_tiled.hpp. 2 tiles by 8 tokens are 16 sums.
struct blocks {
  static constexpr std::size_t tiles = 2, tokens = 8;
  template <quant::encoding E>
  static constexpr bool serves = E == quant::encoding::ternary2;

  template <quant::encoding E>
  static BITNET_INLINE void unpack(const std::uint8_t* line, std::size_t count,
                                   std::uint8_t* codes) noexcept {
    const __m512i mask = _mm512_set1_epi8(3);
    for (std::size_t i = 0; i < count; ++i, line += quant::line_bytes, codes += 256) {
      const __m512i a = load_line(line);
      _mm512_storeu_si512(codes, _mm512_and_si512(a, mask));
      _mm512_storeu_si512(codes + 64, _mm512_and_si512(_mm512_srli_epi16(a, 2), mask));
      _mm512_storeu_si512(codes + 128, _mm512_and_si512(_mm512_srli_epi16(a, 4), mask));
      _mm512_storeu_si512(codes + 192, _mm512_and_si512(_mm512_srli_epi16(a, 6), mask));
    }
  }

  template <std::size_t R>
  static BITNET_INLINE void add(const std::uint8_t* const (&codes)[R], std::size_t steps,
                                const std::int8_t* const (&x)[tokens],
                                i32x16 (&sums)[R][tokens]) noexcept {
    const __m512i ones = _mm512_set1_epi16(1);
    for (std::size_t from = 0; from < steps; from += 40) {
      const std::size_t to = from + 40 < steps ? from + 40 : steps;
      __m512i pairs[R][tokens];
      BITNET_UNROLL
      for (std::size_t r = 0; r < R; ++r) {
        BITNET_UNROLL
        for (std::size_t t = 0; t < tokens; ++t) pairs[r][t] = _mm512_setzero_si512();
      }
      for (std::size_t i = from; i < to; ++i) {
        __m512i used[R];
        BITNET_UNROLL
        for (std::size_t r = 0; r < R; ++r) used[r] = load_line(codes[r] + 64 * i);
        BITNET_UNROLL
        for (std::size_t t = 0; t < tokens; ++t) {
          const __m512i in = broadcast_four(x[t] + 4 * i);
          BITNET_UNROLL
          for (std::size_t r = 0; r < R; ++r) {
            pairs[r][t] = _mm512_add_epi16(pairs[r][t], _mm512_maddubs_epi16(used[r], in));
            BITNET_KEEP_ORDER(pairs[r][t]);
          }
        }
      }
      BITNET_UNROLL
      for (std::size_t r = 0; r < R; ++r) {
        BITNET_UNROLL
        for (std::size_t t = 0; t < tokens; ++t)
          sums[r][t].v = _mm512_add_epi32(sums[r][t].v, _mm512_madd_epi16(pairs[r][t], ones));
      }
    }
  }
};

/// Products with binary weights, looked up; see body/lookup.inc. Digits are added for two of the
/// eight half bytes of a row.
struct lookup {
  static constexpr std::size_t in_line = 2, apart = 4;
  static constexpr bool reads_apart = true;
  struct indices {
    __m512i low, high;
  };
  struct digits {
    __m512i low, high;
  };
  using joined = __m256i;

  static BITNET_INLINE indices split(const std::uint8_t* line) noexcept {
    const __m512i mask = _mm512_set1_epi8(15), bytes = load_line(line);
    return {_mm512_and_si512(bytes, mask), _mm512_and_si512(_mm512_srli_epi16(bytes, 4), mask)};
  }
  static BITNET_INLINE digits find(const indices& at, const std::int8_t* sums) noexcept {
    const auto add_up = [&](const std::int8_t* p) {
      return _mm512_add_epi8(_mm512_shuffle_epi8(load_line(p), at.low),
                             _mm512_shuffle_epi8(load_line(p + 128), at.high));
    };
    return {add_up(sums), add_up(sums + 64)};
  }
  /// low + 32 * high of columns 8j .. 8j + 7, which are in quarter j of the registers, added up.
  static BITNET_INLINE joined join(const digits& d) noexcept {
    const __m512i weights = _mm512_set1_epi16(0x2001);
    const __m256i a = halves(_mm512_maddubs_epi16(weights, _mm512_unpacklo_epi8(d.low, d.high)));
    const __m256i b = halves(_mm512_maddubs_epi16(weights, _mm512_unpackhi_epi8(d.low, d.high)));
    return _mm256_add_epi16(_mm256_permute2x128_si256(a, b, 0x21), _mm256_blend_epi32(a, b, 0xf0));
  }
  static BITNET_INLINE i32x16 widen(joined sums) noexcept {
    const __m512i halves_of_pairs =
        _mm512_inserti64x4(_mm512_set1_epi32(1), _mm256_set1_epi32(0x10000), 1);
    return {_mm512_madd_epi16(_mm512_broadcast_i64x4(sums), halves_of_pairs)};
  }

 private:
  static BITNET_INLINE __m256i halves(__m512i sums) noexcept {
    return _mm256_add_epi16(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64(sums, 1));
  }
};

#include <bitnet/kernels/body/lookup.inc>
#include <bitnet/kernels/body/tile_blocks.inc>
#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_avx512
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
