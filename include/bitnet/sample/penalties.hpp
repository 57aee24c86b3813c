// SPDX-License-Identifier: Apache-2.0
// Penalties on tokens that were used lately.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/token.hpp>

#include <cstddef>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// A logit made less likely by a factor above 1: positive ones are divided, others multiplied
/// (Keskar et al., "CTRL", 2019, with the case of negative logits as in llama.cpp).
[[nodiscard]] constexpr float penalize(float logit, float penalty) noexcept {
  return logit > 0.0F ? logit / penalty : logit * penalty;
}

/// Penalizes each token of `window` once, however often it occurs there. `out` has the size of
/// `logits`, does not overlap them and holds a copy of them: each penalized value is computed from
/// the original, so a repeat writes the same value again and no set of seen tokens is needed.
/// Ids outside the vocabulary are skipped.
inline void penalize_repeats(std::span<const float> logits, std::span<const token> window,
                             float penalty, std::span<float> out) noexcept {
  BITNET_ASSERT(out.size() >= logits.size(), "penalize_repeats needs a copy of the logits");
  for (const token id : window) {
    if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) continue;
    const auto i = static_cast<std::size_t>(id);
    out[i] = penalize(logits[i], penalty);
  }
}

}  // namespace sample
BITNET_NAMESPACE_END
