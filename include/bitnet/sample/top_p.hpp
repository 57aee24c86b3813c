// SPDX-License-Identifier: Apache-2.0
// Top-p, or nucleus sampling (Holtzman et al., "The curious case of neural text degeneration").
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/sample/logits.hpp>

#include <cstddef>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// How many of the candidates, sorted best first, make the smallest set whose probability reaches
/// p (0 to 1); at least 1 unless there are none. `total` is the weight of the whole distribution,
/// of which `sorted` may be only the beginning; if that does not reach p, all of it is counted.
[[nodiscard]] inline std::size_t top_p(std::span<const candidate> sorted, float p, weight total,
                                       const softmax_weight& weigh) noexcept {
  const auto enough = static_cast<weight>(static_cast<double>(p) * static_cast<double>(total));
  weight sum = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    sum += weigh(sorted[i].logit);
    if (sum >= enough) return i + 1;
  }
  return sorted.size();
}

}  // namespace sample
BITNET_NAMESPACE_END
