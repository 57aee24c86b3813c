// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI: a line of codes times four activations each, added to 16 sums, in one instruction.
#pragma once

#include <bitnet/kernels/x86/avx512_tiled.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX512_VNNI
namespace kernels {
namespace on_avx512::vnni {

using tag = isa::avx512_vnni;

/// Codes times activations straight into 32-bit sums, which may wrap on the way: what is left after
/// the offset is exact.
struct dots {
  template <quant::encoding E>
  static constexpr std::int32_t offset = quant::meaning(E).offset;

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add(const std::uint8_t* line, std::size_t count,
                                const std::int8_t* const (&x)[T], i32x16 (&sums)[T]) noexcept {
    constexpr std::size_t planes = E == quant::encoding::int8 ? 1 : 4;
    // Few tokens take several chains of sums, to hide the latency of one dot product after another.
    constexpr std::size_t chains = planes == 1 ? 1 : T == 1 ? 4 : T == 2 ? 2 : 1;
    const __m512i mask = _mm512_set1_epi8(3);
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
        const __m512i now = planes == 1 ? codes : _mm512_and_si512(codes, mask);
        BITNET_UNROLL
        for (std::size_t t = 0; t < T; ++t) {
          __m512i& sum = chain[p % chains][t];
          sum = _mm512_dpbusd_epi32(sum, now, broadcast_four(x[t] + column + 4 * p));
        }
        codes = _mm512_srli_epi16(codes, 2);
      }
      column += 4 * planes;
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

/// Unpacked codes for many tokens; see body/tile_blocks.inc. 2 tiles by 12 tokens are 24 sums, so
/// that 24 instructions share 14 loads, and none waits for the one before it.
struct blocks {
  static constexpr std::size_t tiles = 2, tokens = 12;
  template <quant::encoding E>
  static constexpr bool serves = true;

  template <quant::encoding E>
  static BITNET_INLINE void unpack(const std::uint8_t* line, std::size_t count,
                                   std::uint8_t* codes) noexcept {
    if constexpr (E == quant::encoding::binary) {
      unpack_bits(line, count, codes);
    } else {
      on_avx512::blocks::unpack<E>(line, count, codes);
    }
  }

  template <std::size_t R>
  static BITNET_INLINE void add(const std::uint8_t* const (&codes)[R], std::size_t steps,
                                const std::int8_t* const (&x)[tokens],
                                i32x16 (&sums)[R][tokens]) noexcept {
    __m512i s[R][tokens];
    BITNET_UNROLL
    for (std::size_t r = 0; r < R; ++r) {
      BITNET_UNROLL
      for (std::size_t t = 0; t < tokens; ++t) s[r][t] = sums[r][t].v;
    }
    for (std::size_t i = 0; i < steps; ++i) {
      __m512i used[R];
      BITNET_UNROLL
      for (std::size_t r = 0; r < R; ++r) used[r] = load_line(codes[r] + 64 * i);
      BITNET_UNROLL
      for (std::size_t t = 0; t < tokens; ++t) {
        const __m512i in = broadcast_four(x[t] + 4 * i);
        BITNET_UNROLL
        for (std::size_t r = 0; r < R; ++r) s[r][t] = _mm512_dpbusd_epi32(s[r][t], used[r], in);
      }
    }
    BITNET_UNROLL
    for (std::size_t r = 0; r < R; ++r) {
      BITNET_UNROLL
      for (std::size_t t = 0; t < tokens; ++t) sums[r][t].v = s[r][t];
    }
  }

 private:
  /// Bits as 0 and 2, so that 1 less is the weight. Many tokens pay for it: an instruction for 64
  /// products is then less than looking them up takes.
  static BITNET_INLINE void unpack_bits(const std::uint8_t* line, std::size_t count,
                                        std::uint8_t* codes) noexcept {
    // Byte 4 * r + i of a vector comes from where row r lies in the 16 bytes of 8 columns.
    alignas(64) std::uint8_t rows[64], bits[2][64];
    for (std::size_t i = 0; i < 64; ++i) {
      rows[i] =
          static_cast<std::uint8_t>(quant::place_in_line(quant::encoding::binary, i / 4, 0).byte);
      bits[0][i] = static_cast<std::uint8_t>(1U << i % 4);
      bits[1][i] = static_cast<std::uint8_t>(16U << i % 4);
    }
    const __m512i from = load_line(rows), low = load_line(bits[0]), high = load_line(bits[1]);
    const __m512i two = _mm512_set1_epi8(2);
    for (std::size_t i = 0; i < 4 * count; ++i, line += 16, codes += 128) {
      const __m512i bytes = _mm512_shuffle_epi8(
          _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(line))), from);
      _mm512_storeu_si512(codes, _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(bytes, low), two));
      _mm512_storeu_si512(codes + 64,
                          _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(bytes, high), two));
    }
  }
};

#include <bitnet/kernels/body/tile_blocks.inc>
#include <bitnet/kernels/body/tiled.inc>

}  // namespace on_avx512::vnni
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
