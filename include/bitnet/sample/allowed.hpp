// SPDX-License-Identifier: Apache-2.0
// Leaves only allowed tokens to a sampler, whatever their logits are.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/sample/logits.hpp>
#include <bitnet/sample/token_set.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// Copies `logits` to `out` (of the same size, perhaps the same memory): -infinity for tokens that
/// are not allowed; an allowed one that is NaN or -infinity becomes the lowest finite value, so
/// that it is usable and still the last choice.
inline void keep_allowed(std::span<const float> logits, const token_set& allowed,
                         std::span<float> out) noexcept {
  BITNET_ASSERT(out.size() >= logits.size(), "keep_allowed needs a copy of the logits");
  constexpr float never = -std::numeric_limits<float>::infinity();
  constexpr float least = std::numeric_limits<float>::lowest();
  const auto words = allowed.words();
  for (std::size_t first = 0; first < logits.size(); first += 64) {
    const std::size_t count = std::min<std::size_t>(64, logits.size() - first);
    const std::uint64_t word = first / 64 < words.size() ? words[first / 64] : 0;
    if (word == 0) {
      std::fill_n(out.data() + first, count, never);
      continue;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const float logit = logits[first + i];
      out[first + i] = (word >> i & 1U) == 0 ? never : usable(logit) ? logit : least;
    }
  }
}

}  // namespace sample
BITNET_NAMESPACE_END
