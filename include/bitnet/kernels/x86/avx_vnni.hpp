// SPDX-License-Identifier: Apache-2.0
// AVX-VNNI: AVX2 with four products of bytes added to 32 bits in one instruction.
#pragma once

#include <bitnet/kernels/x86/avx2_tiled.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX_VNNI
namespace kernels {
namespace on_avx2::vnni {

using tag = isa::avx_vnni;

/// Codes times activations straight into 32-bit sums, which may wrap on the way: what is left after
/// the offset is exact.
struct dots : plain_sums {
  template <quant::encoding E>
  static constexpr std::int32_t offset = quant::meaning(E).offset;

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add(const std::uint8_t* line, std::size_t count,
                                const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    constexpr std::size_t planes = E == quant::encoding::int8 ? 1 : 4;
    // Two chains for one token hide the latency of an instruction that depends on the last.
    constexpr std::size_t chains = T == 1 && planes > 1 ? 2 : 1;
    const __m256i mask = _mm256_set1_epi8(3);
    __m256i low[2][T], high[2][T];
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t) {
      low[0][t] = sums[t].low;
      high[0][t] = sums[t].high;
      low[1][t] = high[1][t] = _mm256_setzero_si256();
    }
    std::size_t column = 0;
    for (std::size_t i = 0; i < count; ++i, line += quant::line_bytes) {
      if constexpr (T == 1) prefetch(line + line_prefetch);
      __m256i a = load_half(line), b = load_half(line + 32);
      BITNET_UNROLL
      for (std::size_t p = 0; p < planes; ++p) {
        const __m256i pa = planes == 1 ? a : _mm256_and_si256(a, mask);
        const __m256i pb = planes == 1 ? b : _mm256_and_si256(b, mask);
        BITNET_UNROLL
        for (std::size_t t = 0; t < T; ++t) {
          const __m256i in = broadcast_four(x[t] + column + 4 * p);
          __m256i &l = low[p % chains][t], &h = high[p % chains][t];
          l = _mm256_dpbusd_avx_epi32(l, pa, in);
          h = _mm256_dpbusd_avx_epi32(h, pb, in);
        }
        a = _mm256_srli_epi16(a, 2);
        b = _mm256_srli_epi16(b, 2);
      }
      column += 4 * planes;
    }
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t)
      sums[t] = {_mm256_add_epi32(low[0][t], low[1][t]), _mm256_add_epi32(high[0][t], high[1][t])};
  }
};

/// Unpacked codes for many tokens; see body/tile_blocks.inc. 6 tokens by two halves of 16 rows are
/// 12 sums, so that none waits for the instruction before it; 4 tokens, which is what fits when
/// codes are unpacked in the same loop, would have 8.
struct blocks {
  static constexpr std::size_t tiles = 1, tokens = 6;
  template <quant::encoding E>
  static constexpr bool serves = E != quant::encoding::binary;

  template <quant::encoding E>
  static BITNET_INLINE void unpack(const std::uint8_t* line, std::size_t count,
                                   std::uint8_t* codes) noexcept {
    const __m256i mask = _mm256_set1_epi8(3);
    for (std::size_t i = 0; i < 2 * count; ++i, line += 32) {
      __m256i* to = reinterpret_cast<__m256i*>(codes + i / 2 * 256 + i % 2 * 32);
      const __m256i a = load_half(line);
      _mm256_storeu_si256(to, _mm256_and_si256(a, mask));
      _mm256_storeu_si256(to + 2, _mm256_and_si256(_mm256_srli_epi16(a, 2), mask));
      _mm256_storeu_si256(to + 4, _mm256_and_si256(_mm256_srli_epi16(a, 4), mask));
      _mm256_storeu_si256(to + 6, _mm256_and_si256(_mm256_srli_epi16(a, 6), mask));
    }
  }

  static BITNET_INLINE void add(const std::uint8_t* const (&codes)[1], std::size_t steps,
                                const std::int8_t* const (&x)[tokens],
                                i32x16 (&sums)[1][tokens]) noexcept {
    __m256i low[tokens], high[tokens];
    BITNET_UNROLL
    for (std::size_t t = 0; t < tokens; ++t) {
      low[t] = sums[0][t].low;
      high[t] = sums[0][t].high;
    }
    for (std::size_t i = 0; i < steps; ++i) {
      const __m256i a = load_half(codes[0] + 64 * i), b = load_half(codes[0] + 64 * i + 32);
      BITNET_UNROLL
      for (std::size_t t = 0; t < tokens; ++t) {
        const __m256i in = broadcast_four(x[t] + 4 * i);
        low[t] = _mm256_dpbusd_avx_epi32(low[t], a, in);
        high[t] = _mm256_dpbusd_avx_epi32(high[t], b, in);
      }
    }
    BITNET_UNROLL
    for (std::size_t t = 0; t < tokens; ++t) sums[0][t] = {low[t], high[t]};
  }
};

#include <bitnet/kernels/body/tile_blocks.inc>
#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_avx2::vnni
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
