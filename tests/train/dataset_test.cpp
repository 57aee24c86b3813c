// SPDX-License-Identifier: Apache-2.0
// Documents, token files and batches; damaged files are errors.
#include "doctest.hpp"

#include <bitnet/gguf/sink.hpp>
#include <bitnet/train/bpe_trainer.hpp>
#include <bitnet/train/dataset.hpp>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>
#include <string>
#include <vector>

using namespace bitnet;

namespace {

std::vector<std::string> documents(std::string_view text) {
  std::vector<std::string> all;
  REQUIRE(train::each_document(text, "<|endoftext|>", [&](std::string_view d) {
    all.emplace_back(d);
    return status{};
  }));
  return all;
}

std::vector<token> count_up(std::size_t n) {
  std::vector<token> tokens(n);
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

std::vector<std::byte> token_file(std::span<const token> tokens, std::uint32_t vocab) {
  gguf::memory_sink sink;
  auto w = train::token_writer<gguf::memory_sink>::make(sink, vocab);
  REQUIRE(w);
  const std::size_t half = tokens.size() / 2;
  REQUIRE(w->write(tokens.first(half)));
  REQUIRE(w->write(tokens.subspan(half)));
  REQUIRE(w->finish());
  return sink.bytes;
}

std::vector<token> copy(std::span<const token> x) { return {x.begin(), x.end()}; }

}  // namespace

TEST_CASE("texts are cut at separators") {
  CHECK(documents("").empty());
  CHECK(documents(" \n<|endoftext|>\n\n<|endoftext|>").empty());
  CHECK(documents("one") == std::vector<std::string>{"one"});
  CHECK(documents("one \n<|endoftext|>\n two\n\nthree\n<|endoftext|>") ==
        std::vector<std::string>{"one", "two\n\nthree"});
  CHECK_FALSE(train::each_document("a", "", [](std::string_view) { return status{}; }));
  int calls = 0;
  const auto stopped = train::each_document("a;b;c", ";", [&](std::string_view) -> status {
    if (++calls == 2) return error{errc::cancelled, "enough"};
    return {};
  });
  CHECK_FALSE(stopped);
  CHECK(calls == 2);
}

TEST_CASE("long documents come in passages that are nothing but their parts") {
  const auto passages = [](std::string_view text, std::size_t most) {
    std::vector<std::string> all;
    REQUIRE(train::each_passage(text, most, [&](std::string_view p, bool continues) {
      CHECK(continues == !all.empty());
      CHECK(p.size() <= most);
      all.emplace_back(p);
      return status{};
    }));
    std::string joined;
    for (const std::string& p : all) joined += p;
    CHECK(joined == text);
    return all;
  };
  CHECK(passages("", 8).empty());
  CHECK(passages("12345678", 8).size() == 1);
  CHECK(passages("one\ntwo three\nfour", 10) ==
        std::vector<std::string>{"one\ntwo ", "three\nfour"});
  CHECK(passages("three\nfour five", 10) == std::vector<std::string>{"three\n", "four five"});
  CHECK(passages("0123456789", 8) == std::vector<std::string>{"01234", "56789"});
  CHECK(passages("012\xf0\x9f\x98\x80"
                 "789",
                 8)
            .front() == "012");  // a character stays whole
  static_cast<void>(passages(std::string(100, '\x80'), 9));
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += "line " + std::to_string(i) + "\n";
  const auto all = passages(lines, 1000);
  for (const std::string& p : all) {
    CHECK(p.back() == '\n');
    CHECK(p.size() > 400);
  }
  CHECK_FALSE(train::each_passage("a", 7, [](std::string_view, bool) { return status{}; }));
  CHECK_FALSE(train::each_passage("a", 8, [](std::string_view, bool) -> status {
    return error{errc::cancelled, "enough"};
  }));
}

TEST_CASE("what is held out depends on number and seed alone") {
  int count = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) count += train::held_out(i, 0.1, 7) ? 1 : 0;
  CHECK(count > 900);
  CHECK(count < 1100);
  CHECK_FALSE(train::held_out(3, 0.0, 7));
  CHECK(train::held_out(3, 1.0, 7));
}

TEST_CASE("documents begin and end with the token for that") {
  auto t = train::bpe_trainer::make({.size = 300});
  REQUIRE(t);
  t->add("hello hello hello");
  const auto v = t->train();
  REQUIRE(v);
  const auto tokenizer = text::tokenizer::make(v->view());
  REQUIRE(tokenizer);
  train::token_list list{v->end_of_text};
  REQUIRE(list.add(*tokenizer, "hello\xff"));
  REQUIRE(list.add(*tokenizer, "<|endoftext|>"));
  const auto tokens = list.tokens();
  CHECK(std::count(tokens.begin(), tokens.end(), v->end_of_text) == 3);
  CHECK(tokens.front() == v->end_of_text);
  CHECK(tokens.back() == v->end_of_text);
}

TEST_CASE("token files of both widths give the tokens back") {
  for (const std::uint32_t vocab : {1000U, 65536U, 65537U, 1U << 24}) {
    std::vector<token> tokens;
    const counter_random random{vocab};
    for (std::size_t i = 0; i < 700'000; ++i)
      tokens.push_back(static_cast<token>(random.at(0, i) % vocab));
    const auto bytes = token_file(tokens, vocab);
    CHECK(bytes.size() == 40 + tokens.size() * (vocab > 65536 ? 4 : 2));
    const auto data = train::token_data::view(bytes);
    REQUIRE(data);
    REQUIRE(data->size() == tokens.size());
    CHECK(data->vocab() == vocab);
    std::vector<token> back;
    for (std::size_t i = 0; i < data->size(); ++i) back.push_back((*data)[i]);
    CHECK(back == tokens);
  }
}

TEST_CASE("damaged token files are errors") {
  const auto tokens = count_up(100);
  const auto good = token_file(tokens, 100);
  REQUIRE(train::token_data::view(good));
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(train::token_data::view(std::span{good}.first(size)));
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto bad = good;
    bad[at] ^= std::byte{0x40};
    CHECK_FALSE(train::token_data::view(bad));
  }
  // A token outside the vocabulary under a right checksum: a vocabulary made smaller.
  auto small = good;
  small[16] = std::byte{50};
  const std::span all{small};
  const std::uint64_t sum = checksum(all.subspan(24, 200), checksum(all.first(24)));
  std::memcpy(small.data() + small.size() - 8, &sum, 8);
  const auto refused = train::token_data::view(small);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().offset() == 24 + 2 * 50);

  gguf::memory_sink sink;
  CHECK_FALSE(train::token_writer<gguf::memory_sink>::make(sink, 0));
  auto w = train::token_writer<gguf::memory_sink>::make(sink, 10);
  REQUIRE(w);
  CHECK_FALSE(w->write(std::vector<token>{3, 10}));
  CHECK_FALSE(w->write(std::vector<token>{-1}));
}

TEST_CASE("shuffling is one-to-one for every size") {
  const counter_random random{5};
  for (const std::uint64_t size : {1U, 2U, 3U, 5U, 16U, 17U, 1000U, 4097U}) {
    std::set<std::uint64_t> seen;
    std::uint64_t in_place = 0;
    for (std::uint64_t i = 0; i < size; ++i) {
      const auto to = train::shuffled(i, size, random, 9);
      CHECK(to < size);
      seen.insert(to);
      in_place += to == i ? 1 : 0;
    }
    CHECK(seen.size() == size);
    if (size > 100) CHECK(in_place < size / 10);
  }
}

TEST_CASE("a pass shows every window once, at an offset of its own") {
  const auto tokens = count_up(10'007);
  auto source = train::batch_source::make(train::token_data{tokens}, 3, 100, 11);
  REQUIRE(source);
  REQUIRE(source->windows() == 99);
  CHECK(source->passes(33) == doctest::Approx(1.0));
  std::set<token> offsets;
  for (std::uint64_t pass = 0; pass < 5; ++pass) {
    std::set<token> starts;
    for (std::uint64_t step = pass * 33; step < (pass + 1) * 33; ++step) {
      const train::batch b = source->at(step);
      REQUIRE(b.inputs.size() == 300);
      for (std::size_t i = 0; i < 300; ++i) CHECK(b.targets[i] == b.inputs[i] + 1);
      for (std::size_t r = 0; r < 3; ++r) starts.insert(b.inputs[r * 100]);
    }
    CHECK(starts.size() == 99);
    CHECK(*starts.rbegin() + 100 < 10'007);
    for (const token s : starts) CHECK(s % 100 == *starts.begin() % 100);
    offsets.insert(*starts.begin() % 100);
  }
  CHECK(offsets.size() > 2);
}

TEST_CASE("batches depend on seed and step alone") {
  const auto tokens = count_up(5000);
  const train::token_data data{tokens};
  for (const float noise : {0.0F, 0.2F}) {
    auto a = train::batch_source::make(data, 4, 64, 3, noise);
    auto b = train::batch_source::make(data, 4, 64, 3, noise);
    auto c = train::batch_source::make(data, 4, 64, 4, noise);
    REQUIRE(a);
    REQUIRE(b);
    REQUIRE(c);
    for (std::uint64_t s = 0; s < 50; ++s) static_cast<void>(a->at(s));
    const auto inputs = copy(a->at(17).inputs);
    CHECK(copy(b->at(17).inputs) == inputs);
    CHECK(copy(c->at(17).inputs) != inputs);
  }
}

TEST_CASE("noise replaces its share of the inputs and no target") {
  const auto tokens = count_up(5000);
  const train::token_data data{tokens};
  auto clean = train::batch_source::make(data, 8, 256, 3),
       noisy = train::batch_source::make(data, 8, 256, 3, 0.1F);
  REQUIRE(clean);
  REQUIRE(noisy);
  const auto a = clean->at(5), b = noisy->at(5);
  CHECK(copy(a.targets) == copy(b.targets));
  std::size_t changed = 0;
  for (std::size_t i = 0; i < a.inputs.size(); ++i) changed += a.inputs[i] != b.inputs[i] ? 1U : 0U;
  CHECK(changed > 150);
  CHECK(changed < 260);
}

TEST_CASE("sizes that make no batch are errors") {
  const auto tokens = count_up(65);
  const train::token_data data{tokens};
  REQUIRE(train::batch_source::make(data, 1, 64, 0));
  auto least = train::batch_source::make(data, 2, 64, 0);
  REQUIRE(least);
  CHECK(least->at(1000).targets[127] == 64);
  CHECK_FALSE(train::batch_source::make(data, 1, 65, 0));
  CHECK_FALSE(train::batch_source::make(data, 0, 64, 0));
  CHECK_FALSE(train::batch_source::make(data, 1, 0, 0));
  CHECK_FALSE(train::batch_source::make(data, 1 << 20, 64, 0));
  CHECK_FALSE(train::batch_source::make(data, 1, 64, 0, 1.0F));
  CHECK_FALSE(train::batch_source::make(data, 1, 64, 0, -0.1F));
  CHECK_FALSE(train::batch_source::make(train::token_data{std::span<const token>{}}, 1, 1, 0));
}

TEST_CASE("measuring sees every token once") {
  for (const std::size_t n : {2U, 63U, 64U, 65U, 1000U}) {
    const auto tokens = count_up(n);
    std::vector<token> targets;
    REQUIRE(train::each_batch(train::token_data{tokens}, 2, 32, [&](const train::batch& b) {
      CHECK(b.inputs.size() == 64U);
      for (const token t : b.targets)
        if (t >= 0) targets.push_back(t);
      return status{};
    }));
    REQUIRE(targets.size() == n - 1);
    CHECK(targets.front() == 1);
    CHECK(std::is_sorted(targets.begin(), targets.end()));
  }
}
