// SPDX-License-Identifier: Apache-2.0
// Sessions and generation: limits, errors, streaming, stops, and one model under many threads.
#include "engine/support.hpp"

#include "doctest.hpp"

#include <bitnet/core/thread_pool.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <limits>
#include <thread>

using bitnet::errc;
using bitnet::token;
using session = bitnet::session<bitnet::dynamic_model>;

using testing::small_model;

TEST_CASE("a session refuses what does not fit and stays as it was") {
  const auto model = small_model("bitnet-");
  REQUIRE(model);
  auto s = session::make(*model, model->threads(), {.context = 8, .batch = 4});
  REQUIRE(s);
  CHECK(s->capacity() == 8);
  CHECK(s->logits().empty());
  const std::vector<token> five{1, 2, 3, 4, 5};
  REQUIRE(s->feed(five));
  const std::vector<float> before{s->logits().begin(), s->logits().end()};
  CHECK(before.size() == model->shape().vocab);

  const auto full = s->feed(five);
  REQUIRE(!full);
  CHECK(full.error().code() == errc::context_full);
  const std::vector<token> wild{1, static_cast<token>(model->shape().vocab)};
  const auto unknown = s->feed(wild);
  REQUIRE(!unknown);
  CHECK(unknown.error().code() == errc::invalid_argument);
  const std::vector<token> negative{-1};
  CHECK(!s->feed(negative));
  CHECK(!s->rewind(6));
  CHECK(s->position() == 5);
  CHECK(std::equal(before.begin(), before.end(), s->logits().begin(), s->logits().end()));
  CHECK(s->feed({}));
  CHECK(s->position() == 5);
}

TEST_CASE("impossible sizes are errors when the session is made") {
  const auto model = small_model("bitnet-");
  REQUIRE(model);
  CHECK(!session::make(*model, model->threads(), {.context = 16, .batch = 0}));
  CHECK(!session::make(*model, model->threads(), {.context = 16, .batch = 5000}));
  CHECK(!session::make(*model, model->threads(), {.context = std::size_t{1} << 40}));
  const auto plan = session::measure(*model, model->threads(), {.context = 16});
  REQUIRE(plan);
  const auto& h = model->shape();
  CHECK(plan->kv_bytes == h.layers * 2 * h.kv_dim() * 16 * 2);
  CHECK(plan->scratch_bytes > 0);
}

TEST_CASE("best tokens are those of the logits, whichever is asked for first") {
  std::size_t tried = 0;  // the first three are in the shared suite alone
  for (const char* start : {"bitnet-f16", "llama-bf16", "llama-q8_0", "bitnet-tq1_0", "llama-f16",
                            "llama-q4_0", "qwen3-q1_0"}) {
    if (testing::golden_path(start).empty()) continue;
    const auto model = small_model(start);
    REQUIRE(model);
    ++tried;
    auto s = session::make(*model, model->threads(), {.context = 32, .batch = 4});
    REQUIRE(s);
    CHECK(s->best(3).empty());
    for (token t = 1; t < 6; ++t) {
      REQUIRE(s->feed(std::vector<token>{t, t + 1}));
      CHECK(s->ready());
      if (t % 2 == 0) CHECK(!s->logits().empty());
      const std::vector<bitnet::scored_token> few{s->best(2).begin(), s->best(2).end()};
      const auto best = s->best(20);
      const auto logits = s->logits();
      std::vector<bitnet::scored_token> all;
      for (std::size_t i = 0; i < logits.size(); ++i)
        all.push_back({logits[i], static_cast<token>(i)});
      std::sort(all.begin(), all.end(), bitnet::better);
      REQUIRE(best.size() == 20);
      for (std::size_t k = 0; k < 20; ++k) CHECK(best[k].id == all[k].id);
      CHECK(few[1].id == all[1].id);
      CHECK(s->best(100000).size() == std::min(all.size(), session::max_best));
    }
    REQUIRE(s->rewind(3));
    CHECK(!s->ready());
    CHECK(s->logits().empty());
    CHECK(s->best(1).empty());
  }
  CHECK(tried >= 4);
}

TEST_CASE("best tokens of more sessions than the first one's batch") {
  const auto model = small_model("llama-f16");
  REQUIRE(model);
  std::vector<session> sessions;
  std::vector<session*> all;
  for (token t = 0; t < 5; ++t) {
    auto s = session::make(*model, model->threads(), {.context = 8, .batch = 2});
    REQUIRE(s);
    REQUIRE(s->feed(std::vector<token>{t + 1, t + 2, t + 3}));
    sessions.push_back(*std::move(s));
  }
  for (session& s : sessions) all.push_back(&s);
  session::best_together(all, session::max_best);
  for (session* s : all) {
    const std::vector<bitnet::scored_token> together{s->best(3).begin(), s->best(3).end()};
    const auto logits = s->logits();
    REQUIRE(together.size() == 3);
    CHECK(together[0].id == bitnet::sample::argmax(logits));
    CHECK(together[2].logit == logits[static_cast<std::size_t>(together[2].id)]);
  }
}

TEST_CASE("sessions fed together get the bits that each gets alone") {
  const auto model = small_model("b25-");
  REQUIRE(model);
  std::vector<session> sessions;
  std::vector<session*> all;
  std::vector<std::vector<token>> prompts;
  for (int i = 0; i < 11; ++i) {
    auto s = session::make(*model, model->threads(), {.context = 32, .batch = 16});
    REQUIRE(s);
    sessions.push_back(*std::move(s));
    prompts.emplace_back();
    for (int j = 0; j <= i; ++j) prompts.back().push_back(3 * i + 7 * j + 1);
  }
  for (session& s : sessions) all.push_back(&s);
  std::vector<session::turn> turns;
  for (std::size_t i = 0; i < 11; ++i) turns.push_back({all[i], prompts[i]});
  REQUIRE(session::feed_together(turns));
  std::vector<token> next(11);
  for (int round = 0; round < 5; ++round) {
    session::best_together(all, 2);
    turns.clear();
    for (std::size_t i = 0; i < 11; ++i) {
      REQUIRE(all[i]->best(2).size() == 2);
      next[i] = all[i]->best(1)[0].id;
      prompts[i].push_back(next[i]);
      turns.push_back({all[i], std::span{&next[i], 1}});
    }
    REQUIRE(session::feed_together(turns));
  }
  auto alone = session::make(*model, model->threads(), {.context = 32, .batch = 16});
  REQUIRE(alone);
  for (std::size_t i = 0; i < 11; ++i) {
    REQUIRE(alone->rewind(0));
    REQUIRE(alone->feed(prompts[i]));
    CHECK(all[i]->position() == prompts[i].size());
    const auto a = alone->logits(), b = all[i]->logits();
    CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  }

  // What is refused leaves every session as it was.
  const std::vector<token> good{1, 2}, wild{-5}, many(40, 1);
  const auto refused = [&](std::vector<session::turn> t, errc code) {
    const auto status = session::feed_together(t);
    return !status && status.error().code() == code && all[0]->position() == 6;
  };
  CHECK(refused({{all[0], good}, {all[0], good}}, errc::invalid_argument));
  CHECK(refused({{all[0], good}, {all[1], wild}}, errc::invalid_argument));
  CHECK(refused({{all[0], good}, {all[1], many}}, errc::context_full));
  auto longer = session::make(*model, model->threads(), {.context = 64});
  REQUIRE(longer);
  CHECK(refused({{all[0], good}, {&*longer, good}}, errc::invalid_argument));
  auto other =
      session::make(*model, model->threads(), {.context = 32, .kv = bitnet::nn::kv_type::q8});
  REQUIRE(other);
  CHECK(refused({{all[0], good}, {&*other, good}}, errc::invalid_argument));
  CHECK(session::feed_together({}));
}

TEST_CASE("many sessions share one model from many threads") {
  const auto model = small_model("llama-");
  REQUIRE(model);
  const std::vector<token> prompt{5, 6, 7, 8, 9, 10, 11};
  std::vector<std::vector<float>> seen(4);
  std::vector<std::thread> threads;
  for (auto& logits : seen)
    threads.emplace_back([&] {
      bitnet::serial_executor here;
      auto s = session::make(*model, here, {.context = 32});
      if (!s) return;
      for (int round = 0; round < 3; ++round)
        if (!s->feed(prompt)) return;
      logits.assign(s->logits().begin(), s->logits().end());
    });
  for (auto& t : threads) t.join();
  CHECK(!seen[0].empty());
  for (const auto& logits : seen) CHECK(logits == seen[0]);
}

#if defined(__linux__)
TEST_CASE("a model of one thread makes none, and one of three makes two and ends them") {
  // The least of a while: one that was joined stays on the system's list a moment longer.
  const auto threads_now = [] {
    std::ptrdiff_t least = 1000;
    for (int i = 0; i < 20; ++i) {
      using tasks = std::filesystem::directory_iterator;
      least = std::min(least, std::distance(tasks{"/proc/self/task"}, tasks{}));
      std::this_thread::sleep_for(std::chrono::milliseconds{2});
    }
    return least;
  };
  bitnet::generate_options options;
  options.max_tokens = 4;
  options.ignore_eos = true;
  const std::ptrdiff_t before = threads_now();
  for (const int threads : {1, 3}) {
    const auto model = small_model("llama-", static_cast<std::size_t>(threads));
    REQUIRE(model);
    auto s = session::make(*model, model->threads(), {.context = 32});
    REQUIRE(s);
    std::ptrdiff_t while_talking = 0;
    REQUIRE(bitnet::generate(*s, model->tokenizer(), std::vector<token>{5, 6, 7}, options,
                             [&](std::string_view) {
                               while_talking = threads_now();
                               return true;
                             }));
    CHECK(while_talking == before + threads - 1);
  }
  CHECK(threads_now() == before);
}
#endif

TEST_CASE("two threads may generate with one model and its own pool") {
  const auto model = small_model("llama-");
  REQUIRE(model);
  bitnet::generate_options options;
  options.max_tokens = 8;
  options.ignore_eos = true;
  std::vector<std::vector<token>> seen(3);
  std::vector<std::thread> threads;
  for (auto& tokens : seen)
    threads.emplace_back([&] {
      const auto out = model->generate("Alice was", options, [](std::string_view) { return true; });
      if (out) tokens = out->tokens;
    });
  for (auto& t : threads) t.join();
  CHECK(seen[0].size() == 8);
  CHECK(seen[1] == seen[0]);
  CHECK(seen[2] == seen[0]);
}

namespace {
std::size_t pieces_seen = 0;
bool count_pieces(std::string_view) {
  ++pieces_seen;
  return true;
}
}  // namespace

TEST_CASE("a limit beyond all memory is no more than the context, and errors change nothing") {
  const auto model = small_model("llama-");
  REQUIRE(model);
  auto s = session::make(*model, model->threads(), {.context = 20});
  REQUIRE(s);
  const std::vector<token> prompt{5, 6, 7};
  bitnet::generate_options options;
  options.ignore_eos = true;
  options.sampling.temperature = -1.0F;
  CHECK(!bitnet::generate(*s, model->tokenizer(), prompt, options, count_pieces));
  CHECK(s->position() == 0);

  options.sampling.temperature = 0.0F;
  options.max_tokens = std::numeric_limits<std::size_t>::max();
  const auto out = bitnet::generate(*s, model->tokenizer(), prompt, options, count_pieces);
  REQUIRE(out);
  CHECK(out->reason == bitnet::stop_reason::context_full);
  CHECK(out->tokens.size() == 18);
  CHECK(pieces_seen >= 18);
}

TEST_CASE("perplexity refuses tokens outside the vocabulary and texts that are too short") {
  const auto model = small_model("llama-");
  REQUIRE(model);
  auto s = session::make(*model, model->threads(), {.context = 16});
  REQUIRE(s);
  std::vector<token> tokens(16, 3);
  const auto go_on = [](const bitnet::perplexity_result&) { return true; };
  CHECK(bitnet::measure_perplexity(*s, tokens, 16, 1, go_on));
  CHECK(!bitnet::measure_perplexity(*s, std::span{tokens}.first(15), 16, 1, go_on));
  CHECK(!bitnet::measure_perplexity(*s, tokens, 17, 1, go_on));
  for (const token wild : {token{-1}, static_cast<token>(model->shape().vocab)}) {
    tokens.back() = wild;
    CHECK(!bitnet::measure_perplexity(*s, tokens, 16, 1, go_on));
  }
}

TEST_CASE("generation streams the tokens' text and says why it ended") {
  const auto model = small_model("llama-");
  REQUIRE(model);
  bitnet::generate_options options;
  options.max_tokens = 12;
  options.ignore_eos = true;
  std::string text;
  const auto collect = [&](std::string_view piece) {
    text += piece;
    return true;
  };
  const auto all = model->generate("Alice was", options, collect);
  REQUIRE(all);
  CHECK(all->reason == bitnet::stop_reason::max_tokens);
  CHECK(all->tokens.size() == 12);
  CHECK(!text.empty());

  std::string again;
  const auto same = model->generate("Alice was", options, [&](std::string_view piece) {
    again += piece;
    return true;
  });
  REQUIRE(same);
  CHECK(again == text);
  CHECK(same->tokens == all->tokens);

  std::size_t calls = 0;
  const auto stopped =
      model->generate("Alice was", options, [&](std::string_view) { return ++calls < 2; });
  REQUIRE(stopped);
  CHECK(stopped->reason == bitnet::stop_reason::callback);
  CHECK(calls == 2);
}

TEST_CASE("a stop string ends the text before it") {
  const auto model = small_model("llama-");
  REQUIRE(model);
  bitnet::generate_options options;
  options.max_tokens = 24;
  options.ignore_eos = true;
  options.sampling.temperature = 1.0F;
  options.sampling.seed = 3;
  std::string whole;
  REQUIRE(model->generate("Alice", options, [&](std::string_view piece) {
    whole += piece;
    return true;
  }));
  REQUIRE(whole.size() > 12);
  // Cut at character borders, so that the stop string is text.
  std::size_t from = whole.size() / 2;
  while (from < whole.size() && (static_cast<unsigned char>(whole[from]) & 0xC0) == 0x80) ++from;
  std::size_t to = from + 1;
  while (to < whole.size() && (static_cast<unsigned char>(whole[to]) & 0xC0) == 0x80) ++to;
  const std::string stop = whole.substr(from, to - from);
  options.stop = {stop};
  std::string cut;
  const auto stopped = model->generate("Alice", options, [&](std::string_view piece) {
    cut += piece;
    return true;
  });
  REQUIRE(stopped);
  CHECK(stopped->reason == bitnet::stop_reason::stop_string);
  CHECK(cut == whole.substr(0, whole.find(stop)));
}

TEST_CASE("sampling depends on the seed and on nothing else") {
  const auto model = small_model("qwen3-");
  REQUIRE(model);
  const auto run = [&](std::uint64_t seed, std::size_t batch) {
    bitnet::generate_options options;
    options.max_tokens = 16;
    options.ignore_eos = true;
    options.sampling = {.temperature = 0.9F, .top_k = 40, .top_p = 0.95F, .seed = seed};
    auto s = session::make(*model, model->threads(), {.context = 64, .batch = batch});
    const std::vector<token> prompt{5, 6, 7, 8, 9, 10, 11};
    const auto out = bitnet::generate(*s, model->tokenizer(), prompt, options,
                                      [](std::string_view) { return true; });
    return out ? out->tokens : std::vector<token>{};
  };
  const auto first = run(1, 64);
  CHECK(first.size() == 16);
  CHECK(first == run(1, 3));
  CHECK(first != run(2, 64));
}

TEST_CASE("an instruction set that is not there is an error") {
  const auto models = testing::golden_models();
  REQUIRE(!models.empty());
  bitnet::open_options options;
  options.isa = "abacus";
  const auto model = bitnet::open(models.front().path + ".gguf", options);
  REQUIRE(!model);
  CHECK(model.error().code() == errc::invalid_argument);
  CHECK(model.error().what() == "abacus");
}
