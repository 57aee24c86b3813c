// SPDX-License-Identifier: Apache-2.0
// Token ids against those of llama.cpp, Hugging Face and the published test vectors.
#include "support.hpp"

#include <cstring>

using namespace text_test;
using bitnet::text::decode_options;
using bitnet::text::encode_options;

namespace {

void check_set(const bitnet::text::tokenizer& t, const std::filesystem::path& folder,
               const std::string& set, const std::string& vocabulary) {
  const auto cases = read_lines(folder / (set + ".cases.hex"));
  REQUIRE(!cases.empty());
  const std::string stem = set + "." + vocabulary + ".";
  std::size_t files = 0;
  for (const bool add : {false, true}) {
    for (const bool parse : {false, true}) {
      const std::string name = stem + "add" + (add ? "1" : "0") + ".parse" + (parse ? "1" : "0");
      const auto expected = read_lines(folder / (name + ".ids"));
      if (expected.empty()) continue;
      ++files;
      REQUIRE(expected.size() == cases.size());
      for (std::size_t i = 0; i < cases.size(); ++i) {
        // "!": the engine fails; here it must only survive.
        const auto ids = encode(t, unhex(cases[i]), {.add_special = add, .parse_special = parse});
        if (expected[i] != "!")
          CHECK_MESSAGE(to_line(ids) == expected[i], name, " case ", i, ": ", cases[i]);
      }
    }
  }
  CHECK(files >= 1);
  const auto texts = read_lines(folder / (stem + "detok.hex"));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i] == "!") continue;
    const auto ids = encode(t, unhex(cases[i]), {.add_special = false, .parse_special = true});
    CHECK_MESSAGE(hex(t.decode(ids, {.clean_spaces = true})) == texts[i], stem, i);
  }
}

}  // namespace

TEST_CASE("ids and texts equal llama.cpp's") {
  const auto shared = shared_data("conformance/tokens");
  if (!shared) return;
  for (const std::string vocabulary : {"llama3", "qwen3", "llama-spm"}) {
    CAPTURE(vocabulary);
    const auto t = read_tokenizer(*shared / "conformance/vocab" / (vocabulary + "-vocab.gguf"));
    if (!t) continue;
    const auto folder = *shared / "conformance/tokens";
    for (const std::string set : {"standard", "hard", "fuzz"})
      check_set(*t, folder, set, vocabulary);

    const std::string bytes = read_file(folder / ("wiki." + vocabulary + ".i32"));
    std::vector<token_id> expected(bytes.size() / sizeof(token_id));
    std::memcpy(expected.data(), bytes.data(), bytes.size());
    CHECK(expected.size() > 40000);
    CHECK(encode(*t, read_file(folder / "wiki.txt")) == expected);
  }
}

TEST_CASE("ids equal Hugging Face's, with NFC where it normalises") {
  const auto shared = shared_data("conformance/tokens");
  if (!shared) return;
  for (const std::string vocabulary : {"llama3", "qwen3"}) {
    const auto t = read_tokenizer(*shared / "conformance/vocab" / (vocabulary + "-vocab.gguf"));
    if (!t) continue;
    const bool qwen = vocabulary == "qwen3";
    for (const std::string set : {"standard", "hard", "fuzz"}) {
      const auto folder = *shared / "conformance/tokens";
      const auto cases = read_lines(folder / (set + ".cases.hex"));
      const auto expected = read_lines(folder / (set + "." + vocabulary + ".hf.ids"));
      REQUIRE(expected.size() == cases.size());
      for (std::size_t i = 0; i < cases.size(); ++i) {
        const std::string text = unhex(cases[i]);
        // llama.cpp, and we, take </s> for a special token by its name.
        if (expected[i] == "!" || (qwen && text.find("</s>") != std::string::npos)) continue;
        const auto ids =
            encode(*t, text, {.add_special = false, .parse_special = true, .nfc = qwen});
        CHECK_MESSAGE(to_line(ids) == expected[i], vocabulary, " ", set, " case ", i);
      }
    }
  }
}

TEST_CASE("ids equal the published vectors of llama.cpp's vocabularies") {
  const auto shared = shared_data("vocab");
  if (!shared) return;
  const struct {
    std::string vocabulary, vectors;
  } sets[] = {{"vocab/ggml-vocab-gpt-2.gguf", "vocab/ggml-vocab-gpt-2.gguf"},
              {"vocab/ggml-vocab-llama-spm.gguf", "vocab/ggml-vocab-llama-spm.gguf"},
              {"vocab/ggml-vocab-llama-v2-container.gguf", "vocab/ggml-vocab-llama-spm.gguf"},
              {"conformance/vocab/llama3-vocab.gguf", "vocab/ggml-vocab-llama-bpe.gguf"},
              {"conformance/vocab/qwen3-vocab.gguf", "vocab/ggml-vocab-qwen2.gguf"}};
  for (const auto& set : sets) {
    CAPTURE(set.vocabulary);
    const auto t = read_tokenizer(*shared / set.vocabulary);
    if (!t) continue;
    const std::string texts = read_file(*shared / (set.vectors + ".inp"));
    const auto expected = read_lines(*shared / (set.vectors + ".out"));
    const std::string separator = "\n__ggml_vocab_test__\n";
    CHECK(expected.size() > 40);
    std::size_t start = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      std::size_t end = texts.find(separator, start);
      if (end == std::string::npos) end = texts.size();
      const auto ids = encode(*t, texts.substr(start, end - start), {.add_special = false});
      CHECK_MESSAGE(ids == read_ids(expected[i]), "case ", i);
      start = end + separator.size();
    }
  }
}

TEST_CASE("the default pre-tokenizer gives the ids made with the real BitNet b1.58 2B4T file") {
  const auto shared = shared_data("bitnet-2b-4t/standard_tokens.json");
  if (!shared) return;
  // That file lacks the pre-tokenizer key, and the engine that made these ids fell back on the
  // default. It has the vocabulary of Llama 3.
  const auto t = read_tokenizer(*shared / "conformance/vocab/llama3-vocab.gguf", "default");
  if (!t) return;
  const std::string json = read_file(*shared / "bitnet-2b-4t/standard_tokens.json");
  std::size_t cases = 0;
  for (std::size_t at = json.find("\"name\""); at < json.size();) {
    const bool bos = json_value(json, "add_bos", ' ', ',', at) == "true";
    const auto ids = read_ids(json_value(json, "token_ids", '[', ']', at));
    const std::string text = unhex(json_value(json, "reconstructed_utf8_hex", '"', '"', at));
    const std::size_t first = bos ? 1 : 0;
    REQUIRE(ids.size() > first);
    CHECK((!bos || ids[0] == t->bos()));
    const auto got = encode(*t, text, {.add_special = false});
    CHECK(to_line(got) == to_line(std::span{ids}.subspan(first)));
    ++cases;
    at = json.find("\"name\"", at);
  }
  CHECK(cases == 7);
}

TEST_CASE("ids of the tiny models equal those in their descriptions") {
  std::vector<std::filesystem::path> folders{own_data() / "models"};
  if (const auto shared = shared_data("conformance/models"))
    folders.push_back(*shared / "conformance/models");
  std::size_t models = 0;
  for (const auto& folder : folders) {
    if (!std::filesystem::exists(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator{folder}) {
      if (entry.path().extension() != ".json") continue;
      auto path = entry.path();
      const std::string json = read_file(path);
      const auto t = read_tokenizer(path.replace_extension(".gguf"));
      if (!t) continue;
      std::size_t at = 0;
      const std::string text{json_value(json, "text", '"', '"', at)};
      at = 0;
      const auto without = read_ids(json_value(json, "text_ids_without_special", '[', ']', at));
      at = 0;
      const auto with = read_ids(json_value(json, "text_ids_with_special", '[', ']', at));
      CHECK(!text.empty());
      CHECK_MESSAGE(encode(*t, text, {.add_special = false}) == without, path.string());
      CHECK_MESSAGE(encode(*t, text) == with, path.string());
      CHECK_MESSAGE(t->decode(without) == text, path.string());
      ++models;
    }
  }
  CHECK(models >= 10);
}

TEST_CASE("text comes back from its ids, whatever its bytes") {
  std::size_t texts = 0;
  for (const std::string model : {"b158-iq1_bn", "bitnet-tq1_0", "qwen3-q1_0-yarn"}) {
    const auto t = read_tokenizer(own_data() / "models" / (model + ".gguf"));
    if (!t) continue;
    for (const std::string set : {"hard", "fuzz"}) {
      for (const auto& line : read_lines(own_data() / "tokens" / (set + ".cases.hex"))) {
        const std::string text = unhex(line);
        const auto ids =
            encode(*t, text, {.add_special = false, .invalid = bitnet::text::invalid_utf8::keep});
        CHECK_MESSAGE(hex(t->decode(ids)) == hex(text), model, " ", line);
        ++texts;
      }
    }
  }
  CHECK(texts == 3 * 440);
}
