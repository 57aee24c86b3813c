// SPDX-License-Identifier: Apache-2.0
// Budgets of steps: what an item took decides what is begun, and never ends a step too soon.
#include <bitnet/nn/step_control.hpp>

#include "doctest.hpp"

#include <chrono>

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

}  // namespace

TEST_CASE("an item longer than a slice runs while there is time for it, and not otherwise") {
  for (const float cost : {0.0F, 100.0F, 1e5F, 1e6F, 1e9F}) CHECK(items_run(1h, cost) == 10);
  CHECK(items_run(1ms, 1e9F) == 1);  // the first item of a call always runs
  CHECK(items_run(nn::step_budget::work(3), 1e9F) == 3);
  CHECK(items_run(nn::step_budget::unlimited(), 1e9F) == 10);
}
