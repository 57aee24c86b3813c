// SPDX-License-Identifier: Apache-2.0
// A quantizer of your own: this one is that of Ternary Weight Networks (Li et al., 2016).
#pragma once

#include <bitnet/train/quantizer.hpp>

#include <cmath>
#include <cstddef>
#include <string_view>

/// 0 where |w| is below 0.7 of the mean magnitude, else the sign; the scale is the mean magnitude
/// of the weights that are left. I2_S has one scale for a matrix, so the file loses nothing.
struct my_quantizer {
  static constexpr std::string_view name = "mine";
  static constexpr auto format = bitnet::quant::format_id::i2_s;
  static constexpr bool integers = true;  // -1, 0 and 1: layers multiply integers

  template <class T>
  static T quantize(bitnet::matrix_view<const T> w, bitnet::matrix_view<T> out) noexcept {
    const T threshold = T(0.7) * bitnet::train::mean_magnitude(w);
    T sum = 0, kept = 0;
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t i = 0; i < w.cols; ++i) {
        const T x = w.row(r)[i];
        const bool keep = std::abs(x) > threshold;
        out.row(r)[i] = !keep ? T{0} : x < T{0} ? T{-1} : T{1};
        sum += keep ? std::abs(x) : T{0};
        kept += keep ? T{1} : T{0};
      }
    return bitnet::train::stored_scale(kept > T{0} ? sum / kept : T{0});
  }
};
