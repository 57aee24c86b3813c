// SPDX-License-Identifier: Apache-2.0
// Finds the scales and codes of a Q6_K super-block: exactly if there are such, else by search.
#pragma once

#include <bitnet/core/half.hpp>
#include <bitnet/quant/exact_step.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// 256 weights as d * scale * (code - 32), a scale for each 16.
struct q6_k_fit {
  f16 d{};
  std::array<std::int8_t, 16> scale{};
  std::array<std::uint8_t, 256> code{};
};

namespace detail {

using q6_k_group = std::span<const float, 16>;

/// The nearest code of x / step, counted from zero.
[[nodiscard]] inline float q6_k_level(float x, float inverse_step) noexcept {
  return std::clamp(std::round(x * inverse_step), -32.0F, 31.0F);
}

/// The value of largest magnitude, with its sign.
[[nodiscard]] inline float q6_k_extreme(std::span<const float> x) noexcept {
  return *std::max_element(x.begin(), x.end(),
                           [](float a, float b) { return std::fabs(a) < std::fabs(b); });
}

/// The step with the least square error: for the codes that each of a row of trial steps gives, the
/// best step follows by least squares. Trials put the extreme at about -32, the longer side.
[[nodiscard]] inline float best_q6_k_step(q6_k_group x) noexcept {
  const float extreme = q6_k_extreme(x);
  if (extreme == 0.0F) return 0.0F;
  float best = extreme / -32.0F;
  float most = 0.0F;
  for (int trial = -9; trial <= 9; ++trial) {
    const float inverse = -(32.0F + 0.1F * static_cast<float>(trial)) / extreme;
    if (!std::isfinite(inverse)) break;  // a group of numbers next to nothing
    float products = 0.0F, squares = 0.0F;
    for (const float v : x) {
      const float level = q6_k_level(v, inverse);
      products += v * level;
      squares += level * level;
    }
    if (squares > 0.0F && products * products > most * squares) {
      most = products * products / squares;
      best = products / squares;
    }
  }
  return best;
}

/// Sum of squared errors of a group with that step.
[[nodiscard]] inline float q6_k_error(q6_k_group x, float step) noexcept {
  const float inverse = step == 0.0F ? 0.0F : 1.0F / step;
  float sum = 0.0F;
  for (const float v : x) {
    const float e = v - step * q6_k_level(v, inverse);
    sum += e * e;
  }
  return sum;
}

inline void fill_q6_k_codes(std::span<const float, 256> x, q6_k_fit& fit) noexcept {
  for (std::size_t i = 0; i < 256; ++i) {
    const float step = to_float(fit.d) * static_cast<float>(fit.scale[i / 16]);
    const float inverse = step == 0.0F ? 0.0F : 1.0F / step;
    fit.code[i] = static_cast<std::uint8_t>(q6_k_level(x[i], inverse) + 32.0F);
  }
}

/// The fit if groups have common steps and these a common part: without error, or next to it where
/// the part is no half-precision number.
[[nodiscard]] inline std::optional<q6_k_fit> grid_q6_k(std::span<const float, 256> x) noexcept {
  std::array<float, 16> steps;
  for (std::size_t g = 0; g < 16; ++g) {
    const auto group = x.subspan(16 * g).first<16>();
    const auto step = common_step(group, 32);
    if (!step) return std::nullopt;
    // 32 steps are possible on one side only.
    steps[g] = q6_k_extreme(group) > 0.0F ? -*step : *step;
  }
  const auto d = half_step(steps, 127);
  if (!d) return std::nullopt;
  q6_k_fit fit;
  fit.d = *d;
  if (d->bits != 0)
    for (std::size_t g = 0; g < 16; ++g)
      fit.scale[g] = static_cast<std::int8_t>(std::round(steps[g] / to_float(*d)));
  fill_q6_k_codes(x, fit);
  for (std::size_t i = 0; i < 256; ++i) {
    const float step = to_float(fit.d) * static_cast<float>(fit.scale[i / 16]);
    const float value = step * (static_cast<float>(fit.code[i]) - 32.0F);
    if (std::fabs(value - x[i]) > 0x1p-10F * std::fabs(x[i])) return std::nullopt;
  }
  return fit;
}

}  // namespace detail

/// Fits 256 finite values.
[[nodiscard]] inline q6_k_fit fit_q6_k(std::span<const float, 256> x) noexcept {
  if (const auto grid = detail::grid_q6_k(x)) return *grid;
  std::array<float, 16> steps;
  for (std::size_t g = 0; g < 16; ++g)
    steps[g] = detail::best_q6_k_step(x.subspan(16 * g).first<16>());
  q6_k_fit fit;
  fit.d = to_f16(detail::q6_k_extreme(steps) / -128.0F);
  const float d = to_float(fit.d);
  if (d == 0.0F || !std::isfinite(d)) {
    fit.code.fill(32);
    return fit;
  }
  for (std::size_t g = 0; g < 16; ++g) {
    const auto group = x.subspan(16 * g).first<16>();
    const float nearest = std::round(steps[g] / d);
    float least = 0.0F;
    for (const float off : {0.0F, -1.0F, 1.0F}) {  // the nearest scale need not be the best
      const float scale = std::clamp(nearest + off, -128.0F, 127.0F);
      const float e = detail::q6_k_error(group, d * scale);
      if (off != 0.0F && e >= least) continue;
      least = e;
      fit.scale[g] = static_cast<std::int8_t>(scale);
    }
  }
  detail::fill_q6_k_codes(x, fit);
  return fit;
}

}  // namespace quant
BITNET_NAMESPACE_END
