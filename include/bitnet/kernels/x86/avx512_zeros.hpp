// SPDX-License-Identifier: Apache-2.0
// AVX-512: what the products that leave out zeros share: the end of a row, and codes row by row.
#pragma once

#include <bitnet/kernels/x86/avx512_tiled.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX512
namespace kernels {
namespace on_avx512 {

/// Whether a product is one integer sum for each row and token.
BITNET_INLINE bool one_scale_a_row(const quant::tiled_view& w,
                                   const quant::quantized_rows& x) noexcept {
  return w.groups() == 1 && x.blocks() == 1 && w.mins == nullptr;
}

/// The result of a ternary tile and a token whose codes times activations are summed up in `sum`.
BITNET_INLINE f32x16 one_scale_total(const quant::tiled_view& w, const quant::quantized_rows& x,
                                     std::size_t tile, std::size_t token, i32x16 sum) noexcept {
  constexpr std::int32_t offset = quant::meaning(quant::encoding::ternary2).offset;
  const f32x16 products = to_float(add(sum, broadcast_i32(offset * x.less[token])));
  const f32x16 part[1] = {fma(products, broadcast(x.scales[token]), broadcast(0.0F))};
  f32x16 total[1] = {broadcast(0.0F)};
  add_group<1>(w, x, tile * quant::tile_rows, 0, token, part, total);
  return total[0];
}

/// The rows of a tile that exist, others 0.
BITNET_INLINE f32x16 load_tile(const quant::tiled_view& w, matrix_view<float> y, std::size_t tile,
                               std::size_t token) noexcept {
  const std::size_t row = tile * quant::tile_rows;
  const float* const from = y.row(token) + row;
  return w.rows - row >= 16 ? load<float>(from) : load_partial<float>(from, w.rows - row);
}

/// Whether all lanes are so small that two of them times any int32 are finite.
BITNET_INLINE bool is_moderate(f32x16 a) noexcept {
  return _mm512_cmp_ps_mask(abs(a).v, broadcast(1e12F).v, _CMP_LT_OQ) == 0xffff;
}

/// Columns of a turned register: byte 4 i + c holds, in plane p, column 16 i + 4 p + c.
inline constexpr std::size_t turned_columns = 256;

/// A 16 x 16 matrix of 32-bit numbers, turned.
BITNET_INLINE void transpose(__m512i (&a)[16]) noexcept {
  __m512i b[16];
  BITNET_UNROLL
  for (std::size_t i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  BITNET_UNROLL
  for (std::size_t i = 0; i < 16; i += 4) {  // quarter q of a[i + m]: number 4 q + m of a[i ..]
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  BITNET_UNROLL
  for (std::size_t m = 0; m < 4; ++m) {
    const __m512i low = _mm512_shuffle_i32x4(a[m], a[4 + m], 0x44);
    const __m512i low2 = _mm512_shuffle_i32x4(a[8 + m], a[12 + m], 0x44);
    const __m512i high = _mm512_shuffle_i32x4(a[m], a[4 + m], 0xee);
    const __m512i high2 = _mm512_shuffle_i32x4(a[8 + m], a[12 + m], 0xee);
    b[m] = _mm512_shuffle_i32x4(low, low2, 0x88);
    b[4 + m] = _mm512_shuffle_i32x4(low, low2, 0xdd);
    b[8 + m] = _mm512_shuffle_i32x4(high, high2, 0x88);
    b[12 + m] = _mm512_shuffle_i32x4(high, high2, 0xdd);
  }
  BITNET_UNROLL
  for (std::size_t i = 0; i < 16; ++i) a[i] = b[i];
}

/// The ternary codes of a tile, row after row, `row_bytes` each.
inline void turn_tile(const std::uint8_t* lines, std::size_t count, std::size_t row_bytes,
                      std::uint8_t* to) noexcept {
  for (std::size_t first = 0; first < count; first += 16, to += quant::line_bytes) {
    __m512i a[16];
    BITNET_UNROLL
    for (std::size_t i = 0; i < 16; ++i)
      a[i] = first + i < count ? load_line(lines + (first + i) * quant::line_bytes)
                               : _mm512_setzero_si512();
    transpose(a);
    BITNET_UNROLL
    for (std::size_t r = 0; r < 16; ++r) _mm512_storeu_si512(to + r * row_bytes, a[r]);
  }
}

/// Activations in the order of turned codes, zeros behind the last.
inline void turn_values(const std::int8_t* x, std::size_t padded, std::int8_t* to) noexcept {
  const __m512i every_fourth =
      _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
  for (std::size_t c = 0; c < padded; c += turned_columns, to += turned_columns) {
    __m512i a[4];
    BITNET_UNROLL
    for (std::size_t j = 0; j < 4; ++j)
      a[j] = c + 64 * j < padded ? load_line(x + c + 64 * j) : _mm512_setzero_si512();
    BITNET_UNROLL
    for (int p = 0; p < 4; ++p) {
      const __m512i at = _mm512_add_epi32(every_fourth, _mm512_set1_epi32(p));
      const __m512i low = _mm512_permutex2var_epi32(a[0], at, a[1]);
      const __m512i high = _mm512_permutex2var_epi32(a[2], at, a[3]);
      _mm512_storeu_si512(to + 64 * p, _mm512_shuffle_i32x4(low, high, 0x44));
    }
  }
}

}  // namespace on_avx512
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
