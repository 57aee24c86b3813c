// SPDX-License-Identifier: Apache-2.0
// Forked sessions, pools of pages, and sessions in the host's memory.
#include "engine/support.hpp"

#include "doctest.hpp"

#include <map>
#include <thread>

using bitnet::errc;
using bitnet::token;
using bitnet::nn::kv_pool;
using bitnet::nn::kv_type;
using session = bitnet::session<bitnet::dynamic_model>;

using testing::logits_of;
using testing::small_model;
using testing::tokens_from;

namespace {

/// Logits of a fresh session fed these tokens.
std::vector<float> fresh_logits(const bitnet::dynamic_model& model, std::span<const token> tokens,
                                kv_type kv) {
  auto s = session::make(model, model.threads(), {.context = tokens.size(), .kv = kv});
  if (!s || !s->feed(tokens)) return {};
  return logits_of(*s);
}

}  // namespace

TEST_CASE("a forked session goes on with the bits of a fresh one, pages shared or not") {
  const auto model = small_model("llama-tq2_0", 1);
  REQUIRE(model);
  for (const auto kv : {kv_type::f16, kv_type::f32, kv_type::q8}) {
    auto pool = kv_pool::make(model->shape(), kv, 12);
    REQUIRE(pool);
    std::map<std::vector<token>, std::vector<float>> known;  // what fresh sessions said
    const auto fresh = [&](const std::vector<token>& tokens) {
      auto& logits = known[tokens];
      if (logits.empty()) logits = fresh_logits(*model, tokens, kv);
      return logits;
    };
    for (kv_pool* shared : {&*pool, static_cast<kv_pool*>(nullptr)}) {
      CAPTURE(shared);
      const auto prefix = tokens_from(0, 300);
      auto a = session::make(*model, model->threads(),
                             {.context = 700, .batch = 64, .kv = kv, .pool = shared});
      REQUIRE(a);
      REQUIRE(a->feed(prefix));
      auto b = a->fork(model->threads());
      REQUIRE(b);
      if (shared != nullptr) CHECK(pool->available() == 12 - 3 - 2);
      CHECK(b->position() == 300);
      CHECK(b->ready());
      CHECK(logits_of(*b) == logits_of(*a));
      auto ours = prefix, theirs = prefix;
      const auto more_a = tokens_from(1000, 250), more_b = tokens_from(2000, 290);
      REQUIRE(a->feed(more_a));
      REQUIRE(b->feed(more_b));
      ours.insert(ours.end(), more_a.begin(), more_a.end());
      theirs.insert(theirs.end(), more_b.begin(), more_b.end());
      CHECK(std::equal(a->tokens().begin(), a->tokens().end(), ours.begin(), ours.end()));
      CHECK(logits_of(*a) == fresh(ours));
      CHECK(logits_of(*b) == fresh(theirs));

      // A rewind into what is shared leaves the other session alone.
      REQUIRE(b->rewind(100));
      if (shared != nullptr) CHECK(pool->available() == 12 - 6);
      theirs.resize(100);
      REQUIRE(b->feed(more_a));
      theirs.insert(theirs.end(), more_a.begin(), more_a.end());
      CHECK(logits_of(*b) == fresh(theirs));
      REQUIRE(a->rewind(300));
      REQUIRE(a->feed(more_b));
      ours.resize(300);
      ours.insert(ours.end(), more_b.begin(), more_b.end());
      CHECK(logits_of(*a) == fresh(ours));
    }
    CHECK(pool->available() == 12);  // every page came back
  }
}

TEST_CASE("a pool that is short of pages says so when a session is made, forked or rewound") {
  const auto model = small_model("llama-f16", 1);
  REQUIRE(model);
  CHECK(!kv_pool::make(model->shape(), kv_type::f16, 0));
  CHECK(!kv_pool::make(model->shape(), kv_type::f16, std::size_t{1} << 60));
  auto pool = kv_pool::make(model->shape(), kv_type::f16, 4);
  REQUIRE(pool);
  const bitnet::session_options options{.context = 512, .batch = 64, .pool = &*pool};
  {
    auto a = session::make(*model, model->threads(), options);
    REQUIRE(a);
    REQUIRE(a->feed(tokens_from(0, 400)));
    const auto before = logits_of(*a);
    auto b = a->fork(model->threads());  // one page shared, one its own
    REQUIRE(b);
    CHECK(pool->available() == 1);
    const auto c = session::make(*model, model->threads(), options);
    REQUIRE(!c);
    CHECK(c.error().code() == errc::out_of_memory);
    CHECK(pool->available() == 1);
    auto d = a->fork(model->threads());
    REQUIRE(d);
    CHECK(pool->available() == 0);
    CHECK(!a->fork(model->threads()));
    const auto back = b->rewind(10);
    REQUIRE(!back);
    CHECK(back.error().code() == errc::out_of_memory);
    CHECK(b->position() == 400);
    CHECK(logits_of(*b) == before);
    CHECK(b->rewind(256));  // no shared page is written from there on
    CHECK(!b->unshare(0));
  }
  CHECK(pool->available() == 4);
  auto other = options;
  other.kv = kv_type::q8;
  CHECK(!session::make(*model, model->threads(), other));
}

TEST_CASE("a session lives in the host's memory, of any alignment, and in no less") {
  const auto model = small_model("bitnet-", 1);
  REQUIRE(model);
  const bitnet::session_options options{.context = 300, .batch = 16};
  const auto need = session::measure(*model, model->threads(), options);
  REQUIRE(need);
  std::vector<std::byte> memory(2 * need->total() + 64);
  const auto prompt = tokens_from(0, 40);
  for (const std::size_t at : std::initializer_list<std::size_t>{0, 1, 33, 63}) {
    std::fill(memory.begin(), memory.end(), std::byte{0xA5});
    const auto mine = std::span{memory}.subspan(at, need->total());
    auto s = session::make(*model, model->threads(), options, mine);
    REQUIRE(s);
    auto twin =
        s->fork(model->threads(), std::span{memory}.subspan(at + need->total(), need->total()));
    REQUIRE(twin);
    REQUIRE(s->feed(prompt));
    REQUIRE(twin->feed(prompt));
    CHECK(logits_of(*s) == fresh_logits(*model, prompt, kv_type::f16));
    CHECK(logits_of(*twin) == logits_of(*s));
    for (std::size_t i = 0; i < at; ++i) CHECK(memory[i] == std::byte{0xA5});
    for (std::size_t i = at + 2 * need->total(); i < memory.size(); ++i)
      CHECK(memory[i] == std::byte{0xA5});
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{100}, need->total() - 1}) {
    const auto s = session::make(*model, model->threads(), options, std::span{memory}.first(size));
    REQUIRE(!s);
    CHECK(s.error().code() == errc::out_of_memory);
  }
}

TEST_CASE("forks live and end on many threads") {
  const auto model = small_model("llama-f16", 1);
  REQUIRE(model);
  auto pool = kv_pool::make(model->shape(), kv_type::f16, 16);
  REQUIRE(pool);
  bitnet::serial_executor here;
  auto first = session::make(*model, here, {.context = 512, .batch = 64, .pool = &*pool});
  REQUIRE(first);
  const auto prefix = tokens_from(0, 260);
  REQUIRE(first->feed(prefix));
  std::vector<std::vector<float>> seen(4);
  {
    std::vector<bitnet::serial_executor> executors(4);
    std::vector<session> sessions;
    for (auto& e : executors) {
      auto s = first->fork(e);
      REQUIRE(s);
      sessions.push_back(*std::move(s));
    }
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < 4; ++i)
      threads.emplace_back([&, i] {
        for (int round = 0; round < 3; ++round) {
          if (!sessions[i].rewind(round == 1 ? 10 : 260)) return;
          if (round == 2) return;
          if (!sessions[i].feed(tokens_from(500, 9))) return;
          bitnet::serial_executor mine;
          auto child = sessions[i].fork(mine);
          if (!child || !child->feed(tokens_from(600, 2))) return;
          if (round == 0) seen[i] = logits_of(*child);
        }
      });
    REQUIRE(first->feed(tokens_from(700, 30)));
    for (auto& t : threads) t.join();
  }
  auto expected = prefix;
  for (const token t : tokens_from(500, 9)) expected.push_back(t);
  for (const token t : tokens_from(600, 2)) expected.push_back(t);
  const auto logits = fresh_logits(*model, expected, kv_type::f16);
  CHECK(!logits.empty());
  for (const auto& s : seen) CHECK(s == logits);
  CHECK(pool->available() == 16 - 2);
}
