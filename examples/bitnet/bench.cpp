// SPDX-License-Identifier: Apache-2.0
// `bitnet bench`: speed of prefill and decoding, and how much of the machine that uses.
#include "commands.hpp"
#include "failure.hpp"
#include "limits.hpp"
#include "model.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

namespace cli {
namespace {

using tokens = std::vector<bitnet::token>;

/// Random tokens: what they are does not matter for the speed.
tokens random_tokens(std::size_t count, std::size_t vocab) {
  const bitnet::counter_random random{1};
  tokens ids(count);
  for (std::size_t i = 0; i < count; ++i)
    ids[i] = static_cast<bitnet::token>(random.at(0, i) % vocab);
  return ids;
}

/// Best rates so far.
struct measurements {
  double prefill = 0.0;  ///< tokens a second
  double decode = 0.0;
  double bandwidth = 0.0;  ///< bytes a second
  double peak = 0.0;       ///< multiply-adds a second
};

void best(double& x, double candidate) { x = std::max(x, candidate); }

/// One repetition: prefill from an empty context, then decoding from an empty context.
void measure(session& s, const bench_options& options, const tokens& ids, measurements& m) {
  if (options.prompt != 0) {
    check(s.rewind(0), "cannot start again");
    const stopwatch watch;
    check(s.feed(std::span{ids}.first(options.prompt)), "cannot prefill");
    best(m.prefill, static_cast<double>(options.prompt) / watch.seconds());
  }
  if (options.predict != 0) {
    check(s.rewind(0), "cannot start again");
    const stopwatch watch;
    for (std::size_t i = 0; i < options.predict; ++i) {
      stop_if_interrupted();
      check(s.feed(std::span{ids}.subspan(i, 1)), "cannot decode");
    }
    best(m.decode, static_cast<double>(options.predict) / watch.seconds());
  }
}

std::string percent(double share) { return number(100.0 * share, 0) + " %"; }

}  // namespace

void bench(const bench_options& options) {
  if (options.prompt == 0 && options.predict == 0)
    usage_error("-p 0 and -n 0 leave nothing to measure");
  const stopwatch loading;
  const auto model = open_model(options.model);
  const double load_seconds = loading.seconds();
  const std::size_t needed = std::max(options.prompt, options.predict);
  if (options.memory.context != 0 && options.memory.context < needed)
    usage_error("-c is less than the tokens of -p or -n");
  const std::size_t context = options.memory.context == 0 ? needed : options.memory.context;
  session s = open_session(model, options.memory, context);
  const tokens ids = random_tokens(needed, model.shape().vocab);

  measurements m;
  {
    progress bar{"measuring"};
    check(s.feed(std::span{ids}.first(1)), "cannot decode");  // warms up
    for (std::size_t i = 0; i < options.repeat; ++i) {
      bar.update(i, options.repeat);
      // Between the repetitions, so that a busy machine is busy for both.
      if (!options.no_limits) {
        constexpr double seconds = 0.25;
        best(m.bandwidth, read_bandwidth(model.threads(), model.isa(), seconds));
        best(m.peak, dot_product_peak(model.threads(), model.isa(), seconds));
      }
      measure(s, options, ids, m);
    }
  }

  const auto per_token = static_cast<double>(model.bytes_per_token());
  const double reading = m.decode * per_token;
  const double multiplying = m.prefill * multiply_adds(model.shape());
  if (options.json) {
    nlohmann::ordered_json out;
    out["model"] = options.model.path;
    out["architecture"] = model.architecture();
    out["isa"] = model.isa();
    out["threads"] = model.threads().concurrency();
    out["prompt_tokens"] = options.prompt;
    out["generated_tokens"] = options.predict;
    out["prefill_tokens_per_s"] = m.prefill;
    out["decode_tokens_per_s"] = m.decode;
    out["bytes_per_token"] = model.bytes_per_token();
    out["multiply_adds_per_token"] = multiply_adds(model.shape());
    out["read_gb_per_s"] = m.bandwidth / 1e9;
    out["peak_gmac_per_s"] = m.peak / 1e9;
    out["decode_read_gb_per_s"] = reading / 1e9;
    out["prefill_gmac_per_s"] = multiplying / 1e9;
    out["decode_share_of_read"] = m.bandwidth > 0.0 ? reading / m.bandwidth : 0.0;
    out["prefill_share_of_peak"] = m.peak > 0.0 ? multiplying / m.peak : 0.0;
    out["load_s"] = load_seconds;
    out["weight_bytes"] = model.weight_bytes();
    put(out.dump() + '\n');
    return;
  }
  std::string text = std::string{model.architecture()} + ", " + std::string{model.isa()} + ", " +
                     std::to_string(model.threads().concurrency()) + " threads, loaded in " +
                     number(load_seconds, 2) + " s\n";
  if (options.prompt != 0) {
    text += "prefill " + std::to_string(options.prompt) + ": " + number(m.prefill, 1) +
            " tokens/s, " + number(multiplying / 1e9, 1) + " G multiply-adds/s";
    if (m.peak > 0.0)
      text += ", " + percent(multiplying / m.peak) + " of the peak of " + number(m.peak / 1e9, 0);
    text += '\n';
  }
  if (options.predict != 0) {
    text += "decode " + std::to_string(options.predict) + ": " + number(m.decode, 1) +
            " tokens/s, " + bytes_text(model.bytes_per_token()) + " a token, " +
            number(reading / 1e9, 1) + " GB/s";
    if (m.bandwidth > 0.0)
      text += ", " + percent(reading / m.bandwidth) + " of the memory's " +
              number(m.bandwidth / 1e9, 1);
    text += '\n';
  }
  put(text);
}

}  // namespace cli
