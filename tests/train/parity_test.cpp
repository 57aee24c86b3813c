// SPDX-License-Identifier: Apache-2.0
// Logits of an exported file in the inference engine against the trainer's own forward pass.
#include "doctest.hpp"
#include "engine/support.hpp"

#include <bitnet/train/export.hpp>
#include <bitnet/train/trainer.hpp>

#include <string>
#include <vector>

using namespace bitnet;
using quant::format_id;

namespace {

constexpr std::size_t vocab = 300;
constexpr int length = 96;

nn::hparams shape() {
  nn::hparams h;
  h.dim = 256;  // blocks of TQ1_0 and TQ2_0
  h.layers = 2;
  h.heads = 4;
  h.kv_heads = 2;
  h.head_dim = 64;
  h.ffn = 512;
  h.vocab = vocab;
  h.context = 256;
  h.norm_eps = 1e-5F;
  return h;
}

std::vector<token> tokens() {
  std::vector<token> ids;
  const counter_random random{3};
  for (std::uint64_t i = 0; i < length; ++i)
    ids.push_back(static_cast<token>(random.at(0, i) % vocab));
  return ids;
}

/// A model that has learned a little, so that nothing in it is as it was initialized.
train::trainer trained(const train::model_config<float>& config, executor_ref threads) {
  train::trainer_options o;
  o.model = config;
  o.tokens = length;
  o.schedule.warmup = 0;
  o.schedule.rate = 2e-2;
  auto t = train::trainer::make(o, threads);
  REQUIRE(t);
  const auto in = tokens();
  auto targets = in;
  std::reverse(targets.begin(), targets.end());
  for (int i = 0; i < 2; ++i) REQUIRE(t->step({1, length, in, targets}));
  return *std::move(t);
}

/// A vocabulary of as many tokens; what they say does not matter here.
struct names {
  std::vector<std::string> texts;
  text::vocabulary vocabulary;
  names() {
    for (std::size_t i = 0; i < vocab; ++i) texts.push_back("t" + std::to_string(i));
    vocabulary.tokens.assign(texts.begin(), texts.end());
    vocabulary.types.assign(vocab, text::token_type::normal);
  }
};

std::vector<std::byte> exported(const train::model& m, format_id matrices) {
  const names n;
  gguf::memory_sink sink;
  const auto written = train::export_gguf(m, n.vocabulary, {"parity", matrices}, sink);
  if (!written) FAIL(to_string(written.error()));
  return sink.bytes;
}

/// Relative differences (root mean square) between engine and trainer.
///
/// Sums of integers are exact on both sides, but norms, attention and products of scales are floats
/// that the two add up in different orders. Where a value lies within that last bit of a boundary
/// between two int8 codes, the code flips: a difference of 1/127 of the largest value in one of
/// thousands of inputs, which later tokens of the sequence see too. So a sequence without a flip
/// agrees to float precision, and the median of many short ones has to, which no mistake in a
/// scale, a format or a hyper-parameter would let pass; a sequence with flips stays close.
struct differences {
  double median = 0.0;   ///< of sequences of 4 tokens
  double worst = 0.0;    ///< of them
  double context = 0.0;  ///< of one long sequence
};

differences compare(train::model& m, format_id matrices) {
  const auto bytes = exported(m, matrices);
  open_options options;
  options.threads = 1;
  const auto engine = open(std::span<const std::byte>{bytes}, options);
  if (!engine) FAIL(to_string(engine.error()));
  const auto relative = [&](std::span<const token> ids) {
    const auto expected = m.logits(ids);
    REQUIRE(expected);
    return testing::relative_rms(testing::all_logits(*engine, ids, nn::kv_type::f32), *expected);
  };
  const auto ids = tokens();
  std::vector<double> all;
  for (std::size_t first = 0; first < 36; first += 4)
    all.push_back(relative(std::span{ids}.subspan(first, 4)));
  std::sort(all.begin(), all.end());
  return {all[all.size() / 2], all.back(), relative(ids)};
}

template <class Q>
void check(train::architecture a, std::initializer_list<format_id> formats,
           format_id embedding = format_id::f16, double precision = 3e-6) {
  CAPTURE(train::name_of(a));
  CAPTURE(Q::name);
  serial_executor serial;
  auto config = train::configured<float>(a, shape(), train::weights<Q>());
  config.embedding = embedding;
  auto t = trained(config, serial);
  for (const format_id f : formats) {
    const auto d = compare(t.model(), f);
    CAPTURE(static_cast<int>(f));
    CHECK(d.median <= precision);
    CHECK(d.worst <= 5e-3);
    CHECK(d.context <= 5e-3);
  }
}

}  // namespace

TEST_CASE("logits of exported BitNet models are those of training") {
  for (const auto a : {train::architecture::bitnet_b158, train::architecture::bitnet_silu}) {
    check<train::absmean_ternary>(a, {format_id::i2_s, format_id::tq1_0, format_id::tq2_0});
    check<train::sign_binary>(a, {format_id::q1_0});
    check<train::centered_binary>(a, {format_id::q1_0});
    check<train::grouped_binary<128>>(a, {format_id::q1_0});
    check<train::grouped_ternary<128>>(a, {format_id::q2_0_g128});
    check<train::no_quantizer>(a, {format_id::f32});
  }
}

TEST_CASE("logits of exported weight-only models are those of training") {
  for (const auto a : {train::architecture::llama, train::architecture::qwen3}) {
    check<train::absmean_ternary>(a, {format_id::i2_s, format_id::tq1_0, format_id::tq2_0});
    check<train::sign_binary>(a, {format_id::q1_0});
    check<train::grouped_binary<128>>(a, {format_id::q1_0});
    check<train::grouped_ternary<128>>(a, {format_id::q2_0_g128});
    check<train::no_quantizer>(a, {format_id::f32});
  }
}

TEST_CASE("embeddings are rounded in training as files keep them") {
  for (const format_id e : {format_id::f32, format_id::bf16})
    check<train::absmean_ternary>(train::architecture::bitnet_b158, {format_id::i2_s}, e);
  // The engine rounds the input of a quantized head to two planes of int8, the trainer does not.
  check<train::absmean_ternary>(train::architecture::bitnet_b158, {format_id::i2_s},
                                format_id::q8_0, 1e-5);
}
