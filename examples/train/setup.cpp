// SPDX-License-Identifier: Apache-2.0
// What the options say: the model, and what a checkpoint has to agree with.
#include "setup.hpp"

#include "quantizers.hpp"

#include "../bitnet/failure.hpp"
#include "../bitnet/terminal.hpp"

#include <bitnet/gguf/types.hpp>
#include <bitnet/train/checkpoint.hpp>
#include <bitnet/train/export.hpp>

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trainer {
namespace {

namespace train = bitnet::train;

train::architecture architecture_of(const std::string& name) {
  using enum train::architecture;
  for (const auto a : {bitnet_b158, bitnet_silu, llama, qwen3})
    if (train::name_of(a) == name) return a;
  cli::usage_error("unknown architecture " + cli::quoted(name));
}

train::weight_rounding<float> quantizer_of(const std::string& name) {
  std::string known;
  for (const named_quantizer& q : quantizers) {
    if (q.name == name) return q.weights;
    known += (known.empty() ? "" : ", ") + std::string{q.name};
  }
  cli::usage_error("unknown quantizer " + cli::quoted(name) + "; known: " + known);
}

bitnet::quant::format_id format_named(const std::string& name) {
  std::string known;
  for (const auto id : bitnet::quant::all_formats) {
    if (id == bitnet::quant::format_id::i2_s_arm) continue;  // has no name of its own
    const std::string_view type = bitnet::gguf::name_of(train::type_of(id));
    if (type == name) return id;
    known += (known.empty() ? "" : ", ") + std::string{type};
  }
  cli::usage_error("unknown --type " + cli::quoted(name) + "; known: " + known);
}

/// What the library refuses, in the words of the command line.
[[noreturn]] void fail_in_options(const bitnet::error& e) {
  constexpr std::pair<std::string_view, const char*> options[] = {
      {"dim", "--dim"},           {"layers", "--layers"},      {"ffn", "--ffn"},
      {"vocab", "--vocab"},       {"context", "--length"},     {"heads", "--heads"},
      {"kv_heads", "--kv-heads"}, {"head_dim", "--heads"},     {"rope.dims", "--heads"},
      {"group", "--dim, --ffn"},  {"embedding", "--embedding"}};
  std::string name{e.what()};
  for (const auto& [what, option] : options)
    if (what == e.what()) name = option;
  cli::usage_error(name + ": " + std::string{e.message()});
}

}  // namespace

train::model_config<float> model_of(const options& o, std::size_t vocab) {
  if (o.heads == 0 || o.dim % o.heads != 0) cli::usage_error("--dim is no multiple of --heads");
  bitnet::nn::hparams h;
  h.dim = o.dim;
  h.layers = o.layers;
  h.heads = o.heads;
  h.kv_heads = o.kv_heads;
  h.head_dim = o.dim / o.heads;
  h.ffn = o.ffn;
  h.vocab = vocab;
  h.context = o.length;
  h.rope.base = static_cast<float>(o.rope_base);
  auto quantizer = quantizer_of(o.quantizer);
  // The engine rounds inputs as the type of a file asks for, and so does training.
  if (!o.type.empty()) quantizer.format = format_named(o.type);
  auto config = train::configured<float>(architecture_of(o.architecture), h, quantizer);
  if (o.embedding == "q8_0") config.embedding = bitnet::quant::format_id::q8_0;
  if (o.embedding == "f32") config.embedding = bitnet::quant::format_id::f32;
  if (const auto made = train::check(config); !made) fail_in_options(made.error());
  if (o.batch * o.length > (std::size_t{1} << 24))
    cli::usage_error(
        "--batch times --length is over 16777216 tokens; --accumulate makes a step of "
        "several batches");
  return config;
}

void check_files(const options& o, const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  std::vector<std::string> read = o.text;
  read.push_back(o.valid);  // or "", which is no file
  for (const std::string& written : {o.output, o.plot})
    for (const std::string& path : read)
      if (fs::equivalent(written, path, ignored))
        cli::usage_error(cli::quoted(written) + " is a text that is read; write elsewhere");
  const std::string checkpoint = folder + "/checkpoint";
  if (o.force) {
    fs::remove(checkpoint, ignored);
  } else if (fs::exists(checkpoint, ignored)) {
    if (!o.resume)
      cli::usage_error(cli::quoted(folder) +
                       " holds an earlier run: --resume goes on with it, "
                       "--force starts over");
  } else if (fs::exists(o.output, ignored)) {
    cli::usage_error(cli::quoted(o.output) + " exists; --force replaces it");
  }
}

std::string settings_of(const options& o, const dataset& d, std::uint64_t steps) {
  std::string s;
  const auto add = [&](const char* name, const std::string& value) {
    s += std::string{name} + '=' + value + '\n';
  };
  const auto real = [](double x) {
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", x);
    return std::string{text};
  };
  add("arch", o.architecture);
  add("quantizer", o.quantizer);
  add("vocab", std::to_string(d.vocabulary.tokens.size()));
  add("data", std::to_string(d.fingerprint));
  add("dim", std::to_string(o.dim));
  add("layers", std::to_string(o.layers));
  add("heads", std::to_string(o.heads));
  add("kv-heads", std::to_string(o.kv_heads));
  add("ffn", std::to_string(o.ffn));
  add("rope-base", real(o.rope_base));
  add("type", o.type);
  add("embedding", o.embedding);
  add("batch", std::to_string(o.batch));
  add("length", std::to_string(o.length));
  add("accumulate", std::to_string(o.accumulate));
  add("lr", real(o.rate));
  add("weight-decay", real(o.weight_decay));
  add("warmup", std::to_string(o.warmup));
  add("schedule", o.schedule);
  add("clip", real(o.clip));
  add("noise", real(o.noise));
  add("seed", std::to_string(o.seed));
  add("eval-every", std::to_string(o.eval_every));
  add("steps", std::to_string(steps));
  return s;
}

}  // namespace trainer
