// SPDX-License-Identifier: Apache-2.0
// Quantizers of weights and activations: what is rounded in the forward pass, and how.
//
// The backward pass takes rounding for the identity (the straight-through estimator: Bengio,
// Leonard, Courville, "Estimating or Propagating Gradients Through Stochastic Neurons", 2013), so a
// quantizer is one function. A new one is a struct like those below: about 15 lines.
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

namespace detail {

template <class T>
[[nodiscard]] BITNET_INLINE T ternary(T x) noexcept {
  x = x < T{-1} ? T{-1} : x;
  x = x > T{1} ? T{1} : x;
  return nearest(x);
}

}  // namespace detail

/// BitNet b1.58 (Ma et al., 2024): round(w / mean|w|) limited to -1, 0, 1.
struct absmean_ternary {
  static constexpr std::string_view name = "absmean_ternary";
  static constexpr bool integers = true;
  static constexpr quant::format_id format = quant::format_id::i2_s;

  template <class T>
  static T quantize(matrix_view<const T> w, matrix_view<T> out) noexcept {
    const T scale = stored_scale(mean_magnitude(w));
    const T factor = T{1} / scale;
    for (std::size_t r = 0; r < w.rows; ++r) {
      const T* x = w.row(r);
      T* y = out.row(r);
      for (std::size_t i = 0; i < w.cols; ++i) y[i] = detail::ternary(x[i] * factor);
    }
    return scale;
  }
};

/// The sign of a weight, zero being positive, and the mean magnitude as the scale (BinaryConnect,
/// Courbariaux et al., 2015, with the scale of XNOR-Net, Rastegari et al., 2016).
struct sign_binary {
  static constexpr std::string_view name = "sign_binary";
  static constexpr bool integers = true;
  static constexpr quant::format_id format = quant::format_id::q1_0;
  static constexpr std::size_t group = 128;  // of the file's format

  template <class T>
  static T quantize(matrix_view<const T> w, matrix_view<T> out) noexcept {
    for (std::size_t r = 0; r < w.rows; ++r) {
      const T* x = w.row(r);
      T* y = out.row(r);
      for (std::size_t i = 0; i < w.cols; ++i) y[i] = x[i] < T{0} ? T{-1} : T{1};
    }
    return stored_scale(mean_magnitude(w));
  }
};

/// The first BitNet (Wang et al., 2023): the sign of a weight's distance from the mean weight.
struct centered_binary {
  static constexpr std::string_view name = "centered_binary";
  static constexpr bool integers = true;
  static constexpr quant::format_id format = quant::format_id::q1_0;
  static constexpr std::size_t group = 128;

  template <class T>
  static T quantize(matrix_view<const T> w, matrix_view<T> out) noexcept {
    double sum = 0.0;
    for (std::size_t r = 0; r < w.rows; ++r) {
      const T* x = w.row(r);
      sum += static_cast<double>(lane_sum<T>(w.cols, [x](std::size_t i) { return x[i]; }));
    }
    const T mean = static_cast<T>(sum / static_cast<double>(w.rows * w.cols));
    for (std::size_t r = 0; r < w.rows; ++r) {
      const T* x = w.row(r);
      T* y = out.row(r);
      for (std::size_t i = 0; i < w.cols; ++i) y[i] = x[i] < mean ? T{-1} : T{1};
    }
    return stored_scale(mean_magnitude(w));
  }
};

namespace detail {

/// Calls round(x, y, scale) for each group of `Group` weights of a row with its mean magnitude.
template <std::size_t Group, class T, class Round>
void each_group(matrix_view<const T> w, matrix_view<T> out, Round&& round) noexcept {
  for (std::size_t r = 0; r < w.rows; ++r) {
    for (std::size_t c = 0; c < w.cols; c += Group) {
      const T* x = w.row(r) + c;
      const T sum = lane_sum<T>(Group, [x](std::size_t i) { return std::abs(x[i]); });
      round(x, out.row(r) + c, stored_scale(sum / static_cast<T>(Group)));
    }
  }
}

}  // namespace detail

/// Signs with a scale for each `Group` weights of a row: Bonsai's kind.
template <std::size_t Group>
struct grouped_binary {
  static_assert(Group % 128 == 0, "Q1_0 has groups of 128");
  static constexpr std::string_view name = "grouped_binary";
  static constexpr quant::format_id format = quant::format_id::q1_0;
  static constexpr std::size_t group = Group;

  template <class T>
  static T quantize(matrix_view<const T> w, matrix_view<T> out) noexcept {
    detail::each_group<Group>(w, out, [](const T* x, T* y, T scale) {
      for (std::size_t i = 0; i < Group; ++i) y[i] = x[i] < T{0} ? -scale : scale;
    });
    return T{1};
  }
};

/// absmean_ternary with a scale for each `Group` weights of a row: Ternary-Bonsai's kind.
template <std::size_t Group>
struct grouped_ternary {
  static_assert(Group == 64 || Group % 128 == 0, "Q2_0 has groups of 64 or 128");
  static constexpr std::string_view name = "grouped_ternary";
  static constexpr quant::format_id format =
      Group == 64 ? quant::format_id::q2_0 : quant::format_id::q2_0_g128;
  static constexpr std::size_t group = Group;

  template <class T>
  static T quantize(matrix_view<const T> w, matrix_view<T> out) noexcept {
    detail::each_group<Group>(w, out, [](const T* x, T* y, T scale) {
      const T factor = T{1} / scale;
      for (std::size_t i = 0; i < Group; ++i) y[i] = detail::ternary(x[i] * factor) * scale;
    });
    return T{1};
  }
};

/// int8 with one scale for the row, as BitNet models run: round(x 127 / max(|x|, 1e-5)).
struct int8_per_token {
  static constexpr std::string_view name = "int8_per_token";
  static constexpr bool integers = true;

  template <class T>
  static T quantize(const T* x, T* out, std::size_t n) noexcept {
    const T most = lane_max<T>(n, T(1e-5F), [x](std::size_t i) { return std::abs(x[i]); });
    const T factor = T{127} / most;
    for (std::size_t i = 0; i < n; ++i) out[i] = nearest(x[i] * factor);
    return most / T{127};
  }
};

/// int8 with a scale for each `Block` values, as weight-only models run: 32 in this library.
template <std::size_t Block>
struct int8_per_block {
  static constexpr std::string_view name = "int8_per_block";

  template <class T>
  static T quantize(const T* x, T* out, std::size_t n) noexcept {
    for (std::size_t first = 0; first < n; first += Block) {
      const std::size_t count = std::min(Block, n - first);
      const T* in = x + first;
      T* to = out + first;
      const T most = lane_max<T>(count, T{0}, [in](std::size_t i) { return std::abs(in[i]); });
      const T factor = most > T{0} ? T{127} / most : T{0};
      const T scale = most / T{127};
      for (std::size_t i = 0; i < count; ++i) to[i] = nearest(in[i] * factor) * scale;
    }
    return T{1};
  }
};

/// Nothing is rounded: the float baseline, of weights and of activations.
struct no_quantizer {
  static constexpr std::string_view name = "none";
  static constexpr quant::format_id format = quant::format_id::f32;

  template <class T>
  static T quantize(matrix_view<const T> w, matrix_view<T> out) noexcept {
    for (std::size_t r = 0; r < w.rows; ++r) std::copy_n(w.row(r), w.cols, out.row(r));
    return T{1};
  }
  template <class T>
  static T quantize(const T* x, T* out, std::size_t n) noexcept {
    std::copy_n(x, n, out);
    return T{1};
  }
};

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

static_assert(weight_quantizer<absmean_ternary> && weight_quantizer<sign_binary> &&
              weight_quantizer<centered_binary> && weight_quantizer<grouped_binary<128>> &&
              weight_quantizer<grouped_ternary<128>> && weight_quantizer<no_quantizer>);
static_assert(activation_quantizer<int8_per_token> && activation_quantizer<int8_per_block<32>> &&
              activation_quantizer<no_quantizer>);

}  // namespace train
BITNET_NAMESPACE_END
