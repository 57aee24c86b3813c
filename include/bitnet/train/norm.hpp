// SPDX-License-Identifier: Apache-2.0
// Root-mean-square normalisation of one row, forwards and backwards.
#pragma once

#include <bitnet/train/matrix.hpp>

#include <cmath>
#include <cstddef>

BITNET_NAMESPACE_BEGIN
namespace train {

/// y = x * inverse * weight with inverse = 1 / sqrt(mean(x^2) + eps), which is returned for the
/// backward pass.
template <class T>
T rms_norm(const T* x, const T* weight, T eps, T* y, std::size_t n) noexcept {
  const T squares = lane_sum<T>(n, [x](std::size_t i) { return x[i] * x[i]; });
  const T inverse = T{1} / std::sqrt(squares / static_cast<T>(n) + eps);
  for (std::size_t i = 0; i < n; ++i) y[i] = (x[i] * inverse) * weight[i];
  return inverse;
}

/// dx = or += the gradient of x, and dweight += that of the weight, for the gradient dy of y.
/// dx may be dy.
template <into Mode, class T>
void rms_norm_backward(const T* x, const T* weight, T inverse, const T* dy, T* dx, T* dweight,
                       std::size_t n) noexcept {
  const T dot = lane_sum<T>(n, [=](std::size_t i) { return dy[i] * weight[i] * x[i]; });
  const T along = dot * inverse * inverse / static_cast<T>(n);
  for (std::size_t i = 0; i < n; ++i) {
    dweight[i] += dy[i] * x[i] * inverse;
    const T d = (dy[i] * weight[i] - x[i] * along) * inverse;
    if constexpr (Mode == into::add) {
      dx[i] += d;
    } else {
      dx[i] = d;
    }
  }
}

}  // namespace train
BITNET_NAMESPACE_END
