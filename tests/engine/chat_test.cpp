// SPDX-License-Identifier: Apache-2.0
// Chats: answers are those of a session that reads everything anew, and failures were never said.
#include "engine/support.hpp"

#include "doctest.hpp"

using bitnet::errc;
using bitnet::step_budget;
using bitnet::step_state;
using bitnet::token;
using bitnet::text::chat_format;
using session = bitnet::session<bitnet::dynamic_model>;
using chat = bitnet::chat<session>;

namespace {

bitnet::result<bitnet::dynamic_model> small_model() {
  return bitnet::open(std::string{BITNET_TEST_DATA_DIR} + "/models/llama-f16.gguf");
}
bitnet::generate_options some_tokens(std::size_t count) {
  bitnet::generate_options options;
  options.max_tokens = count;
  options.ignore_eos = true;
  options.sampling = {.temperature = 0.9F, .top_k = 30, .repetition_penalty = 1.1F, .seed = 11};
  return options;
}
const auto ignore = [](std::string_view) { return true; };

std::string last_message(const chat& talk) { return talk.said().messages().back().content; }

}  // namespace

TEST_CASE("a session keeps what a prompt begins with, but never all of it") {
  const auto model = small_model();
  REQUIRE(model);
  auto s = session::make(*model, model->threads(), {.context = 64});
  REQUIRE(s);
  CHECK(s->keep_common({}).value_or(9) == 0);
  const std::vector<token> known{5, 6, 7, 8, 9}, other{5, 6, 7, 1, 9, 10},
      longer{5, 6, 7, 8, 9, 10};
  REQUIRE(s->feed(known));
  CHECK(s->keep_common(longer).value_or(99) == 5);
  CHECK(s->keep_common(known).value_or(99) == 4);  // one is left to feed
  CHECK(s->position() == 4);
  CHECK(s->keep_common(other).value_or(99) == 3);
  CHECK(s->keep_common(std::vector<token>{9}).value_or(99) == 0);
  CHECK(s->position() == 0);
  REQUIRE(s->begin(known));
  CHECK(s->under_way().all == 5);
  CHECK(s->keep_common(known).error().code() == errc::invalid_argument);
  s->abandon();
  CHECK(s->under_way().all == 0);
}

TEST_CASE("turns cost their new text alone and give what reading everything anew gives") {
  const auto model = small_model();
  REQUIRE(model);
  auto s = session::make(*model, model->threads(), {.context = 512});
  auto fresh = session::make(*model, model->threads(), {.context = 512});
  REQUIRE(s);
  REQUIRE(fresh);
  chat talk{*s, model->tokenizer(), chat_format::bitnet, "Be kind."};
  bitnet::generate_options options = some_tokens(9);
  std::size_t before = 0;
  for (const std::string_view line : {"Hi!", "And you?", "Tell me more."}) {
    std::string heard;
    REQUIRE(talk.say(line, options));
    const auto prompt = talk.said().prompt();
    REQUIRE(prompt);
    CHECK(talk.reused() >= before);
    before = prompt->size();
    std::size_t slices = 0;
    while (talk.answering()) {
      const auto state = talk.step(step_budget::work(7), [&](auto piece) {
        heard += piece;
        return true;
      });
      REQUIRE(state);
      ++slices;
    }
    CHECK(slices > 20);
    CHECK(last_message(talk) == heard);
    REQUIRE(fresh->rewind(0));
    bitnet::generate_options same = options;
    same.sampling.seed += talk.said().messages().size() / 2 - 1;
    const auto again = bitnet::generate(*fresh, model->tokenizer(), *prompt, same, ignore);
    REQUIRE(again);
    CHECK(talk.last().tokens == again->tokens);
  }
  CHECK(talk.said().messages().size() == 7);
  CHECK(talk.forgotten() == 0);
}

TEST_CASE("a prompt that many characters share is read once, by whoever came first") {
  const auto model = small_model();
  REQUIRE(model);
  auto first = session::make(*model, model->threads(), {.context = 256});
  REQUIRE(first);
  const std::string_view world = "You live in a village by the sea.";
  chat anna{*first, model->tokenizer(), chat_format::bitnet, world};
  REQUIRE(anna.ask("Who are you?", some_tokens(5), ignore));
  auto second = first->fork(model->threads());
  REQUIRE(second);
  chat bert{*second, model->tokenizer(), chat_format::bitnet, world};
  REQUIRE(bert.say("Where is Anna?", some_tokens(5)));
  CHECK(bert.reused() > 20);
}

TEST_CASE("what fails, is cancelled or taken back was never said") {
  const auto model = small_model();
  REQUIRE(model);
  auto s = session::make(*model, model->threads(), {.context = 96});
  REQUIRE(s);
  chat talk{*s, model->tokenizer(), chat_format::plain, "Be kind."};
  const auto messages = [&] { return talk.said().messages().size(); };

  CHECK(talk.say(std::string(300, 'x'), some_tokens(4)).error().code() == errc::context_full);
  CHECK(messages() == 1);
  bitnet::generate_options wrong = some_tokens(4);
  wrong.sampling.temperature = -1.0F;
  CHECK_FALSE(talk.say("Hi", wrong));
  CHECK(messages() == 1);

  bitnet::cancel_token flag;
  s->cancel_with(&flag);
  flag.cancel();
  CHECK(talk.ask("Hi", some_tokens(4), ignore).error().code() == errc::cancelled);
  CHECK(messages() == 1);
  CHECK_FALSE(talk.answering());
  flag.reset();

  REQUIRE(talk.say("Hi", some_tokens(4)));
  CHECK(messages() == 2);
  CHECK(talk.say("Hi again", some_tokens(4)).error().code() == errc::invalid_argument);
  REQUIRE(talk.step(step_budget::work(3), ignore));
  talk.abandon();
  talk.abandon();
  CHECK(messages() == 1);
  CHECK_FALSE(s->stepping());

  CHECK(talk.step(step_budget::unlimited(), ignore).value_or(step_state::more) == step_state::done);
  REQUIRE(talk.ask("Hi", some_tokens(4), ignore));
  CHECK(messages() == 3);
  CHECK(talk.last().tokens.size() == 4);
}

TEST_CASE("a full context forgets the oldest turns and keeps the system message") {
  const auto model = small_model();
  REQUIRE(model);
  auto s = session::make(*model, model->threads(), {.context = 96});
  REQUIRE(s);
  chat talk{*s, model->tokenizer(), chat_format::plain, "Be kind."};
  std::size_t forgotten = 0;
  for (int turn = 0; turn < 6; ++turn) {
    REQUIRE(talk.ask("turn number " + std::to_string(turn), some_tokens(6), ignore));
    CHECK(talk.last().tokens.size() == 6);
    forgotten += talk.forgotten();
  }
  const auto messages = talk.said().messages();
  CHECK(forgotten > 0);
  CHECK(messages.size() == 1 + 2 * (6 - forgotten));
  CHECK(messages[0].role == "system");
  CHECK(messages[messages.size() - 2].content == "turn number 5");
}

TEST_CASE("a file says its chat format") {
  const auto model = small_model();
  REQUIRE(model);
  CHECK(bitnet::chat_format_of(model->document()).value_or(chat_format::llama2) ==
        chat_format::plain);
}
