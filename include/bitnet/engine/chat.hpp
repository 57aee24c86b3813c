// SPDX-License-Identifier: Apache-2.0
// A chat with a model: messages in, answers out, in one go or in slices. The session keeps what it
// has read, so that a turn costs its new text alone.
#pragma once

#include <bitnet/engine/generate.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/text/conversation.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN

/// The chat format that a file means; see text::recognise_chat. errc::unknown for a template of
/// another kind: then choose a format yourself.
[[nodiscard]] inline result<text::chat_format> chat_format_of(
    const gguf::document& document) noexcept {
  const auto& meta = document.meta();
  BITNET_TRY(const auto written,
             meta.get_or<std::string_view>("tokenizer.chat_template", std::string_view{}));
  BITNET_TRY(const auto pre,
             meta.get_or<std::string_view>("tokenizer.ggml.pre", std::string_view{}));
  BITNET_TRY(const auto architecture,
             meta.get_or<std::string_view>("general.architecture", std::string_view{}));
  return text::recognise_chat(written, architecture, pre);
}

/// A conversation that a session answers. Refers to both the session and the tokenizer, which must
/// outlive it and not move; the session is used by nothing else while an answer is under way. When
/// the context fills up, the oldest messages are forgotten, as many as are needed; the system
/// message stays. It keeps what is said in strings, which grow on the heap; a generation alone
/// takes nothing once it is made.
template <class Session>
class chat {
 public:
  chat(Session& of, const text::tokenizer& vocabulary, text::chat_format format,
       std::string_view system = {})
      : session_{&of}, said_{vocabulary, format, system} {}

  /// The user says `content`; step() then gives the answer. Whatever the session holds that is how
  /// the prompt begins is not read again, be it of this chat or the common beginning of many.
  /// options.history is ignored, and options.sampling.seed counts up with the answers. An eighth of
  /// the context, or max_tokens if that is less, is kept free for the answer. errc::context_full if
  /// the message alone is too long; errc::invalid_argument while an answer is under way; those of
  /// generation::make. Then nothing was said.
  [[nodiscard]] status say(std::string_view content, generate_options options) {
    if (answering())
      return error{errc::invalid_argument, "an answer is under way; end it or abandon() it first",
                   "chat"};
    text::conversation next = said_;
    next.user(content);
    const std::size_t answer = std::min(options.max_tokens, session_->capacity() / 8);
    std::size_t forgotten = 0;
    BITNET_TRY(auto prompt, next.prompt());
    for (; prompt.size() + answer > session_->capacity(); ++forgotten) {
      if (!next.forget_oldest()) {
        if (prompt.size() < session_->capacity()) break;  // a short answer is better than none
        return error{errc::context_full, "the message does not fit in the session's context",
                     "context"};
      }
      BITNET_TRY(prompt, next.prompt());
    }
    BITNET_TRY(const std::size_t held, session_->keep_common(prompt));
    const std::span<const token> all{prompt};
    options.history = all.first(held);
    options.sampling.seed += answers_;
    BITNET_TRY(auto answering, generation<Session>::make(*session_, said_.vocabulary(),
                                                         all.subspan(held), options));
    before_ = std::exchange(said_, std::move(next));
    forgotten_ = forgotten;
    reused_ = held;
    text_.clear();
    answer_.emplace(std::move(answering));
    return {};
  }

  /// Goes on with the answer; see generation::step. When it is done, the answer is part of the
  /// conversation.
  [[nodiscard]] result<step_state> step(step_budget& budget,
                                        function_ref<bool(std::string_view piece)> on_text) {
    if (!answering()) return step_state::done;
    const auto hear = [&](std::string_view piece) {
      text_ += piece;
      return on_text(piece);
    };
    BITNET_TRY(const step_state state, answer_->step(budget, hear));
    if (state == step_state::done) {
      said_.assistant(text_);
      last_ = answer_->take_result();
      answer_.reset();
      before_.reset();
      ++answers_;
    }
    return state;
  }
  [[nodiscard]] result<step_state> step(step_budget&& budget,
                                        function_ref<bool(std::string_view piece)> on_text) {
    return step(budget, on_text);
  }

  /// say() and the whole answer in one go. What fails or is cancelled was never said.
  [[nodiscard]] status ask(std::string_view content, const generate_options& options,
                           function_ref<bool(std::string_view piece)> on_text) {
    BITNET_CHECK(say(content, options));
    const auto state = step(step_budget::unlimited(), on_text);
    if (state) return {};
    abandon();
    return state.error();
  }

  /// Whether an answer is under way.
  [[nodiscard]] bool answering() const noexcept { return answer_.has_value(); }
  /// Takes back the last say(), as long as its answer is under way.
  void abandon() {
    if (!answering()) return;
    session_->abandon();
    answer_.reset();
    said_ = *std::exchange(before_, std::nullopt);
  }

  /// What was said so far; the last message is the user's while an answer is under way.
  [[nodiscard]] const text::conversation& said() const noexcept { return said_; }
  /// What the last complete answer took.
  [[nodiscard]] const generate_result& last() const noexcept { return last_; }
  /// Turns that the last say() forgot, and tokens of its prompt that were not read again.
  [[nodiscard]] std::size_t forgotten() const noexcept { return forgotten_; }
  [[nodiscard]] std::size_t reused() const noexcept { return reused_; }

 private:
  Session* session_;
  text::conversation said_;
  std::optional<text::conversation> before_;  // the last say(), while its answer is under way
  std::optional<generation<Session>> answer_;
  std::string text_;  // of the answer
  generate_result last_;
  std::uint64_t answers_ = 0;
  std::size_t forgotten_ = 0, reused_ = 0;
};

BITNET_NAMESPACE_END
