// SPDX-License-Identifier: Apache-2.0
// The exported file gives in the inference engine the logits that the trainer computes.
#include "doctest.hpp"

#include <bitnet/bitnet.hpp>
#include <bitnet/gguf/sink.hpp>
#include <bitnet/train/bpe_trainer.hpp>
#include <bitnet/train/export.hpp>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

using namespace bitnet;
using quant::format_id;
using train::architecture;

namespace {

train::bpe_vocabulary small_vocabulary() {
  auto t = train::bpe_trainer::make({.size = 270});
  REQUIRE(t);
  t->add("hello hello world world world");
  auto v = t->train();
  REQUIRE(v);
  return *std::move(v);
}

train::model make_model(architecture a, train::weight_rounding<float> weights, std::size_t vocab,
                        format_id embedding, serial_executor& threads) {
  nn::hparams h;
  h.dim = 256;
  h.layers = 2;
  h.heads = 4;
  h.kv_heads = 2;
  h.head_dim = 64;
  h.ffn = 512;
  h.vocab = vocab;
  h.context = 64;
  auto config = train::configured<float>(a, h, weights);
  config.embedding = embedding;
  auto m = train::model::make(config, threads, 64, 3, 0.1F);
  REQUIRE(m);
  // Norms that are not all 1.
  const counter_random random{4};
  for (const train::parameter& p : m->parameters().all())
    if (p.kind == train::parameter_kind::norm)
      for (std::size_t i = 0; i < p.size(); ++i)
        m->values()[p.offset + i] = 0.5F + random.uniform(p.offset, i);
  m->refresh();
  return *std::move(m);
}

std::vector<float> logits_of_file(std::span<const std::byte> bytes, std::span<const token> tokens) {
  open_options one;
  one.threads = 1;
  const auto model = bitnet::open(bytes, one);
  REQUIRE(model);
  session_options sizes;
  sizes.context = 64;
  sizes.kv = nn::kv_type::f32;
  auto s = session<dynamic_model>::make(*model, model->threads(), sizes);
  REQUIRE(s);
  std::vector<float> all;
  REQUIRE(s->score(tokens, [&](std::size_t, std::span<const float> scores) {
    all.insert(all.end(), scores.begin(), scores.end());
  }));
  return all;
}

/// Norm of the difference in [first, last) over that of what is expected.
double relative_error(std::span<const float> got, std::span<const float> expected,
                      std::size_t first, std::size_t last) {
  double error = 0.0, size = 0.0;
  for (std::size_t i = first; i < last; ++i) {
    const double e = static_cast<double>(expected[i]), d = static_cast<double>(got[i]) - e;
    error += d * d;
    size += e * e;
  }
  return std::sqrt(error / size);
}

struct export_case {
  architecture kind;
  train::weight_rounding<float> weights;
  std::optional<format_id> matrices;
  format_id embedding;
};

}  // namespace

TEST_CASE("logits of the file are those of the trainer") {
  using namespace train;
  const auto ternary = weights<absmean_ternary>();
  const auto binary = weights<sign_binary>();
  const export_case cases[] = {
      {architecture::bitnet_b158, ternary, {}, format_id::f16},
      {architecture::bitnet_b158, ternary, format_id::tq2_0, format_id::q8_0},
      {architecture::bitnet_b158, ternary, format_id::tq1_0, format_id::f32},
      {architecture::bitnet_b158, binary, {}, format_id::q8_0},
      {architecture::bitnet_b158, weights<centered_binary>(), {}, format_id::f16},
      {architecture::bitnet_b158, weights<grouped_ternary<128>>(), {}, format_id::f16},
      {architecture::bitnet_b158, weights<no_quantizer>(), {}, format_id::f16},
      {architecture::bitnet_silu, ternary, {}, format_id::q8_0},
      {architecture::llama, binary, {}, format_id::f16},
      {architecture::llama, weights<no_quantizer>(), {}, format_id::f16},
      {architecture::qwen3, weights<grouped_binary<128>>(), {}, format_id::f16},
      {architecture::qwen3, ternary, {}, format_id::f16}};
  const auto vocabulary = small_vocabulary();
  serial_executor threads;
  std::vector<token> tokens;
  for (token t = 0; t < 40; ++t) tokens.push_back((t * 53 + 7) % 260);
  for (const export_case& c : cases) {
    CAPTURE(std::string{name_of(c.kind)} + ' ' + std::string{c.weights.name});
    auto m = make_model(c.kind, c.weights, vocabulary.tokens.size(), c.embedding, threads);
    gguf::memory_sink sink;
    export_options o;
    o.matrices = c.matrices;
    REQUIRE(export_gguf(m, vocabulary.view(), o, sink));
    const auto expected = m.logits(tokens);
    REQUIRE(expected);
    const auto got = logits_of_file(sink.bytes, tokens);
    REQUIRE(got.size() == expected->size());
    // Float rounding alone, up to where it first rounds an activation to the neighbouring integer:
    // that changes a position's scores by less than a hundredth or so, and those that attend to it.
    const std::size_t vocab = vocabulary.tokens.size();
    CHECK(relative_error(got, *expected, 0, vocab) < 5e-5);
    CHECK(relative_error(got, *expected, 0, got.size()) < 3e-2);
  }
}

TEST_CASE("what cannot be written is an error") {
  const auto vocabulary = small_vocabulary();
  serial_executor threads;
  auto m = make_model(architecture::bitnet_b158, train::weights<train::absmean_ternary>(),
                      vocabulary.tokens.size(), format_id::f16, threads);
  gguf::memory_sink sink;
  auto other = vocabulary;
  other.tokens.push_back("more");
  CHECK_FALSE(train::export_gguf(m, other.view(), {}, sink));
  train::export_options o;
  o.matrices = static_cast<format_id>(9999);
  CHECK_FALSE(train::export_gguf(m, vocabulary.view(), o, sink));
  text::vocabulary spm = vocabulary.view();
  spm.kind = text::vocabulary_kind::sentencepiece;
  CHECK_FALSE(train::export_gguf(m, spm, {}, sink));
  CHECK(sink.bytes.empty());
}
