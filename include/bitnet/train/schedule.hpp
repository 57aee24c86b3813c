// SPDX-License-Identifier: Apache-2.0
// Learning rate and weight decay over the steps of a run.
#pragma once

#include <bitnet/core/result.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Values of one step.
struct step_rates {
  double rate = 0.0;
  double weight_decay = 0.0;
};

/// Linear warm-up to `rate`, then a cosine down to `rate * final_share` at the last step.
///
/// With `two_stages`, the schedule of the BitNet b1.58 reports ("The Era of 1-bit LLMs: Training
/// Tips, Code and FAQ", 2024): the rate falls linearly from `rate` towards zero over all steps,
/// from the middle on it is that of a peak of `rate * second_share`, and weight decay, which would
/// keep weights from settling, ends in the middle.
struct schedule {
  std::uint64_t steps = 1000;
  std::uint64_t warmup = 100;
  double rate = 1.5e-3;
  double final_share = 0.1;
  double weight_decay = 0.1;
  bool two_stages = false;
  double second_share = 2.0 / 3.0;

  /// Of step `step`, counted from 1; later ones are as the last.
  [[nodiscard]] step_rates at(std::uint64_t step) const noexcept {
    const double all = static_cast<double>(steps), warm = static_cast<double>(warmup);
    const double s = std::min(static_cast<double>(step), all);
    const double start = warmup == 0 ? 1.0 : std::min(1.0, s / warm);
    if (!two_stages) {
      const double done = std::clamp((s - warm) / std::max(1.0, all - warm), 0.0, 1.0);
      const double cosine = 0.5 + 0.5 * std::cos(std::numbers::pi * done);
      return {rate * start * (final_share + (1.0 - final_share) * cosine), weight_decay};
    }
    const bool second = 2.0 * s > all;
    const double left = 1.0 - std::max(0.0, s - warm) / std::max(1.0, all - warm);
    const double peak = second ? rate * second_share : rate;
    return {peak * start * (final_share + (1.0 - final_share) * left), second ? 0.0 : weight_decay};
  }
};

/// errc::invalid_argument naming what is out of range.
[[nodiscard]] inline status check(const schedule& s) noexcept {
  const auto wrong = [](std::string_view what) {
    return error{errc::invalid_argument, "the number is out of range", what};
  };
  if (s.steps == 0) return wrong("steps");
  if (s.warmup > s.steps) return wrong("warmup");
  if (!(s.rate > 0.0) || s.rate > 10.0) return wrong("rate");
  if (!(s.final_share >= 0.0) || s.final_share > 1.0) return wrong("final_share");
  if (!(s.weight_decay >= 0.0) || s.weight_decay > 10.0) return wrong("weight_decay");
  if (!(s.second_share > 0.0) || s.second_share > 1.0) return wrong("second_share");
  return {};
}

}  // namespace train
BITNET_NAMESPACE_END
