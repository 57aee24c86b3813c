// SPDX-License-Identifier: Apache-2.0
// Trained models: golden greedy continuations and perplexities. They are third-party files and so
// only in the shared data; the own tree covers the same code by the conformance models.
#include "engine/support.hpp"

#include "doctest.hpp"

using bitnet::token;

namespace {

struct trained_model {
  const char* name;
  const char* file;
  double perplexity_512;  ///< of the exact float64 reference
  double perplexity_128;
};

constexpr trained_model trained[] = {
    {"stories260K-F32", "conformance/trained/stories260K-F32.gguf", 4.9591, 5.1060},
    {"bitllama2-3M-TQ1_0", "conformance/trained/bitllama2-3M-TQ1_0.gguf", 4.6392, 4.7925},
    {"bitllama2-3M-TQ2_0", "models/bitllama2/bitllama2-3M-TQ2_0.gguf", 4.6392, 4.7925},
    {"bitllama2-3M-F16", "models/bitllama2/bitllama2-3M-F16.gguf", 4.6392, 4.7925},
};

std::string shared(const std::string& path) { return std::string{BITNET_SHARED_DIR} + "/" + path; }

bool have_shared_models() {
  if (testing::exists(shared(trained[0].file))) return true;
  MESSAGE("the shared data are not here, so trained models are not tested");
  return false;
}

/// Feeds the golden's own ids and checks each choice; a choice may differ where the golden token
/// is within 0.1 of ours, the near-tie that the goldens allow.
void check_continuation(const bitnet::dynamic_model& model, const std::vector<token>& prompt,
                        const std::vector<token>& golden, double smallest_gap) {
  auto s = bitnet::session<bitnet::dynamic_model>::make(model, model.threads(), {.context = 512});
  REQUIRE(s);
  REQUIRE(s->feed(prompt));
  for (std::size_t i = 0; i < golden.size(); ++i) {
    CAPTURE(i);
    const auto logits = s->logits();
    const token ours = bitnet::sample::argmax(logits);
    if (ours != golden[i]) {
      const float gap =
          logits[static_cast<std::size_t>(ours)] - logits[static_cast<std::size_t>(golden[i])];
      CHECK(gap < 0.1F);
      CHECK(smallest_gap < 0.1);
    }
    REQUIRE(s->feed(std::span{golden}.subspan(i, 1)));
  }
}

}  // namespace

TEST_CASE("greedy continuations are the golden ones up to near-ties") {
  if (!have_shared_models()) return;
  std::size_t checked = 0;
  for (const auto& t : trained) {
    CAPTURE(t.name);
    const auto model = bitnet::open(shared(t.file));
    if (!model) FAIL_CHECK(bitnet::to_string(model.error()));
    if (!model) continue;
    std::istringstream lines{testing::read_text(shared("conformance/trained/greedy.tsv"))};
    for (std::string line; std::getline(lines, line);) {
      std::istringstream fields{line};
      std::string name, prompt, golden, gap;
      std::getline(fields, name, '\t');
      std::getline(fields, prompt, '\t');
      std::getline(fields, golden, '\t');
      std::getline(fields, gap, '\t');
      if (name != t.name) continue;
      CAPTURE(prompt);
      const auto ids = testing::read_tokens(golden);
      CHECK(ids.size() == 64);
      check_continuation(*model, testing::read_tokens(prompt), ids, std::stod(gap));
      ++checked;
    }
  }
  CHECK(checked == 16);
}

TEST_CASE("perplexity is within 0.15 % of the exact one [full]") {
  if (!have_shared_models()) return;
  const std::string text = testing::read_text(shared("conformance/trained/ppl-text.txt"));
  for (const auto& t : trained) {
    CAPTURE(t.name);
    const auto model = bitnet::open(shared(t.file));
    REQUIRE(model);
    const auto tokens = model->tokenizer().encode(text);
    REQUIRE(tokens);
    CHECK(tokens->size() == 11614);
    for (const std::size_t context : {std::size_t{128}, std::size_t{512}}) {
      CAPTURE(context);
      auto s = bitnet::session<bitnet::dynamic_model>::make(*model, model->threads(),
                                                            {.context = context});
      REQUIRE(s);
      const auto bos = model->tokenizer().bos();
      const auto measured =
          bitnet::measure_perplexity(*s, *tokens, context, bos ? *bos : -1,
                                     [](const bitnet::perplexity_result&) { return true; });
      REQUIRE(measured);
      const double exact = context == 128 ? t.perplexity_128 : t.perplexity_512;
      CHECK(measured->perplexity() == doctest::Approx(exact).epsilon(0.0015));
      CHECK(measured->chunks == 11614 / context);
    }
  }
}

TEST_CASE("logits of a trained model match its goldens") {
  if (!have_shared_models()) return;
  const std::string base = shared("conformance/trained/bitllama2-3M-TQ1_0");
  const auto tokens = testing::read_tokens(testing::read_text(base + ".tokens.txt"));
  bitnet::open_options exact;
  exact.math = bitnet::arithmetic::exact;
  const auto by_float = bitnet::open(base + ".gguf", exact);
  const auto by_int8 = bitnet::open(base + ".gguf");
  REQUIRE(by_float);
  REQUIRE(by_int8);
  CHECK(testing::relative_rms(testing::all_logits(*by_float, tokens, bitnet::nn::kv_type::f32),
                              testing::read_values<float>(base + ".exact.f32")) <= 1e-5);
  CHECK(testing::relative_rms(testing::all_logits(*by_int8, tokens, bitnet::nn::kv_type::f32),
                              testing::read_values<float>(base + ".int8.f32")) <= 1e-2);
}
