// SPDX-License-Identifier: Apache-2.0
// What the options say: the model, and what a checkpoint has to agree with.
#include "setup.hpp"

#include "quantizers.hpp"

#include "../bitnet/failure.hpp"
#include "../bitnet/terminal.hpp"

#include <cstdio>

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

}  // namespace

train::model_config<float> model_of(const options& o, const dataset& d) {
  if (o.heads == 0 || o.dim % o.heads != 0) cli::usage_error("--dim is no multiple of --heads");
  bitnet::nn::hparams h;
  h.dim = o.dim;
  h.layers = o.layers;
  h.heads = o.heads;
  h.kv_heads = o.kv_heads;
  h.head_dim = o.dim / o.heads;
  h.ffn = o.ffn;
  h.vocab = d.vocabulary.tokens.size();
  h.context = o.length;
  h.rope.base = static_cast<float>(o.rope_base);
  auto config =
      train::configured<float>(architecture_of(o.architecture), h, quantizer_of(o.quantizer));
  if (o.embedding == "q8_0") config.embedding = bitnet::quant::format_id::q8_0;
  if (o.embedding == "f32") config.embedding = bitnet::quant::format_id::f32;
  return config;
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
  add("embedding", o.embedding);
  add("batch", std::to_string(o.batch));
  add("length", std::to_string(o.length));
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
