// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI: the product that a gate multiplies, computed only where the gate is open.
//
// Tiles have 16 rows in a register, of which a token needs some. So the codes of a few tiles are
// turned first: a row's codes of 256 columns fill one register, and a dot product of registers is
// one row times one token, whose sixteen sums are added up at the end. For four tokens, rows are
// then sorted by which of these tokens need them, and all that need the same are multiplied in
// blocks of four rows.
#pragma once

#include <bitnet/kernels/x86/avx512_zeros.hpp>

#include <bit>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX512_VNNI
namespace kernels {
namespace on_avx512::vnni {

using tag = isa::avx512_vnni;

/// Tokens that rows are sorted for.
inline constexpr std::size_t gated_tokens = 4;
/// Rows that are sorted at a time.
inline constexpr std::size_t gated_rows = gated_tiles * quant::tile_rows;

/// The sums of all lanes of four registers.
BITNET_INLINE __m128i fold_four(__m512i a, __m512i b, __m512i c, __m512i d) noexcept {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  const __m512i all =
      _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  const __m256i half =
      _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/// R rows (1 or 4) times N tokens, from their turned codes and activations; to[n][r] is where the
/// sum of row r and token n goes. A function of its own, so that GCC keeps its sums in registers.
template <std::size_t R, std::size_t N>
BITNET_NOINLINE void turned_rows(const std::uint8_t* const (&codes)[4], std::size_t row_bytes,
                                 const std::int8_t* const (&x)[gated_tokens],
                                 std::int32_t* const (&to)[4],
                                 const std::size_t (&token)[gated_tokens]) noexcept {
  const std::uint8_t* line[R];
  const std::int8_t* in[N];
  __m512i sums[R][N];
  BITNET_UNROLL
  for (std::size_t r = 0; r < R; ++r) line[r] = codes[r];
  BITNET_UNROLL
  for (std::size_t n = 0; n < N; ++n) in[n] = x[n];
  BITNET_UNROLL
  for (std::size_t r = 0; r < R; ++r) {
    BITNET_UNROLL
    for (std::size_t n = 0; n < N; ++n) sums[r][n] = _mm512_setzero_si512();
  }
  const __m512i mask = _mm512_set1_epi8(3);
  for (std::size_t at = 0; at < row_bytes; at += quant::line_bytes) {
    __m512i w[R];
    BITNET_UNROLL
    for (std::size_t r = 0; r < R; ++r) {
      w[r] = load_line(line[r] + at);
      BITNET_KEEP_ORDER(w[r]);
    }
    BITNET_UNROLL
    for (std::size_t p = 0; p < 4; ++p) {
      __m512i now[R];
      BITNET_UNROLL
      for (std::size_t r = 0; r < R; ++r) {
        now[r] = _mm512_and_si512(w[r], mask);
        w[r] = _mm512_srli_epi16(w[r], 2);
      }
      BITNET_UNROLL
      for (std::size_t n = 0; n < N; ++n) {
        const __m512i a = load_line(in[n] + 4 * at + 64 * p);
        BITNET_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
          sums[r][n] = _mm512_dpbusd_epi32(sums[r][n], now[r], a);
          BITNET_KEEP_ORDER(sums[r][n]);
        }
      }
    }
  }
  const auto of = [&](std::size_t r, std::size_t n) {
    return r < R ? sums[r < R ? r : 0][n] : _mm512_setzero_si512();
  };
  BITNET_UNROLL
  for (std::size_t n = 0; n < N; ++n) {
    const __m128i four = fold_four(of(0, n), of(1, n), of(2, n), of(3, n));
    to[0][token[n]] = _mm_extract_epi32(four, 0);
    if constexpr (R == 4) {
      to[1][token[n]] = _mm_extract_epi32(four, 1);
      to[2][token[n]] = _mm_extract_epi32(four, 2);
      to[3][token[n]] = _mm_extract_epi32(four, 3);
    }
  }
}

/// Sums of the rows that are needed, [token][row].
using gated_sums = std::int32_t[gated_tokens][gated_rows];

/// The rows listed, `count` of them, times the N tokens in `mask`.
template <std::size_t N>
inline void gated_list(const std::uint8_t* codes, std::size_t row_bytes, const std::uint16_t* rows,
                       std::size_t count, unsigned mask, const std::int8_t* values,
                       gated_sums& sums) noexcept {
  const std::int8_t* x[gated_tokens] = {};
  std::size_t token[gated_tokens] = {};
  for (std::size_t n = 0; n < N; ++n, mask &= mask - 1) {
    const auto t = static_cast<std::size_t>(std::countr_zero(mask));
    x[n] = values + t * 4 * row_bytes;
    token[n] = t * gated_rows;
  }
  const std::uint8_t* line[4] = {};
  std::int32_t* to[4] = {};
  const auto take = [&](std::size_t i, std::size_t r) {
    line[r] = codes + rows[i] * row_bytes;
    to[r] = sums[0] + rows[i];
  };
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (std::size_t r = 0; r < 4; ++r) take(i + r, r);
    turned_rows<4, N>(line, row_bytes, x, to, token);
  }
  for (; i < count; ++i) {
    take(i, 0);
    turned_rows<1, N>(line, row_bytes, x, to, token);
  }
}

/// Rows in the order of which tokens need them: those of mask m are row[first[m]] .. row[first[m +
/// 1] - 1].
struct gated_order {
  std::uint16_t first[(1U << gated_tokens) + 1];
  std::uint16_t row[gated_rows];

  gated_order(const std::uint8_t* masks, std::size_t rows) noexcept : first{} {
    constexpr std::size_t n = 1U << gated_tokens;
    for (std::size_t i = 0; i < rows; ++i) ++first[masks[i] + 1];
    for (std::size_t m = 0; m < n; ++m)
      first[m + 1] = static_cast<std::uint16_t>(first[m + 1] + first[m]);
    std::uint16_t next[n];
    std::memcpy(next, first, sizeof next);
    for (std::size_t i = 0; i < rows; ++i) row[next[masks[i]]++] = static_cast<std::uint16_t>(i);
  }
};

/// Tiles [tile, tile + count), gated_tiles or fewer.
inline void gated_run(const quant::tiled_view& w, const quant::quantized_rows& x,
                      matrix_view<float> gate, std::size_t tile, std::size_t count,
                      std::byte* scratch) noexcept {
  const std::size_t padded = round_up(w.cols, turned_columns), row_bytes = padded / 4;
  const std::size_t tile_lines = w.lines_per_tile();
  auto* const codes = reinterpret_cast<std::uint8_t*>(scratch);
  auto* const values = reinterpret_cast<std::int8_t*>(codes + gated_rows * row_bytes);
  bool finite = true;
  for (std::size_t i = 0; i < count; ++i) {
    turn_tile(w.lines + (tile + i) * tile_lines * quant::line_bytes, tile_lines, row_bytes,
              codes + i * quant::tile_rows * row_bytes);
    finite = finite && is_moderate(load_scales(w, (tile + i) * quant::tile_rows));
  }
  for (std::size_t token = 0; token < x.rows; token += gated_tokens) {
    const std::size_t tokens = x.rows - token < gated_tokens ? x.rows - token : gated_tokens;
    bool skips = finite;
    for (std::size_t t = 0; t < tokens; ++t) {
      turn_values(x.values + (token + t) * x.padded(), x.padded(), values + t * padded);
      skips = skips && is_moderate(broadcast(x.scales[token + t]));
    }
    // Gates above this are open, and those that are not numbers; above what is none, all are.
    const f32x16 least = broadcast(skips ? 0.0F : std::numeric_limits<float>::quiet_NaN());
    std::uint8_t masks[gated_rows];
    for (std::size_t i = 0; i < count; ++i) {
      __m512i open = _mm512_setzero_si512();
      for (std::size_t t = 0; t < tokens; ++t) {
        const f32x16 g = load_tile(w, gate, tile + i, token + t);
        const auto above = _mm512_cmp_ps_mask(g.v, least.v, _CMP_NLE_UQ);
        open = _mm512_or_si512(open, _mm512_maskz_mov_epi32(above, _mm512_set1_epi32(1 << t)));
      }
      _mm_storeu_si128(reinterpret_cast<__m128i*>(masks + i * quant::tile_rows),
                       _mm512_cvtepi32_epi8(open));
    }
    const gated_order order{masks, count * quant::tile_rows};
    gated_sums sums;
    if (skips) std::memset(sums, 0, sizeof sums);
    for (unsigned m = 1; m < 1U << gated_tokens; ++m) {
      const std::uint16_t* const rows = order.row + order.first[m];
      const std::size_t n = order.first[m + 1] - order.first[m];
      switch (std::popcount(m)) {
        case 1:
          gated_list<1>(codes, row_bytes, rows, n, m, values, sums);
          break;
        case 2:
          gated_list<2>(codes, row_bytes, rows, n, m, values, sums);
          break;
        case 3:
          gated_list<3>(codes, row_bytes, rows, n, m, values, sums);
          break;
        default:
          gated_list<4>(codes, row_bytes, rows, n, m, values, sums);
          break;
      }
    }
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t i = 0; i < count; ++i) {
        const i32x16 sum{load_line(sums[t] + i * quant::tile_rows)};
        const f32x16 up = one_scale_total(w, x, tile + i, token + t, sum);
        const f32x16 result[1] = {relu2_times(load_tile(w, gate, tile + i, token + t), up)};
        store_tile<1>(w, gate, tile + i, token + t, result);
      }
  }
}

inline tag gemm_gated(tag self, const quant::tiled_view& w, const quant::quantized_rows& x,
                      matrix_view<float> gate, std::size_t first_tile, std::size_t last_tile,
                      std::byte* scratch) noexcept {
  if (w.codes != quant::encoding::ternary2 || !one_scale_a_row(w, x)) {
    on_scalar::gemm_gated(isa::scalar{}, w, x, gate, first_tile, last_tile, scratch);
    return self;
  }
  const std::size_t tiles = last_tile - first_tile, runs = ceil_div(tiles, gated_tiles);
  for (std::size_t i = 0; i < runs; ++i) {
    const std::size_t from = tiles * i / runs, to = tiles * (i + 1) / runs;
    gated_run(w, x, gate, first_tile + from, to - from, scratch);
  }
  return self;
}

}  // namespace on_avx512::vnni
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
