// SPDX-License-Identifier: Apache-2.0
// From float to any format: the values themselves where the format can say them, else a good fit.
#pragma once

#include <bitnet/quant/coded_block.hpp>
#include <bitnet/quant/storage.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <numeric>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// What an encoder must know of a whole matrix before it writes the first row. Made of the rows'
/// own summaries, in order, so that it does not depend on threads.
struct matrix_summary {
  float largest = 0.0F;     ///< magnitude
  double magnitudes = 0.0;  ///< their sum
  std::size_t count = 0;    ///< weights
  bool one_scale = true;    ///< every weight is -largest, 0 or largest
  bool finite = true;       ///< no weight is infinite or not a number

  [[nodiscard]] float mean_magnitude() const noexcept {
    return count == 0 ? 0.0F : static_cast<float>(magnitudes / static_cast<double>(count));
  }
  /// Adds what follows.
  void add(const matrix_summary& next) noexcept {
    one_scale = one_scale && next.one_scale &&
                (largest == next.largest || largest == 0.0F || next.largest == 0.0F);
    finite = finite && next.finite;
    largest = std::max(largest, next.largest);
    magnitudes += next.magnitudes;
    count += next.count;
  }
};

/// Whether every value is -scale, 0 or scale.
[[nodiscard]] inline bool is_ternary(std::span<const float> x, float scale) noexcept {
  return std::all_of(x.begin(), x.end(),
                     [=](float v) { return v == 0.0F || std::fabs(v) == scale; });
}

/// The summary of some weights.
[[nodiscard]] inline matrix_summary summarize(std::span<const float> x) noexcept {
  matrix_summary s;
  s.count = x.size();
  s.finite = std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v); });
  s.largest = max_magnitude(x);
  s.one_scale = is_ternary(x, s.largest);
  for (const float v : x) s.magnitudes += static_cast<double>(std::fabs(v));
  return s;
}

/// The scale of a ternary group: its own where its weights are ternary already; otherwise the mean
/// magnitude of the whole matrix, which is the quantizer that b1.58 models are trained with.
[[nodiscard]] inline float ternary_scale(std::span<const float> x,
                                         const matrix_summary& whole) noexcept {
  const float largest = max_magnitude(x);
  return is_ternary(x, largest) ? largest : whole.mean_magnitude();
}

/// Base of coded blocks with one ternary scale (`struct tq2_0 : ternary_blocks<tq2_0>`): gives them
/// pack_row and encode_row. F::make_block(x, d) is the block of the codes nearest to x / d.
template <class F>
struct ternary_blocks : coded_blocks<F> {
  /// d = max|x|, nearest of -d, 0, d. Lossless for weights in {-d, 0, d} with d a half-precision
  /// number. `in` holds whole blocks of finite values.
  static void pack_row(std::span<const float> in, std::byte* out) noexcept {
    pack_with(in, out, [](std::span<const float> x) { return max_magnitude(x); });
  }
  /// The same for blocks that are ternary; see ternary_scale() for others.
  static void encode_row(std::span<const float> in, const matrix_summary& whole,
                         std::byte* out) noexcept {
    pack_with(in, out, [&](std::span<const float> x) { return ternary_scale(x, whole); });
  }

 private:
  template <class Scale>
  static void pack_with(std::span<const float> in, std::byte* out, Scale scale) noexcept {
    for (; in.size() >= F::block_size; in = in.subspan(F::block_size)) {
      const std::span<const float> x = in.first(F::block_size);
      const auto b = F::make_block(x, scale(x));
      std::memcpy(out, &b, sizeof b);
      out += sizeof b;
    }
  }
};

/// The scale d with which -d, 0, d come nearest to at most 128 values, by the sum of squares: with
/// the k largest values not zero the best d is their mean and the gain (their sum)^2 / k.
[[nodiscard]] inline float best_ternary_scale(std::span<const float> x) noexcept {
  std::array<float, 128> sorted;
  BITNET_ASSERT(x.size() <= sorted.size(), "best_ternary_scale() takes a block");
  const auto end =
      std::transform(x.begin(), x.end(), sorted.begin(), [](float v) { return std::fabs(v); });
  std::sort(sorted.begin(), end, [](float a, float b) { return a > b; });
  double sum = 0.0, most = 0.0, best = 0.0;
  for (std::size_t k = 1; k <= x.size(); ++k) {
    sum += static_cast<double>(sorted[k - 1]);
    const double mean = sum / static_cast<double>(k);
    if (sum * mean <= most) continue;
    most = sum * mean;
    best = mean;
  }
  return static_cast<float>(best);
}

/// A format that is written from float.
template <class F>
concept packable_format = weight_format<F> &&(
    requires(std::span<const float> in, std::byte* out) { F::pack_row(in, out); } ||
    requires(std::span<const float> in, std::byte* out) { F::pack_tensor(in, out); });

/// Rows that are encoded together, as a matrix of their own: the fewest that make whole blocks. A
/// matrix of an accepted shape is a whole number of such units.
template <packable_format F>
[[nodiscard]] constexpr std::size_t unit_rows(std::size_t cols) noexcept {
  if constexpr (requires { F::flat_block; }) {
    return F::flat_block / std::gcd(cols, F::flat_block);
  } else {
    return 1;
  }
}

/// Encodes rows of finite values, part of a matrix that `whole` is about, as a matrix of their own
/// in tensor_bytes<F>(rows, cols) bytes. Lossless where the format can say the values; otherwise
/// as the format's `encode_row` or its reference quantizer (`pack_row`) does it.
template <packable_format F>
void encode(const float* weights, std::size_t rows, std::size_t cols, const matrix_summary& whole,
            std::byte* out) noexcept {
  if constexpr (requires { F::encode_tensor(std::span<const float>{}, whole, out); }) {
    F::encode_tensor({weights, rows * cols}, whole, out);
  } else if constexpr (requires { F::encode_row(std::span<const float>{}, whole, out); }) {
    for (std::size_t r = 0; r < rows; ++r)
      F::encode_row({weights + r * cols, cols}, whole, out + r * row_bytes<F>(cols));
  } else {
    pack<F>(weights, rows, cols, out);
  }
}

}  // namespace quant
BITNET_NAMESPACE_END
