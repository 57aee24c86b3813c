// SPDX-License-Identifier: Apache-2.0
// Linear layers: y = W x, with the input quantized once for all matrices that share it.
#pragma once

#include <bitnet/kernels/rows.hpp>
#include <bitnet/nn/context.hpp>
#include <bitnet/nn/weights.hpp>

#include <array>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// A linear layer without a nonlinearity; W is a weight format or any_format. In a BitNet model
/// this is BitLinear (Ma et al., "The Era of 1-bit LLMs", 2024): the loader set how the input is
/// quantized.
template <layer_format W = any_format>
struct linear {
  using format = W;
  weight_matrix weight;

  /// y = W x for each row of x.
  template <class C>
  [[nodiscard]] activations operator()(C& c, activations x) const;
};

namespace detail {

/// The input of a step's matrices in each representation that one of them asks for.
struct layer_input {
  matrix_view<const float> exact;
  matrix_view<const float> rounded;  ///< int8 and back to float
  quant::quantized_rows per_token;
  quant::quantized_rows per_block;
  quant::quantized_rows two_planes;  ///< x in the first rows, its rounding errors behind
};

/// Rows that a matrix computes for each row of its input.
[[nodiscard]] constexpr std::size_t planes(const weight_matrix& w) noexcept {
  return w.input == quant::activation_kind::two_planes ? 2 : 1;
}

/// Rows of x quantized; `binary` says whether a binary matrix will read them.
template <class C>
[[nodiscard]] quant::quantized_rows quantize(C& c, activations x, quant::activation_kind kind,
                                             bool binary = false) {
  const bool twice = kind == quant::activation_kind::two_planes;
  quant::quantized_rows q;
  q.rows = twice ? 2 * x.rows : x.rows;
  q.cols = x.cols;
  q.block = kind == quant::activation_kind::per_token ? q.padded() : quant::activation_block;
  q.values = c.template take<std::int8_t>(q.rows * q.padded());
  q.scales = c.template take<float>(q.rows * q.blocks());
  q.prefix = c.template take<std::int32_t>(q.rows * q.prefixes());
  q.less = c.template take<std::int32_t>(q.rows * q.blocks());
  if (binary) q.sums = c.template take<std::int8_t>(q.rows * q.padded() * quant::sums_per_value);
  const auto lost = twice ? c.make(x.rows, x.cols) : activations{};
  c.each_row(x.rows, [&](std::size_t r) {
    c.kernels().quantize(x.row(r), q, r);
    if (binary) c.kernels().tabulate(q, r);
    if (!twice) return;
    kernels::rounding_error(x.row(r), q, r, lost.row(r));
    c.kernels().quantize(lost.row(r), q, x.rows + r);
    if (binary) c.kernels().tabulate(q, x.rows + r);
  });
  return q;
}

/// Rows of a step from which on zeros are left out: rearranging what is left takes time too.
inline constexpr std::size_t fewest_rows_to_skip = 32;

/// Whether this context's kernels leave out products with zeros for a matrix and so many rows.
template <class C>
[[nodiscard]] bool skips_zeros(const C& c, const weight_matrix& w, std::size_t rows) noexcept {
  if (rows < fewest_rows_to_skip || !c.kernels().skips_zeros) return false;
  if (w.storage != weight_storage::tiled || w.input != quant::activation_kind::per_token)
    return false;
  const quant::tile_plan& plan = w.tiles.plan();
  return plan.codes == quant::encoding::ternary2 && plan.group >= plan.cols && !plan.has_mins;
}

/// Lists where rows of x are not zero, for matrices that leave out what is.
template <class C>
void list_nonzero(C& c, quant::quantized_rows& x) {
  x.nonzero = c.template take<quant::nonzero_block>(x.quads() * x.nonzero_blocks());
  c.each_row(x.quads(), [&](std::size_t quad) { c.kernels().list_nonzero(x, quad); });
}

/// Prepares what `matrices` need of x.
template <class C, class... L>
[[nodiscard]] layer_input prepare(C& c, activations x, const L&... layers) {
  using quant::activation_kind;
  const auto any = [&](auto predicate) { return (predicate(layers.weight) || ...); };
  layer_input in;
  in.exact = x;
  const auto read = [&](activation_kind kind) {
    return any([&](const weight_matrix& w) { return w.input == kind; });
  };
  const auto quantized = [&](activation_kind kind) {
    return quantize(c, x, kind, any([&](const weight_matrix& w) {
                      return w.input == kind && w.storage == weight_storage::tiled &&
                             w.tiles.plan().codes == quant::encoding::binary;
                    }));
  };
  const bool rounded = any([](const weight_matrix& w) {
    return w.input == activation_kind::per_token && w.storage != weight_storage::tiled;
  });
  if (read(activation_kind::per_block)) in.per_block = quantized(activation_kind::per_block);
  if (read(activation_kind::two_planes)) in.two_planes = quantized(activation_kind::two_planes);
  if (read(activation_kind::per_token)) in.per_token = quantized(activation_kind::per_token);
  if (rounded) {
    auto y = c.make(x.rows, x.cols);
    c.each_row(x.rows, [&](std::size_t r) { kernels::dequantize(in.per_token, r, y.row(r)); });
    in.rounded = y;
  }
  return in;
}

/// Rows [first_row, last_row) of y = W x; whole tiles where the storage has them.
template <class W, class C>
void multiply_rows(const C& c, const linear<W>& layer, const layer_input& in, activations y,
                   std::size_t first_row, std::size_t last_row, std::span<float> row_scratch) {
  const weight_matrix& w = layer.weight;
  const auto& k = c.kernels();
  const auto& x = w.input == quant::activation_kind::per_token ? in.rounded : in.exact;
  switch (w.storage) {
    case weight_storage::none:
      return;
    case weight_storage::tiled: {
      const auto& q = w.input == quant::activation_kind::per_token   ? in.per_token
                      : w.input == quant::activation_kind::per_block ? in.per_block
                                                                     : in.two_planes;
      k.gemm_tiled(w.tiles.view(), q, y, first_row / quant::tile_rows,
                   ceil_div(last_row, quant::tile_rows));
      break;
    }
    case weight_storage::f32:
      k.gemm_f32(w.bytes, x, y, first_row, last_row);
      break;
    case weight_storage::f16:
      k.gemm_f16(w.bytes, x, y, first_row, last_row);
      break;
    case weight_storage::bf16:
      k.gemm_bf16(w.bytes, x, y, first_row, last_row);
      break;
    case weight_storage::decoded:
      if constexpr (std::same_as<W, any_format>) {
        kernels::gemm_decoded(k, w.decode, w.bytes, x, y, first_row, last_row, row_scratch);
      } else {
        c.with_isa([&](auto isa) {
          gemm_rows(isa, W{}, k, w.bytes, x, y, first_row, last_row, row_scratch);
        });
      }
      break;
  }
  const std::size_t n = last_row - first_row;
  const std::size_t rows = y.rows / planes(w);
  for (std::size_t r = 0; r < rows; ++r) {
    if (planes(w) == 2) k.add(y.row(r) + first_row, y.row(rows + r) + first_row, n);
    if (w.output_scale != 1.0F) k.scale(y.row(r) + first_row, w.output_scale, n);
    if (!w.bias.empty()) k.add(y.row(r) + first_row, w.bias.data() + first_row, n);
  }
}

/// All of out_i = W_i x in one parallel loop over an input that is prepared.
template <class C, class... W>
void multiply(C& c, const layer_input& in, const std::array<activations, sizeof...(W)>& out,
              const linear<W>&... layers) {
  std::size_t widest = 0;  // one decoded row for each thread, where a matrix needs it
  const auto need = [&](const weight_matrix& w) {
    if (w.storage == weight_storage::decoded) widest = std::max(widest, round_up(w.cols, 16));
  };
  (need(layers.weight), ...);
  float* scratch = widest == 0 ? nullptr : c.template take<float>(c.concurrency() * widest);

  const std::size_t tiles = (ceil_div(layers.weight.rows, quant::tile_rows) + ...);
  const auto timing = c.time(step_part::weights);
  c.pieces(tiles, [&](std::size_t begin, std::size_t end, std::size_t worker) {
    const std::span<float> mine{scratch + worker * widest, widest};
    std::size_t base = 0;  // tiles of the matrices before this one
    std::size_t index = 0;
    const auto run = [&](const auto& layer) {
      const std::size_t count = ceil_div(layer.weight.rows, quant::tile_rows);
      const std::size_t from = std::max(begin, base);
      const std::size_t to = std::min(end, base + count);
      if (from < to)
        multiply_rows(c, layer, in, out[index], (from - base) * quant::tile_rows,
                      std::min((to - base) * quant::tile_rows, layer.weight.rows), mine);
      base += count;
      ++index;
    };
    (run(layers), ...);
  });
}

}  // namespace detail

/// All of y_i = W_i x in one parallel loop, x quantized once: `auto [q, k, v] = project(c, h, wq,
/// wk, wv)`. Work is cut into runs of 16-row tiles.
template <class C, class... W>
[[nodiscard]] std::array<activations, sizeof...(W)> project(C& c, activations x,
                                                            const linear<W>&... layers) {
  std::array<activations, sizeof...(W)> out{
      c.make(x.rows * detail::planes(layers.weight), layers.weight.rows)...};
  const auto scope = c.scope();
  const auto in = detail::prepare(c, x, layers...);
  detail::multiply(c, in, out, layers...);
  for (activations& y : out) y.rows = x.rows;
  return out;
}

template <layer_format W>
template <class C>
activations linear<W>::operator()(C& c, activations x) const {
  return project(c, x, *this)[0];
}

}  // namespace nn
BITNET_NAMESPACE_END
