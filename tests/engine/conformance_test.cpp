// SPDX-License-Identifier: Apache-2.0
// Logits of the conformance models against an exact reference, in every mode that has a golden.
#include "engine/support.hpp"

#include "doctest.hpp"

using bitnet::nn::kv_type;
using testing::golden_model;

namespace {

bitnet::result<bitnet::dynamic_model> open(const golden_model& m, bitnet::arithmetic math) {
  bitnet::open_options options;
  options.math = math;
  options.threads = testing::two_threads();
  return bitnet::open(m.path + ".gguf", options);
}

}  // namespace

TEST_CASE("the suite is there and its models are of all architectures") {
  const auto models = testing::golden_models();
  MESSAGE("conformance models: ", models.size());
  CHECK(models.size() >= 10);
  for (const char* start : {"b158-", "b25-", "bitnet-", "llama-", "qwen3-"}) {
    bool found = false;
    for (const auto& m : models) found = found || m.name.starts_with(start);
    CHECK_MESSAGE(found, start);
  }
}

TEST_CASE("with default settings logits are within the suite's tolerances") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    const auto model = open(m, bitnet::arithmetic::automatic);
    if (!model) FAIL_CHECK(bitnet::to_string(model.error()));
    if (!model) continue;
    const auto exact = m.logits("exact");
    const auto logits = testing::all_logits(*model, m.tokens(), kv_type::f16);
    CHECK(testing::relative_rms(logits, exact) <= m.tolerance);
    if (logits.size() != exact.size()) continue;
    const auto rows = testing::compare_rows(logits, exact, m.vocab, m.argmax_margin);
    CHECK(rows.mean_kld <= m.tolerance_kld);
    CHECK(rows.wrong_argmax == 0);
  }
}

TEST_CASE("the exact float path reproduces exact arithmetic") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    const auto model = open(m, bitnet::arithmetic::exact);
    if (!model) FAIL_CHECK(bitnet::to_string(model.error()));
    if (!model) continue;
    const auto exact = m.logits("exact");
    const auto tokens = m.tokens();
    CHECK(testing::relative_rms(testing::all_logits(*model, tokens, kv_type::f32), exact) <= 1e-5);
    CHECK(testing::relative_rms(testing::all_logits(*model, tokens, kv_type::f16), exact) <= 5e-4);
  }
}

TEST_CASE("an int8 KV cache stays close to exact keys and values") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    const auto model = open(m, bitnet::arithmetic::exact);
    if (!model) FAIL_CHECK(bitnet::to_string(model.error()));
    if (!model) continue;
    const auto logits = testing::all_logits(*model, m.tokens(), kv_type::q8);
    const auto exact = m.logits("exact");
    const double error = testing::relative_rms(logits, exact);
    CHECK(error > 1e-5);  // it is another type
    CHECK(error <= 2e-2);
    if (logits.size() != exact.size()) continue;
    const auto rows = testing::compare_rows(logits, exact, m.vocab, m.argmax_margin);
    CHECK(rows.mean_kld <= 1e-3);
    CHECK(rows.wrong_argmax == 0);
  }
}

TEST_CASE("int8 activations reproduce the int8 reference") {
  std::size_t compared = 0;
  for (const auto& m : testing::golden_models()) {
    if (!m.has("int8")) continue;
    CAPTURE(m.name);
    const auto model = open(m, bitnet::arithmetic::automatic);
    if (!model) FAIL_CHECK(bitnet::to_string(model.error()));
    if (!model) continue;
    ++compared;
    const auto logits = testing::all_logits(*model, m.tokens(), kv_type::f32);
    CHECK(testing::relative_rms(logits, m.logits("int8")) <= 1e-2);
  }
  CHECK(compared >= 4);
}

TEST_CASE("inputs rounded in another way than the formats ask for") {
  using bitnet::quant::activation_kind;
  for (const auto& m : testing::golden_models()) {
    if (m.name != "llama-tq2_0") continue;
    const auto tokens = m.tokens();
    const auto error_with = [&](std::optional<activation_kind> input) {
      bitnet::open_options options;
      options.threads = 1;
      options.input = input;
      const auto model = bitnet::open(m.path + ".gguf", options);
      if (!model) return HUGE_VAL;
      return testing::relative_rms(testing::all_logits(*model, tokens, kv_type::f32),
                                   m.logits("exact"));
    };
    const double as_trained = error_with({});
    CHECK(error_with(activation_kind::per_token) == as_trained);
    CHECK(error_with(activation_kind::per_block) < 0.8 * as_trained);
    CHECK(error_with(activation_kind::two_planes) < 0.01 * as_trained);
    CHECK(error_with(activation_kind::float32) == HUGE_VAL);  // refused
    return;
  }
  FAIL_CHECK("llama-tq2_0 is not in the suite");
}
