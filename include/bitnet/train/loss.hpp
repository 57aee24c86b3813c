// SPDX-License-Identifier: Apache-2.0
// Cross-entropy of one row of logits, and its gradient.
#pragma once

#include <bitnet/core/token.hpp>
#include <bitnet/train/exp.hpp>
#include <bitnet/train/matrix.hpp>

#include <cmath>
#include <cstddef>

BITNET_NAMESPACE_BEGIN
namespace train {

/// -log(softmax(x)[target]) for logits x[0, n), which become the gradient of `weight` times that.
template <class T>
[[nodiscard]] double cross_entropy(T* x, std::size_t n, token target, T weight) noexcept {
  const auto at = static_cast<std::size_t>(target);
  const T most = lane_max<T>(n, x[0], [x](std::size_t i) { return x[i]; });
  const T own = x[at] - most;
  for (std::size_t i = 0; i < n; ++i) x[i] = exponential(x[i] - most);
  const T sum = lane_sum<T>(n, [x](std::size_t i) { return x[i]; });
  const T factor = weight / sum;
  for (std::size_t i = 0; i < n; ++i) x[i] *= factor;
  x[at] -= weight;
  return std::log(static_cast<double>(sum)) - static_cast<double>(own);
}

}  // namespace train
BITNET_NAMESPACE_END
