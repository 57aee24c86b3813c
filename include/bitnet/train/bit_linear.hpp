// SPDX-License-Identifier: Apache-2.0
// BitLinear (Wang et al., "BitNet", 2023): a linear layer of rounded weights and rounded inputs.
#pragma once

#include <bitnet/train/integer_linear.hpp>
#include <bitnet/train/quantizer.hpp>

#include <array>
#include <cstddef>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Rounds the values in place, and sets the scales that they have to be multiplied by.
template <class T>
void quantize_rows(const activation_rounding<T>& round, const layer_input<T>& x) noexcept {
  for (std::size_t r = 0; r < x.values.rows; ++r)
    x.scales[r] = round.quantize(x.values.row(r), x.values.row(r), x.values.cols);
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
/// scale for each matrix. With `integers`, which are the same codes, products are of integers.
/// Nothing is owned.
template <class T>
struct bit_linear {
  struct part {
    std::size_t outputs = 0;
    T scale = T{1};
  };
  matrix_view<const T> codes;
  std::array<part, 3> parts = {};
  const integer_weights* integers = nullptr;

  /// y = x W^T for rounded x. Sums of integer codes are exact either way. Afterwards x holds what
  /// the backward pass wants: codes, or else the values that they stand for.
  void forward(const layer_input<T>& x, matrix_view<T> y) const noexcept {
    if constexpr (std::is_same_v<T, float>)
      if (integers != nullptr) return integer_forward(*integers, x, y);
    multiply_nt(y, x.values, codes);
    for (std::size_t r = 0; r < y.rows; ++r) {
      T* out = y.row(r);
      const T scale = x.scales[r];
      for (const part& p : parts) {
        if (scale != T{1} || p.scale != T{1})
          for (std::size_t i = 0; i < p.outputs; ++i) out[i] = (out[i] * scale) * p.scale;
        out += p.outputs;
      }
    }
    scale_rows(x.values, static_cast<const T*>(x.scales));
  }

  /// dx for the gradient dy of y, of the tokens of piece `chunk`, whose rounded inputs are x:
  /// rounding counts as the identity. Prepares what the gradient of the weights needs, too.
  void backward(std::size_t chunk, detail::constant<T> dy, const layer_input<T>& x,
                matrix_view<T> dx, const gradient_operands& operands,
                std::int32_t* scratch) const noexcept {
    if constexpr (std::is_same_v<T, float>) {
      if (integers != nullptr) {
        integer_backward(*integers, dy, dx, scratch);
        return integer_operands(operands, chunk, dy, x);
      }
    }
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
  matrix_view<T> dw;                ///< [outputs][inputs], added to
  matrix_view<const T> dy;          ///< [tokens][outputs]
  matrix_view<const T> x;           ///< [tokens][inputs], rounded
  gradient_operands integers = {};  ///< both of them, where products are of integers
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
      if constexpr (std::is_same_v<T, float>)
        if (p.integers.left != nullptr)
          return integer_gradient(p.integers, p.dy.rows, first, p.dw.slice(first, count));
      return add_multiply_tn(p.dw.slice(first, count), columns(p.dy, first, count), p.x);
    }
  };
  threads.parallel_for(pieces, task);
}

}  // namespace train
BITNET_NAMESPACE_END
