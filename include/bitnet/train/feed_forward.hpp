// SPDX-License-Identifier: Apache-2.0
// The gate of a feed-forward layer on one row, forwards and backwards.
#pragma once

#include <bitnet/nn/hparams.hpp>
#include <bitnet/train/exp.hpp>

#include <cstddef>

BITNET_NAMESPACE_BEGIN
namespace train {

/// y = act(gate) * up with act(g) = max(g, 0)^2 or g / (1 + exp(-g)).
template <class T>
void gated(nn::gate_activation act, const T* gate, const T* up, T* y, std::size_t n) noexcept {
  if (act == nn::gate_activation::relu2) {
    for (std::size_t i = 0; i < n; ++i) {
      const T r = gate[i] > T{0} ? gate[i] : T{0};
      y[i] = r * r * up[i];
    }
  } else {
    for (std::size_t i = 0; i < n; ++i) y[i] = gate[i] / (T{1} + exponential(-gate[i])) * up[i];
  }
}

/// The gradients of gate and up for the gradient dy of y.
template <class T>
void gated_backward(nn::gate_activation act, const T* gate, const T* up, const T* dy, T* dgate,
                    T* dup, std::size_t n) noexcept {
  if (act == nn::gate_activation::relu2) {
    for (std::size_t i = 0; i < n; ++i) {
      const T r = gate[i] > T{0} ? gate[i] : T{0};
      dgate[i] = T{2} * r * up[i] * dy[i];
      dup[i] = r * r * dy[i];
    }
  } else {
    for (std::size_t i = 0; i < n; ++i) {
      const T sigmoid = T{1} / (T{1} + exponential(-gate[i]));
      const T silu = gate[i] * sigmoid;
      dgate[i] = dy[i] * up[i] * (sigmoid + silu * (T{1} - sigmoid));
      dup[i] = dy[i] * silu;
    }
  }
}

}  // namespace train
BITNET_NAMESPACE_END
