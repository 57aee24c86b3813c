// SPDX-License-Identifier: Apache-2.0
// What a quantizer of weights or activations is: how values are rounded in the forward pass.
//
// The backward pass takes rounding for the identity (the straight-through estimator: Bengio,
// Leonard, Courville, "Estimating or Propagating Gradients Through Stochastic Neurons", 2013), so a
// quantizer is one function. A new one is a struct like those of quantizers.hpp: about 15 lines.
#pragma once

#include <bitnet/core/half.hpp>
#include <bitnet/quant/any.hpp>
#include <bitnet/train/matrix.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Rounds a matrix of weights, [outputs][inputs]: `quantize(w, out)` writes `out` and returns a
/// scale, and the layer then computes with out * scale. Integers in `out` make the products with
/// int8 activations exact. `format` is a type of GGUF that holds such weights without loss. A
/// quantizer may also have
///  - `group`, of which the number of inputs has to be a multiple,
///  - `integers`, true where `out` holds only -1, 0 and 1: products are then faster,
///  - `backward(w, dw)`, which changes the gradient (BinaryConnect stops it where |w| > 1, say).
template <class Q>
concept weight_quantizer = requires(matrix_view<const float> w, matrix_view<float> out) {
  { Q::name } -> std::convertible_to<std::string_view>;
  { Q::format } -> std::convertible_to<quant::format_id>;
  { Q::quantize(w, out) }
  noexcept->std::same_as<float>;
};

/// Rounds one row of a layer's input, x[0, n): `quantize(x, out, n)` writes `out` and returns a
/// scale, and the layer computes with out * scale. `integers` may say that `out` holds integers in
/// [-127, 127]: products with weights that are integers too are then faster.
template <class Q>
concept activation_quantizer = requires(const float* x, float* out, std::size_t n) {
  { Q::name } -> std::convertible_to<std::string_view>;
  { Q::quantize(x, out, n) }
  noexcept->std::same_as<float>;
};

/// A scale as files keep it, in half precision, and never so small that it loses digits there.
template <class T>
[[nodiscard]] T stored_scale(T scale) noexcept {
  const float s = std::max(static_cast<float>(scale), 0x1p-14F);
  return static_cast<T>(to_float(to_f16(s)));
}

/// The mean of |w|.
template <class T>
[[nodiscard]] T mean_magnitude(matrix_view<const T> w) noexcept {
  double sum = 0.0;
  for (std::size_t r = 0; r < w.rows; ++r) {
    const T* x = w.row(r);
    sum += static_cast<double>(lane_sum<T>(w.cols, [x](std::size_t i) { return std::abs(x[i]); }));
  }
  return static_cast<T>(sum / static_cast<double>(w.rows * w.cols));
}

/// A weight quantizer by name and function, so that one instantiation of the model serves all.
template <class T>
struct weight_rounding {
  std::string_view name;
  quant::format_id format = quant::format_id::f32;
  std::size_t group = 1;
  bool integers = false;
  T (*quantize)(matrix_view<const T> w, matrix_view<T> out) noexcept = nullptr;
  void (*backward)(matrix_view<const T> w, matrix_view<T> dw) noexcept = nullptr;  ///< or null
};

/// An activation quantizer by name and function.
template <class T>
struct activation_rounding {
  std::string_view name;
  bool integers = false;
  T (*quantize)(const T* x, T* out, std::size_t n) noexcept = nullptr;
};

namespace detail {

template <class Q>
[[nodiscard]] constexpr bool gives_integers() noexcept {
  if constexpr (requires { Q::integers; }) {
    return static_cast<bool>(Q::integers);
  } else {
    return false;
  }
}

}  // namespace detail

template <weight_quantizer Q, class T = float>
[[nodiscard]] constexpr weight_rounding<T> weights() noexcept {
  weight_rounding<T> r{Q::name, Q::format};
  if constexpr (requires { Q::group; }) r.group = Q::group;
  r.integers = detail::gives_integers<Q>();
  r.quantize = [](matrix_view<const T> w, matrix_view<T> out) noexcept {
    return Q::quantize(w, out);
  };
  if constexpr (requires(matrix_view<const T> w, matrix_view<T> dw) { Q::backward(w, dw); })
    r.backward = [](matrix_view<const T> w, matrix_view<T> dw) noexcept { Q::backward(w, dw); };
  return r;
}

template <activation_quantizer Q, class T = float>
[[nodiscard]] constexpr activation_rounding<T> activations() noexcept {
  return {Q::name, detail::gives_integers<Q>(),
          [](const T* x, T* out, std::size_t n) noexcept { return Q::quantize(x, out, n); }};
}

}  // namespace train
BITNET_NAMESPACE_END
