// SPDX-License-Identifier: Apache-2.0
// What a model learns from: sequences of tokens and what follows each of them.
#pragma once

#include <bitnet/core/token.hpp>

#include <cstddef>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace train {

/// `rows` sequences of `length` tokens, one after the other. targets[i] is what should follow
/// inputs[i]; a negative target is not learned (a mask). Nothing is owned.
struct batch {
  int rows = 0;
  int length = 0;
  std::span<const token> inputs;
  std::span<const token> targets;
};

/// Cross-entropy in nats, summed over the `count` targets that are not masked.
struct loss_sum {
  double total = 0.0;
  std::size_t count = 0;

  [[nodiscard]] double mean() const noexcept {
    return count == 0 ? 0.0 : total / static_cast<double>(count);
  }
};

}  // namespace train
BITNET_NAMESPACE_END
