// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI: a line of codes times four activations each, added to 16 sums, in one instruction.
#pragma once

#include <bitnet/kernels/x86/avx512.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX512_VNNI
namespace kernels {
namespace on_avx512::vnni {

using tag = isa::avx512_vnni;

/// Codes times activations straight into 32-bit sums, which may wrap on the way: what is left after
/// the offset is exact.
struct dots {
  static constexpr std::size_t tokens = 12;
  template <quant::encoding E>
  static constexpr quant::code_meaning raw = quant::meaning(E);

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add(const std::uint8_t* line, std::size_t count,
                                const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    constexpr std::size_t planes = 8 / code_bits<E>;
    // Few tokens take several chains of sums, to hide the latency of one dot product after another.
    constexpr std::size_t chains = planes == 1 ? 1 : T == 1 ? 4 : T == 2 ? 2 : 1;
    const __m512i mask = _mm512_set1_epi8(code_mask<E>);
    __m512i chain[chains][T];
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t) {
      chain[0][t] = sums[t].v;
      BITNET_UNROLL
      for (std::size_t k = 1; k < chains; ++k) chain[k][t] = _mm512_setzero_si512();
    }
    std::size_t column = 0;
    for (std::size_t i = 0; i < count; ++i, line += quant::line_bytes) {
      if constexpr (T == 1) prefetch(line + line_prefetch);
      __m512i codes = load_line(line);
      BITNET_UNROLL
      for (std::size_t p = 0; p < planes; ++p) {
        const __m512i now = _mm512_and_si512(codes, mask);
        BITNET_UNROLL
        for (std::size_t t = 0; t < T; ++t) {
          __m512i& sum = chain[p % chains][t];
          sum = _mm512_dpbusd_epi32(sum, now, broadcast_four(x[t] + column + 4 * p));
        }
        if constexpr (planes > 1) codes = _mm512_srli_epi16(codes, code_bits<E>);
      }
      column += quant::columns_per_line(E);
    }
    BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t) {
      BITNET_UNROLL
      for (std::size_t k = 1; k < chains; ++k)
        chain[0][t] = _mm512_add_epi32(chain[0][t], chain[k][t]);
      sums[t].v = chain[0][t];
    }
  }
};

#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_avx512::vnni
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
