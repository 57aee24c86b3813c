// SPDX-License-Identifier: Apache-2.0
// Tokenizers: MB/s of text encoded and of tokens decoded, and the time to build one. No limit of
// the machine is near, so there is no of_limit here.
//
// The vocabularies are a generated one of 128256 tokens and those of small models of the tests, or
// that of --vocabulary=FILE (GGUF); the text is made of common English words, or --text=FILE.
#include "../examples/bitnet/synth_vocabulary.hpp"
#include "support.hpp"

#include <bitnet/engine/vocabulary.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

namespace {

namespace text = bitnet::text;

struct options {
  std::string vocabulary;
  std::string text;
};
options chosen;

/// A megabyte of sentences, the same each time: short words come more often than long ones.
std::string sentences() {
  constexpr std::string_view words[] = {
      "the",        "of",           "and",      "to",       "a",         "in",        "that",
      "is",         "was",          "he",       "for",      "it",        "with",      "as",
      "his",        "on",           "be",       "at",       "by",        "had",       "not",
      "are",        "from",         "they",     "which",    "one",       "would",     "there",
      "their",      "little",       "people",   "could",    "house",     "never",     "world",
      "after",      "water",        "because",  "through",  "nothing",   "morning",   "another",
      "between",    "himself",      "question", "together", "something", "beautiful", "understand",
      "government", "particularly", "1847",     "3.14",     "Mr. Brown", "don't",     "we'll"};
  std::string out;
  std::uint32_t state = 7;
  std::size_t in_sentence = 0;
  while (out.size() < 1000000) {
    state = state * 1664525U + 1013904223U;
    const double x = static_cast<double>(state >> 8U) / static_cast<double>(1U << 24U);
    std::string word{
        words[static_cast<std::size_t>(x * x * static_cast<double>(std::size(words)))]};
    if (in_sentence == 0) word[0] = static_cast<char>(word[0] >= 'a' ? word[0] - 32 : word[0]);
    out += word;
    ++in_sentence;
    if (in_sentence > 4 && state % 9 == 0) {
      out += state % 5 == 0 ? ".\n\n" : ". ";
      in_sentence = 0;
    } else {
      out += state % 13 == 0 ? ", " : " ";
    }
  }
  return out;
}

const std::string& sample() {
  static const std::string read = [] {
    if (chosen.text.empty()) return sentences();
    std::ifstream in{chosen.text, std::ios::binary};
    std::string all{std::istreambuf_iterator<char>{in}, {}};
    if (all.empty()) {
      std::fprintf(stderr, "error: %s cannot be read or is empty\n", chosen.text.c_str());
      std::exit(1);
    }
    return all;
  }();
  return read;
}

/// Calls use(vocabulary), whose strings live as long as that.
template <class Use>
void with_generated(Use use) {
  const auto made = cli::make_vocabulary(cli::vocabulary_style::llama3, 128256, 128000);
  text::vocabulary v;
  v.pre = made.pre;
  v.tokens.assign(made.tokens.begin(), made.tokens.end());
  v.merges.assign(made.merges.begin(), made.merges.end());
  for (const auto type : made.types) v.types.push_back(static_cast<text::token_type>(type));
  use(v);
}

template <class Use>
void with_file(const std::string& path, Use use) {
  const auto document = bench::value_of(bitnet::gguf::open(path));
  use(bench::value_of(bitnet::read_vocabulary(document.meta())));
}

template <class With>
void add_vocabulary(const std::string& name, With with) {
  const auto make = [with] {
    std::shared_ptr<const text::tokenizer> made;
    with([&](const text::vocabulary& v) {
      made = std::make_shared<const text::tokenizer>(bench::value_of(text::tokenizer::make(v)));
    });
    return made;
  };
  const std::string prefix = "tokenizer/" + name;
  bench::add(prefix + "/make", [with](benchmark::State& s) {
    with([&](const text::vocabulary& v) {
      for ([[maybe_unused]] auto _ : s) benchmark::DoNotOptimize(text::tokenizer::make(v));
    });
  });
  bench::add(prefix + "/encode", [make](benchmark::State& s) {
    const auto t = make();
    std::vector<text::token_id> ids;
    for ([[maybe_unused]] auto _ : s) {
      ids.clear();
      if (!t->encode(sample(), {}, ids)) s.SkipWithError("cannot encode");
    }
    using benchmark::Counter;
    const double runs = static_cast<double>(s.iterations());
    const double bytes = static_cast<double>(sample().size());
    s.counters["MB/s"] = Counter{bytes * runs * 1e-6, Counter::kIsRate};
    s.counters["tokens/s"] = Counter{static_cast<double>(ids.size()) * runs, Counter::kIsRate};
    s.counters["bytes_per_token"] = bytes / static_cast<double>(ids.size());
  });
  bench::add(prefix + "/decode", [make](benchmark::State& s) {
    const auto t = make();
    const auto ids = bench::value_of(t->encode(sample()));
    for ([[maybe_unused]] auto _ : s) benchmark::DoNotOptimize(t->decode(ids));
    using benchmark::Counter;
    s.counters["MB/s"] =
        Counter{static_cast<double>(sample().size()) * static_cast<double>(s.iterations()) * 1e-6,
                Counter::kIsRate};
  });
}

void add_all() {
  const auto file = [](const std::string& path) {
    return [path](auto use) { with_file(path, use); };
  };
  if (!chosen.vocabulary.empty()) {
    add_vocabulary("given", file(chosen.vocabulary));
    return;
  }
  add_vocabulary("bpe_128256", [](auto use) { with_generated(use); });
  const std::string models = BITNET_TEST_DATA_DIR "/models/";
  add_vocabulary("bpe_small", file(models + "llama-tq2_0.gguf"));
  add_vocabulary("spm_small", file(models + "llama-f16.gguf"));
}

/// Takes --name=value out of the arguments.
void take(int& argc, char** argv, std::string_view name, std::string& value) {
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view a{argv[i]};
    if (a.starts_with(name)) {
      value = a.substr(name.size());
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
}

}  // namespace

int main(int argc, char** argv) {
  take(argc, argv, "--vocabulary=", chosen.vocabulary);
  take(argc, argv, "--text=", chosen.text);
  return bench::main(argc, argv, add_all);
}
