// SPDX-License-Identifier: Apache-2.0
// The tiled matrix product in plain C++: the definition of its result, and the scalar kernel.
//
// For each token and row, with a unit being the overlap of a scale group and an activation block
// (one always contains the other):
//   S       = sum of value(row, c) * x[c] over the unit, an exact int32
//   part_g  = fma(float(S), activation scale, part_g) over the units of group g, from 0
//   y       = fma(part_g, weight scale, y) over the groups, from 0
//   bias_g  = fma(float(sum of x over the unit), activation scale, bias_g), and then
//   y       = fma(-min, bias_g, y) where the matrix has mins.
// No sum leaves int32: a term is at most 2 * 127 in magnitude for ternary and binary codes and
// 128 * 127 for int8 ones, and quant::max_unit_columns bounds how many there are.
#pragma once

#include <bitnet/kernels/scalar.hpp>

#include <algorithm>
#include <utility>

BITNET_NAMESPACE_BEGIN
namespace kernels {
namespace on_scalar {

/// Columns of a tile that are unpacked at a time.
inline constexpr std::size_t reference_columns = 128;

/// The integer weights of rows [0, 16) of a tile at columns [first, first + count), as
/// values[column][row], read straight from the layout's definition in quant/tile.hpp.
inline void tile_values(const quant::tiled_view& w, std::size_t tile, std::size_t first,
                        std::size_t count, std::int16_t (*values)[16]) noexcept {
  const auto [multiplier, offset] = quant::meaning(w.codes);
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t r = 0; r < quant::tile_rows; ++r) {
      const int code = quant::code_at(w, tile * quant::tile_rows + r, first + i);
      values[i][r] = static_cast<std::int16_t>(multiplier * code - offset);
    }
}

/// sums[r] += sum over columns [first, last) of the integer weights times x.
inline void add_unit(const quant::tiled_view& w, std::size_t tile, std::size_t first,
                     std::size_t last, const std::int8_t* x, std::int32_t (&sums)[16]) noexcept {
  std::int16_t values[reference_columns][16];
  for (std::size_t c = first; c < last; c += reference_columns) {
    const std::size_t count = last - c < reference_columns ? last - c : reference_columns;
    tile_values(w, tile, c, count, values);
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t r = 0; r < 16; ++r) sums[r] += values[i][r] * x[c + i];
  }
}

inline tag gemm_tiled(tag self, const quant::tiled_view& w, const quant::quantized_rows& x,
                      matrix_view<float> y, std::size_t first_tile,
                      std::size_t last_tile) noexcept {
  const std::size_t unit = w.group < x.block ? w.group : x.block;
  for (std::size_t tile = first_tile; tile < last_tile; ++tile) {
    for (std::size_t t = 0; t < x.rows; ++t) {
      const std::int8_t* values = x.values + t * x.padded();
      const float* x_scales = x.scales + t * x.blocks();
      float total[16] = {};
      for (std::size_t g = 0; g < w.groups(); ++g) {
        const std::size_t end = (g + 1) * w.group < w.cols ? (g + 1) * w.group : w.cols;
        float part[16] = {};
        float bias = 0.0F;
        for (std::size_t c = g * w.group; c < end; c += unit) {
          const std::size_t stop = c + unit < end ? c + unit : end;
          const float x_scale = x_scales[c / x.block];
          std::int32_t sums[16] = {};
          add_unit(w, tile, c, stop, values, sums);
          for (std::size_t r = 0; r < 16; ++r)
            part[r] = fused_multiply_add(static_cast<float>(sums[r]), x_scale, part[r]);
          if (w.mins != nullptr) {
            std::int32_t sum = 0;
            for (std::size_t i = c; i < stop; ++i) sum += values[i];
            bias = fused_multiply_add(static_cast<float>(sum), x_scale, bias);
          }
        }
        const std::size_t at = (tile * w.groups() + g) * quant::tile_rows;
        for (std::size_t r = 0; r < 16; ++r) {
          const float scale =
              w.scales_f16 != nullptr ? to_float(w.scales_f16[at + r]) : w.scales_f32[at + r];
          total[r] = fused_multiply_add(part[r], scale, total[r]);
          if (w.mins != nullptr) total[r] = fused_multiply_add(-w.mins[at + r], bias, total[r]);
        }
      }
      const std::size_t row = tile * quant::tile_rows;
      const std::size_t rows = w.rows - row < 16 ? w.rows - row : 16;
      std::memcpy(y.row(t) + row, total, rows * sizeof(float));
    }
  }
  return self;
}

/// The definition of the gated product: all of it, and then the gate's.
inline tag gemm_gated(tag self, const quant::tiled_view& w, const quant::quantized_rows& x,
                      matrix_view<float> gate, std::size_t first_tile, std::size_t last_tile,
                      std::byte*) noexcept {
  for (std::size_t t = 0; t < x.rows; ++t)
    for (std::size_t tile = first_tile; tile < last_tile; ++tile) {
      const std::size_t row = tile * quant::tile_rows;
      const std::size_t rows = w.rows - row < 16 ? w.rows - row : 16;
      float up[16];
      quant::quantized_rows one = x;
      one.rows = 1;
      one.values += t * x.padded();
      one.scales += t * x.blocks();
      quant::tiled_view of_tile = w;
      of_tile.rows = rows;
      of_tile.lines += tile * w.lines_per_tile() * quant::line_bytes;
      const std::size_t scales = tile * w.groups() * quant::tile_rows;
      if (w.scales_f16 != nullptr) of_tile.scales_f16 += scales;
      if (w.scales_f32 != nullptr) of_tile.scales_f32 += scales;
      if (w.mins != nullptr) of_tile.mins += scales;
      gemm_tiled(self, of_tile, one, {up, 1, rows}, 0, 1);
      float* const out = gate.row(t) + row;
      relu2_mul(self, out, up, out, rows);
    }
  return self;
}

/// The values of the fours in list.place[first .. last), which have this mask, behind `to`; returns
/// their end. row[r] is where row r has the block's columns.
template <unsigned mask>
inline auto copy_fours(const quant::nonzero_block& list, const std::int8_t* const* row,
                       std::int8_t (*to)[4]) noexcept {
  for (std::size_t p = list.end[mask - 1]; p < list.end[mask]; ++p)
    for (std::size_t r = 0; r < quant::nonzero_block::rows; ++r)
      if ((mask >> r & 1U) != 0) std::memcpy(*to++, row[r] + 4 * std::size_t{list.place[p]}, 4);
  return to;
}

/// The definition of quantized_rows::nonzero.
inline tag list_nonzero(tag self, const quant::quantized_rows& x, std::size_t quad) noexcept {
  using quant::nonzero_block;
  const std::size_t first = quad * nonzero_block::rows;
  const std::size_t rows = std::min(nonzero_block::rows, x.rows - first);
  for (std::size_t b = 0; b < x.nonzero_blocks(); ++b) {
    nonzero_block& list = x.nonzero[quad * x.nonzero_blocks() + b];
    const std::size_t column = b * nonzero_block::columns;
    const std::size_t fours = std::min(nonzero_block::columns, x.padded() - column) / 4;
    const std::int8_t* row[nonzero_block::rows] = {};
    std::uint8_t mask[nonzero_block::fours] = {}, next[nonzero_block::masks + 1] = {};
    for (std::size_t r = 0; r < rows; ++r) {
      row[r] = x.values + (first + r) * x.padded() + column;
      for (std::size_t i = 0; i < fours; ++i) {
        std::uint32_t four;
        std::memcpy(&four, row[r] + 4 * i, sizeof four);
        mask[i] = static_cast<std::uint8_t>(mask[i] | static_cast<unsigned>(four != 0) << r);
      }
    }
    for (const std::uint8_t m : mask) ++next[m + 1];
    for (std::size_t m = 0; m < nonzero_block::masks; ++m)
      list.end[m] = next[m + 1] = static_cast<std::uint8_t>(next[m + 1] + next[m]);
    for (std::size_t i = 0; i < nonzero_block::fours; ++i)
      list.place[next[mask[i]]++] = static_cast<std::uint8_t>(i);
    auto* to = list.values;
    [&]<std::size_t... m>(std::index_sequence<m...>) {
      ((to = copy_fours<m + 1>(list, row, to)), ...);
    }
    (std::make_index_sequence<nonzero_block::masks - 1>{});
    list.used = static_cast<std::uint16_t>(to - list.values);
  }
  return self;
}

/// The definition of quantized_rows::sums. Nothing here reads them.
inline tag tabulate(tag self, const quant::quantized_rows& x, std::size_t row) noexcept {
  const std::int8_t* v = x.values + row * x.padded();
  std::int8_t* to = x.sums + row * x.padded() * quant::sums_per_value;
  for (std::size_t c = 0; c < x.padded(); c += 32, v += 32, to += quant::sums_per_line)
    for (std::size_t group = 0; group < 8; ++group)
      for (std::size_t n = 0; n < 16; ++n) {
        int sum = 0;
        for (std::size_t i = 0; i < 4; ++i)
          sum += (n >> i & 1U) != 0 ? v[4 * group + i] : -v[4 * group + i];
        const int high = (sum + 512 + 16) / 32 - 16;  // rounds down, as a shift does
        std::int8_t* digits = to + group % 2 * 128 + group / 2 * 16 + n;
        digits[0] = static_cast<std::int8_t>(sum - 32 * high);
        digits[64] = static_cast<std::int8_t>(high);
      }
  return self;
}

}  // namespace on_scalar
}  // namespace kernels
BITNET_NAMESPACE_END
