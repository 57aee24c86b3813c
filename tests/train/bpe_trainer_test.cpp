// SPDX-License-Identifier: Apache-2.0
// BPE training against a slow and plain one, and its vocabularies in the library's own tokenizer.
#include "doctest.hpp"

#include <bitnet/core/random.hpp>
#include <bitnet/engine/vocabulary.hpp>
#include <bitnet/gguf/sink.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/text/tokenizer.hpp>
#include <bitnet/train/bpe_trainer.hpp>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace bitnet;

namespace {

/// Text of random syllables, so that words have parts in common.
std::string some_text(std::uint64_t seed, std::size_t words) {
  static constexpr const char* parts[] = {"ba",  "ban",      "a", "na", "an", "aa", "n",
                                          "nab", "\xc3\xa9", "1", "'s", ".",  "\n", "\n\n"};
  const counter_random random{seed};
  std::string text;
  for (std::size_t i = 0; i < words; ++i) {
    if (random.at(0, i) % 4 != 0) text += ' ';
    const std::uint32_t syllables = 1 + random.at(1, i) % 5;
    for (std::uint32_t k = 0; k < syllables; ++k)
      text += parts[random.at(2, i * 8 + k) % std::size(parts)];
  }
  return text;
}

using piece = std::string;  // a token as the bytes that it stands for

/// All merges of `text`, counting everything anew for each.
std::vector<std::pair<piece, piece>> plain_merges(const std::string& text, std::size_t count,
                                                  std::uint64_t min_count) {
  std::vector<std::vector<piece>> words;
  text::split_words(text::pre_tokenizer::gpt2, text, [&](std::string_view w) {
    auto& word = words.emplace_back();
    for (const char c : w) word.emplace_back(1, c);
  });
  std::map<piece, std::size_t> ids;
  for (unsigned b = 0; b < 256; ++b) ids.emplace(piece(1, static_cast<char>(b)), b);
  std::set<std::pair<std::size_t, std::size_t>> forgotten;
  std::vector<std::pair<piece, piece>> merges;
  while (merges.size() < count) {
    std::map<std::pair<std::size_t, std::size_t>, std::uint64_t> pairs;  // ordered by ids
    for (const auto& w : words)
      for (std::size_t i = 0; i + 1 < w.size(); ++i) ++pairs[{ids[w[i]], ids[w[i + 1]]}];
    std::pair<std::size_t, std::size_t> best;
    std::uint64_t most = min_count - 1;
    for (const auto& [p, n] : pairs)
      if (n > most && forgotten.count(p) == 0) most = n, best = p;
    if (most < min_count) break;
    const auto text_of = [&](std::size_t id) {
      for (const auto& [t, i] : ids)
        if (i == id) return t;
      return piece{};
    };
    const piece left = text_of(best.first), right = text_of(best.second);
    if (ids.count(left + right) != 0) {
      forgotten.insert(best);
      continue;
    }
    ids.emplace(left + right, 257 + merges.size());
    merges.emplace_back(left, right);
    for (auto& w : words)
      for (std::size_t i = 0; i + 1 < w.size(); ++i)
        if (w[i] == left && w[i + 1] == right) {
          w[i] += right;
          w.erase(w.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
  }
  return merges;
}

std::string spelled(const piece& p) {
  std::string out;
  for (const char c : p) text::append_utf8(out, text::byte_spelling[static_cast<unsigned char>(c)]);
  return out;
}

train::bpe_vocabulary trained(const std::string& text, std::size_t size) {
  auto t = train::bpe_trainer::make({.size = size});
  REQUIRE(t);
  t->add(text);
  auto v = t->train();
  REQUIRE(v);
  return *std::move(v);
}

}  // namespace

TEST_CASE("merges are those of counting everything anew") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const std::string text = some_text(seed, 400);
    const auto v = trained(text, 257 + 120);
    const auto plain = plain_merges(text, 120, 2);
    REQUIRE(v.merges.size() == plain.size());
    CHECK(v.tokens.size() == 257 + plain.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
      CHECK(v.merges[i] == spelled(plain[i].first) + ' ' + spelled(plain[i].second));
      CHECK(v.tokens[257 + i] == spelled(plain[i].first + plain[i].second));
    }
  }
}

TEST_CASE("the order of documents does not matter, nor how text is handed over") {
  const std::string a = some_text(1, 300), b = some_text(2, 300);
  auto one = train::bpe_trainer::make({.size = 400}),
       other = train::bpe_trainer::make({.size = 400});
  REQUIRE(one);
  REQUIRE(other);
  one->add(a);
  one->add(b);
  other->add(b);
  other->add(a);
  const auto v = one->train(), w = other->train();
  REQUIRE(v);
  REQUIRE(w);
  CHECK(v->tokens == w->tokens);
  CHECK(v->merges == w->merges);
}

TEST_CASE("of equally frequent pairs the smaller ids win") {
  const auto v = trained("xy xy ab ab", 258);
  REQUIRE(v.merges.size() == 1);
  CHECK(v.merges[0] == "\xc4\xa0 a");  // a space is byte 32
}

TEST_CASE("a tokenizer from the file gives the ids that training gives, and the text back") {
  const std::string text = some_text(9, 2000);
  const auto v = trained(text, 600);
  gguf::writer file;
  REQUIRE(file.set("general.architecture", "bitnet-b1.58"));
  REQUIRE(train::write_vocabulary(file, v.view()));
  gguf::memory_sink sink;
  REQUIRE(file.begin(sink));
  const auto document = gguf::view(sink.bytes);
  REQUIRE(document);
  const auto read = read_vocabulary(document->meta());
  REQUIRE(read);
  const auto loaded = text::tokenizer::make(*read);
  REQUIRE(loaded);
  const auto own = text::tokenizer::make(v.view());
  REQUIRE(own);
  CHECK(loaded->size() == v.tokens.size());
  CHECK(loaded->bos() == v.end_of_text);
  CHECK(loaded->is_end_of_generation(v.end_of_text));
  CHECK(loaded->is_control(v.end_of_text));

  const auto ids = loaded->encode(text);
  REQUIRE(ids);
  CHECK(*ids == *own->encode(text));
  CHECK(ids->front() == v.end_of_text);
  CHECK(loaded->decode(std::span{*ids}.subspan(1)) == text);
  CHECK(ids->size() < text.size() * 2 / 3);  // it does compress
  // Whatever the text, the name of the control token in it is text.
  const auto hostile = loaded->encode("a<|endoftext|>b");
  REQUIRE(hostile);
  CHECK(std::count(hostile->begin(), hostile->end(), v.end_of_text) == 1);
}

TEST_CASE("every text can be said, with bytes if need be") {
  const auto v = trained("abc abc", 300);
  const auto t = text::tokenizer::make(v.view());
  REQUIRE(t);
  std::string bytes;
  for (int b = 0; b < 256; ++b) bytes += static_cast<char>(b);
  text::encode_options keep;
  keep.add_special = false;
  keep.invalid = text::invalid_utf8::keep;
  const auto ids = t->encode(bytes, keep);
  REQUIRE(ids);
  CHECK(t->decode(*ids) == bytes);
}

TEST_CASE("options out of range and texts without words") {
  CHECK_FALSE(train::bpe_trainer::make({.size = 256}));
  CHECK_FALSE(train::bpe_trainer::make({.size = 65537}));
  CHECK_FALSE(train::bpe_trainer::make({.min_count = 0}));
  CHECK_FALSE(train::bpe_trainer::make({.longest_word = 0}));
  CHECK_FALSE(train::bpe_trainer::make({.pre = "nonsense"}));
  CHECK_FALSE(train::bpe_trainer::make({.end_of_text = ""}));
  CHECK_FALSE(train::bpe_trainer::make({.end_of_text = "a"}));  // the token of a byte
  const auto v = trained("", 1000);
  CHECK(v.tokens.size() == 257);
  CHECK(v.merges.empty());
  // A word without end is no word; others are learned all the same.
  CHECK(trained(std::string(1U << 20, 'a') + " bc bc bc", 300).merges.size() == 2);
}
