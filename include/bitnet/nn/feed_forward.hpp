// SPDX-License-Identifier: Apache-2.0
// Gated feed-forward layers (Shazeer, "GLU Variants Improve Transformer", 2020), and what the zeros
// of a squared ReLU save: about half of its gates are closed, and what they multiply is not
// computed for many tokens at once.
#pragma once

#include <bitnet/nn/linear.hpp>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// silu(gate) * up, written over gate.
template <class C>
activations silu_mul(C& c, activations gate, activations up) {
  c.each_row(gate.rows, [&](std::size_t r) {
    c.kernels().silu_mul(gate.row(r), up.row(r), gate.row(r), gate.cols);
  });
  return gate;
}

/// max(gate, 0)^2 * up, written over gate.
template <class C>
activations relu2_mul(C& c, activations gate, activations up) {
  c.each_row(gate.rows, [&](std::size_t r) {
    c.kernels().relu2_mul(gate.row(r), up.row(r), gate.row(r), gate.cols);
  });
  return gate;
}

/// The activation that the hyper-parameters name.
template <class C>
activations gated(C& c, activations gate, activations up) {
  return c.shape().activation == gate_activation::relu2 ? relu2_mul(c, gate, up)
                                                        : silu_mul(c, gate, up);
}

/// activation(Wgate x) * Wup x for each row of x: `gated` of both products. Where a squared ReLU
/// closes a gate, the other product is left out, if the kernels can make use of that.
template <class C, layer_format W, layer_format V>
[[nodiscard]] activations gated_product(C& c, activations x, const linear<W>& gate,
                                        const linear<V>& up) {
  const weight_matrix& w = up.weight;
  const bool skips = c.shape().activation == gate_activation::relu2 && w.output_scale == 1.0F &&
                     w.bias.empty() && detail::skips_zeros(c, w, x.rows);
  std::array<activations, 2> out{c.make(x.rows * detail::planes(gate.weight), gate.weight.rows),
                                 c.make(x.rows * detail::planes(w), w.rows)};
  {
    const auto scope = c.scope();
    const auto in = detail::prepare(c, x, gate, up);
    if (skips) {
      detail::multiply(c, in, std::array{out[0]}, gate);
      const std::size_t room = kernels::gated_scratch(w.cols);
      auto* const scratch = c.template take<std::byte>(c.concurrency() * room);
      const auto timing = c.time(step_part::weights);
      c.pieces(ceil_div(w.rows, quant::tile_rows),
               [&](std::size_t first, std::size_t last, std::size_t worker) {
                 c.kernels().gemm_gated(w.tiles.view(), in.per_token, out[0], first, last,
                                        scratch + worker * room);
               });
    } else {
      detail::multiply(c, in, out, gate, up);
    }
  }
  for (activations& y : out) y.rows = x.rows;
  return skips ? out[0] : gated(c, out[0], out[1]);
}

/// Wdown x for each row of x, which gated_product gave, whatever norm it went through: `down(c,
/// x)`. After a squared ReLU most of x is zero once it is rounded, which many tokens at once leave
/// out.
template <class C, layer_format W>
[[nodiscard]] activations down_product(C& c, activations x, const linear<W>& down) {
  if (c.shape().activation != gate_activation::relu2 ||
      !detail::skips_zeros(c, down.weight, x.rows))
    return down(c, x);
  const activations out = c.make(x.rows, down.weight.rows);
  const auto scope = c.scope();
  auto in = detail::prepare(c, x, down);
  detail::list_nonzero(c, in.per_token);
  detail::multiply(c, in, std::array{out}, down);
  return out;
}

}  // namespace nn
BITNET_NAMESPACE_END
