// SPDX-License-Identifier: Apache-2.0
// The throwing face: the same values as bitnet.hpp's own calls, and its errors as exceptions.
#include <bitnet/exceptions.hpp>

#include "doctest.hpp"

#include <string>
#include <type_traits>
#include <vector>

using bitnet::errc;
using bitnet::token;
using bitnet::ex::failure;

namespace {

const std::string path = std::string{BITNET_TEST_DATA_DIR} + "/models/llama-tq2_0.gguf";
const std::vector<token> prompt{5, 6, 7};

/// The error that f throws; fails the test if it throws none.
template <class F>
bitnet::error thrown(F f) {
  try {
    f();
  } catch (const failure& e) {
    CHECK(std::string{e.what()} == bitnet::to_string(e.error()));
    CHECK(e.code() == e.error().code());
    return e.error();
  }
  FAIL("nothing was thrown");
  return {errc::unknown, ""};
}

bool go_on(std::string_view) { return true; }

}  // namespace

TEST_CASE("a failure is a runtime error that carries the library's own") {
  static_assert(std::is_base_of_v<std::runtime_error, failure>);
  static_assert(std::is_nothrow_copy_constructible_v<failure>);
  const bitnet::error e{errc::shape, "m", "w", 3};
  CHECK(thrown([&] { bitnet::ex::value(bitnet::status{e}); }).offset() == 3);
  CHECK(thrown([&] { bitnet::ex::value(bitnet::result<int>{e}); }).what() == "w");
  CHECK(bitnet::ex::value(bitnet::result<int>{4}) == 4);
  CHECK_NOTHROW(bitnet::ex::value(bitnet::status{}));
}

TEST_CASE("what fails throws, and leaves what it was called on as it was") {
  CHECK(thrown([] { (void)bitnet::ex::open("/no/such.gguf"); }).code() == errc::io);
  const std::vector<std::byte> noise(64);
  CHECK(thrown([&] { (void)bitnet::ex::open(noise); }).code() == errc::not_gguf);
  CHECK(thrown([&] { (void)bitnet::ex::gguf::view(noise); }).code() == errc::not_gguf);
  CHECK(thrown([] {
          (void)bitnet::ex::load<bitnet::models::bitnet_b158<>>(bitnet::gguf::open(path));
        }).code() == errc::unsupported);
  bitnet::sampler_options cold;
  cold.temperature = -1.0F;
  CHECK(thrown([&] { (void)bitnet::ex::make<bitnet::sampler>(cold, 8U); }).what() == "temperature");

  const auto model = bitnet::ex::open(path);
  CHECK(thrown([&] {
          bitnet::ex::session{model, model.threads(), {.batch = 0}};
        }).code() == errc::invalid_argument);
  bitnet::ex::session s{model, model.threads(), {.context = 4}};
  s.feed(prompt);
  CHECK(thrown([&] { s.feed(prompt); }).code() == errc::context_full);
  CHECK(thrown([&] { s.feed(std::vector<token>{-1}); }).code() == errc::invalid_argument);
  CHECK(thrown([&] { s.rewind(9); }).code() == errc::invalid_argument);
  CHECK(thrown([&] {
          bitnet::ex::measure_perplexity(s, prompt, 4, -1,
                                         [](const bitnet::perplexity_result&) { return true; });
        }).what() == "text");
  CHECK(s.position() == 3);
  bitnet::generate_options wrong;
  wrong.sampling = cold;
  CHECK(thrown([&] { model.generate("a", wrong, go_on); }).code() == errc::invalid_argument);
}

TEST_CASE("what succeeds gives what the calls without exceptions give") {
  const auto model = bitnet::ex::open(path);
  bitnet::ex::session throwing{model, model.threads(), {.context = 32}};
  CHECK(throwing.measure(model, model.threads(), {.context = 32}).total() != 0);
  auto plain =
      bitnet::session<bitnet::dynamic_model>::make(model, model.threads(), {.context = 32});
  REQUIRE(plain);
  std::size_t scored = 0;
  throwing.score(prompt, [&](std::size_t, std::span<const float> row) { scored += row.size(); });
  CHECK(scored == prompt.size() * throwing.vocab());
  throwing.rewind(0);
  throwing.feed(prompt);
  REQUIRE(plain->feed(prompt));
  CHECK(std::ranges::equal(throwing.logits(), plain->logits()));
  const token next = 9;
  const bitnet::session<bitnet::dynamic_model>::turn turns[] = {{&throwing, {&next, 1}},
                                                                {&*plain, {&next, 1}}};
  throwing.feed_together(turns);
  CHECK(throwing.position() == prompt.size() + 1);
  CHECK(std::ranges::equal(throwing.logits(), plain->logits()));

  bitnet::generate_options options;
  options.max_tokens = 5;
  const auto out = model.generate("Once upon", options, go_on);
  const auto same = bitnet::ex::value(
      static_cast<const bitnet::dynamic_model&>(model).generate("Once upon", options, go_on));
  CHECK(out.tokens == same.tokens);
  throwing.rewind(0);
  const auto ids = bitnet::ex::text::encode(model.tokenizer(), "Once upon");
  CHECK(bitnet::ex::generate(throwing, model.tokenizer(), ids, options, go_on).tokens ==
        out.tokens);

  const bitnet::text::chat_message hello{"user", "hi"};
  CHECK(!bitnet::ex::text::encode_chat(model.tokenizer(), bitnet::text::chat_format::plain,
                                       {&hello, 1})
             .empty());
  CHECK(thrown([&] {
          const bitnet::text::chat_message odd{"crowd", "hi"};
          (void)bitnet::ex::text::encode_chat(model.tokenizer(), bitnet::text::chat_format::plain,
                                              {&odd, 1});
        }).what() == "crowd");
  CHECK(thrown([] {
          (void)bitnet::ex::text::recognise_chat("no such template", "llama");
        }).code() == errc::unknown);
}

TEST_CASE("exact types load from a document or from what opening one returned") {
  using network = bitnet::models::llama<>;
  bitnet::serial_executor here;
  const auto first = bitnet::ex::load<network>(bitnet::gguf::open(path));
  const auto second = bitnet::ex::load<network>(bitnet::ex::gguf::open(path), here);
  bitnet::ex::session a{first, here, {.context = 8}};
  bitnet::ex::session b{second, here, {.context = 8}};
  a.feed(prompt);
  b.feed(prompt);
  CHECK(std::ranges::equal(a.logits(), b.logits()));
}

TEST_CASE("an exception of the caller's passes through a generation") {
  const auto model = bitnet::ex::open(path);
  CHECK_THROWS_AS(model.generate("Once", {}, [](std::string_view) -> bool { throw 7; }), int);
}
