// SPDX-License-Identifier: Apache-2.0
// `bitnet bench`: speed of prefill and decoding, how much of the machine that uses, and where the
// time goes.
#include "commands.hpp"
#include "failure.hpp"
#include "limits.hpp"
#include "model.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

namespace cli {
namespace {

using bitnet::nn::step_part;
using bitnet::nn::step_profile;
using json = nlohmann::ordered_json;
using tokens = std::vector<bitnet::token>;

/// Random tokens: what they are does not matter for the speed.
tokens random_tokens(std::size_t count, std::size_t vocab) {
  const bitnet::counter_random random{1};
  tokens ids(count);
  for (std::size_t i = 0; i < count; ++i)
    ids[i] = static_cast<bitnet::token>(random.at(0, i) % vocab);
  return ids;
}

/// Tokens a second of the best repetition, and where its time went.
struct best_run {
  double rate = 0.0;
  step_profile parts;

  void consider(double candidate, const step_profile& p) {
    if (candidate <= rate) return;
    rate = candidate;
    parts = p;
  }
};

struct measurements {
  double load_s = 0.0;         ///< opening the file
  double first_token_s = 0.0;  ///< from opening the file to the scores after a short prompt
  best_run prefill, decode;
  best_run together;       ///< many sequences a step; tokens of all of them
  double bandwidth = 0.0;  ///< bytes a second that the machine reads at best
  double peak = 0.0;       ///< multiply-adds a second that it does at best
};

/// Tokens of the prompt of `first_token_s`.
constexpr std::size_t first_prompt = 8;
/// Best tokens to compute: as many as `bitnet run` asks for unless told otherwise.
constexpr std::size_t candidates = 40;

/// Feeds tokens and computes what choosing the next one takes: all scores, or the best ones.
void step(session& s, std::span<const bitnet::token> ids, const bench_options& options) {
  check(s.feed(ids), "cannot run the model");
  if (options.all_scores) {
    static_cast<void>(s.logits());
  } else {
    static_cast<void>(s.best(candidates));
  }
}

/// Runs `ids` behind the first tokens of the context, `batch` at a time, and times that.
void time_steps(session& s, const bench_options& options, std::span<const bitnet::token> ids,
                std::size_t batch, best_run& best) {
  check(s.rewind(options.depth), "cannot start again");
  step_profile profile;
  s.profile(&profile);
  const stopwatch watch;
  for (std::size_t i = 0; i < ids.size(); i += batch) {
    stop_if_interrupted();
    step(s, ids.subspan(i, std::min(batch, ids.size() - i)), options);
  }
  const double seconds = watch.seconds();
  s.profile(nullptr);
  best.consider(static_cast<double>(ids.size()) / seconds, profile);
}

/// Decodes an equal share of `ids` in each session, a token of each in a step, and times that.
void time_together(std::span<session> sessions, const bench_options& options,
                   std::span<const bitnet::token> ids, best_run& best) {
  std::vector<session*> all;
  std::vector<session::turn> turns;
  for (session& s : sessions) {
    check(s.rewind(options.depth), "cannot start again");
    all.push_back(&s);
    turns.push_back({&s, {}});
  }
  step_profile profile;
  sessions.front().profile(&profile);
  const std::size_t steps = ids.size() / sessions.size();
  const stopwatch watch;
  for (std::size_t i = 0; i < steps; ++i) {
    stop_if_interrupted();
    for (std::size_t k = 0; k < turns.size(); ++k) turns[k].tokens = ids.subspan(k * steps + i, 1);
    check(session::feed_together(turns), "cannot run the model");
    if (options.all_scores) {
      for (session& s : sessions) static_cast<void>(s.logits());
    } else {
      session::best_together(all, candidates);
    }
  }
  const double seconds = watch.seconds();
  sessions.front().profile(nullptr);
  best.consider(static_cast<double>(steps * sessions.size()) / seconds, profile);
}

measurements measure(const bench_options& options, session& s, const stopwatch& since_start,
                     const bitnet::dynamic_model& model) {
  const tokens ids =
      random_tokens(options.depth + std::max(options.prompt, options.predict), s.vocab());
  const std::span<const bitnet::token> all{ids};
  measurements m;
  progress bar{"measuring"};
  step(s, all.first(std::min(first_prompt, all.size())), options);
  m.first_token_s = since_start.seconds();
  check(s.rewind(0), "cannot start again");
  feed(s, all.first(options.depth + 1), options.memory.batch);  // warms up
  const auto timed = all.subspan(options.depth);
  check(s.rewind(options.depth), "cannot go back");
  std::vector<session> many;
  if (options.sessions > 1)
    while (many.size() < options.sessions)
      many.push_back(check(s.fork(model.threads()), "cannot make a session"));
  // Each its own: states that are equal would want the same rows of the head.
  const tokens apart = random_tokens(many.size() * options.predict, s.vocab());
  for (std::size_t i = 0; i < options.repeat; ++i) {
    bar.update(i, options.repeat);
    // Between the repetitions, so that a busy machine is busy for both.
    if (!options.no_limits) {
      constexpr double seconds = 0.25;
      m.bandwidth =
          std::max(m.bandwidth, limits::memory_read_speed(model.threads(), model.isa(), seconds));
      m.peak = std::max(m.peak, limits::dot_product_peak(model.threads(), model.isa(), seconds));
    }
    if (options.prompt != 0)
      time_steps(s, options, timed.first(options.prompt), options.prompt, m.prefill);
    if (options.predict != 0) time_steps(s, options, timed.first(options.predict), 1, m.decode);
    if (!many.empty()) time_together(many, options, apart, m.together);
  }
  return m;
}

/// Bytes of keys and values that decoding one token reads, on average over the timed tokens.
double kv_bytes_per_token(const bench_options& options, const bitnet::nn::hparams& h) {
  const double positions =
      static_cast<double>(options.depth) + (static_cast<double>(options.predict) + 1.0) / 2.0;
  const std::size_t each =
      bitnet::quant::kv_head::position_bytes(kv_type_of(options.memory), h.head_dim);
  return positions * static_cast<double>(h.layers * h.kv_heads * each);
}

struct named_part {
  const char* name;
  step_part part;
};
constexpr named_part parts[] = {{"weights", step_part::weights},
                                {"head", step_part::head},
                                {"attention", step_part::attention},
                                {"rest", step_part::rest}};

/// Milliseconds of each part for a token, and its share.
json parts_json(const best_run& run) {
  json out = json::object();
  const double total = run.parts.seconds();
  if (run.rate <= 0.0 || total <= 0.0) return out;
  const double ms = 1e3 / run.rate;
  out["ms_per_token"] = ms;
  for (const auto& [name, part] : parts) {
    const double share = run.parts.seconds(part) / total;
    out[name] = {{"ms_per_token", ms * share}, {"share", share}};
  }
  return out;
}

std::string percent(double share) { return number(100.0 * share, share < 0.0995 ? 1 : 0) + " %"; }

std::string parts_text(const best_run& run) {
  std::string text;
  for (const auto& [name, part] : parts)
    text += (text.empty() ? "" : ", ") + std::string{name} + ' ' +
            percent(run.parts.seconds(part) / run.parts.seconds());
  return "  " + number(1e3 / run.rate, 2) + " ms a token: " + text + '\n';
}

}  // namespace

void bench(const bench_options& options) {
  if (options.prompt == 0 && options.predict == 0)
    usage_error("-p 0 and -n 0 leave nothing to measure");
  if (options.sessions > 1 && options.predict == 0)
    usage_error("--sessions needs tokens to decode: -n");
  if (options.sessions > options.memory.batch)
    usage_error("--sessions is at most --batch-size: they go through the model together");
  const stopwatch since_start;
  model_options opening = options.model;
  opening.screen_head = !options.all_scores;
  const auto model = open_model(opening);
  const double load_seconds = since_start.seconds();
  const std::size_t needed = options.depth + std::max(options.prompt, options.predict);
  if (options.memory.context != 0 && options.memory.context < needed)
    usage_error("-c is less than the tokens of -d with those of -p or -n");
  const std::size_t context = options.memory.context == 0 ? needed : options.memory.context;
  session s = open_session(model, options.memory, context);
  measurements m = measure(options, s, since_start, model);
  m.load_s = load_seconds;

  const double kv_bytes = kv_bytes_per_token(options, model.shape());
  const double per_token = static_cast<double>(model.bytes_per_token()) + kv_bytes;
  const double reading = m.decode.rate * per_token;
  const double multiplying = m.prefill.rate * multiply_adds(model.shape());
  if (options.json) {
    json out;
    out["model"] = options.model.path;
    out["architecture"] = model.architecture();
    out["isa"] = model.isa();
    out["threads"] = model.threads().concurrency();
    out["kv"] = options.memory.kv;
    out["batch"] = options.memory.batch;
    out["all_scores"] = options.all_scores;
    out["depth"] = options.depth;
    out["prompt_tokens"] = options.prompt;
    out["generated_tokens"] = options.predict;
    out["prefill_tokens_per_s"] = m.prefill.rate;
    out["decode_tokens_per_s"] = m.decode.rate;
    if (options.sessions > 1) {
      out["sessions"] = options.sessions;
      out["together_tokens_per_s"] = m.together.rate;
      out["together_parts"] = parts_json(m.together);
    }
    out["bytes_per_token"] = model.bytes_per_token();
    out["kv_bytes_per_token"] = kv_bytes;
    out["multiply_adds_per_token"] = multiply_adds(model.shape());
    out["read_gb_per_s"] = m.bandwidth / 1e9;
    out["peak_gmac_per_s"] = m.peak / 1e9;
    out["decode_read_gb_per_s"] = reading / 1e9;
    out["prefill_gmac_per_s"] = multiplying / 1e9;
    out["decode_share_of_read"] = m.bandwidth > 0.0 ? reading / m.bandwidth : 0.0;
    out["prefill_share_of_peak"] = m.peak > 0.0 ? multiplying / m.peak : 0.0;
    out["decode_parts"] = parts_json(m.decode);
    out["prefill_parts"] = parts_json(m.prefill);
    out["load_s"] = m.load_s;
    out["first_token_s"] = m.first_token_s;
    out["weight_bytes"] = model.weight_bytes();
    put(out.dump() + '\n');
    return;
  }
  std::string text = std::string{model.architecture()} + ", " + std::string{model.isa()} + ", " +
                     std::to_string(model.threads().concurrency()) + " threads, loaded in " +
                     number(m.load_s, 2) + " s, first token after " + number(m.first_token_s, 2) +
                     " s\n";
  const std::string at = options.depth == 0 ? "" : " at depth " + std::to_string(options.depth);
  if (options.prompt != 0) {
    text += "prefill " + std::to_string(options.prompt) + at + ": " + number(m.prefill.rate, 1) +
            " tokens/s, " + number(multiplying / 1e9, 1) + " G multiply-adds/s";
    if (m.peak > 0.0)
      text += ", " + percent(multiplying / m.peak) + " of the peak of " + number(m.peak / 1e9, 0);
    text += '\n' + parts_text(m.prefill);
  }
  if (options.predict != 0) {
    text += "decode " + std::to_string(options.predict) + at + ": " + number(m.decode.rate, 1) +
            " tokens/s, " + bytes_text(static_cast<std::uint64_t>(per_token)) + " a token, " +
            number(reading / 1e9, 1) + " GB/s";
    if (m.bandwidth > 0.0)
      text += ", " + percent(reading / m.bandwidth) + " of the memory's " +
              number(m.bandwidth / 1e9, 1);
    text += '\n' + parts_text(m.decode);
  }
  if (options.sessions > 1)
    text += std::to_string(options.sessions) + " sequences together" + at + ": " +
            number(m.together.rate, 1) + " tokens/s, " +
            number(m.together.rate / m.decode.rate, 2) + " times one\n" + parts_text(m.together);
  put(text);
}

}  // namespace cli
