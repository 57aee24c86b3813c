// SPDX-License-Identifier: Apache-2.0
// Linear layers whose weights and inputs are rounded to integers, on products of integers.
//
// The forward pass is exact: inputs are 8 bits, weights a few. The backward pass rounds gradients
// to 16 bits, in the gradient of the input by a scale for each token, in that of the weights by a
// scale for each output and piece of work: an error of at most 2^-16 of the largest number that
// shares the scale, where float sums have 2^-24 of the largest term. Sums stay in int32: see
// gradient_levels.
#pragma once

#include <bitnet/core/bit_cast.hpp>
#include <bitnet/train/integer_product.hpp>
#include <bitnet/train/matrix.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Largest magnitude of weights' integers that these products take.
inline constexpr int most_weight_code = 1;

/// The integers of a layer's weights, as panels for both passes. Nothing is owned.
struct integer_weights {
  detail::word_panels forward;    ///< columns are outputs, words four inputs
  detail::word_panels backward;   ///< columns are inputs, words two outputs
  const float* scales = nullptr;  ///< of outputs
  std::size_t outputs = 0;
};

/// Rounded inputs of a layer. Nothing is owned.
template <class T>
struct layer_input {
  matrix_view<T> values;          ///< [tokens][inputs]
  T* scales = nullptr;            ///< of each token
  std::uint8_t* codes = nullptr;  ///< integers + 128, [tokens][stride()]; or null

  [[nodiscard]] static constexpr std::size_t stride_of(std::size_t inputs) noexcept {
    return round_up(inputs, 4);
  }
  [[nodiscard]] std::size_t stride() const noexcept { return stride_of(values.cols); }
  [[nodiscard]] layer_input slice(std::size_t first, std::size_t count) const noexcept {
    return {values.slice(first, count), scales + first,
            codes == nullptr ? nullptr : codes + first * stride()};
  }
};

/// What the gradient of a layer's weights is a product of, for each piece of chunk_rows tokens.
/// Nothing is owned.
struct gradient_operands {
  static constexpr std::size_t depth = chunk_rows / 2;

  std::int32_t* left = nullptr;   ///< of outputs, tiles of pairs of tokens
  float* scales = nullptr;        ///< [pieces][outputs]
  std::int32_t* right = nullptr;  ///< panels of inputs, pairs of tokens
  std::size_t outputs = 0, inputs = 0;

  [[nodiscard]] std::size_t left_words() const noexcept {
    return round_up(outputs, detail::word_rows) * depth;
  }
  [[nodiscard]] std::size_t right_words() const noexcept {
    return detail::word_panels::panels(inputs) * detail::word_cols * depth;
  }
};

namespace detail {

/// Gradients are rounded to integers in [-levels, levels]. A sum over n of them times codes of at
/// most `most` stays in int32.
[[nodiscard]] constexpr float gradient_levels(std::size_t n, std::size_t most) noexcept {
  return static_cast<float>(std::min<std::size_t>(32767, 0x7fffffff / (n * most)));
}
static_assert(gradient_levels(chunk_rows, 127) == 32767.0F);

/// What numbers up to `most` in magnitude are multiplied by to become integers up to `levels`. So
/// small ones that this would overflow are nothing.
[[nodiscard]] BITNET_INLINE float level_factor(float most, float levels) noexcept {
  return most > 1e-30F ? levels / most : 0.0F;
}

/// The nearest integer to x, up to 2^15 in magnitude, in the low 16 bits; what is no number gives
/// some integer. Without comparisons or conversions, this becomes vector code.
[[nodiscard]] BITNET_INLINE std::uint32_t level_bits(float x) noexcept {
  return bit_cast<std::uint32_t>(x + 12582912.0F);  // 1.5 * 2^23, of which the low bits are 0
}

/// A word of two int16, from their low bits.
[[nodiscard]] BITNET_INLINE std::int32_t pair_word(std::uint32_t low, std::uint32_t high) noexcept {
  return static_cast<std::int32_t>((low & 0xffffU) | high << 16);
}

}  // namespace detail

/// Memory for the panels of a layer, in words.
[[nodiscard]] constexpr std::size_t integer_weight_words(std::size_t outputs,
                                                         std::size_t inputs) noexcept {
  const std::size_t out = detail::word_panels::panels(outputs) * detail::word_cols;
  const std::size_t in = detail::word_panels::panels(inputs) * detail::word_cols;
  return out * ceil_div(inputs, 4) + 2 * out + in * ceil_div(outputs, 2);
}

/// Places a layer's panels in `words`, which has integer_weight_words, and packs them from integers
/// within most_weight_code; `scales` are of outputs.
inline integer_weights pack_weights(matrix_view<const float> codes, std::span<const float> scales,
                                    std::int32_t* words) noexcept {
  using namespace detail;
  const std::size_t out = word_panels::panels(codes.rows) * word_cols;
  const std::size_t quarter = ceil_div(codes.cols, 4), half = ceil_div(codes.rows, 2);
  std::int32_t* const start = words + out * quarter;
  auto* const factors = reinterpret_cast<float*>(start + out);
  std::int32_t* const backward = start + 2 * out;
  std::fill_n(start, out, 0);
  std::fill_n(factors, out, 0.0F);
  std::copy(scales.begin(), scales.end(), factors);
  constexpr std::size_t wide_words = 16;  // of each row at once
  for (std::size_t n = 0; n < codes.rows; n += word_cols) {
    const std::size_t high = std::min(word_cols, codes.rows - n);
    for (std::size_t k = 0; k < quarter; k += wide_words) {
      const std::size_t count = std::min(wide_words, quarter - k);
      const std::size_t bytes = std::min(4 * count, codes.cols - 4 * k);
      std::int8_t rows[word_cols][4 * wide_words] = {};
      for (std::size_t i = 0; i < high; ++i) {
        const float* const from = codes.row(n + i) + 4 * k;
        std::int32_t sum = 0;
        for (std::size_t j = 0; j < bytes; ++j) {
          rows[i][j] = static_cast<std::int8_t>(level_bits(from[j]));
          sum += rows[i][j];
        }
        start[n + i] -= 128 * sum;
      }
      std::int32_t* to = words + n * quarter + k * word_cols;
      for (std::size_t j = 0; j < count; ++j, to += word_cols)
        for (std::size_t i = 0; i < word_cols; ++i) to[i] = load_word(rows[i] + 4 * j);
    }
  }
  for (std::size_t n = 0; n < codes.cols; n += word_cols) {
    std::int32_t* to = backward + n * half;
    const std::size_t wide = std::min(word_cols, codes.cols - n);
    for (std::size_t k = 0; k < half; ++k, to += word_cols) {
      const float* const low = codes.row(2 * k) + n;
      const float* const high = 2 * k + 1 < codes.rows ? codes.row(2 * k + 1) + n : nullptr;
      for (std::size_t i = 0; i < wide; ++i)
        to[i] = pair_word(level_bits(low[i]), high == nullptr ? 0 : level_bits(high[i]));
      std::fill(to + wide, to + word_cols, 0);
    }
  }
  return {{words, start, factors, codes.rows, quarter},
          {backward, nullptr, nullptr, codes.cols, half},
          factors,
          codes.rows};
}

/// y = x W^T for rounded inputs, whose codes it writes from their values.
inline void integer_forward(const integer_weights& w, const layer_input<float>& x,
                            matrix_view<float> y) noexcept {
  const std::size_t stride = x.stride(), inputs = x.values.cols;
  for (std::size_t r = 0; r < x.values.rows; ++r) {
    const float* const from = x.values.row(r);
    std::uint8_t* const to = x.codes + r * stride;
    for (std::size_t i = 0; i < inputs; ++i)
      to[i] = static_cast<std::uint8_t>(detail::level_bits(from[i]) + 128);
    std::fill(to + inputs, to + stride, std::uint8_t{128});
  }
  const std::size_t words = stride / 4;
  detail::multiply_words<detail::quads>(
      y, {reinterpret_cast<const std::byte*>(x.codes), words, words, 1}, x.scales, w.forward,
      false);
}

/// Words of scratch for the gradients of a piece of chunk_rows tokens.
[[nodiscard]] constexpr std::size_t integer_scratch(std::size_t outputs) noexcept {
  return chunk_rows * (ceil_div(outputs, 2) + 1);
}

/// dx for the gradient dy of y, of up to chunk_rows tokens. `scratch` has integer_scratch words.
inline void integer_backward(const integer_weights& w, matrix_view<const float> dy,
                             matrix_view<float> dx, std::int32_t* scratch) noexcept {
  using namespace detail;
  const std::size_t outputs = w.outputs, words = ceil_div(outputs, 2);
  const float* const factors = w.scales;
  const float levels = gradient_levels(2 * words, static_cast<std::size_t>(most_weight_code));
  auto* const scales = reinterpret_cast<float*>(scratch + chunk_rows * words);
  for (std::size_t r = 0; r < dy.rows; ++r) {
    const float* const from = dy.row(r);
    const float most = lane_max<float>(
        outputs, 0.0F, [=](std::size_t i) { return std::abs(from[i] * factors[i]); });
    const float factor = level_factor(most, levels);
    scales[r] = most / levels;
    auto* const to = reinterpret_cast<std::int16_t*>(scratch + r * words);
    to[2 * words - 1] = 0;
    for (std::size_t i = 0; i < outputs; ++i)
      to[i] = static_cast<std::int16_t>(level_bits(from[i] * factors[i] * factor));
  }
  multiply_words<pairs>(dx, {reinterpret_cast<const std::byte*>(scratch), words, words, 1}, scales,
                        w.backward, false);
}

/// Prepares the gradient of the weights for piece `chunk` of the tokens, dy and x being of those.
inline void integer_operands(const gradient_operands& g, std::size_t chunk,
                             matrix_view<const float> dy, const layer_input<float>& x) noexcept {
  using namespace detail;
  constexpr std::size_t block = 64;  // outputs at once: what is read lies together
  const std::size_t depth = ceil_div(dy.rows, 2);
  std::int32_t* const left = g.left + chunk * g.left_words();
  for (std::size_t first = 0; first < g.outputs; first += block) {
    const std::size_t wide = std::min(block, g.outputs - first);
    float most[block] = {}, factor[block] = {};
    for (std::size_t r = 0; r < dy.rows; ++r) {
      const float* const from = dy.row(r) + first;
      const float scale = x.scales[r];
      for (std::size_t i = 0; i < wide; ++i) {
        const float size = std::abs(from[i] * scale);
        most[i] = size > most[i] ? size : most[i];
      }
    }
    for (std::size_t i = 0; i < wide; ++i) {
      factor[i] = level_factor(most[i], 32767.0F);
      g.scales[chunk * g.outputs + first + i] = most[i] / 32767.0F;
    }
    for (std::size_t k = 0; k < depth; ++k) {
      std::int32_t word[block] = {};
      const float* const low = dy.row(2 * k) + first;
      const float low_scale = x.scales[2 * k];
      const bool both = 2 * k + 1 < dy.rows;
      const float* const high = both ? dy.row(2 * k + 1) + first : low;
      const float high_scale = both ? x.scales[2 * k + 1] : 0.0F;
      for (std::size_t i = 0; i < wide; ++i)
        word[i] = pair_word(level_bits(low[i] * low_scale * factor[i]),
                            level_bits(high[i] * high_scale * factor[i]));
      for (std::size_t i = 0; i < wide; i += word_rows)
        std::copy_n(word + i, word_rows, left + (first + i) * depth + k * word_rows);
    }
  }
  std::int32_t* const right = g.right + chunk * g.right_words();
  for (std::size_t n = 0; n < g.inputs; n += word_cols) {
    const std::size_t wide = std::min(word_cols, g.inputs - n);
    std::int32_t* to = right + n * depth;
    for (std::size_t k = 0; k < depth; ++k, to += word_cols) {
      const std::uint8_t* const low = x.codes + 2 * k * x.stride() + n;
      const bool both = 2 * k + 1 < dy.rows;
      const std::uint8_t* const high = both ? low + x.stride() : low;
      const std::uint32_t mask = both ? ~0U : 0U;
      for (std::size_t i = 0; i < wide; ++i)
        to[i] = pair_word(std::uint32_t{low[i]} - 128, (std::uint32_t{high[i]} - 128) & mask);
      std::fill(to + wide, to + word_cols, 0);
    }
  }
}

/// dw[first, first + dw.rows) += dy^T x over all `tokens`; `first` is a multiple of a tile's rows.
inline void integer_gradient(const gradient_operands& g, std::size_t tokens, std::size_t first,
                             matrix_view<float> dw) noexcept {
  for (std::size_t chunk = 0; chunk * chunk_rows < tokens; ++chunk) {
    const std::size_t depth = ceil_div(std::min(chunk_rows, tokens - chunk * chunk_rows), 2);
    const std::int32_t* const left = g.left + chunk * g.left_words() + first * depth;
    detail::multiply_words<detail::pairs>(
        dw, {reinterpret_cast<const std::byte*>(left), depth, 1, detail::word_rows},
        g.scales + chunk * g.outputs + first,
        {g.right + chunk * g.right_words(), nullptr, nullptr, g.inputs, depth}, true);
  }
}

}  // namespace train
BITNET_NAMESPACE_END
