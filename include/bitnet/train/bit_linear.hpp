// SPDX-License-Identifier: Apache-2.0
// BitLinear (Wang et al., "BitNet", 2023): a linear layer of rounded weights and rounded inputs.
#pragma once

#include <bitnet/train/quantizer.hpp>

#include <array>
#include <cstddef>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Rounds rows of x in place; scales[r] is what row r has to be multiplied by.
template <class T>
void quantize_rows(const activation_rounding<T>& round, matrix_view<T> x, T* scales) noexcept {
  for (std::size_t r = 0; r < x.rows; ++r) scales[r] = round.quantize(x.row(r), x.row(r), x.cols);
}

/// Multiplies each row by its scale.
template <class T>
void scale_rows(matrix_view<T> x, const T* scales) noexcept {
  for (std::size_t r = 0; r < x.rows; ++r) {
    const T s = scales[r];
    if (s == T{1}) continue;
    T* row = x.row(r);
    for (std::size_t i = 0; i < x.cols; ++i) row[i] *= s;
  }
}

/// Up to three matrices that share their input, below each other: codes [outputs][inputs] and a
/// scale for each matrix. Nothing is owned.
template <class T>
struct bit_linear {
  struct part {
    std::size_t outputs = 0;
    T scale = T{1};
  };
  matrix_view<const T> codes;
  std::array<part, 3> parts = {};

  /// y = x W^T for x [tokens][inputs] as codes with a scale for each token. Sums of integer codes
  /// are exact. Afterwards x holds the values that it stood for, as the backward pass wants them.
  void forward(matrix_view<T> x, const T* scales, matrix_view<T> y) const noexcept {
    multiply_nt(y, x, codes);
    for (std::size_t r = 0; r < y.rows; ++r) {
      T* out = y.row(r);
      for (const part& p : parts) {
        if (scales[r] != T{1} || p.scale != T{1})
          for (std::size_t i = 0; i < p.outputs; ++i) out[i] = (out[i] * scales[r]) * p.scale;
        out += p.outputs;
      }
    }
    scale_rows(x, scales);
  }

  /// dx for the gradient dy of y: rounding counts as the identity.
  void backward_input(detail::constant<T> dy, matrix_view<T> dx) const noexcept {
    std::size_t first = 0;
    for (const part& p : parts) {
      if (p.outputs == 0) continue;
      multiply_nn(dx, columns(dy, first, p.outputs), codes.slice(first, p.outputs), p.scale,
                  first == 0 ? into::replace : into::add);
      first += p.outputs;
    }
  }
};

/// What a gradient of weights is computed from; see weight_gradients.
template <class T>
struct weight_gradient {
  matrix_view<T> dw;        ///< [outputs][inputs], added to
  matrix_view<const T> dy;  ///< [tokens][outputs]
  matrix_view<const T> x;   ///< [tokens][inputs], rounded
};

/// Outputs whose gradient is one piece of work.
inline constexpr std::size_t gradient_rows = 256;

/// dw += dy^T x for all of `products`. Each piece of work sums over all tokens by itself, so no
/// gradients of threads have to be added.
template <class T, std::size_t N>
void weight_gradients(executor_ref threads, const std::array<weight_gradient<T>, N>& products) {
  std::size_t pieces = 0;
  for (const auto& p : products) pieces += ceil_div(p.dw.rows, gradient_rows);
  const auto task = [&](std::size_t i, std::size_t) {
    for (const auto& p : products) {
      const std::size_t own = ceil_div(p.dw.rows, gradient_rows);
      if (i >= own) {
        i -= own;
        continue;
      }
      const std::size_t first = i * gradient_rows;
      const std::size_t count = std::min(gradient_rows, p.dw.rows - first);
      add_multiply_tn(p.dw.slice(first, count), columns(p.dy, first, count), p.x);
      return;
    }
  };
  threads.parallel_for(pieces, task);
}

}  // namespace train
BITNET_NAMESPACE_END
