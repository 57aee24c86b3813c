// SPDX-License-Identifier: Apache-2.0
// Generation: feed a prompt, then sample, stream and feed back tokens until something ends it.
#pragma once

#include <bitnet/core/function_ref.hpp>
#include <bitnet/engine/next_token.hpp>
#include <bitnet/engine/session.hpp>
#include <bitnet/sample/constraint.hpp>
#include <bitnet/sample/sampler.hpp>
#include <bitnet/text/stop.hpp>
#include <bitnet/text/stream.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN

/// What a generation does when the session's context is full.
enum class overflow_policy : std::uint8_t {
  stop,   ///< it ends, with stop_reason::context_full
  error,  ///< it fails with errc::context_full
  /// The session forgets the oldest half of its tokens behind the first `keep` ones (more, if a
  /// prompt needs it) and is fed the rest again. What follows has the bits of a fresh session fed
  /// with these tokens; it costs a prefill of half the context every half a context of tokens.
  shift
};

/// How to continue a text.
struct generate_options {
  std::size_t max_tokens = 128;   ///< tokens to generate at most
  sampler_options sampling;       ///< greedy unless a temperature is set
  std::vector<std::string> stop;  ///< the text ends before the first of these
  bool ignore_eos = false;        ///< go on after end-of-generation tokens
  bool show_control = false;      ///< control tokens appear in the text, by their names
  /// Tokens that the session holds already, for the repetition penalty; not owned.
  std::span<const token> history = {};
  /// What the text may be; started over first. A token that ends the text is then allowed where
  /// the text is whole only, and always ends it.
  std::optional<constraint_ref> constraint = {};
  overflow_policy overflow = overflow_policy::stop;
  std::size_t keep = 0;  ///< first tokens of the session that shifting keeps; below its capacity
};

/// What ended a generation.
enum class stop_reason : std::uint8_t {
  max_tokens,
  end_of_text,  ///< the model ended its text or turn
  stop_string,
  context_full,
  callback,  ///< on_text returned false
  complete   ///< the constraint allows nothing more
};

/// Name of a reason, for people.
[[nodiscard]] constexpr std::string_view name_of(stop_reason reason) noexcept {
  switch (reason) {
    case stop_reason::max_tokens:
      return "max tokens";
    case stop_reason::end_of_text:
      return "end of text";
    case stop_reason::stop_string:
      return "stop string";
    case stop_reason::context_full:
      return "context full";
    case stop_reason::callback:
      return "callback";
    case stop_reason::complete:
      return "complete";
  }
  return "unknown";
}

/// What a generation did.
struct generate_result {
  std::size_t prompt_tokens = 0;
  std::vector<token> tokens;  ///< generated, a final end-of-text token included
  stop_reason reason = stop_reason::max_tokens;
  /// With a constraint: how many of the tokens make the longest whole text; none if there is none,
  /// because something else ended it too soon.
  std::optional<std::size_t> whole = {};
};

/// A generation in slices: text across the frames of a game, say. It refers to a session and a
/// tokenizer, which must outlive it and not move, and the session is used by nothing else until it
/// has ended. All memory is taken by make(); step() allocates nothing.
template <class Session>
class generation {
 public:
  /// Feeds `prompt`, which is copied, to the session (which may hold an earlier text), once
  /// stepped. An empty prompt goes on from the session's logits. Errors: those of session::begin
  /// for the prompt, and of the options; the session is unchanged then, except that shifting may
  /// have made room for a long prompt.
  [[nodiscard]] static result<generation> make(Session& session, const text::tokenizer& tokenizer,
                                               std::span<const token> prompt,
                                               const generate_options& options) {
    BITNET_TRY(auto stops, text::stop_matcher::make(options.stop));
    if (prompt.empty() && !session.ready())
      return error{errc::invalid_argument, "there is nothing to continue: the prompt has no tokens",
                   "prompt"};
    const auto& only = options.constraint;
    if (only && only->vocab() > session.vocab())
      return error{errc::invalid_argument, "the constraint is for another vocabulary",
                   "constraint"};
    if (only) only->reset();
    BITNET_TRY(auto choose, sampler::make(options.sampling, session.vocab(), only.has_value()));
    generation g{session, tokenizer, std::move(choose), std::move(stops), options};
    BITNET_CHECK(g.take_memory(prompt));
    BITNET_CHECK(g.check_prompt(prompt));
    BITNET_CHECK(g.feed_next(prompt));
    return g;
  }

  /// Goes on while the budget lasts. on_text is called after each token with the text that has
  /// become whole: UTF-8 characters, never part of a stop string, perhaps nothing. It stops the
  /// generation by returning false. errc::cancelled pauses it: once the token is reset, it goes on
  /// where it was. errc::context_full by overflow_policy::error.
  [[nodiscard]] result<step_state> step(step_budget& budget,
                                        function_ref<bool(std::string_view piece)> on_text) {
    while (!ended_) {
      if (!begun_) BITNET_CHECK(session_->begin(feed_, wants()));
      begun_ = true;
      const auto state = session_->step(budget);
      if (!state) {
        begun_ = false;
        return state.error();
      }
      if (*state == step_state::more) return step_state::more;
      BITNET_CHECK(next(on_text));
      if (!ended_ && budget.spent()) return step_state::more;
    }
    return step_state::done;
  }
  [[nodiscard]] result<step_state> step(step_budget&& budget,
                                        function_ref<bool(std::string_view piece)> on_text) {
    return step(budget, on_text);
  }

  /// What was generated so far.
  [[nodiscard]] const generate_result& result_so_far() const noexcept { return out_; }
  [[nodiscard]] generate_result take_result() noexcept { return std::move(out_); }

 private:
  using text_callback = function_ref<bool(std::string_view piece)>;

  generation(Session& owner, const text::tokenizer& tokenizer_of, sampler choose,
             text::stop_matcher stops, const generate_options& options)
      : session_{&owner},
        tokenizer_{&tokenizer_of},
        choose_{std::move(choose)},
        stops_{std::move(stops)},
        options_{options} {}

  [[nodiscard]] bool shifts() const noexcept { return options_.overflow == overflow_policy::shift; }

  [[nodiscard]] status take_memory(std::span<const token> prompt) {
    if (shifts() && options_.keep >= session_->capacity())
      return error{errc::invalid_argument, "shifting must keep less than the whole context",
                   "keep"};
    // What the context leaves room for: the last token is not fed back and needs none.
    const std::size_t room = session_->capacity() - session_->position();
    std::size_t most = room - std::min(room, prompt.size()) + 1;
    if (shifts()) most = std::size_t{1} << 24;
    if (shifts() && options_.max_tokens > most)
      return error{errc::limit, "a generation that shifts has at most 2^24 tokens", "max_tokens"};
    most = std::min(options_.max_tokens, most);
    seen_.reserve(options_.history.size() + prompt.size() + most);
    seen_.assign(options_.history.begin(), options_.history.end());
    seen_.insert(seen_.end(), prompt.begin(), prompt.end());
    feed_.reserve(shifts() ? session_->capacity() : std::max<std::size_t>(prompt.size(), 1));
    out_.tokens.reserve(most);
    out_.prompt_tokens = prompt.size();
    options_.history = {};
    return {};
  }
  [[nodiscard]] status check_prompt(std::span<const token> prompt) const noexcept {
    for (const token t : prompt)
      if (t < 0 || static_cast<std::size_t>(t) >= session_->vocab())
        return error{errc::invalid_argument, "a token id is outside the vocabulary", "tokens"};
    const std::size_t held =
        shifts() ? std::min(options_.keep, session_->position()) : session_->position();
    if (prompt.size() > session_->capacity() - held)
      return error{errc::context_full, "the tokens do not fit in the session's context", "tokens"};
    // Shifting later on must not fail for want of pages.
    return shifts() ? session_->unshare(options_.keep) : status{};
  }

  /// What the sampler will look at.
  [[nodiscard]] step_wants wants() const noexcept {
    if (out_.tokens.size() >= options_.max_tokens) return {};
    return wanted_scores<Session>(*session_, choose_, options_.constraint, all_scores_);
  }

  /// Lets the next steps feed these tokens, in a session that has room for them.
  [[nodiscard]] status feed_next(std::span<const token> tokens) {
    begun_ = false;
    const std::size_t held = session_->position();
    const std::size_t room = session_->capacity() - held;
    if (tokens.size() <= room) {
      feed_.assign(tokens.begin(), tokens.end());
      return {};
    }
    const std::size_t keep = std::min(options_.keep, held), rest = held - keep;
    const std::size_t drop = std::max(ceil_div(rest, 2), tokens.size() - room);
    const auto tail = session_->tokens().subspan(keep + drop);
    feed_.assign(tail.begin(), tail.end());
    feed_.insert(feed_.end(), tokens.begin(), tokens.end());
    return session_->rewind(keep);
  }

  /// The token that follows what was fed, or the end.
  [[nodiscard]] status next(text_callback on_text) {
    const auto& only = options_.constraint;
    if (only && only->complete() && !out_.whole) out_.whole = out_.tokens.size();
    if (only && only->finished()) return end(on_text, stop_reason::complete);
    if (out_.tokens.size() == options_.max_tokens) return end(on_text);
    const std::optional<token> found =
        next_token(*session_, choose_, only, wants(), seen_, out_.tokens.size());
    all_scores_ = !found;
    if (!found) return feed_next({});
    const token chosen = *found;
    out_.tokens.push_back(chosen);
    seen_.push_back(chosen);
    if (only) only->accept(chosen);
    if ((!options_.ignore_eos || only) && tokenizer_->is_end_of_generation(chosen)) {
      return end(on_text, stop_reason::end_of_text);
    }
    if (only && only->complete()) out_.whole = out_.tokens.size();
    if (!show(chosen, on_text)) {
      out_.reason = stops_.matched() ? stop_reason::stop_string : stop_reason::callback;
      ended_ = true;
      return {};
    }
    if (only && only->finished()) return end(on_text, stop_reason::complete);
    if (out_.tokens.size() == options_.max_tokens) return end(on_text);
    if (session_->position() == session_->capacity() && !shifts()) {
      BITNET_CHECK(end(on_text, stop_reason::context_full));
      if (options_.overflow == overflow_policy::error)
        return error{errc::context_full, "the session's context is full", "context"};
      return {};
    }
    return feed_next({&chosen, 1});
  }

  /// Passes on the text of a token; false ends the generation.
  [[nodiscard]] bool show(token t, text_callback on_text) {
    bool called = false;
    const auto sink = [&](std::string_view text) {
      called = true;
      return on_text(text);
    };
    const auto pass = [&](std::string_view whole) { return stops_.push(whole, sink); };
    const bool hidden = !options_.show_control && tokenizer_->is_control(t);
    const std::string_view piece = hidden ? std::string_view{} : tokenizer_->piece(t);
    return characters_.push(piece, pass) && (called || on_text(""));
  }

  /// Passes on what was held back.
  [[nodiscard]] status end(text_callback on_text, stop_reason why = stop_reason::max_tokens) {
    ended_ = true;
    out_.reason = why;
    const auto pass = [&](std::string_view whole) { return stops_.push(whole, on_text); };
    const bool flushed = characters_.flush(pass);
    if (stops_.matched()) {
      out_.reason = stop_reason::stop_string;
    } else if (!flushed || !stops_.flush(on_text)) {
      out_.reason = stop_reason::callback;
    }
    return {};
  }

  Session* session_;
  const text::tokenizer* tokenizer_;
  sampler choose_;
  text::stop_matcher stops_;
  text::utf8_stream characters_;
  generate_options options_;
  std::vector<token> seen_;  // for penalties
  std::vector<token> feed_;  // what the session is fed next
  generate_result out_;
  bool begun_ = false;
  bool all_scores_ = false;  // the best ones did not suffice for the next token
  bool ended_ = false;
};

/// All of a generation in one go; see there. The last token is not fed back.
template <class Session>
[[nodiscard]] result<generate_result> generate(Session& session, const text::tokenizer& tokenizer,
                                               std::span<const token> prompt,
                                               const generate_options& options,
                                               function_ref<bool(std::string_view piece)> on_text) {
  BITNET_TRY(auto all, generation<Session>::make(session, tokenizer, prompt, options));
  BITNET_TRY([[maybe_unused]] const auto state, all.step(step_budget::unlimited(), on_text));
  return all.take_result();
}

BITNET_NAMESPACE_END
