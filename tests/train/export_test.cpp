// SPDX-License-Identifier: Apache-2.0
// What no file can be written of is an error; parity_test.cpp reads what can.
#include "doctest.hpp"

#include <bitnet/gguf/sink.hpp>
#include <bitnet/train/bpe_trainer.hpp>
#include <bitnet/train/export.hpp>

using namespace bitnet;
using quant::format_id;

namespace {

nn::hparams small_shape(std::size_t vocab) {
  nn::hparams h;
  h.dim = 256;
  h.layers = 1;
  h.heads = h.kv_heads = 4;
  h.head_dim = 64;
  h.ffn = 256;
  h.vocab = vocab;
  h.context = 16;
  return h;
}

}  // namespace

TEST_CASE("what cannot be written is an error") {
  auto bpe = train::bpe_trainer::make({.size = 270});
  REQUIRE(bpe);
  bpe->add("hello hello world world world");
  const auto vocabulary = bpe->train();
  REQUIRE(vocabulary);
  const nn::hparams h = small_shape(vocabulary->tokens.size());
  serial_executor threads;
  const auto m =
      train::model::make(train::configured<float>(train::architecture::bitnet_b158, h,
                                                  train::weights<train::absmean_ternary>()),
                         threads, 16);
  REQUIRE(m);
  gguf::memory_sink sink;
  auto other = *vocabulary;
  other.tokens.push_back("more");
  CHECK_FALSE(train::export_gguf(*m, other.view(), {}, sink));
  train::export_options o;
  o.matrices = static_cast<format_id>(9999);
  CHECK_FALSE(train::export_gguf(*m, vocabulary->view(), o, sink));
  text::vocabulary spm = vocabulary->view();
  spm.kind = text::vocabulary_kind::sentencepiece;
  CHECK_FALSE(train::export_gguf(*m, spm, {}, sink));
  CHECK(sink.bytes.empty());
  CHECK(train::export_gguf(*m, vocabulary->view(), {}, sink));
  CHECK_FALSE(sink.bytes.empty());
}

TEST_CASE("what a format cannot say of the trained weights is known") {
  const nn::hparams h = small_shape(32);
  serial_executor threads;
  const auto error_of = [&](const train::weight_rounding<float>& weights, format_id id) {
    const auto m = train::model::make(
        train::configured<float>(train::architecture::bitnet_b158, h, weights), threads, 16);
    REQUIRE(m);
    const auto e = train::format_error(*m, id);
    REQUIRE(e);
    return *e;
  };
  const auto ternary = train::weights<train::absmean_ternary>();
  const auto binary = train::weights<train::sign_binary>();
  const auto floats = train::weights<train::no_quantizer>();
  for (const auto id : {format_id::i2_s, format_id::tq1_0, format_id::tq2_0, format_id::f16,
                        format_id::f32, format_id::q2_0_g128})
    CHECK(error_of(ternary, id) == 0.0);
  CHECK(error_of(ternary, format_id::q1_0) > 0.3);
  for (const auto id : {format_id::q1_0, format_id::i2_s}) CHECK(error_of(binary, id) == 0.0);
  CHECK(error_of(floats, format_id::f32) == 0.0);
  CHECK(error_of(floats, format_id::f16) > 0.0);
  CHECK(error_of(floats, format_id::f16) < 0x1p-11);
  CHECK(error_of(floats, format_id::tq2_0) > 0.3);
}
