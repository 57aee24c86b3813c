// SPDX-License-Identifier: Apache-2.0
// A session allocates when it is made and never again, and loading takes what is large from the
// host if there is one: every operator new is counted, and with glibc every malloc.
#include "engine/allocations.hpp"
#include "engine/loading_support.hpp"

#include "doctest.hpp"

#include <cstdlib>
#include <new>

using testing::allocations;

TEST_CASE("what counts allocations sees them") {
  void* (*volatile allocate)(std::size_t) = &std::malloc;  // so that no compiler leaves it out
  const std::size_t before = allocations::count;
  void* const mine = allocate(100);
  CHECK(allocations::count == before + (allocations::counts_malloc ? 1 : 0));
  std::free(mine);
  const std::size_t second = allocations::count;
  ::operator delete(::operator new(100));
  CHECK(allocations::count == second + 1);
  allocations::largest = 0;
  ::operator delete(::operator new(12345));
  CHECK(allocations::largest >= 12345);
}

TEST_CASE("feeding and scoring allocate nothing") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    bitnet::open_options options;
    options.threads = testing::two_threads();
    const std::size_t before_open = allocations::count;
    const auto model = bitnet::open(m.path + ".gguf", options);
    REQUIRE(model);
    CHECK(allocations::count > before_open);  // the count counts
    auto s = bitnet::session<bitnet::dynamic_model>::make(*model, model->threads(),
                                                          {.context = 64, .batch = 16});
    REQUIRE(s);
    const auto tokens = m.tokens();
    float sum = 0.0F;
    const std::size_t before = allocations::count;
    const bool fed = static_cast<bool>(s->feed(std::span{tokens}.first(21)));
    const bool scored = static_cast<bool>(
        s->score(std::span{tokens}.subspan(21),
                 [&](std::size_t, std::span<const float> row) { sum += row[0]; }));
    const std::size_t after = allocations::count;
    CHECK(fed);
    CHECK(scored);
    CHECK(std::isfinite(sum));
    CHECK(after == before);
  }
}

TEST_CASE("loading takes no large block from the heap if the host has memory for it") {
  constexpr std::size_t small = 16384;  // lists of layers and of names
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    testing::test_reader reader{testing::read_text(m.path + ".gguf")};
    for (const bool read : {false, true}) {
      testing::host_memory memory;
      auto document = read ? bitnet::gguf::read(reader) : bitnet::gguf::open(m.path + ".gguf");
      REQUIRE(document);
      bitnet::load_options options;
      options.memory = memory;
      const auto architecture = document->meta().get<std::string_view>("general.architecture");
      REQUIRE(architecture);
      bitnet::models::visit_architecture(*architecture, [&](auto found) {
        using A = typename decltype(found)::type;
        bitnet::serial_executor here;
        allocations::largest = 0;
        const auto model = bitnet::load<A>(*std::move(document), here, options);
        const std::size_t from_heap = allocations::largest;
        REQUIRE(model);
        CHECK(from_heap < small);
        CHECK(memory.now == model->weight_bytes());
        CHECK(memory.now > small);
      });
      CHECK(memory.now == 0);
    }
  }
}

TEST_CASE("forks, snapshots and generations in the host's memory allocate nothing") {
  const auto models = testing::golden_models();
  REQUIRE(!models.empty());
  const auto& m = models.front();
  bitnet::open_options options;
  options.threads = testing::two_threads();
  const auto model = bitnet::open(m.path + ".gguf", options);
  REQUIRE(model);
  using session = bitnet::session<bitnet::dynamic_model>;
  const bitnet::session_options sizes{.context = 64, .batch = 16};
  const auto need = session::measure(*model, model->threads(), sizes);
  REQUIRE(need);
  std::vector<std::byte> memory(2 * need->total()), saved(need->total());
  const auto tokens = m.tokens();
  const auto first = std::span{tokens}.first(12);
  bitnet::generate_options how;
  how.max_tokens = 40;
  how.ignore_eos = true;
  how.overflow = bitnet::overflow_policy::shift;
  how.sampling = {.temperature = 0.7F, .top_k = 30};

  const std::size_t before = allocations::count;
  auto a = session::make(*model, model->threads(), sizes, std::span{memory}.first(need->total()));
  bool good = a && a->begin(first, {.best = 3});
  while (good && a->stepping()) good = static_cast<bool>(a->step(std::chrono::microseconds{100}));
  auto b = a->fork(model->threads(), std::span{memory}.subspan(need->total()));
  const auto size = a->snapshot(saved);
  good = good && b && size && b->restore(std::span{saved}.first(*size)) && b->rewind(3);
  const std::size_t after = allocations::count;
  CHECK(good);
  CHECK(after == before);

  auto g = bitnet::generation<session>::make(*b, model->tokenizer(), first, how);
  REQUIRE(g);
  std::size_t shown = 0;
  const std::size_t before_text = allocations::count;
  const auto state = g->step(bitnet::step_budget::unlimited(), [&](std::string_view piece) {
    shown += piece.size();
    return true;
  });
  const std::size_t after_text = allocations::count;
  CHECK(state);
  CHECK(g->result_so_far().tokens.size() == 40);
  CHECK(shown > 0);
  CHECK(after_text == before_text);
}

TEST_CASE("constrained texts, shared steps and pages of a pool allocate nothing") {
  namespace sample = bitnet::sample;
  using session = bitnet::session<bitnet::dynamic_model>;
  const auto m = testing::golden_models().front();
  bitnet::open_options opening;
  opening.threads = testing::two_threads();
  const auto model = bitnet::open(m.path + ".gguf", opening);
  REQUIRE(model);
  auto pool = bitnet::nn::kv_pool::make(model->shape(), bitnet::nn::kv_type::f16, 8);
  REQUIRE(pool);
  const bitnet::session_options sizes{.context = 600, .batch = 64, .pool = &*pool};
  const auto need = session::measure(*model, model->threads(), sizes);
  REQUIRE(need);
  std::vector<std::byte> memory(3 * need->total());
  const auto part = [&](std::size_t i) {
    return std::span{memory}.subspan(i * need->total(), need->total());
  };
  const auto prompt = testing::tokens_from(0, 300), other = testing::tokens_from(7, 40);
  std::vector<session::turn> turns(2);
  std::vector<session*> all(2);

  const std::size_t before = allocations::count;
  auto a = session::make(*model, model->threads(), sizes, part(0));
  bool good = a && a->feed(prompt);
  auto b = a->fork(model->threads(), part(1));
  bitnet::cancel_token flag;
  flag.cancel();
  b->cancel_with(&flag);
  good = good && b && !b->feed(other);
  flag.reset();
  turns[0] = {&*a, other};
  turns[1] = {&*b, other};
  all[0] = &*a;
  all[1] = &*b;
  good = good && session::feed_together(turns);
  session::best_together(all, 5);
  good = good && a->best(5).size() == 5 && b->best(5)[4].id == a->best(5)[4].id;
  good = good && b->keep_common(prompt).value_or(0) == 299 && b->unshare(0);
  const std::size_t after = allocations::count;
  CHECK(good);
  CHECK(after == before);

  const auto words = bitnet::make_token_trie(model->tokenizer());
  REQUIRE(words);
  const auto grammar = sample::grammar::make(
      "root ::= list\nlist ::= \"[\" (item (\",\" item)*)? \"]\"\nitem ::= list | [^\\[\\],]+");
  REQUIRE(grammar);
  auto only = sample::grammar_constraint::make(*words, *grammar);
  REQUIRE(only);
  bitnet::generate_options how;
  how.max_tokens = 60;
  how.constraint = *only;
  how.stop = {"]]]", "none of this"};
  how.sampling = {.temperature = 1.0F, .top_k = 0, .repetition_penalty = 1.1F};
  REQUIRE(b->rewind(100));
  auto g = bitnet::generation<session>::make(*b, model->tokenizer(), other, how);
  REQUIRE(g);
  const std::size_t before_text = allocations::count;
  for (bool more = true; more;) {
    const auto state = g->step(std::chrono::microseconds{200}, [](auto) { return true; });
    good = good && state;
    more = state && *state == bitnet::step_state::more;
  }
  const std::size_t after_text = allocations::count;
  CHECK(good);
  CHECK(!g->result_so_far().tokens.empty());
  CHECK(after_text == before_text);
}
