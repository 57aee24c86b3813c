// SPDX-License-Identifier: Apache-2.0
// AVX-VNNI: AVX2 with four products of bytes added to 32 bits in one instruction.
#pragma once

#include <bitnet/kernels/x86/avx2.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX_VNNI
namespace kernels {
namespace on_avx2::vnni {

using tag = isa::avx_vnni;

/// Codes times activations straight into 32-bit sums, which may wrap on the way: what is left after
/// the offset is exact.
struct dots {
  static constexpr std::size_t tokens = 4;
  template <quant::encoding E>
  static constexpr quant::code_meaning raw = quant::meaning(E);

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add(const std::uint8_t* line, std::size_t count,
                                const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    constexpr std::size_t planes = 8 / code_bits<E>;
    // Two chains for one token hide the latency of an instruction that depends on the last.
    constexpr std::size_t chains = T == 1 && planes > 1 ? 2 : 1;
    const __m256i mask = _mm256_set1_epi8(code_mask<E>);
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
        const __m256i pa = _mm256_and_si256(a, mask), pb = _mm256_and_si256(b, mask);
        BITNET_UNROLL
        for (std::size_t t = 0; t < T; ++t) {
          const __m256i in = broadcast_four(x[t] + column + 4 * p);
          __m256i &l = low[p % chains][t], &h = high[p % chains][t];
          l = _mm256_dpbusd_avx_epi32(l, pa, in);
          h = _mm256_dpbusd_avx_epi32(h, pb, in);
        }
        if constexpr (planes > 1) {
          a = _mm256_srli_epi16(a, code_bits<E>);
          b = _mm256_srli_epi16(b, code_bits<E>);
        }
      }
      column += quant::columns_per_line(E);
    }
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t)
      sums[t] = {_mm256_add_epi32(low[0][t], low[1][t]), _mm256_add_epi32(high[0][t], high[1][t])};
  }
};

#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_avx2::vnni
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
