// SPDX-License-Identifier: Apache-2.0
// The tokenizer on small vocabularies made here: merging, special tokens, errors, hostile input.
#include "support.hpp"

#include <bitnet/text/merge_chain.hpp>

#include <map>
#include <string>
#include <thread>
#include <utility>

using namespace text_test;
using namespace bitnet::text;

namespace {

/// A byte-level vocabulary: the 256 bytes, then `more` with their types. Owns the strings.
struct bpe_fixture {
  std::vector<std::string> texts;
  std::vector<std::string> merge_texts;
  vocabulary v;

  explicit bpe_fixture(std::vector<std::pair<std::string, token_type>> more,
                       std::vector<std::string> merges = {}, std::string_view pre = "gpt-2")
      : merge_texts{std::move(merges)} {
    for (const char16_t code : byte_spelling) {
      texts.emplace_back();
      append_utf8(texts.back(), code);
    }
    v.types.assign(256, token_type::normal);
    for (auto& [text, type] : more) {
      texts.push_back(text);
      v.types.push_back(type);
    }
    v.tokens.assign(texts.begin(), texts.end());
    v.merges.assign(merge_texts.begin(), merge_texts.end());
    v.pre = pre;
  }
};

tokenizer make(const vocabulary& v) {
  auto t = tokenizer::make(v);
  if (!t) FAIL(bitnet::to_string(t.error()));
  return *std::move(t);
}

/// Texts of the tokens, for readable checks.
std::string pieces(const tokenizer& t, std::string_view text, const encode_options& options = {}) {
  std::string joined;
  for (const token_id id : encode(t, text, options)) {
    if (!joined.empty()) joined += '|';
    joined += t.piece(id);
  }
  return joined;
}

bitnet::error error_of(const vocabulary& v) {
  const auto t = tokenizer::make(v);
  if (!t) return t.error();
  FAIL("the vocabulary was accepted");
  return {bitnet::errc::unknown, ""};
}

}  // namespace

TEST_CASE("merge_chain merges like the plain definition, short and long") {
  std::uint32_t state = 99;
  const auto random = [&](std::uint32_t below) {
    state = state * 1664525U + 1013904223U;
    return (state >> 16) % below;
  };
  // A rule over small ids: which pairs merge, in which order, into what.
  std::map<std::pair<std::uint32_t, std::uint32_t>, joined> rule;
  for (std::uint32_t a = 0; a < 12; ++a)
    for (std::uint32_t b = 0; b < 12; ++b)
      if (random(3) != 0) rule[{a, b}] = {random(40), random(12)};
  const auto join = [&](const symbol& a, const symbol& b) {
    const auto found = rule.find({a.id, b.id});
    return found == rule.end() ? joined{} : found->second;
  };
  merge_chain chain;
  for (std::uint32_t size = 0; size < 200; ++size) {
    std::vector<symbol> plain;
    for (std::uint32_t i = 0; i < size; ++i) plain.push_back({i, 1, random(12)});
    chain.symbols() = plain;
    chain.merge(join);
    for (;;) {
      joined best;
      std::size_t at = 0;
      for (std::size_t i = 0; i + 1 < plain.size(); ++i)
        if (const joined j = join(plain[i], plain[i + 1]); j.order < best.order) best = j, at = i;
      if (best.order == joined::never) break;
      plain[at].size += plain[at + 1].size;
      plain[at].id = best.id;
      plain.erase(plain.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
    REQUIRE(chain.symbols().size() == plain.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
      CHECK(chain.symbols()[i].start == plain[i].start);
      CHECK(chain.symbols()[i].id == plain[i].id);
    }
  }
}

TEST_CASE("merges follow their order, not their length") {
  const auto n = token_type::normal;
  const bpe_fixture f{{{"ab", n}, {"bc", n}, {"abc", n}, {"aa", n}}, {"b c", "a b", "a bc", "a a"}};
  const tokenizer t = make(f.v);
  CHECK(pieces(t, "abc") == "abc");
  CHECK(pieces(t, "ab") == "ab");
  CHECK(pieces(t, "aaa") == "aa|a");
  CHECK(pieces(t, "cab") == "c|ab");
}

TEST_CASE("a merge whose result is no token falls apart into bytes again") {
  const bpe_fixture f{{{"xyz", token_type::normal}}, {"x y", "xy z"}};
  const tokenizer t = make(f.v);
  CHECK(pieces(t, "xyz") == "xyz");
  CHECK(pieces(t, "xyx") == "x|y|x");
  CHECK(t.size() == 257);
  CHECK(!t.find("xy"));
}

TEST_CASE("llama3 vocabularies take a whole word before any merge") {
  const std::vector<std::pair<std::string, token_type>> tokens{{"hello", token_type::normal}};
  CHECK(pieces(make(bpe_fixture{tokens, {}, "llama-bpe"}.v), "hello") == "hello");
  CHECK(pieces(make(bpe_fixture{tokens, {}, "gpt-2"}.v), "hello") == "h|e|l|l|o");
}

TEST_CASE("special tokens: longest first, control tokens only on request") {
  const bpe_fixture f{{{"<x>", token_type::control},
                       {"<x><y>", token_type::control},
                       {"y>z!", token_type::user_defined},
                       {"</s>", token_type::normal},
                       {"<unk>", token_type::unknown}}};
  const tokenizer t = make(f.v);
  const encode_options parse{.parse_special = true};
  CHECK(pieces(t, "a<x>b", parse) == "a|<x>|b");
  CHECK(pieces(t, "<x><x><y>", parse) == "<x>|<x><y>");
  CHECK(pieces(t, "<x><y>z!", parse) == "<x><y>|z|!");  // longer wins over further right
  CHECK(pieces(t, "<y>z!", parse) == "<|y>z!");
  CHECK(pieces(t, "<unk>", parse) == "<unk>");
  CHECK(pieces(t, "a<x>") == "a|<|x|>");
  CHECK(pieces(t, "y>z!") == "y>z!");  // user-defined: always
  // Known by its name, whatever its type says.
  CHECK(pieces(t, "</s>", parse) == "</s>");
  CHECK(pieces(t, "</s>") == "<|/|s|>");
  CHECK(t.is_end_of_generation(*t.find("</s>")));
  CHECK(t.is_control(*t.find("<x>")));
  CHECK(!t.is_end_of_generation(*t.find("<x>")));
}

TEST_CASE("BOS, EOS and the ends of generation") {
  bpe_fixture f{{{"<s>", token_type::control}, {"<|eot_id|>", token_type::control}}};
  f.v.bos = 256;
  f.v.eos = 65;
  CHECK(encode(make(f.v), "B") == std::vector<token_id>{66});
  f.v.add_bos = true;
  f.v.add_eos = true;
  const tokenizer t = make(f.v);
  CHECK(encode(t, "B") == std::vector<token_id>{256, 66, 65});
  CHECK(encode(t, "") == std::vector<token_id>{256, 65});
  CHECK(encode(t, "B", {.add_special = false}) == std::vector<token_id>{66});
  CHECK(t.eot() == 257);
  CHECK(t.is_end_of_generation(65));
  CHECK(t.is_end_of_generation(257));
  CHECK(!t.is_end_of_generation(256));
  CHECK(!t.is_end_of_generation(-1));
  CHECK(!t.is_end_of_generation(1000));
  f.v.pre = "llama-bpe";  // adds BOS unless the file says otherwise
  f.v.add_bos.reset();
  f.v.add_eos.reset();
  CHECK(encode(make(f.v), "B") == std::vector<token_id>{256, 66});
}

TEST_CASE("decoding") {
  bpe_fixture f{{{"<s>", token_type::control}, {"<gap>", token_type::unused}}};
  const tokenizer t = make(f.v);
  const std::vector<token_id> ids{256, 'H', 'i', ' ', ',', 257, -5, 100000};
  CHECK(t.decode(ids) == "<s>Hi ,");
  CHECK(t.decode(ids, {.render_special = false}) == "Hi ,");
  CHECK(t.decode(ids, {.clean_spaces = true}) == "<s>Hi,");
  CHECK(t.decode(encode(t, "we 're ' x 's a .")) == "we 're ' x 's a .");
  CHECK(t.decode(encode(t, "we 're ' x 's a ."), {.clean_spaces = true}) == "we're'x's a.");
  CHECK(t.piece(257).empty());
  CHECK(t.piece(-1).empty());
}

TEST_CASE("bytes that are no UTF-8 are replaced or kept") {
  const bpe_fixture f{{}};
  const tokenizer t = make(f.v);
  CHECK(t.decode(encode(t, "a\xFF\xC0\xAF")) == "a\xEF\xBF\xBD/");
  CHECK(t.decode(encode(t, "a\xFF\xC0\xAF", {.invalid = invalid_utf8::keep})) == "a\xFF\xC0\xAF");
}

TEST_CASE("SentencePiece: scores, space prefix, byte fallback") {
  std::vector<std::string> texts{"<unk>", "<s>", "</s>"};
  vocabulary v;
  v.kind = vocabulary_kind::sentencepiece;
  v.types = {token_type::unknown, token_type::control, token_type::control};
  for (unsigned b = 0; b < 256; ++b) {
    const auto text = byte_token_text(static_cast<unsigned char>(b));
    texts.emplace_back(text.data(), text.size());
    v.types.push_back(token_type::byte);
  }
  v.scores.assign(texts.size(), 0.0F);
  const std::pair<const char*, float> normal[] = {{"\xE2\x96\x81", -10},
                                                  {"a", -11},
                                                  {"b", -12},
                                                  {"ab", -2},
                                                  {"ba", -1},
                                                  {"\xE2\x96\x81"
                                                   "a",
                                                   -3}};
  for (const auto& [text, score] : normal) {
    texts.emplace_back(text);
    v.types.push_back(token_type::normal);
    v.scores.push_back(score);
  }
  v.tokens.assign(texts.begin(), texts.end());
  const tokenizer t = make(v);
  CHECK(pieces(t, "ab", {.add_special = false}) == " |ab");
  CHECK(pieces(t, "aba") == "<s>| a|ba");  // the best score first, wherever it is
  CHECK(t.decode(encode(t, "ab ba")) == "<s> ab ba");
  CHECK(t.decode(encode(t, "ab ba"), {.render_special = false}) == "ab ba");
  CHECK(encode(t, "", {.add_special = true}) == std::vector<token_id>{1});
  CHECK(pieces(t, "\xC3\xA9", {.add_special = false}) == " |\xC3|\xA9");
  CHECK(encode(t, "b</s>b", {.parse_special = true}) ==
        std::vector<token_id>{1, 259, 261, 2, 259, 261});
  // A character cut short: llama.cpp lets it take the following byte's place, we need not.
  const std::string broken = "\xC3 a";
  CHECK(t.decode(encode(t, broken, {.invalid = invalid_utf8::keep}), {.render_special = false}) ==
        broken);
  CHECK(t.is_end_of_generation(2));

  v.add_space_prefix = false;
  v.add_bos = false;
  CHECK(pieces(make(v), "ab") == "ab");
  v.add_space_prefix = true;
  v.scores.clear();  // all alike: the leftmost pair first
  CHECK(pieces(make(v), "aba") == " a|ba");
  CHECK(pieces(make(v), "bab") == " |ba|b");
}

TEST_CASE("a tokenizer of nothing gives nothing") {
  const tokenizer t;
  CHECK(encode(t, "any text <s>", {.parse_special = true}).empty());
  CHECK(t.size() == 0);
  CHECK(t.decode(std::vector<token_id>{0}).empty());
}

TEST_CASE("a long text without a break takes n log n") {
  const bpe_fixture f{{{"aa", token_type::normal}, {"aaaa", token_type::normal}}, {"a a", "aa aa"}};
  const tokenizer t = make(f.v);
  CHECK(encode(t, std::string(1 << 20, 'a')).size() == 1 << 18);
}

TEST_CASE("one tokenizer serves several threads") {
  const bpe_fixture f{{{"ab", token_type::normal}}, {"a b"}};
  const tokenizer t = make(f.v);
  std::vector<std::vector<token_id>> ids(4);
  std::vector<std::thread> threads;
  for (auto& out : ids)
    threads.emplace_back([&t, &out] {
      for (int i = 0; i < 200; ++i) {
        out.clear();
        (void)static_cast<bool>(t.encode("abcab cab 12 \xC3\xA9", {}, out));
      }
    });
  for (auto& thread : threads) thread.join();
  for (const auto& out : ids) CHECK(out == encode(t, "abcab cab 12 \xC3\xA9"));
}

TEST_CASE("vocabularies that contradict themselves are refused by name") {
  using bitnet::errc;
  CHECK(error_of({}).what() == "tokenizer.ggml.tokens");

  bpe_fixture f{{{"ab", token_type::normal}}, {"a b"}};
  f.v.scores.assign(3, 0.0F);
  CHECK(error_of(f.v).what() == "tokenizer.ggml.scores");
  f.v.scores.clear();
  f.v.types.pop_back();
  CHECK(error_of(f.v).what() == "tokenizer.ggml.token_type");
  f.v.types.clear();
  f.v.eos = 257;
  CHECK(error_of(f.v).what() == "tokenizer.ggml.eos_token_id");
  f.v.eos = -2;
  CHECK(error_of(f.v).code() == errc::malformed);
  f.v.eos.reset();
  f.v.pre = "no such thing";
  CHECK(error_of(f.v).code() == errc::unknown);
  f.v.pre = "";
  for (const char* merge : {"ab", " ab", "a ", "", " "}) {
    f.v.merges = {merge};
    CHECK(error_of(f.v).code() == errc::malformed);
  }
  f.v.merges = {"a b", "a b"};  // the first counts
  CHECK(tokenizer::make(f.v));
  f.v.tokens.push_back("ab");
  CHECK(error_of(f.v).what() == "ab");
  f.v.tokens.back() = "";  // unnamed tokens are never found
  f.v.tokens.push_back("");
  CHECK(tokenizer::make(f.v));

  const std::string huge(1000, '<');
  const bpe_fixture g{{{huge, token_type::user_defined}}};
  CHECK(error_of(g.v).code() == errc::limit);
}
