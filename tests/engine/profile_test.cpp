// SPDX-License-Identifier: Apache-2.0
// The time of steps by parts: every part is seen, they sum to the whole, and no profile costs none.
#include "engine/support.hpp"

#include "doctest.hpp"

#include <chrono>

namespace nn = bitnet::nn;
using nn::step_part;
using nn::step_profile;
using clock_type = std::chrono::steady_clock;

namespace {

double since(clock_type::time_point start) {
  return std::chrono::duration<double>(clock_type::now() - start).count();
}

void wait(double seconds) {
  for (const auto start = clock_type::now(); since(start) < seconds;) {
  }
}

}  // namespace

TEST_CASE("time belongs to the outermost scope, and to the rest outside all of them") {
  step_profile p;
  const auto start = clock_type::now();
  p.count_step();
  {
    const step_profile::scope step{&p};
    wait(0.002);
    {
      const step_profile::scope head{&p, step_part::head};
      wait(0.003);
      const step_profile::scope weights{&p, step_part::weights};
      wait(0.003);
    }
    const step_profile::scope attention{&p, step_part::attention};
    wait(0.001);
  }
  const double total = since(start);
  CHECK(p.steps() == 1);
  CHECK(p.seconds(step_part::rest) >= 0.002);
  CHECK(p.seconds(step_part::head) >= 0.006);
  CHECK(p.seconds(step_part::attention) >= 0.001);
  CHECK(p.seconds(step_part::weights) == 0.0);
  CHECK(p.seconds() >= 0.009);
  CHECK(p.seconds() <= total);
  const step_profile::scope nothing{nullptr, step_part::head};  // reads no clock, harms nothing
}

TEST_CASE("a session accounts for the time of its steps, and changes no result by that") {
  for (const auto& m : testing::golden_models()) {
    if (!m.name.starts_with("b25-") && !m.name.starts_with("qwen3-q1_0")) continue;
    CAPTURE(m.name);
    const auto model = bitnet::open(m.path + ".gguf");
    REQUIRE(model);
    auto s =
        bitnet::session<bitnet::dynamic_model>::make(*model, model->threads(), {.context = 64});
    REQUIRE(s);
    const auto tokens = m.tokens();
    REQUIRE(s->feed(std::span{tokens}.first(20)));
    const std::vector<float> expected{s->logits().begin(), s->logits().end()};
    REQUIRE(s->rewind(0));

    step_profile p;
    s->profile(&p);
    const auto start = clock_type::now();
    for (std::size_t i = 0; i < 20; ++i) {
      REQUIRE(s->feed(std::span{tokens}.subspan(i, 1)));
      REQUIRE(s->best(1).size() == 1);
    }
    const double total = since(start);
    CHECK(p.steps() == 20);
    for (const step_part part :
         {step_part::rest, step_part::weights, step_part::head, step_part::attention})
      CHECK(p.seconds(part) > 0.0);
    CHECK(p.seconds() <= total);
    CHECK(p.seconds() >= 0.5 * total);  // the rest of a feed is a few checks
    CHECK(std::equal(expected.begin(), expected.end(), s->logits().begin(), s->logits().end()));

    s->profile(nullptr);
    REQUIRE(s->feed(std::span{tokens}.subspan(20, 1)));
    CHECK(p.steps() == 20);
  }
}
