// SPDX-License-Identifier: Apache-2.0
// Budgets of steps: what an item took decides what is begun, and never ends a step too soon.
#include <bitnet/nn/context.hpp>

#include "doctest.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>

using namespace std::chrono_literals;
namespace nn = bitnet::nn;

namespace {

/// Items of a loop of ten that run within a budget, if each is expected to take `cost` ns.
std::size_t items_run(nn::step_budget budget, float cost) {
  nn::step_progress progress;
  nn::step_costs costs;
  costs.at(nn::step_control::layer_place, 1) = cost;
  nn::step_control control{budget, nullptr, progress, costs};
  control.start(1, nn::step_control::layer_place);
  std::size_t done = 0;
  control.loop(10, 1, [&](std::size_t first, std::size_t last) { done += last - first; });
  CHECK(control.stopped() == (done != 10));
  return done;
}

/// Two workers in turn, on the calling thread.
struct taking_turns {
  [[nodiscard]] static std::size_t concurrency() { return 2; }
  void parallel_for(std::size_t n, bitnet::parallel_task task) {
    for (std::size_t i = 0; i < n; ++i) task(i, i % 2);
  }
};

/// What ran of a loop that was cancelled while it ran its 8th item.
struct cancelled_loop {
  std::size_t begun = 0;  ///< items of the calls that were made
  bool stopped = false, cancelled = false;
};

/// Cancels loop(context, run), which calls run(first, last) for 200 items that are expected to take
/// `cost` ns each.
template <class Loop>
cancelled_loop cancel_at_8th(float cost, Loop loop) {
  bitnet::cancel_token flag;
  nn::step_budget budget = nn::step_budget::unlimited();
  nn::step_progress progress;
  nn::step_costs costs;
  costs.at(nn::step_control::layer_place, 1) = cost;
  nn::step_control control{budget, &flag, progress, costs};
  control.start(1, nn::step_control::layer_place);
  taking_turns threads;
  bitnet::arena scratch;
  const nn::hparams shape{};
  nn::context<> c{nn::dynamic_kernels{}, threads, scratch, shape, {}};
  c.control = &control;
  cancelled_loop out;
  loop(c, [&](std::size_t first, std::size_t last) {
    out.begun += last - first;
    if (out.begun >= 8) flag.cancel();
  });
  out.stopped = control.stopped();
  out.cancelled = control.cancelled();
  return out;
}

constexpr auto in_pieces = [](const nn::context<>& c, auto run) {
  c.pieces(200, [&](std::size_t first, std::size_t last, std::size_t) { run(first, last); });
};
constexpr auto in_parallel = [](const nn::context<>& c, auto run) {
  c.parallel(200, [&](std::size_t i, std::size_t) { run(i, i + 1); });
};
constexpr auto by_row = [](const nn::context<>& c, auto run) {
  c.each_row(200, [&](std::size_t i) { run(i, i + 1); });
};

}  // namespace

TEST_CASE("a cancelled loop ends with the item under way, or with the few that go unseen") {
  const auto check = [](const cancelled_loop& loop, std::size_t most) {
    CHECK(loop.begun >= 8);
    CHECK(loop.begun <= most);
    CHECK(loop.stopped);
    CHECK(loop.cancelled);
  };
  for (const float cost : {0.0F, 1.0F, 1e4F, 1e5F, 1e7F}) {  // 0: not known yet
    CAPTURE(cost);
    check(cancel_at_8th(cost, in_parallel), 8);
    check(cancel_at_8th(cost, by_row), 8);
  }
  for (const float cost : {0.0F, 6e4F, 1e5F, 1e7F}) {  // above half of what may go unseen
    CAPTURE(cost);
    check(cancel_at_8th(cost, in_pieces), 8);
  }
  check(cancel_at_8th(25e3F, in_pieces), 8 + 3);  // in fours
}

TEST_CASE("an item longer than a slice runs while there is time for it, and not otherwise") {
  for (const float cost : {0.0F, 100.0F, 1e5F, 1e6F, 1e9F}) CHECK(items_run(1h, cost) == 10);
  CHECK(items_run(1ms, 1e9F) == 1);  // the first item of a call always runs
  CHECK(items_run(nn::step_budget::work(3), 1e9F) == 3);
  CHECK(items_run(nn::step_budget::unlimited(), 1e9F) == 10);
}
