// SPDX-License-Identifier: Apache-2.0
// Min-p: drops tokens that are much less likely than the best one (Nguyen et al., 2024).
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/sample/logits.hpp>

#include <cstddef>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// Keeps candidates whose probability is at least p (0 to 1) times that of the best one, in their
/// order, at the front of the same memory. The best one always stays.
[[nodiscard]] inline std::span<candidate> min_p(std::span<candidate> candidates, float p,
                                                const softmax_weight& weigh) noexcept {
  const auto least = static_cast<weight>(static_cast<double>(p) * static_cast<double>(weight_one));
  std::size_t count = 0;
  for (const candidate& c : candidates)
    if (weigh(c.logit) >= least) candidates[count++] = c;
  return candidates.first(count);
}

}  // namespace sample
BITNET_NAMESPACE_END
