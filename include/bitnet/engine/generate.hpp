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
#include <vector>

BITNET_NAMESPACE_BEGIN

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

/// Feeds `prompt` to the session (which may hold an earlier text) and generates. An empty prompt
/// goes on from the session's logits. on_text is called after each token with the text that has
/// become whole: UTF-8 characters, never part of a stop string, perhaps nothing. It stops the
/// generation by returning false. All memory is taken before the first token. The last token is
/// not fed back. Errors: those of session::feed for the prompt, and of the sampler's options.
template <class Session>
[[nodiscard]] result<generate_result> generate(Session& session, const text::tokenizer& tokenizer,
                                               std::span<const token> prompt,
                                               const generate_options& options,
                                               function_ref<bool(std::string_view piece)> on_text) {
  BITNET_TRY(auto stops, text::stop_matcher::make(options.stop));
  text::utf8_stream characters;
  bool called = false;
  const auto sink = [&](std::string_view text) {
    called = true;
    return on_text(text);
  };
  const auto pass = [&](std::string_view whole) { return stops.push(whole, sink); };

  std::vector<token> seen;
  generate_result out;
  // What the context leaves room for: the last token is not fed back and needs none.
  const std::size_t room = session.capacity() - session.position();
  const std::size_t most = std::min(options.max_tokens, room - std::min(room, prompt.size()) + 1);
  seen.reserve(options.history.size() + prompt.size() + most);
  seen.assign(options.history.begin(), options.history.end());
  seen.insert(seen.end(), prompt.begin(), prompt.end());
  out.tokens.reserve(most);
  out.prompt_tokens = prompt.size();

  if (prompt.empty() && !session.ready())
    return error{errc::invalid_argument, "there is nothing to continue: the prompt has no tokens",
                 "prompt"};
  const auto& only = options.constraint;
  if (only && only->vocab() > session.vocab())
    return error{errc::invalid_argument, "the constraint is for another vocabulary", "constraint"};
  if (only) only->reset();
  BITNET_TRY(auto choose, sampler::make(options.sampling, session.vocab(), only.has_value()));
  BITNET_CHECK(session.feed(prompt));

  while (out.tokens.size() < options.max_tokens) {
    if (only && only->complete()) out.whole = out.tokens.size();
    if (only && only->finished()) {
      out.reason = stop_reason::complete;
      break;
    }
    const token next = next_token(session, choose, only, seen, out.tokens.size());
    out.tokens.push_back(next);
    seen.push_back(next);
    if (only) only->accept(next);
    if ((!options.ignore_eos || only) && tokenizer.is_end_of_generation(next)) {
      out.reason = stop_reason::end_of_text;
      break;
    }
    const bool hidden = !options.show_control && tokenizer.is_control(next);
    const std::string_view piece = hidden ? std::string_view{} : tokenizer.piece(next);
    called = false;
    if (!characters.push(piece, pass) || (!called && !on_text(""))) {
      out.reason = stops.matched() ? stop_reason::stop_string : stop_reason::callback;
      return out;
    }
    if (out.tokens.size() == options.max_tokens) break;
    if (session.position() == session.capacity()) {
      out.reason = stop_reason::context_full;
      break;
    }
    BITNET_CHECK(session.feed(std::span{&next, 1}));
  }
  if (only && only->complete() && out.reason != stop_reason::end_of_text)
    out.whole = out.tokens.size();
  const bool flushed = characters.flush(pass);
  if (stops.matched()) {
    out.reason = stop_reason::stop_string;
  } else if (!flushed || !stops.flush(on_text)) {
    out.reason = stop_reason::callback;
  }
  return out;
}

BITNET_NAMESPACE_END
