// SPDX-License-Identifier: Apache-2.0
// What a model learns from: sequences of tokens and what follows each of them.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/core/token.hpp>

#include <algorithm>
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

/// Targets that are not masked.
[[nodiscard]] inline std::size_t count_targets(const batch& b) noexcept {
  return static_cast<std::size_t>(
      std::count_if(b.targets.begin(), b.targets.end(), [](token t) { return t >= 0; }));
}

/// What a model takes.
struct batch_limits {
  std::size_t tokens = 0;   ///< of a batch
  std::size_t context = 0;  ///< of a sequence
  std::size_t vocab = 0;
};

/// errc::invalid_argument for a batch that is too large, contradicts itself or has tokens outside
/// the vocabulary. Scores alone need no targets.
[[nodiscard]] inline status check(const batch& b, const batch_limits& most, bool targets) noexcept {
  const auto wrong = [](const char* message) {
    return error{errc::invalid_argument, message, "batch"};
  };
  if (b.rows < 1 || b.length < 1) return wrong("the batch is empty");
  const auto length = static_cast<std::size_t>(b.length);
  const std::size_t tokens = static_cast<std::size_t>(b.rows) * length;
  if (tokens > most.tokens) return wrong("the batch has more tokens than the model was made for");
  if (length > most.context) return wrong("a sequence is longer than the context");
  if (b.inputs.size() != tokens || (targets && b.targets.size() != tokens))
    return wrong("the batch has not as many tokens as rows and length say");
  const auto vocab = static_cast<token>(most.vocab);
  for (const token t : b.inputs)
    if (t < 0 || t >= vocab) return wrong("a token is not in the vocabulary");
  if (targets)
    for (const token t : b.targets)
      if (t >= vocab) return wrong("a target is not in the vocabulary");
  return {};
}

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
