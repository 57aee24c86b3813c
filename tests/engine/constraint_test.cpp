// SPDX-License-Identifier: Apache-2.0
// Constrained generation on real vocabularies and random weights: only what is allowed comes out.
#include "engine/allocations.hpp"
#include "engine/support.hpp"

#include "doctest.hpp"

#include <algorithm>
#include <set>

using bitnet::token;
namespace sample = bitnet::sample;
using session = bitnet::session<bitnet::dynamic_model>;

namespace {

const std::vector<std::string> commands{" stop",      " move north 1", " move north 10",
                                        " turn left", " caf\xC3\xA9",  " \xF0\x9F\xA4\x96!"};

std::string text_of(const bitnet::dynamic_model& model, std::span<const token> tokens) {
  std::string out;
  for (const token t : tokens)
    if (!model.tokenizer().is_control(t)) out += model.tokenizer().piece(t);
  return out;
}

/// The likeliest allowed token after each other, from all scores.
std::vector<token> by_hand(session& s, std::span<const token> prompt,
                           bitnet::constraint_ref constraint, std::size_t most = 96) {
  std::vector<token> out;
  constraint.reset();
  CHECK(s.rewind(0));
  CHECK(s.feed(prompt));
  while (!constraint.finished() && out.size() < most) {
    const auto logits = s.logits();
    token best = -1;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const auto id = static_cast<token>(i);
      if (constraint.allowed().contains(id) &&
          (best < 0 || logits[i] > logits[static_cast<std::size_t>(best)]))
        best = id;
    }
    out.push_back(best);
    if (!constraint.accept(best)) break;
    CHECK(s.feed({&best, 1}));
  }
  return out;
}

}  // namespace

TEST_CASE("only allowed strings are generated, by every sampler and from every model") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    const auto model = bitnet::open(m.path + ".gguf");
    REQUIRE(model);
    const auto vocabulary = bitnet::make_token_trie(model->tokenizer());
    REQUIRE(vocabulary);
    const auto set = sample::choices::make(commands);
    REQUIRE(set);
    auto only = sample::choice_constraint::make(*vocabulary, *set);
    REQUIRE(only);
    auto s = session::make(*model, model->threads(), {.context = 96});
    REQUIRE(s);
    std::vector<token> start = m.tokens();
    start.resize(8);

    bitnet::generate_options options;
    options.constraint = *only;
    std::set<std::string> said;
    for (int round = 0; round < 14; ++round) {
      options.sampling = {};
      if (round > 0) options.sampling.temperature = round % 2 == 0 ? 1.0F : 50.0F;
      options.sampling.top_k = round % 3 == 0 ? 20 : 0;
      options.sampling.repetition_penalty = round % 5 == 1 ? 2.0F : 1.0F;
      options.sampling.seed = static_cast<std::uint64_t>(round);
      options.ignore_eos = round % 2 == 0;
      REQUIRE(s->rewind(0));
      std::string shown;
      const auto done =
          bitnet::generate(*s, model->tokenizer(), start, options, [&](std::string_view piece) {
            shown += piece;
            return true;
          });
      REQUIRE(done);
      CHECK(std::find(commands.begin(), commands.end(), shown) != commands.end());
      CHECK(shown == text_of(*model, done->tokens));
      CHECK((done->reason == bitnet::stop_reason::complete ||
             done->reason == bitnet::stop_reason::end_of_text));
      REQUIRE(done->whole);
      CHECK(text_of(*model, std::span{done->tokens}.first(*done->whole)) == shown);
      CHECK(commands[only->place().choice()] == shown);
      said.insert(shown);
      if (round == 0) {
        auto other = session::make(*model, model->threads(), {.context = 96});
        REQUIRE(other);
        CHECK(done->tokens == by_hand(*other, start, *only));
      }
    }
    CHECK(said.size() > 1);
  }
}

TEST_CASE("a generation that ends too soon says how much of it is whole") {
  const auto models = testing::golden_models();
  const auto model = bitnet::open(models.front().path + ".gguf");
  REQUIRE(model);
  const auto vocabulary = bitnet::make_token_trie(model->tokenizer());
  REQUIRE(vocabulary);
  const auto grammar = sample::grammar::make("root ::= \"a\" (\"bcdefghijklmnopqrstuvwxyz\")*");
  REQUIRE(grammar);
  auto only = sample::grammar_constraint::make(*vocabulary, *grammar);
  REQUIRE(only);
  const std::vector<token> start{1, 2, 3};
  for (std::size_t most = 0; most < 40; ++most) {
    bitnet::generate_options options;
    options.max_tokens = most;
    options.constraint = *only;
    options.sampling = {.temperature = 1.0F, .seed = most};
    auto s = session::make(*model, model->threads(), {.context = 96});
    REQUIRE(s);
    const auto done = bitnet::generate(*s, model->tokenizer(), start, options,
                                       [](std::string_view) { return true; });
    REQUIRE(done);
    const std::string all = text_of(*model, done->tokens);
    CHECK(all.size() <= 26 * 40);
    CHECK(done->whole.has_value() == (most > 0));
    if (!done->whole) continue;
    const std::string whole = text_of(*model, std::span{done->tokens}.first(*done->whole));
    CHECK(whole.size() % 25 == 1);
    CHECK(all.size() - whole.size() < 25);
  }
}

TEST_CASE("in slices and from the best tokens alone, the same is generated") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    const auto model = bitnet::open(m.path + ".gguf");
    REQUIRE(model);
    const auto vocabulary = bitnet::make_token_trie(model->tokenizer());
    REQUIRE(vocabulary);
    const auto grammar = sample::grammar::make("root ::= [^aeiou]+");  // allows most tokens or few
    REQUIRE(grammar);
    auto only = sample::grammar_constraint::make(*vocabulary, *grammar);
    REQUIRE(only);
    std::vector<token> start = m.tokens();
    start.resize(8);
    auto s = session::make(*model, model->threads(), {.context = 64});
    REQUIRE(s);
    bitnet::generate_options options;
    options.constraint = *only;
    options.max_tokens = 20;
    const auto in_one_go = bitnet::generate(*s, model->tokenizer(), start, options,
                                            [](std::string_view) { return true; });
    REQUIRE(in_one_go);
    REQUIRE(s->rewind(0));
    auto g = bitnet::generation<session>::make(*s, model->tokenizer(), start, options);
    REQUIRE(g);
    std::size_t slices = 0;
    for (;; ++slices) {
      const auto state =
          g->step(bitnet::step_budget::work(1), [](std::string_view) { return true; });
      REQUIRE(state);
      if (*state == bitnet::step_state::done) break;
    }
    CHECK(slices > 20);
    CHECK(g->result_so_far().tokens == in_one_go->tokens);
    CHECK(g->result_so_far().whole == in_one_go->whole);
    CHECK(by_hand(*s, start, *only, 20) == in_one_go->tokens);
  }
}

TEST_CASE("a constraint for a larger vocabulary is refused") {
  const auto models = testing::golden_models();
  const auto model = bitnet::open(models.front().path + ".gguf");
  REQUIRE(model);
  const auto vocabulary = sample::token_trie::make(
      model->shape().vocab + 1, [](token) { return std::string_view{"a"}; },
      [](token) { return false; });
  REQUIRE(vocabulary);
  const auto set = sample::choices::make(std::vector<std::string>{"a"});
  auto only = sample::choice_constraint::make(*vocabulary, *set);
  REQUIRE(only);
  bitnet::generate_options options;
  options.constraint = *only;
  const auto done = model->generate("a", options, [](std::string_view) { return true; });
  REQUIRE(!done);
  CHECK(done.error().what() == "constraint");
}

TEST_CASE("constraints allocate nothing once they are made") {
  const auto models = testing::golden_models();
  const auto model = bitnet::open(models.front().path + ".gguf");
  REQUIRE(model);
  const auto vocabulary = bitnet::make_token_trie(model->tokenizer());
  REQUIRE(vocabulary);
  const auto grammar = sample::grammar::make(
      "root ::= list\nlist ::= \"[\" (item (\",\" item)*)? \"]\"\nitem ::= list | [^\\[\\],]+");
  REQUIRE(grammar);
  auto only = sample::grammar_constraint::make(*vocabulary, *grammar);
  REQUIRE(only);
  auto choose = bitnet::sampler::make({.temperature = 1.0F}, model->shape().vocab, true);
  REQUIRE(choose);
  const std::vector<float> logits(model->shape().vocab, 0.0F);
  std::uint64_t ends = 0;
  const std::size_t before = testing::allocations::count;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    if (only->finished()) {
      only->reset();
      ++ends;
    }
    only->accept(choose->sample(logits, {}, i, &only->allowed()));
  }
  const std::size_t after = testing::allocations::count;
  CHECK(after == before);
  CHECK(ends > 0);
}
