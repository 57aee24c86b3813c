// SPDX-License-Identifier: Apache-2.0
// The batches of a step: one, or several that are accumulated.
#pragma once

#include <bitnet/train/batch_source.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace trainer {

class step_batches {
 public:
  step_batches(bitnet::train::batch_source source, std::size_t batches)
      : source_{std::move(source)}, tokens_(batches) {}

  /// Passes over the text in so many steps.
  [[nodiscard]] double passes(std::uint64_t steps) const noexcept {
    return source_.passes(steps * tokens_.size());
  }
  /// The batches of step `step`, from 0: valid until the next call. Copies, since the source has
  /// memory for one.
  [[nodiscard]] std::span<const bitnet::train::batch> at(std::uint64_t step) {
    batches_.clear();
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const bitnet::train::batch b = source_.at(step * tokens_.size() + i);
      copy& own = tokens_[i];
      own.inputs.assign(b.inputs.begin(), b.inputs.end());
      own.targets.assign(b.targets.begin(), b.targets.end());
      batches_.push_back({b.rows, b.length, own.inputs, own.targets});
    }
    return batches_;
  }

 private:
  struct copy {
    std::vector<bitnet::token> inputs, targets;
  };

  bitnet::train::batch_source source_;
  std::vector<copy> tokens_;
  std::vector<bitnet::train::batch> batches_;
};

}  // namespace trainer
