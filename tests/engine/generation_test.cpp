// SPDX-License-Identifier: Apache-2.0
// Generation in slices, cancelled and resumed, and what it does when the context is full.
#include "engine/support.hpp"

#include "doctest.hpp"

#include <algorithm>
#include <initializer_list>

using bitnet::errc;
using bitnet::overflow_policy;
using bitnet::step_budget;
using bitnet::step_state;
using bitnet::token;
using session = bitnet::session<bitnet::dynamic_model>;
using generation = bitnet::generation<session>;

using testing::small_model;

namespace {

const std::vector<token> first_tokens{5, 6, 7, 8, 9, 10, 11};

}  // namespace

TEST_CASE("a generation in slices gives the tokens and the text of one in one go") {
  const auto model = small_model("llama-");
  REQUIRE(model);
  for (const float penalty : {1.0F, 1.2F}) {
    bitnet::generate_options options;
    options.max_tokens = 12;
    options.ignore_eos = true;
    options.sampling = {.temperature = 0.8F, .top_k = 20, .repetition_penalty = penalty};
    auto s = session::make(*model, model->threads(), {.context = 64});
    REQUIRE(s);
    std::string text;
    const auto all =
        bitnet::generate(*s, model->tokenizer(), first_tokens, options, [&](auto piece) {
          text += piece;
          return true;
        });
    REQUIRE(all);
    CHECK(all->tokens.size() == 12);
    CHECK(s->position() == 7 + 11);
    for (const std::size_t work : std::initializer_list<std::size_t>{1, 50, 1000}) {
      REQUIRE(s->rewind(0));
      bitnet::cancel_token flag;
      s->cancel_with(&flag);
      auto g = generation::make(*s, model->tokenizer(), first_tokens, options);
      REQUIRE(g);
      std::string again;
      std::size_t cancelled = 0;
      for (std::size_t calls = 1;; ++calls) {
        if (calls % 97 == 0) flag.cancel();
        const auto state = g->step(step_budget::work(work), [&](auto piece) {
          again += piece;
          return true;
        });
        if (!state) {
          CHECK(state.error().code() == errc::cancelled);
          ++cancelled;
          flag.reset();
          if (cancelled == 3) s->cancel_with(nullptr);  // or a slow step would never end
          continue;
        }
        if (*state == step_state::done) break;
      }
      CHECK(again == text);
      CHECK(g->result_so_far().tokens == all->tokens);
      s->cancel_with(nullptr);
    }
  }
}

TEST_CASE("a full context stops, fails or shifts") {
  const auto model = small_model("llama-");
  REQUIRE(model);
  bitnet::generate_options options;
  options.max_tokens = 60;
  options.ignore_eos = true;
  options.keep = 4;
  const auto run = [&](overflow_policy policy, std::size_t work) {
    options.overflow = policy;
    auto s = session::make(*model, model->threads(), {.context = 20, .batch = 8});
    REQUIRE(s);
    auto g = generation::make(*s, model->tokenizer(), first_tokens, options);
    REQUIRE(g);
    for (;;) {
      const auto state = g->step(step_budget::work(work), [](auto) { return true; });
      if (!state) {
        CHECK(state.error().code() == errc::context_full);
        break;
      }
      if (*state == step_state::done) break;
    }
    return g->take_result();
  };
  const auto stopped = run(overflow_policy::stop, 1000000);
  CHECK(stopped.reason == bitnet::stop_reason::context_full);
  CHECK(stopped.tokens.size() == 14);
  CHECK(run(overflow_policy::error, 1000000).tokens == stopped.tokens);
  const auto shifted = run(overflow_policy::shift, 1000000);
  CHECK(shifted.reason == bitnet::stop_reason::max_tokens);
  CHECK(shifted.tokens.size() == 60);
  CHECK(run(overflow_policy::shift, 40).tokens == shifted.tokens);

  // By hand, with a fresh session for every token.
  std::vector<token> held = first_tokens, expected;
  for (std::size_t i = 0; i < 60; ++i) {
    auto s = session::make(*model, model->threads(), {.context = 20});
    REQUIRE(s);
    REQUIRE(s->feed(held));
    expected.push_back(s->best(1)[0].id);
    if (held.size() == 20) held.erase(held.begin() + 4, held.begin() + 12);
    held.push_back(expected.back());
  }
  CHECK(shifted.tokens == expected);
}

TEST_CASE("shifting makes room for a long first_tokens, and keeps what it must") {
  const auto model = small_model("llama-");
  REQUIRE(model);
  bitnet::generate_options options;
  options.max_tokens = 1;
  options.overflow = overflow_policy::shift;
  options.keep = 3;
  auto s = session::make(*model, model->threads(), {.context = 16});
  REQUIRE(s);
  REQUIRE(s->feed(std::vector<token>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  const auto on_text = [](std::string_view) { return true; };
  REQUIRE(bitnet::generate(*s, model->tokenizer(), first_tokens, options, on_text));
  const std::vector<token> expected{1, 2, 3, 9, 10, 11, 12, 5, 6, 7, 8, 9, 10, 11};
  CHECK(std::equal(s->tokens().begin(), s->tokens().end(), expected.begin(), expected.end()));
  const std::vector<token> too_long(14, 1);
  const auto refused = bitnet::generate(*s, model->tokenizer(), too_long, options, on_text);
  REQUIRE(!refused);
  CHECK(refused.error().code() == errc::context_full);
  CHECK(s->position() == 14);
  options.keep = 16;
  CHECK(!bitnet::generate(*s, model->tokenizer(), first_tokens, options, on_text));
  options.keep = 3;
  options.max_tokens = ~std::size_t{0};
  CHECK(!bitnet::generate(*s, model->tokenizer(), first_tokens, options, on_text));
  CHECK(s->position() == 14);
}
