// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding: frequencies at load, angles once for each step, rotation in place.
#pragma once

#include <bitnet/core/memory.hpp>
#include <bitnet/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// Angle per position of each rotated pair, and the factor on cos and sin.
struct rope_frequencies {
  aligned_buffer<double> per_position;  ///< [dims / 2], radians
  float magnitude = 1.0F;

  /// theta_i = base^(-2i / dims), divided by factors[i] if given (Llama 3 stores such a tensor),
  /// then scaled: linear divides all by the factor; YaRN leaves fast frequencies alone, divides
  /// slow ones, and blends between those that turn 32 times and once in the original context.
  [[nodiscard]] static result<rope_frequencies> make(const rope_hparams& h,
                                                     std::span<const float> factors) noexcept {
    rope_frequencies f;
    const std::size_t pairs = h.dims / 2;
    BITNET_TRY(f.per_position, aligned_buffer<double>::make(pairs, "rope frequencies"));
    const double base = h.base;
    const double dims = static_cast<double>(h.dims);
    const double squeeze = h.scaling == rope_scaling::none ? 1.0 : 1.0 / h.factor;
    f.magnitude = h.attention_factor;
    double low = 0.0;
    double high = 0.0;
    if (h.scaling == rope_scaling::yarn) {
      const auto pair_that_turns = [&](double times) {
        const double period =
            static_cast<double>(h.original_context) / (times * 2.0 * std::numbers::pi);
        return dims * std::log(period) / (2.0 * std::log(base));
      };
      low = std::max(0.0, std::floor(pair_that_turns(32.0)));
      high = std::min(dims - 1.0, std::ceil(pair_that_turns(1.0)));
      f.magnitude *=
          static_cast<float>(std::fma(0.1, std::log(static_cast<double>(h.factor)), 1.0));
    }
    for (std::size_t i = 0; i < pairs; ++i) {
      double theta = std::pow(base, -2.0 * static_cast<double>(i) / dims);
      if (i < factors.size()) theta /= factors[i];
      double keep = 0.0;
      if (h.scaling == rope_scaling::yarn) {
        const double ramp = (static_cast<double>(i) - low) / std::max(0.001, high - low);
        keep = 1.0 - std::clamp(ramp, 0.0, 1.0);
      }
      f.per_position[i] = theta * std::fma(squeeze, 1.0 - keep, keep);
    }
    return f;
  }

  /// Fills the angles of every row of the step: [rows][dims / 2].
  template <class C>
  void angles(C& c) const {
    const std::size_t pairs = per_position.size();
    float* cos = c.template take<float>(c.rows().size() * pairs);
    float* sin = c.template take<float>(c.rows().size() * pairs);
    c.each_row(c.rows().size(), [&](std::size_t r) {
      const auto position = static_cast<double>(c.rows()[r].position);
      for (std::size_t i = 0; i < pairs; ++i) {
        const double angle = position * per_position[i];
        cos[r * pairs + i] = static_cast<float>(std::cos(angle)) * magnitude;
        sin[r * pairs + i] = static_cast<float>(std::sin(angle)) * magnitude;
      }
    });
    c.rope_cos = cos;
    c.rope_sin = sin;
  }
};

/// Rotates every head of x, [rows][heads * head_dim], by its row's position, in place.
template <class C>
void rope(C& c, activations x) {
  const hparams& h = c.shape();
  const std::size_t pairs = h.rope.dims / 2;
  c.each_row(x.rows, [&](std::size_t r) {
    const auto turn =
        h.rope.order == rope_order::adjacent ? c.kernels().rope_adjacent : c.kernels().rope_halves;
    for (std::size_t first = 0; first < x.cols; first += h.head_dim)
      turn(x.row(r) + first, c.rope_cos + r * pairs, c.rope_sin + r * pairs, pairs);
  });
}

}  // namespace nn
BITNET_NAMESPACE_END
