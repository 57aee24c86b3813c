// SPDX-License-Identifier: Apache-2.0
// Samplers: each processor on known small cases, hostile logits, determinism and frequencies.
#include <bitnet/sample/sampler.hpp>

#include "doctest.hpp"
#include "sample/support.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

using bitnet::sampler;
using bitnet::sampler_options;
using bitnet::token;
namespace sample = bitnet::sample;
using sample_test::inf;
using sample_test::nan_value;

namespace {
token one(const sampler_options& options, const std::vector<float>& logits,
          const std::vector<token>& history = {}, std::uint64_t index = 0) {
  auto s = sampler::make(options, logits.size());
  REQUIRE(s);
  return s->sample(logits, history, index);
}
}  // namespace

TEST_CASE("argmax: first of equals, NaN never, any size") {
  CHECK(sample::argmax(std::vector<float>{1, 3, 3, 2}) == 1);
  CHECK(sample::argmax(std::vector<float>{nan_value, -inf, nan_value}) == 1);
  CHECK(sample::argmax(std::vector<float>{nan_value, nan_value}) == 0);
  CHECK(sample::argmax({}) == 0);
  for (const std::size_t place : {0U, 15U, 16U, 1023U, 1024U, 2047U, 2999U}) {
    std::vector<float> x(3000, -1.0F);
    x[place] = 5.0F;
    CHECK(sample::argmax(x) == static_cast<token>(place));
  }
}

TEST_CASE("weights are the exponential to nine digits and end at 28 nats") {
  for (int i = 0; i < 2000; ++i) {
    const float logit = static_cast<float>(-i) * 0.01F;
    const double expect = std::exp(static_cast<double>(logit)) * 0x1p40;
    const auto got = static_cast<double>(sample::softmax_weight{0.0F}(logit));
    CHECK(std::fabs(got - expect) <= expect * 0x1p-29 + 1.0);
  }
  CHECK(sample::softmax_weight{0.0F}(0.0F) == sample::weight_one);
  CHECK(sample::softmax_weight{0.0F}(-inf) == 0);
  CHECK(sample::softmax_weight{inf}(inf) == sample::weight_one);
  CHECK(sample::softmax_weight{inf}(1.0F) == 0);
}

TEST_CASE("top_k keeps the best, sorted, also through many selections") {
  std::vector<float> logits(5000);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i / 2);
  logits[10] = nan_value;
  std::vector<sample::candidate> room(sample::top_k_room(3, logits.size()));
  const auto best = sample::top_k(logits, 3, room);
  REQUIRE(best.size() == 3);
  CHECK(best[0].id == 4998);
  CHECK(best[1].id == 4999);
  CHECK(best[2].id == 4996);
}

TEST_CASE("top_p and min_p keep the smallest sufficient sets") {
  std::array<sample::candidate, 4> c{};
  const std::array<double, 4> p{0.5, 0.3, 0.15, 0.05};
  for (std::size_t i = 0; i < 4; ++i)
    c[i] = {static_cast<float>(std::log(p[i])), static_cast<token>(i)};
  const sample::softmax_weight weigh{c[0].logit};
  const auto total = sample::total_weight(std::span<const sample::candidate>{c}, weigh);
  CHECK(sample::top_p(c, 0.0F, total, weigh) == 1);
  CHECK(sample::top_p(c, 0.49F, total, weigh) == 1);
  CHECK(sample::top_p(c, 0.51F, total, weigh) == 2);
  CHECK(sample::top_p(c, 0.9F, total, weigh) == 3);
  CHECK(sample::top_p(c, 1.0F, total, weigh) == 4);
  CHECK(sample::min_p(c, 0.2F, weigh).size() == 3);
  CHECK(sample::min_p(c, 0.61F, weigh).size() == 1);
}

TEST_CASE("penalties count a repeated token once and look back over the window only") {
  const sampler_options o{.repetition_penalty = 2.0F, .repetition_window = 2};
  CHECK(one(o, {4, 3, 1}, {0, 0}) == 1);     // 4 / 2 < 3
  CHECK(one(o, {7, 3, 1}, {0, 0}) == 0);     // once: 7 / 2 > 3
  CHECK(one(o, {4, 3, 1}, {0, 2, 2}) == 0);  // out of the window
  CHECK(one(o, {-1, -1.5F}, {0}) == 1);      // negative: multiplied
  CHECK(one(o, {4, 3}, {-5, 99}) == 0);      // ids outside are skipped
}

TEST_CASE("hostile logits and extreme options") {
  for (const sampler_options& o :
       {sampler_options{}, sampler_options{.temperature = 1.0F},
        sampler_options{.temperature = 3e38F, .top_k = 1000},
        sampler_options{.temperature = 1e-45F, .top_p = 0.9F},
        sampler_options{.temperature = 1.0F, .top_k = 2, .top_p = 0.5F, .min_p = 1.0F}}) {
    CHECK(one(o, {nan_value, nan_value}) == 0);
    CHECK(one(o, {nan_value, 1.0F, -inf}) == 1);
    CHECK(one(o, {1.0F, inf, 2.0F, nan_value}) == 1);
    CHECK(one(o, {-inf, -inf}) == 0);
    CHECK(one(o, {-3e38F, nan_value}) == 0);
  }
  CHECK(one({.temperature = 1e-45F}, {1.0F, 2.0F}) == 1);
}

TEST_CASE("the best tokens alone give the choice of all logits, and a sampler says how many") {
  std::vector<float> logits(5000);
  std::uint64_t state = 3;
  for (float& x : logits) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    x = static_cast<float>(state >> 40) * 0x1p-21F;  // many equal ones
  }
  const auto options = [](float temperature, int top_k, float top_p = 1.0F, float min_p = 0.0F,
                          float penalty = 1.0F) {
    return sampler_options{.temperature = temperature,
                           .top_k = top_k,
                           .top_p = top_p,
                           .min_p = min_p,
                           .repetition_penalty = penalty};
  };
  const auto needs = [&](const sampler_options& o) {
    return sampler::make(o, logits.size())->needs();
  };
  CHECK(needs(options(0.0F, 0)) == 1);
  CHECK(needs(options(1.0F, 1)) == 1);
  CHECK(needs(options(1.0F, 40)) == 40);
  CHECK(needs(options(1.0F, 0)) == 0);
  CHECK(needs(options(0.0F, 0, 1.0F, 0.0F, 1.1F)) == 0);
  std::vector<bitnet::scored_token> all;
  for (std::size_t i = 0; i < logits.size(); ++i) all.push_back({logits[i], static_cast<token>(i)});
  std::sort(all.begin(), all.end(), bitnet::better);
  for (const auto& o : {options(0.0F, 0), options(0.7F, 40), options(1.3F, 200, 0.9F),
                        options(2.0F, 17, 0.99F, 0.2F)}) {
    auto s = sampler::make(o, logits.size());
    REQUIRE(s);
    const auto best = std::span<const bitnet::scored_token>{all}.first(s->needs());
    for (std::uint64_t i = 0; i < 50; ++i) CHECK(s->sample(best, i) == s->sample(logits, {}, i));
    CHECK(s->sample(std::span<const bitnet::scored_token>{}, 0) == 0);
  }
}

TEST_CASE("options outside their range are refused by name") {
  CHECK(bitnet::validate({}));
  CHECK(bitnet::validate({.temperature = nan_value}).error().what() == "temperature");
  CHECK(bitnet::validate({.top_k = -1}).error().what() == "top_k");
  CHECK(bitnet::validate({.top_p = 1.5F}).error().what() == "top_p");
  CHECK(bitnet::validate({.min_p = -1.0F}).error().what() == "min_p");
  CHECK(bitnet::validate({.repetition_penalty = 0}).error().what() == "repetition_penalty");
  CHECK(bitnet::validate({.repetition_window = -1}).error().what() == "repetition_window");
  CHECK(!sampler::make({}, 0));
}

TEST_CASE("frequencies follow the softmax (chi-square), and draws repeat") {
  const std::vector<float> logits{0.0F, 1.0F, 2.0F, -1.0F, 0.5F};
  for (const float temperature : {0.7F, 1.0F, 2.0F}) {
    auto s = sampler::make({.temperature = temperature, .seed = 42}, logits.size());
    REQUIRE(s);
    std::array<double, 5> seen{};
    constexpr int draws = 50000;
    for (std::uint64_t i = 0; i < draws; ++i) {
      const token t = s->sample(logits, {}, i);
      REQUIRE(t == s->sample(logits, {}, i));
      seen[static_cast<std::size_t>(t)] += 1;
    }
    double norm = 0;
    for (const float l : logits) norm += std::exp(static_cast<double>(l / temperature));
    double chi = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      const double e = draws * std::exp(static_cast<double>(logits[i] / temperature)) / norm;
      chi += (seen[i] - e) * (seen[i] - e) / e;
    }
    CHECK(chi < 18.47);  // 99.9 % of four degrees of freedom
  }
}
