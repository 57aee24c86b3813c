// SPDX-License-Identifier: Apache-2.0
// Constraints: the trie of a vocabulary, sets of allowed strings, and samplers held to them.
#include "sample/support.hpp"

#include <bitnet/core/random.hpp>
#include <bitnet/sample/sampler.hpp>

#include <algorithm>
#include <set>

using namespace sample_test;

namespace {

sample::choices choices_of(const std::vector<std::string>& strings) {
  auto made = sample::choices::make(strings);
  REQUIRE(made);
  return *std::move(made);
}

/// A text of random allowed tokens; what it says.
template <class Constraint>
std::string random_text(Constraint& c, const sample::token_trie& v, bitnet::counter_random random,
                        std::uint64_t stream) {
  c.reset();
  std::string out;
  for (std::uint64_t i = 0; !c.finished(); ++i) {
    const auto ids = members(c.allowed());
    REQUIRE(!ids.empty());
    const token id = ids[random.at(stream, i) % ids.size()];
    REQUIRE(c.accepts(id));
    REQUIRE(c.accept(id));
    out += v.piece(id);
  }
  CHECK(c.complete());
  return out;
}

}  // namespace

TEST_CASE("a trie of a vocabulary has every piece once, whatever they share") {
  const std::vector<std::string> pieces{"b",
                                        "",
                                        "abc",
                                        "ab",
                                        "<end>",
                                        "abd",
                                        "ab",
                                        "\0",
                                        "\xFF",
                                        "a",
                                        std::string(255, 'x'),
                                        std::string(256, 'x')};
  const auto trie = trie_of(pieces);
  CHECK(trie.vocab() == pieces.size());
  std::multiset<std::string> found;
  std::string text;
  const auto nodes = trie.nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    text.resize(nodes[i].depth - 1U);
    text += static_cast<char>(nodes[i].byte);
    CHECK(nodes[i].next > i);
    CHECK(nodes[i].next <= nodes.size());
    if (nodes[i].next < nodes.size()) CHECK(nodes[nodes[i].next].depth <= nodes[i].depth);
    for (const token id : trie.tokens(i)) {
      CHECK(trie.piece(id) == text);
      found.insert(text);
    }
  }
  std::multiset<std::string> expected;
  for (const auto& p : pieces)
    if (!p.empty() && p.size() < 256 && p != "<end>") expected.insert(p);
  CHECK(found == expected);
  CHECK(trie.ends().size() == 1);
  CHECK(trie.is_end(4));
  CHECK(trie.has_byte('a'));
  CHECK(!trie.has_byte('c'));
  CHECK(trie.piece(-1).empty());
  CHECK(trie.piece(1000).empty());
  CHECK(!sample::token_trie::make(
      0, [](token) { return std::string_view{}; }, [](token) { return false; }));
}

TEST_CASE("choices: every tokenization of a string, and nothing else") {
  const auto v = byte_trie({"mo", "ve", "move", "ove n", "stopper", "st", "op", " north"});
  const std::vector<std::string> strings{"move north", "move", "stop", "move north"};
  const auto set = choices_of(strings);
  auto c = sample::choice_constraint::make(v, set);
  REQUIRE(c);
  const auto first = members(c->allowed());
  CHECK(first == std::vector<token>{'m', 's', 256, 258, 261});  // m s mo move st
  CHECK(!c->accepts('x'));
  CHECK(!c->accepts(260));  // begins with an allowed string but is longer
  CHECK(!c->accepts(v.ends()[0]));
  CHECK(!c->accepts(-1));
  CHECK(!c->accept(100000));
  REQUIRE(c->accept(258));
  CHECK(c->complete());
  CHECK(!c->finished());
  CHECK(c->place().choice() == 1);
  CHECK(members(c->allowed()) == std::vector<token>{' ', 263, v.ends()[0]});
  REQUIRE(c->accept(v.ends()[0]));
  CHECK(c->finished());
  CHECK(c->allowed().count() == 0);

  std::set<std::string> said;
  for (std::uint64_t i = 0; i < 300; ++i)
    said.insert(random_text(*c, v, bitnet::counter_random{7}, i));
  CHECK(said == std::set<std::string>(strings.begin(), strings.end()));
}

TEST_CASE("choices that a vocabulary cannot spell are refused before anything is generated") {
  const auto refused = [](const std::vector<std::string>& pieces,
                          const std::vector<std::string>& strings) {
    const auto v = trie_of(pieces);
    const auto set = choices_of(strings);
    return !sample::choice_constraint::make(v, set);
  };
  CHECK(refused({"a", "<end>"}, {"ab"}));
  CHECK(refused({"ab", "bc", "<end>"}, {"abc"}));
  CHECK(refused({"a", "b", "<end>"}, {"ab", "ac"}));  // one of them
  CHECK(refused({"a", "b"}, {"a", "ab"}));            // nothing could end the first
  CHECK(!refused({"a", "b"}, {"ab", "ba"}));
  CHECK(!refused({"ab", "c", "a", "bd", "<end>"}, {"abc", "abd"}));
}

TEST_CASE("choices never lead into a dead end of an odd vocabulary") {
  // "a" alone leads nowhere: only "b" could follow, and there is no such token.
  const auto v = trie_of({"a", "ab", "c", "<end>"});
  const auto set = choices_of({"abc", "a"});
  auto c = sample::choice_constraint::make(v, set);
  REQUIRE(c);
  CHECK(members(c->allowed()) == std::vector<token>{0, 1});
  REQUIRE(c->accept(0));
  CHECK(members(c->allowed()) == std::vector<token>{3});
  const auto only = choices_of({"abc"});
  auto d = sample::choice_constraint::make(v, only);
  REQUIRE(d);
  CHECK(members(d->allowed()) == std::vector<token>{1});
}

TEST_CASE("sets of choices that are none are refused") {
  CHECK(!sample::choices::make(std::vector<std::string>{}));
  CHECK(!sample::choices::make(std::vector<std::string>{"a", ""}));
  CHECK(!sample::choices::make(std::vector<std::string>{std::string(1U << 20U, 'a'), "b"}));
  const auto many = choices_of({std::string(1U << 20U, 'a')});
  const auto v = byte_trie({std::string(255, 'a')});
  auto c = sample::choice_constraint::make(v, many);
  REQUIRE(c);
  CHECK(members(c->allowed()) == std::vector<token>{'a', 256});
}

TEST_CASE("a sampler held to a set draws a member whatever the logits are") {
  constexpr std::size_t vocab = 200;
  std::vector<bitnet::sampler_options> all;
  for (const float temperature : {0.0F, 0.7F, 100.0F})
    for (const int top_k : {0, 1, 3, 500})
      for (const float top_p : {0.0F, 0.5F, 1.0F})
        for (const float min_p : {0.0F, 1.0F})
          for (const float penalty : {1.0F, 0.5F, 30.0F})
            all.push_back({.temperature = temperature,
                           .top_k = top_k,
                           .top_p = top_p,
                           .min_p = min_p,
                           .repetition_penalty = penalty});
  std::vector<std::vector<float>> scores;
  for (const float value : {0.0F, nan_value, -inf, inf, -3e38F, 3e38F})
    scores.emplace_back(vocab, value);
  scores.emplace_back(vocab, 1.0F);
  for (const token t : {70, 71, 130}) scores.back()[static_cast<std::size_t>(t)] = nan_value;
  sample::token_set allowed{vocab - 5};
  for (const token t : {70, 71, 130}) allowed.insert(t);
  const std::vector<token> history{70, 71, 130, 4};
  for (const auto& options : all) {
    auto s = bitnet::sampler::make(options, vocab, true);
    REQUIRE(s);
    for (const auto& logits : scores)
      for (std::uint64_t i = 0; i < 8; ++i)
        REQUIRE(allowed.contains(s->sample(logits, history, i, &allowed)));
  }
}

TEST_CASE("among allowed tokens a sampler chooses as if there were no others") {
  std::vector<float> logits(100, 5.0F);
  sample::token_set allowed{100};
  for (const token t : {3, 64, 99}) allowed.insert(t);
  logits[3] = 1.0F;
  logits[64] = 3.0F;
  logits[99] = nan_value;
  auto greedy = bitnet::sampler::make({}, 100, true);
  CHECK(greedy->sample(logits, {}, 0, &allowed) == 64);
  CHECK(greedy->sample(logits, {}, 0) == 0);
  auto warm = bitnet::sampler::make({.temperature = 1.0F, .seed = 3}, 100, true);
  int threes = 0;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    const token t = warm->sample(logits, {}, i, &allowed);
    CHECK(t != 99);
    threes += t == 3 ? 1 : 0;
  }
  CHECK(threes > 380);  // exp(-2) / (1 + exp(-2)) = 11.9 %
  CHECK(threes < 580);
}
