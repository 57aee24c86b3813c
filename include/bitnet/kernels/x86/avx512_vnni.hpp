// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI: a line of codes times four activations each, added to 16 sums, in one instruction.
#pragma once

#include <bitnet/kernels/x86/avx512_vnni_gated.hpp>
#include <bitnet/kernels/x86/avx512_vnni_nonzero.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX512_VNNI
namespace kernels {
namespace on_avx512::vnni {

using tag = isa::avx512_vnni;

/// Codes times activations straight into 32-bit sums, which may wrap on the way: what is left after
/// the offset is exact. Many tokens unpack codes as they go: on Zen 4 that takes ports which dot
/// products leave idle.
struct dots {
  template <quant::encoding E>
  static constexpr std::int32_t offset = quant::meaning(E).offset;
  static constexpr bool reads_apart = false;
  static constexpr std::size_t lines_in_turn = 20;
  static constexpr std::size_t most_tokens = 8;
  static constexpr bool multiplies_bits = true;

  /// Few tokens take several chains of sums, to hide the latency of one dot product after another.
  template <quant::encoding E, std::size_t T>
  static constexpr std::size_t chains = T >= 6 || E == quant::encoding::int8 ? 1
                                        : T == 1                             ? 4
                                                                             : 2;
  template <quant::encoding E, std::size_t T>
  using sums = __m512i[chains<E, T>][T];

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void start(sums<E, T>& s, std::size_t t, i32x16 value) noexcept {
    s[0][t] = value.v;
    BITNET_UNROLL
    for (std::size_t k = 1; k < chains<E, T>; ++k) s[k][t] = _mm512_setzero_si512();
  }
  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE i32x16 total(const sums<E, T>& s, std::size_t t) noexcept {
    __m512i sum = s[0][t];
    BITNET_UNROLL
    for (std::size_t k = 1; k < chains<E, T>; ++k) sum = _mm512_add_epi32(sum, s[k][t]);
    return {sum};
  }

  template <quant::encoding E, std::size_t T>
  static BITNET_INLINE void add(const std::uint8_t* line, std::size_t count,
                                const std::int8_t* const (&x)[T], sums<E, T>& s) noexcept {
    sums<E, T> chain;  // a copy, which GCC keeps in registers
    BITNET_UNROLL
    for (std::size_t k = 0; k < chains<E, T>; ++k) BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t) chain[k][t] = s[k][t];
    constexpr std::size_t planes = quant::columns_per_line(E) / 4;
    const __m512i mask = _mm512_set1_epi8(3);
    const bit_expander bits;
    std::size_t column = 0;
    do {  // a count of 0 would take a second set of registers
      __m512i codes = load_line(line);
      BITNET_KEEP_ORDER(codes);  // one load, not one for each use
      // More than two tokens are at one line for too long to be seen as a stream that goes on.
      if constexpr (T > 2) prefetch_far(line);
      BITNET_UNROLL
      for (std::size_t p = 0; p < planes; ++p) {
        const __m512i now = E == quant::encoding::binary     ? bits(line, p)
                            : E == quant::encoding::ternary2 ? _mm512_and_si512(codes, mask)
                                                             : codes;
        BITNET_UNROLL
        for (std::size_t t = 0; t < T; ++t) {
          __m512i& sum = chain[p % chains<E, T>][t];
          sum = _mm512_dpbusd_epi32(sum, now, broadcast_four(x[t] + column));
          BITNET_KEEP_ORDER(sum);
        }
        codes = _mm512_srli_epi16(codes, 2);
        column += 4;
      }
      line += quant::line_bytes;
    } while (--count != 0);
    BITNET_UNROLL
    for (std::size_t k = 0; k < chains<E, T>; ++k) BITNET_UNROLL
    for (std::size_t t = 0; t < T; ++t) s[k][t] = chain[k][t];
  }

 private:
  /// Turns the bits of 8 columns into bytes of 0 and 2, so that 1 less is the weight.
  struct bit_expander {
    __m512i rows, low, high, two;
    BITNET_INLINE bit_expander() noexcept {
      // Byte 4 * r + i comes from where row r lies in the 16 bytes of 8 columns.
      constexpr auto row = [](std::size_t r) {
        const std::size_t byte = quant::place_in_line(quant::encoding::binary, r, 0).byte;
        return static_cast<int>(0x01010101U * static_cast<std::uint32_t>(byte));
      };
      rows =
          _mm512_setr_epi32(row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7), row(8),
                            row(9), row(10), row(11), row(12), row(13), row(14), row(15));
      low = _mm512_set1_epi32(0x10080402);
      high = _mm512_slli_epi32(low, 3);
      two = _mm512_set1_epi8(2);
    }
    BITNET_INLINE __m512i operator()(const std::uint8_t* line, std::size_t p) const noexcept {
      const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(line) + p / 2);
      const __m512i bytes = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(eight), rows);
      const __m512i bit = p % 2 == 0 ? _mm512_and_si512(_mm512_add_epi8(bytes, bytes), low)
                                     : _mm512_and_si512(bytes, high);
      return _mm512_min_epu8(bit, two);
    }
  };
};

#include <bitnet/kernels/body/panels.inc>
#include <bitnet/kernels/body/tiled.inc>

/// Products of pairs and their sums in one instruction.
struct dot_rows : pair_rows {
  static BITNET_INLINE sum plus(sum s, const std::int16_t* x, i16x32 rows) noexcept {
    s.v = _mm512_dpwssd_epi32(s.v, broadcast_pair(x).v, rows.v);
    BITNET_KEEP_ORDER(s.v);
    return s;
  }
};

inline panel_product choose_product(quant::kv_type type, std::size_t vectors) noexcept {
  return type == quant::kv_type::q8 ? product_of<dot_rows>(vectors)
                                    : on_avx512::choose_product(type, vectors);
}

inline tag attend(tag self, const attention_task& task) noexcept {
  attend_with(&choose_product, task);
  return self;
}

}  // namespace on_avx512::vnni
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
