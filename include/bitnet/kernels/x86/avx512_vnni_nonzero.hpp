// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI: many tokens times ternary weights where most activations are zero, by the lists of
// quant::nonzero_block. Sums are integers, so that leaving out zeros changes no bit.
//
// Codes of a block of columns are unpacked to bytes once for all tokens. Sixteen sums, four tiles
// by four tokens, stay in registers while the lists of all fifteen masks pass by, each with a loop
// of its own; a dot product then costs half a load, and nothing has to be unpacked between them.
#pragma once

#include <bitnet/kernels/x86/avx512_zeros.hpp>

#include <utility>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX512_VNNI
namespace kernels {
namespace on_avx512::vnni {

using quant::nonzero_block;

/// Bytes of a tile's unpacked codes for the columns of a block.
inline constexpr std::size_t unpacked_tile = nonzero_block::columns * quant::tile_rows;
/// Quads whose sums are kept while codes are unpacked: with those of a block, 48 KiB of stack.
inline constexpr std::size_t most_quads = 32;

/// Adds the fours with this mask; `values` moves on behind theirs.
template <std::size_t R, unsigned mask>
BITNET_INLINE void add_fours(const std::uint8_t* codes, const nonzero_block& list,
                             const std::int8_t (*&values)[4],
                             __m512i (&sums)[R][nonzero_block::rows]) noexcept {
  const std::uint8_t* const stop = list.place + list.end[mask];
  for (const std::uint8_t* place = list.place + list.end[mask - 1]; place != stop; ++place) {
    const std::uint8_t* const four = codes + *place * quant::line_bytes;
    __m512i w[R];
    BITNET_UNROLL
    for (std::size_t r = 0; r < R; ++r) w[r] = load_line(four + r * unpacked_tile);
    BITNET_UNROLL
    for (std::size_t t = 0; t < nonzero_block::rows; ++t) {
      if ((mask >> t & 1U) == 0) continue;
      const __m512i x = broadcast_four(*values++);
      BITNET_UNROLL
      for (std::size_t r = 0; r < R; ++r) {
        sums[r][t] = _mm512_dpbusd_epi32(sums[r][t], w[r], x);
        BITNET_KEEP_ORDER(sums[r][t]);
      }
    }
  }
}

/// Adds a block's products with R tiles to to[r][t], 16 sums each.
template <std::size_t R, std::size_t... mask>
inline void add_lists(const std::uint8_t* codes, const nonzero_block& list,
                      std::int32_t (*to)[nonzero_block::rows][quant::tile_rows],
                      std::index_sequence<mask...>) noexcept {
  __m512i sums[R][nonzero_block::rows];
  BITNET_UNROLL
  for (std::size_t r = 0; r < R; ++r) {
    BITNET_UNROLL
    for (std::size_t t = 0; t < nonzero_block::rows; ++t) sums[r][t] = _mm512_loadu_si512(to[r][t]);
  }
  const std::int8_t(*values)[4] = list.values;
  (add_fours<R, mask + 1>(codes, list, values, sums), ...);
  BITNET_UNROLL
  for (std::size_t r = 0; r < R; ++r) {
    BITNET_UNROLL
    for (std::size_t t = 0; t < nonzero_block::rows; ++t) _mm512_storeu_si512(to[r][t], sums[r][t]);
  }
}

/// R tiles, all tokens.
template <std::size_t R>
inline void nonzero_tiles(const quant::tiled_view& w, const quant::quantized_rows& x,
                          matrix_view<float> y, std::size_t tile) noexcept {
  constexpr std::size_t T = nonzero_block::rows, lines_a_block = nonzero_block::columns / 16;
  alignas(64) std::uint8_t codes[R * unpacked_tile];
  alignas(64) std::int32_t sums[most_quads][R][T][quant::tile_rows];
  const std::size_t lists = x.nonzero_blocks(), tile_lines = w.lines_per_tile();
  for (std::size_t first = 0; first < x.quads(); first += most_quads) {
    const std::size_t quads = x.quads() - first < most_quads ? x.quads() - first : most_quads;
    std::memset(sums, 0, quads * sizeof sums[0]);
    for (std::size_t b = 0; b < lists; ++b) {
      const std::size_t line = b * lines_a_block;
      const std::size_t lines =
          tile_lines - line < lines_a_block ? tile_lines - line : lines_a_block;
      for (std::size_t r = 0; r < R; ++r)
        blocks::unpack<quant::encoding::ternary2>(
            w.lines + ((tile + r) * tile_lines + line) * quant::line_bytes, lines,
            codes + r * unpacked_tile);
      for (std::size_t q = 0; q < quads; ++q)
        add_lists<R>(codes, x.nonzero[(first + q) * lists + b], sums[q],
                     std::make_index_sequence<nonzero_block::masks - 1>{});
    }
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t q = 0; q < quads; ++q)
        for (std::size_t t = 0; t < T; ++t)
          if (const std::size_t token = (first + q) * T + t; token < x.rows) {
            const i32x16 sum{load_line(sums[q][r][t])};
            const f32x16 total[1] = {one_scale_total(w, x, tile + r, token, sum)};
            store_tile<1>(w, y, tile + r, token, total);
          }
  }
}

/// Whether so much is zero that leaving it out is faster. Lists are those of every matrix that
/// shares the input.
inline bool mostly_zero(const quant::quantized_rows& x) noexcept {
  std::size_t used = 0;
  const std::size_t lists = x.quads() * x.nonzero_blocks();
  for (std::size_t i = 0; i < lists; ++i) used += x.nonzero[i].used;
  return used < x.rows * (x.padded() / 4) / 16 * 15;
}

/// Where there are lists of what is not zero, by those, all tokens at once: returns their number.
/// Nothing else is unpacked beforehand.
template <quant::encoding E>
inline std::size_t block_all(const quant::tiled_view& w, const quant::quantized_rows& x,
                             matrix_view<float> y, std::size_t first_tile,
                             std::size_t last_tile) noexcept {
  if constexpr (E == quant::encoding::ternary2) {
    if (x.nonzero == nullptr || !one_scale_a_row(w, x) || !mostly_zero(x)) return 0;
    std::size_t tile = first_tile;
    for (; tile + 4 <= last_tile; tile += 4) nonzero_tiles<4>(w, x, y, tile);
    for (; tile + 2 <= last_tile; tile += 2) nonzero_tiles<2>(w, x, y, tile);
    for (; tile < last_tile; ++tile) nonzero_tiles<1>(w, x, y, tile);
    return x.rows;
  } else {
    return 0;
  }
}

}  // namespace on_avx512::vnni
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
