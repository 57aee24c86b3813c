// SPDX-License-Identifier: Apache-2.0
// `bitnet run`: generates text.
#include "chat.hpp"
#include "commands.hpp"
#include "constraint.hpp"
#include "failure.hpp"
#include "input.hpp"
#include "model.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

#include <random>

namespace cli {
namespace {

using tokens = std::vector<bitnet::token>;

tokens make_prompt(const bitnet::dynamic_model& model, const run_options& options,
                   const std::string& text) {
  if (options.chat) {
    bitnet::text::conversation c{model.tokenizer(), chat_format_of(model), options.system};
    c.user(text);
    return check(c.prompt(), "cannot tokenize");
  }
  bitnet::text::encode_options o;
  o.add_special = !options.no_bos;
  o.parse_special = options.parse_special;
  tokens ids = check(model.tokenizer().encode(text, o), "cannot tokenize the prompt");
  // A model that ends texts with EOS would otherwise see its text as finished.
  if (model.tokenizer().adds_eos() && !options.no_bos && !ids.empty() &&
      ids.back() == model.tokenizer().eos())
    ids.pop_back();
  return ids;
}

std::uint64_t choose_seed(std::int64_t wanted) {
  if (wanted >= 0) return static_cast<std::uint64_t>(wanted);
  std::random_device device;
  return device();
}

bitnet::generate_options generation(const run_options& options, std::uint64_t seed) {
  bitnet::generate_options o;
  o.sampling.temperature = options.temperature;
  o.sampling.top_k = static_cast<int>(options.top_k);
  o.sampling.top_p = options.top_p;
  o.sampling.min_p = options.min_p;
  o.sampling.repetition_penalty = options.repeat_penalty;
  o.sampling.repetition_window = static_cast<int>(options.repeat_last_n);
  o.sampling.seed = seed;
  o.stop = options.stop;
  o.ignore_eos = options.ignore_eos;
  return o;
}

/// Tokens that may be generated: what the options say, and no more than there is room for. The
/// last one is not fed back and needs none.
std::size_t most_tokens(const run_options& options, const session& s) {
  const std::size_t room = s.capacity() - s.position() + 1;
  return options.predict < 0 ? room : std::min(room, static_cast<std::size_t>(options.predict));
}

double rate(std::size_t count, double seconds) {
  return seconds > 0.0 ? static_cast<double>(count) / seconds : 0.0;
}

}  // namespace

void run(const run_options& options) {
  const bool conversing = options.chat && !options.text.prompt && options.text.file.empty();
  if (conversing && options.json)
    usage_error("--json needs one prompt: give it with -p TEXT or -f FILE");
  std::string text = conversing ? std::string{} : read_text(options.text);
  // A file ends with a line end that nobody means as part of the prompt.
  if (!options.text.prompt && text.ends_with('\n')) text.pop_back();
  const stopwatch total;
  const auto model = open_model(options.model);
  text_constraint only{model.tokenizer(), options.grammar, options.choices};
  if (conversing) {
    session s = open_session(model, options.memory, options.memory.context);
    bitnet::generate_options o = generation(options, choose_seed(options.seed));
    o.constraint = only.ref();
    o.max_tokens = most_tokens(options, s);
    converse(model, s, options.system, o);
    return;
  }
  const double load_seconds = total.seconds();
  const tokens prompt = make_prompt(model, options, text);
  if (prompt.empty())
    usage_error(
        "the prompt has no tokens, and the model has no beginning-of-text token to start "
        "from; give a longer prompt");
  session s = open_session(model, options.memory, options.memory.context);
  if (prompt.size() > s.capacity())
    throw failure{exit_code::general, "the prompt has " + std::to_string(prompt.size()) +
                                          " tokens, and the context has room for " +
                                          std::to_string(s.capacity()) +
                                          "\nhint: raise -c, or give a shorter prompt"};
  const stopwatch prefill;
  feed(s, prompt, options.memory.batch);
  const double prefill_seconds = prefill.seconds();

  const std::uint64_t seed = choose_seed(options.seed);
  bitnet::generate_options o = generation(options, seed);
  const std::size_t room = s.capacity() - s.position() + 1;
  o.max_tokens = most_tokens(options, s);
  o.history = prompt;
  o.constraint = only.ref();

  std::string answer;
  if (options.display_prompt && !options.chat && !options.json) put(text);
  const stopwatch decode;
  const auto result = check(bitnet::generate(s, model.tokenizer(), {}, o,
                                             [&](std::string_view piece) {
                                               if (options.json) {
                                                 answer += piece;
                                               } else {
                                                 put(piece);
                                               }
                                               return !interrupted();
                                             }),
                            "cannot generate");
  const double decode_seconds = decode.seconds();
  const bool full = result.reason == bitnet::stop_reason::context_full ||
                    (result.reason == bitnet::stop_reason::max_tokens &&
                     result.tokens.size() == room && options.predict != 0);
  const std::string_view reason =
      bitnet::name_of(full ? bitnet::stop_reason::context_full : result.reason);

  if (options.json) {
    nlohmann::ordered_json out;
    out["text"] = answer;
    out["tokens"] = result.tokens;
    out["prompt_tokens"] = prompt.size();
    out["generated_tokens"] = result.tokens.size();
    out["stop_reason"] = reason;
    if (o.constraint) out["whole"] = o.constraint->complete();
    out["seed"] = seed;
    out["load_s"] = load_seconds;
    out["prefill_tokens_per_s"] = rate(prompt.size(), prefill_seconds);
    out["decode_tokens_per_s"] = rate(result.tokens.size(), decode_seconds);
    out["isa"] = model.isa();
    out["threads"] = model.threads().concurrency();
    put(out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n');
  } else {
    put("\n");
  }
  note("loaded in " + number(load_seconds, 2) + " s; prompt " + std::to_string(prompt.size()) +
       " tokens, " + number(rate(prompt.size(), prefill_seconds), 1) + " tokens/s; generated " +
       std::to_string(result.tokens.size()) + " tokens, " +
       number(rate(result.tokens.size(), decode_seconds), 1) + " tokens/s; stopped by " +
       std::string{reason} + "; seed " + std::to_string(seed) + ", " + std::string{model.isa()} +
       ", " + std::to_string(model.threads().concurrency()) + " threads");
  if (o.constraint && !o.constraint->complete())
    note("note: the text ended too soon: it is not all that it has to be");
  stop_if_interrupted();
}

}  // namespace cli
