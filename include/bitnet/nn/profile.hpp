// SPDX-License-Identifier: Apache-2.0
// Where the time of steps goes: weights, head, attention, and the rest.
#pragma once

#include <bitnet/config.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// What the calling thread of a step is busy with, or waits for.
enum class step_part : std::uint8_t {
  rest,       ///< embedding, norms, rotation, quantized inputs, nonlinearities, sums
  weights,    ///< the products of the blocks' matrices
  head,       ///< scores of the vocabulary, whatever that takes
  attention,  ///< keys and values stored, scores, softmax, weighted sum
};
inline constexpr std::size_t step_parts = 4;

/// Wall time that steps spent in each part, added up; a session fills it on request. Every moment
/// of a step belongs to exactly one part, so the parts sum to the time of the steps. It costs two
/// readings of the clock for each layer operation, and nothing when there is no profile. One
/// session at a time.
class step_profile {
 public:
  [[nodiscard]] double seconds(step_part part) const noexcept {
    return seconds_[static_cast<std::size_t>(part)];
  }
  /// Sum of the parts.
  [[nodiscard]] double seconds() const noexcept {
    return std::accumulate(seconds_.begin(), seconds_.end(), 0.0);
  }
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }

  void count_step() noexcept { ++steps_; }

  /// Accounts for time while it lives, where there is a profile.
  class scope {
   public:
    /// A step, or scores asked for after it; what happens outside every part is `rest`.
    explicit scope(step_profile* profile) noexcept : profile_{profile} {
      if (profile_ == nullptr) return;
      profile_->current_ = step_part::rest;
      profile_->since_ = clock::now();
    }
    /// A part of that. Inside another part it changes nothing: the products of the head are the
    /// head's.
    scope(step_profile* profile, step_part part) noexcept
        : profile_{profile != nullptr && profile->current_ == step_part::rest ? profile : nullptr} {
      if (profile_ != nullptr) profile_->enter(part);
    }
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;
    ~scope() {
      if (profile_ != nullptr) profile_->enter(step_part::rest);
    }

   private:
    step_profile* profile_;
  };

 private:
  using clock = std::chrono::steady_clock;

  /// What passed until now belongs to the part so far.
  void enter(step_part part) noexcept {
    const clock::time_point now = clock::now();
    seconds_[static_cast<std::size_t>(current_)] +=
        std::chrono::duration<double>(now - since_).count();
    since_ = now;
    current_ = part;
  }

  std::array<double, step_parts> seconds_{};
  std::uint64_t steps_ = 0;
  step_part current_ = step_part::rest;
  clock::time_point since_{};
};

}  // namespace nn
BITNET_NAMESPACE_END
