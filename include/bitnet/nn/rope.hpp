// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding: frequencies at load, angles once for each step, rotation in place.
#pragma once

#include <bitnet/core/elementary.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// Angle per position of each rotated pair, and the factor on cos and sin. The same bits on every
/// platform: no function of the C library, and no product of floating point that feeds a sum.
struct rope_frequencies {
  aligned_buffer<elementary::turns> per_position;  ///< [dims / 2]
  float magnitude = 1.0F;

  /// theta_i = base^(-2i / dims), divided by factors[i] if given (Llama 3 stores such a tensor),
  /// then scaled: linear divides all by the factor; YaRN leaves fast frequencies alone, divides
  /// slow ones, and blends between those that turn 32 times and once in the original context.
  [[nodiscard]] static result<rope_frequencies> make(const rope_hparams& h,
                                                     std::span<const float> factors) noexcept {
    rope_frequencies f;
    const std::size_t pairs = h.dims / 2;
    BITNET_TRY(f.per_position, aligned_buffer<elementary::turns>::make(pairs, "rope frequencies"));
    const std::int64_t log_base = elementary::log2(h.base);
    const double dims = static_cast<double>(h.dims);
    const double factor = h.scaling == rope_scaling::none ? 1.0 : h.factor;
    const auto log2 = [](double x) {
      return static_cast<double>(elementary::log2(x)) * elementary::log_unit;
    };
    f.magnitude = h.attention_factor;
    double low = 0.0;
    double high = 0.0;
    if (h.scaling == rope_scaling::yarn) {
      const auto pair_that_turns = [&](double times) {
        const double period =
            static_cast<double>(h.original_context) / (times * 2.0 * std::numbers::pi);
        return dims * log2(period) / (2.0 * log2(h.base));
      };
      low = std::max(0.0, std::floor(pair_that_turns(32.0)));
      high = std::min(dims - 1.0, std::ceil(pair_that_turns(1.0)));
      // 1 + 0.1 ln(factor)
      f.magnitude *= static_cast<float>(1.0 + log2(factor) / (10.0 * std::numbers::log2e));
    }
    for (std::size_t i = 0; i < pairs; ++i) {
      const auto n = static_cast<std::int64_t>(pairs), k = static_cast<std::int64_t>(i);
      const std::int64_t exponent = log_base / n * k + log_base % n * k / n;
      double theta = elementary::exp2(-exponent);
      if (i < factors.size()) theta /= factors[i];
      double keep = 0.0;
      if (h.scaling == rope_scaling::yarn) {
        const double ramp = (static_cast<double>(i) - low) / std::max(0.001, high - low);
        keep = 1.0 - std::clamp(ramp, 0.0, 1.0);
      }
      const double share = keep + (1.0 - keep) / factor;
      f.per_position[i] = elementary::to_turns(theta * share / (2.0 * std::numbers::pi));
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
      const auto position = static_cast<elementary::turns>(c.rows()[r].position);
      for (std::size_t i = 0; i < pairs; ++i) {
        const auto [sine, cosine] = elementary::sincos(position * per_position[i]);
        cos[r * pairs + i] = cosine * magnitude;
        sin[r * pairs + i] = sine * magnitude;
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
