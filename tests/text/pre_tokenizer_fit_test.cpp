// SPDX-License-Identifier: Apache-2.0
// Vocabularies refute pre-tokenizers that would cut their merged tokens.
#include "support.hpp"

#include <bitnet/text/pre_tokenizer_fit.hpp>

using namespace text_test;
using namespace bitnet::text;

namespace {

std::optional<pre_tokenizer_fit> fit_of(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  const auto file = bitnet::gguf::parse(std::as_bytes(std::span{bytes}));
  CHECK(file);
  if (!file) return std::nullopt;
  const auto merges = file->meta().get<bitnet::gguf::string_array>("tokenizer.ggml.merges");
  CHECK(merges);
  if (!merges) return std::nullopt;
  pre_tokenizer_fit fit;
  for (const std::string_view merge : *merges) {
    const std::size_t space = merge.find(' ', 1);
    fit.add(std::string{merge.substr(0, space)} + std::string{merge.substr(space + 1)});
  }
  return fit;
}

}  // namespace

TEST_CASE("tokens that a pre-tokenizer cuts") {
  pre_tokenizer_fit fit;
  fit.add("123");   // one word, but for those that take digits one by one
  fit.add(".com");  // one word, but for those that keep signs apart
  fit.add("\xC4\xA0the");
  CHECK(fit.tokens() == 3);
  CHECK(fit.cut(pre_tokenizer::llama3) == 0);
  CHECK(fit.cut(pre_tokenizer::qwen2) == 1);
  CHECK(fit.cut(pre_tokenizer::gpt2) == 1);
  fit.add("\xC3\xA2\xC4\xA2");  // the first two bytes of a dash: no character
  CHECK(fit.tokens() == 3);
  fit.add("");
  CHECK(fit.cut(pre_tokenizer::llama3) == 0);
}

TEST_CASE("published vocabularies agree with their own pre-tokenizer") {
  const auto shared = shared_data("conformance/vocab");
  if (!shared) return;
  const struct {
    const char* file;
    pre_tokenizer right;
    std::vector<pre_tokenizer> wrong;
  } cases[] = {{"conformance/vocab/llama3-vocab.gguf",
                pre_tokenizer::llama3,
                {pre_tokenizer::gpt2, pre_tokenizer::qwen2, pre_tokenizer::standard}},
               {"conformance/vocab/qwen3-vocab.gguf",
                pre_tokenizer::qwen2,
                {pre_tokenizer::gpt2, pre_tokenizer::standard}},
               {"vocab/ggml-vocab-gpt-2.gguf", pre_tokenizer::gpt2, {pre_tokenizer::llama3}}};
  for (const auto& c : cases) {
    CAPTURE(c.file);
    const auto fit = fit_of(*shared / c.file);
    if (!fit) continue;
    CHECK(!fit->contradicts(c.right));
    for (const pre_tokenizer wrong : c.wrong) {
      CHECK(fit->prefers(c.right, wrong));
      CHECK(!fit->prefers(wrong, c.right));
    }
  }
}
