// SPDX-License-Identifier: Apache-2.0
// The nonlinearity of gated feed-forward layers (Shazeer, "GLU Variants Improve Transformer",
// 2020).
#pragma once

#include <bitnet/nn/context.hpp>

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

}  // namespace nn
BITNET_NAMESPACE_END
