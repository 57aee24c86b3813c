// SPDX-License-Identifier: Apache-2.0
// Root-mean-square normalisation (Zhang and Sennrich, "Root Mean Square Layer Normalization",
// 2019).
#pragma once

#include <bitnet/nn/context.hpp>

#include <span>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// y = x / sqrt(mean(x^2) + eps) * weight.
struct rms_norm {
  std::span<const float> weight;
  float eps = 1e-5F;

  /// Normalises each row; x is [rows][weight.size()].
  template <class C>
  [[nodiscard]] activations operator()(C& c, activations x) const {
    auto y = c.make(x.rows, x.cols);
    c.each_row(x.rows, [&](std::size_t r) {
      c.kernels().rms_norm(x.row(r), weight.data(), eps, y.row(r), x.cols);
    });
    return y;
  }

  /// Normalises in place each run of weight.size() values of each row: one head at a time.
  template <class C>
  void each_head(C& c, activations x) const {
    c.each_row(x.rows, [&](std::size_t r) {
      for (std::size_t first = 0; first < x.cols; first += weight.size()) {
        float* head = x.row(r) + first;
        c.kernels().rms_norm(head, weight.data(), eps, head, weight.size());
      }
    });
  }
};

}  // namespace nn
BITNET_NAMESPACE_END
