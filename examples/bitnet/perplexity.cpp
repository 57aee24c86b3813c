// SPDX-License-Identifier: Apache-2.0
// `bitnet perplexity`: how well a model predicts a text, by llama.cpp's protocol.
#include "commands.hpp"
#include "failure.hpp"
#include "input.hpp"
#include "model.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

namespace cli {

void perplexity(const perplexity_options& options) {
  const std::string text = read_text(options.text);
  const auto model = open_model(options.model);
  const auto& tokenizer = model.tokenizer();
  const auto tokens = check(tokenizer.encode(text), "cannot tokenize the text");
  const std::size_t context = options.memory.context == 0 ? 512 : options.memory.context;
  if (context < 4) usage_error("a chunk needs at least 4 tokens (-c)");
  if (tokens.size() < context)
    usage_error("the text has " + std::to_string(tokens.size()) +
                " tokens, which is less than one chunk of " + std::to_string(context) +
                "; give a longer text or a smaller -c");
  session s = open_session(model, options.memory, context);

  progress bar{"perplexity"};
  const stopwatch watch;
  bool stopped = false;
  const auto on_chunk = [&](const bitnet::perplexity_result& r) {
    const std::size_t total =
        options.chunks == 0 ? r.chunks_total : std::min(options.chunks, r.chunks_total);
    bar.update(r.chunks, total, number(r.perplexity(), 3));
    stopped = interrupted();
    return !stopped && r.chunks < total;
  };
  const bitnet::token bos = tokenizer.adds_bos() && tokenizer.bos() ? *tokenizer.bos() : -1;
  const auto r = check(bitnet::measure_perplexity(s, tokens, context, bos, on_chunk),
                       "cannot measure the perplexity");
  bar.clear();
  if (stopped) note("interrupted: this is the result of the chunks so far");

  const double seconds = watch.seconds();
  const double rate = static_cast<double>(r.chunks * context) / seconds;
  const double nll = r.nll_sum / static_cast<double>(std::max<std::size_t>(r.scored, 1));
  if (options.json) {
    nlohmann::ordered_json out;
    out["perplexity"] = r.perplexity();
    out["uncertainty"] = r.uncertainty();
    out["nll_per_token"] = nll;
    out["tokens_scored"] = r.scored;
    out["tokens"] = tokens.size();
    out["chunks"] = r.chunks;
    out["context"] = context;
    out["seconds"] = seconds;
    out["tokens_per_s"] = rate;
    out["isa"] = model.isa();
    out["threads"] = model.threads().concurrency();
    put(out.dump() + '\n');
  } else {
    put("perplexity: " + number(r.perplexity(), 4) + " +/- " + number(r.uncertainty(), 4) + '\n');
  }
  note(std::to_string(r.scored) + " tokens scored in " + std::to_string(r.chunks) + " chunks of " +
       std::to_string(context) + ", " + number(seconds, 1) + " s, " + number(rate, 1) +
       " tokens/s");
  if (stopped) throw failure{exit_code::interrupted, "interrupted"};
}

}  // namespace cli
