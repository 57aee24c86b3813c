// SPDX-License-Identifier: Apache-2.0
// Steps in slices and cancelled steps: the same bits as in one go, or a session as it was.
#include "engine/support.hpp"

#include "doctest.hpp"

#include <atomic>
#include <chrono>
#include <thread>

using bitnet::errc;
using bitnet::step_budget;
using bitnet::step_state;
using bitnet::token;
using session = bitnet::session<bitnet::dynamic_model>;

using testing::small_model;

namespace {

std::vector<float> copy(std::span<const float> x) { return {x.begin(), x.end()}; }
std::vector<token> ids(std::span<const bitnet::scored_token> x) {
  std::vector<token> out;
  for (const auto& s : x) out.push_back(s.id);
  return out;
}
std::vector<token> prompt_of(std::size_t n) {
  std::vector<token> t;
  for (std::size_t i = 0; i < n; ++i) t.push_back(static_cast<token>(3 + 7 * i % 90));
  return t;
}

/// Steps to the end with a budget made anew for each call; returns how many calls it took, or 0.
template <class Budget>
std::size_t step_all(session& s, Budget budget) {
  for (std::size_t calls = 1; calls < 1000000; ++calls) {
    const auto state = s.step(budget());
    if (!state) return 0;
    if (*state == step_state::done) return calls;
  }
  return 0;
}

/// Cancels at the n-th piece of work.
struct cancelling_executor {
  bitnet::cancel_token* token;
  std::size_t left = ~std::size_t{0};
  [[nodiscard]] static std::size_t concurrency() { return 2; }
  void parallel_for(std::size_t n, bitnet::parallel_task task) {
    for (std::size_t i = 0; i < n; ++i) {
      if (left-- == 0) token->cancel();
      task(i, i % 2);
    }
  }
};

}  // namespace

TEST_CASE("a step in slices has the bits of one in one go, whatever the slices") {
  for (const char* start : {"bitnet-", "b25-", "llama-q4_0", "qwen3-q1_0"}) {
    for (const std::size_t threads : {std::size_t{1}, std::size_t{2}}) {
      const auto model = small_model(start, threads);
      REQUIRE(model);
      const auto prompt = prompt_of(37);
      auto whole = session::make(*model, model->threads(), {.context = 64, .batch = 16});
      REQUIRE(whole);
      REQUIRE(whole->feed(prompt));
      const auto logits = copy(whole->logits());
      const auto best = ids(whole->best(5));
      std::size_t least = 0;
      for (const std::size_t work : std::initializer_list<std::size_t>{1, 7, 100, 100000}) {
        CAPTURE(work);
        auto s = session::make(*model, model->threads(), {.context = 64, .batch = 16});
        REQUIRE(s);
        REQUIRE(s->feed(std::span{prompt}.first(4)));
        REQUIRE(s->begin(std::span{prompt}.subspan(4), {.best = 5, .logits = true}));
        CHECK(s->stepping());
        const std::size_t calls = step_all(*s, [&] { return step_budget::work(work); });
        CHECK(calls > 0);
        if (work == 1) least = calls;
        if (work == 7) CHECK(calls < least);
        CHECK(!s->stepping());
        CHECK(s->position() == 37);
        CHECK(ids(s->best(5)) == best);
        CHECK(copy(s->logits()) == logits);
      }
      CHECK(least > 100);
      auto s = session::make(*model, model->threads(), {.context = 64, .batch = 16});
      REQUIRE(s);
      REQUIRE(s->begin(prompt, {.best = 5}));
      CHECK(step_all(*s, [] { return step_budget{std::chrono::microseconds{50}}; }) > 1);
      CHECK(ids(s->best(5)) == best);
      CHECK(copy(s->logits()) == logits);
    }
  }
}

TEST_CASE("a session may move between slices, and refuses other work until they end") {
  const auto model = small_model("llama-", 1);
  REQUIRE(model);
  const auto prompt = prompt_of(20);
  auto a = session::make(*model, model->threads(), {.context = 32, .batch = 8});
  REQUIRE(a);
  REQUIRE(a->feed(std::span{prompt}.first(3)));
  const auto before = copy(a->logits());
  REQUIRE(a->begin(std::span{prompt}.subspan(3)));
  REQUIRE(a->step(step_budget::work(5)));
  session b = *std::move(a);
  CHECK(b.stepping());
  CHECK(b.position() == 3);
  CHECK(b.logits().empty());
  CHECK(b.best(1).empty());
  CHECK(!b.feed(prompt));
  CHECK(!b.rewind(0));
  CHECK(!b.begin(prompt));
  CHECK(step_all(b, [] { return step_budget::work(5); }) > 1);
  auto fresh = session::make(*model, model->threads(), {.context = 32, .batch = 8});
  REQUIRE(fresh);
  REQUIRE(fresh->feed(prompt));
  CHECK(copy(b.logits()) == copy(fresh->logits()));

  REQUIRE(fresh->rewind(0));
  CHECK(!fresh->begin({}, {.best = 1}));
  REQUIRE(fresh->feed(std::span{prompt}.first(3)));
  REQUIRE(fresh->begin(std::span{prompt}.subspan(3)));
  REQUIRE(fresh->step(step_budget::work(50)));
  fresh->abandon();
  CHECK(fresh->position() == 3);
  CHECK(copy(fresh->logits()) == before);
  REQUIRE(fresh->step(step_budget::work(1)));
  // Only what is wanted, of the state that is there.
  REQUIRE(fresh->begin({}, {.best = 3}));
  CHECK(step_all(*fresh, [] { return step_budget::work(3); }) > 0);
  CHECK(fresh->best(3).size() == 3);
}

TEST_CASE("a step cancelled at any piece leaves the session as it was") {
  for (const char* start : {"bitnet-", "llama-q4_0"}) {
    const auto model = small_model(start, 1);
    REQUIRE(model);
    const auto prompt = prompt_of(14);
    bitnet::cancel_token flag;
    cancelling_executor threads{&flag};
    auto s = session::make(*model, threads, {.context = 32, .batch = 6});
    REQUIRE(s);
    s->cancel_with(&flag);
    REQUIRE(s->feed(std::span{prompt}.first(4)));
    const auto before = copy(s->logits());
    std::size_t cancelled = 0;
    std::vector<float> after;
    for (std::size_t n = 0; after.empty(); n = n < 60 ? n + 1 : n + 23) {
      flag.reset();
      threads.left = n;
      const auto fed = s->feed(std::span{prompt}.subspan(4));
      if (fed) {
        threads.left = ~std::size_t{0};
        flag.reset();
        after = copy(s->logits());
        break;
      }
      ++cancelled;
      CHECK(fed.error().code() == errc::cancelled);
      CHECK(s->position() == 4);
      CHECK(!s->feed(prompt_of(1)));  // it stays cancelled
      flag.reset();
      threads.left = ~std::size_t{0};
      CHECK(s->ready());
      CHECK(copy(s->logits()) == before);
    }
    CHECK(cancelled > 60);
    auto fresh = session::make(*model, model->threads(), {.context = 32});
    REQUIRE(fresh);
    REQUIRE(fresh->feed(prompt));
    CHECK(after == copy(fresh->logits()));

    // Scores that are cancelled are not there, and can be had later.
    for (std::size_t n = 0; n < 5; ++n) {
      REQUIRE(s->rewind(4));
      REQUIRE(s->feed(std::span{prompt}.subspan(4)));
      threads.left = n;
      const bool none = s->best(3).empty();
      CHECK(none == flag.cancelled());
      flag.cancel();
      CHECK(s->logits().empty());
      flag.reset();
      threads.left = ~std::size_t{0};
      CHECK(ids(s->best(3)) == ids(fresh->best(3)));
      CHECK(copy(s->logits()) == after);
    }
  }
}

TEST_CASE("sessions fed together are cancelled together, and a step in slices too") {
  const auto model = small_model("llama-", 1);
  REQUIRE(model);
  bitnet::cancel_token flag;
  cancelling_executor threads{&flag};
  auto a = session::make(*model, threads, {.context = 32, .batch = 4});
  auto b = session::make(*model, model->threads(), {.context = 32});
  REQUIRE(a);
  REQUIRE(b);
  a->cancel_with(&flag);
  const auto prompt = prompt_of(9);
  REQUIRE(b->feed(std::span{prompt}.first(2)));
  const auto before = copy(b->logits());
  threads.left = 100;
  const std::vector<session::turn> turns{{&*a, prompt}, {&*b, prompt}};
  const auto fed = session::feed_together(turns);
  REQUIRE(!fed);
  CHECK(fed.error().code() == errc::cancelled);
  CHECK(a->position() == 0);
  CHECK(b->position() == 2);
  CHECK(copy(b->logits()) == before);

  flag.reset();
  threads.left = ~std::size_t{0};
  REQUIRE(a->begin(prompt));
  REQUIRE(a->step(step_budget::work(30)));
  flag.cancel();
  const auto stepped = a->step(step_budget::work(30));
  REQUIRE(!stepped);
  CHECK(stepped.error().code() == errc::cancelled);
  CHECK(!a->stepping());
  CHECK(a->position() == 0);
}

TEST_CASE("another thread cancels, again and again") {
  const auto model = small_model("b25-", 2);
  REQUIRE(model);
  bitnet::cancel_token flag;
  auto s = session::make(*model, model->threads(), {.context = 64});
  REQUIRE(s);
  s->cancel_with(&flag);
  const auto prompt = prompt_of(48);
  std::atomic<bool> stop{false};
  std::thread canceller{[&] {
    for (unsigned i = 0; !stop; ++i) {
      flag.cancel();
      flag.reset();
      std::this_thread::sleep_for(std::chrono::microseconds{i % 7 * 100});
    }
  }};
  std::size_t fed = 0;
  for (int i = 0; i < 60; ++i) {
    if (s->feed(prompt)) ++fed;
    CHECK(s->position() == 48 * fed);
    if (fed == 0) continue;
    --fed;
    REQUIRE(s->rewind(0));
  }
  stop = true;
  canceller.join();
  flag.reset();
  REQUIRE(s->rewind(0));
  REQUIRE(s->feed(prompt));
  auto fresh = session::make(*model, model->threads(), {.context = 64});
  REQUIRE(fresh);
  REQUIRE(fresh->feed(prompt));
  CHECK(copy(s->logits()) == copy(fresh->logits()));
}
