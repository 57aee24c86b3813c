// SPDX-License-Identifier: Apache-2.0
// The quantizers that come along: of weights, of activations, and none.
#pragma once

#include <bitnet/train/quantizer.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace train {

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

static_assert(weight_quantizer<absmean_ternary> && weight_quantizer<sign_binary> &&
              weight_quantizer<centered_binary> && weight_quantizer<grouped_binary<128>> &&
              weight_quantizer<grouped_ternary<128>> && weight_quantizer<no_quantizer>);
static_assert(activation_quantizer<int8_per_token> && activation_quantizer<int8_per_block<32>> &&
              activation_quantizer<no_quantizer>);

}  // namespace train
BITNET_NAMESPACE_END
