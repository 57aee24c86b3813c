// SPDX-License-Identifier: Apache-2.0
// Stops a step between two pieces of its work, for good or to go on later.
#pragma once

#include <bitnet/core/cancel.hpp>
#include <bitnet/core/checked.hpp>
#include <bitnet/core/function_ref.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// How far a step has come: loops that are done, and items of the loop that comes next.
struct step_progress {
  std::size_t loops = 0;
  std::size_t items = 0;
};

/// What a loop's items have taken so far, by the loop's place in its layer and by how many rows the
/// step had (in powers of two): a moving average, in nanoseconds for each row.
class step_costs {
 public:
  static constexpr std::size_t places = 96;
  static constexpr std::size_t head = 64;  ///< places of the head's loops
  [[nodiscard]] float& at(std::size_t place, std::size_t rows) noexcept {
    return ns_[static_cast<std::size_t>(std::bit_width(rows)) % ns_.size()]
              [std::min(place, places - 1)];
  }
  /// Of the layers' loop whose items take longest in steps of about so many rows; 0 if unknown.
  [[nodiscard]] float longest(std::size_t rows) const noexcept {
    const auto& ns = ns_[static_cast<std::size_t>(std::bit_width(rows)) % ns_.size()];
    return *std::max_element(ns.begin(), ns.begin() + head);
  }

 private:
  std::array<std::array<float, places>, 14> ns_{};
};

/// How much work may be done, counted from when it is made: until a time, or a number of items of
/// loops, which does not depend on the machine's speed. What is given a budget uses it up; at least
/// one item is done whatever it is, so that each call gets on.
class step_budget {
 public:
  using clock = std::chrono::steady_clock;

  /// A time from now on.
  template <class Rep, class Period>
  explicit(false) step_budget(std::chrono::duration<Rep, Period> time) noexcept
      : time_{std::chrono::duration_cast<clock::duration>(time)}, deadline_{clock::now() + time_} {}
  /// A number of items, at least 1.
  [[nodiscard]] static step_budget work(std::size_t items) noexcept {
    step_budget b;
    b.work_ = items;
    return b;
  }
  [[nodiscard]] static step_budget unlimited() noexcept { return step_budget{}; }

  [[nodiscard]] bool timed() const noexcept { return deadline_ != clock::time_point::max(); }
  [[nodiscard]] bool limited() const noexcept { return timed() || work_ != endless; }
  /// Whether nothing more can be begun.
  [[nodiscard]] bool spent() const noexcept {
    return used_ && (work_ == 0 || (timed() && clock::now() >= deadline_));
  }
  /// The time given at the beginning.
  [[nodiscard]] clock::duration time() const noexcept { return time_; }

 private:
  friend class step_control;
  static constexpr std::size_t endless = std::numeric_limits<std::size_t>::max();
  step_budget() noexcept = default;

  clock::duration time_{};
  clock::time_point deadline_ = clock::time_point::max();
  std::size_t work_ = endless;
  bool used_ = false;  // something ran
};

/// Decides loop by loop and slice by slice whether a step goes on. Layers touch numbers only inside
/// the loops of their context, and scratch memory lies where it lay before; so a step that was
/// stopped is resumed by running the same functions again: loops that are done are passed over, and
/// the one that was cut goes on where it ended. No layer needs to know, and the bits are those of a
/// step in one go, since no item of a loop runs twice or depends on the others.
///
/// It lives for one call, on the thread of the session; pieces on other threads ask `noticed`.
class step_control {
 public:
  using clock = step_budget::clock;

  /// `cancel` may be null.
  step_control(step_budget& budget, const cancel_token* cancel, step_progress& progress,
               step_costs& costs) noexcept
      : budget_{&budget}, cancel_{cancel}, progress_{&progress}, costs_{&costs} {}

  /// Places of what precedes the layers, of a layer, of the head.
  static constexpr std::size_t first_place = 0, layer_place = 8, head_place = step_costs::head;
  static constexpr std::size_t logits_place = head_place + 16;

  /// Another function of the step begins or goes on: its loops are counted from 0. Its loops' costs
  /// are kept at `place` and behind.
  void start(std::size_t rows, std::size_t place) noexcept {
    rows_ = std::max<std::size_t>(rows, 1);
    next_ = 0;
    place_ = place;
  }
  /// That function has ended.
  void end() noexcept { *progress_ = {}; }
  /// The loops that follow are those of a layer.
  void layer() noexcept { place_ = layer_place; }

  /// Whether the rest of the step is to be skipped.
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }
  /// Whether that is for good.
  [[nodiscard]] bool cancelled() const noexcept { return seen_.load(std::memory_order_relaxed); }
  /// Asked before each piece of work, by any thread. Once true it stays so, since pieces were left
  /// out.
  [[nodiscard]] bool noticed() noexcept {
    if (cancel_ == nullptr) return false;
    if (!seen_.load(std::memory_order_relaxed) && cancel_->cancelled())
      seen_.store(true, std::memory_order_relaxed);
    return seen_.load(std::memory_order_relaxed);
  }

  /// Items of the slice under way that a thread may run before it asks `noticed` again: those that
  /// are expected to take no longer than longest_unseen together, or one.
  [[nodiscard]] std::size_t unseen() const noexcept { return unseen_; }

  /// Runs items [0, n) of the next loop by calls run(first, last), as far as there is time.
  void loop(std::size_t n, std::size_t threads,
            function_ref<void(std::size_t, std::size_t)> run) noexcept {
    if (stopped_) return;
    const std::size_t place = place_++;
    if (next_++ < progress_->loops) return;
    float& cost = costs_->at(place, rows_);
    while (progress_->items < n) {
      const clock::time_point begin = clock::now();
      const std::size_t count = slice(n - progress_->items, threads, cost, begin);
      stopped_ = count == 0 || noticed();
      if (stopped_) return;
      unseen_ = items_unseen(cost);
      run(progress_->items, progress_->items + count);
      stopped_ = noticed();
      if (stopped_) return;
      learn(cost, clock::now() - begin, ceil_div(count, threads));
      progress_->items += count;
      if (budget_->work_ != step_budget::endless) budget_->work_ -= std::min(budget_->work_, count);
      budget_->used_ = true;
    }
    *progress_ = {progress_->loops + 1, 0};
  }

 private:
  using ns = std::chrono::duration<double, std::nano>;

  /// A slice that runs without looking up.
  static constexpr double longest_slice = 500e3;
  /// Time too short to begin something with.
  static constexpr double shortest_slice = 10e3;
  /// Time in which a thread does not look whether it is cancelled.
  static constexpr double longest_unseen = 100e3;

  /// An even number where there are several: kernels take tiles in pairs.
  [[nodiscard]] std::size_t items_unseen(float cost) const noexcept {
    if (cancel_ == nullptr) return std::numeric_limits<std::size_t>::max();
    const double expected = static_cast<double>(cost) * static_cast<double>(rows_);
    const auto count =
        expected > 0.0 ? static_cast<std::size_t>(std::clamp(longest_unseen / expected, 1.0, 1e9))
                       : 1;
    return count == 1 ? 1 : count / 2 * 2;
  }

  /// Items to run now: 0 if there is no time for any. The first of a call always runs, so that
  /// each call gets on.
  [[nodiscard]] std::size_t slice(std::size_t left, std::size_t threads, float cost,
                                  clock::time_point now) const noexcept {
    const std::size_t least = budget_->used_ ? 0 : 1;
    if (budget_->work_ == 0) return least;
    if (!budget_->timed()) return std::min(left, budget_->work_);
    // A quarter is kept for what takes longer than expected; the next slice may use it.
    const double rest = ns{budget_->deadline_ - now}.count();
    const double left_time = rest - std::max(rest / 4, shortest_slice);
    if (left_time <= 0.0) return least;
    const double time = std::min(longest_slice, left_time);
    std::size_t turns = 1;  // items of each thread
    if (cost > 0.0F) {
      const double expected = static_cast<double>(cost) * static_cast<double>(rows_);
      if (expected > left_time) return least;  // an item longer than a slice may still fit
      turns = static_cast<std::size_t>(std::clamp(time / expected, 1.0, 1e9));
    }
    return std::min({left, budget_->work_, turns * threads});
  }

  /// An outlier, when the thread lost its core, counts for little.
  void learn(float& cost, clock::duration took, std::size_t turns) const noexcept {
    const float now = static_cast<float>(ns{took}.count() / static_cast<double>(turns * rows_));
    cost = cost == 0.0F ? now : 0.75F * cost + 0.25F * std::min(now, 4 * cost);
  }

  step_budget* budget_;
  const cancel_token* cancel_;
  step_progress* progress_;
  step_costs* costs_;
  std::size_t rows_ = 1;
  std::size_t next_ = 0;   // loop of the function
  std::size_t place_ = 0;  // in costs_
  std::size_t unseen_ = std::numeric_limits<std::size_t>::max();
  bool stopped_ = false;
  std::atomic<bool> seen_{false};
};

}  // namespace nn
BITNET_NAMESPACE_END
