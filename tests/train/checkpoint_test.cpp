// SPDX-License-Identifier: Apache-2.0
// A killed run goes on with the same bits; damaged checkpoints are errors and change nothing.
#include "doctest.hpp"
#include "folder.hpp"

#include <bitnet/train/batch_source.hpp>
#include <bitnet/train/checkpoint.hpp>
#include <bitnet/train/trainer.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

using namespace bitnet;
using testing::folder;

namespace {

std::vector<std::byte> read(const std::string& path) {
  const auto file = gguf::mapped_file::open(path);
  REQUIRE(file);
  return {file->bytes().begin(), file->bytes().end()};
}
void write(const std::string& path, std::span<const std::byte> bytes) {
  auto sink = gguf::file_sink::create(path);
  REQUIRE(sink);
  REQUIRE(sink->write(bytes));
  REQUIRE(sink->commit());
}

struct two_arrays {
  std::vector<float> a{1, 2, 3}, b{4};
  std::vector<train::named_array> list() { return {{"a", a}, {"b", b}, {"empty", {}}}; }
};

train::trainer make_trainer(serial_executor& threads) {
  nn::hparams h;
  h.dim = 128;
  h.layers = 1;
  h.heads = 2;
  h.kv_heads = 1;
  h.head_dim = 64;
  h.ffn = 128;
  h.vocab = 50;
  h.context = 16;
  train::trainer_options o;
  o.model = train::configured<float>(train::architecture::bitnet_b158, h,
                                     train::weights<train::absmean_ternary>());
  o.schedule.steps = 6;
  o.schedule.warmup = 2;
  o.tokens = 64;
  auto t = train::trainer::make(o, threads);
  REQUIRE(t);
  return *std::move(t);
}

std::vector<token> some_tokens() {
  std::vector<token> tokens;
  const counter_random random{1};
  for (std::size_t i = 0; i < 500; ++i) tokens.push_back(static_cast<token>(random.at(0, i) % 50));
  return tokens;
}

void take_steps(train::trainer& t, train::batch_source& batches, std::uint64_t until) {
  while (t.steps() < until) REQUIRE(t.step(batches.at(t.steps())));
}

std::vector<float> everything(train::trainer& t) {
  std::vector<float> all;
  for (const auto& a : t.state()) all.insert(all.end(), a.values.begin(), a.values.end());
  return all;
}

}  // namespace

TEST_CASE("six steps are three steps, a kill and three steps, to the bit") {
  const folder f{"bitnet_checkpoint_resume"};
  serial_executor threads;
  const auto tokens = some_tokens();
  auto whole = make_trainer(threads);
  auto batches = train::batch_source::make(train::token_data{tokens}, 4, 16, 2, 0.1F);
  REQUIRE(batches);
  take_steps(whole, *batches, 6);
  const auto expected = everything(whole);
  {
    auto first = make_trainer(threads);
    take_steps(first, *batches, 3);
    REQUIRE(train::save_checkpoint(f / "c", {first.steps(), "of a test"}, first.state()));
    take_steps(first, *batches, 4);  // lost with the kill
  }
  auto second = make_trainer(threads);
  auto anew = train::batch_source::make(train::token_data{tokens}, 4, 16, 2, 0.1F);
  REQUIRE(anew);
  const auto saved = train::checkpoint::open(f / "c");
  REQUIRE(saved);
  CHECK(saved->info().settings == "of a test");
  REQUIRE(saved->restore(second.state()));
  second.restored(saved->info().step);
  CHECK(second.steps() == 3);
  take_steps(second, *anew, 6);
  CHECK(everything(second) == expected);
  CHECK(expected != everything(*[&] {
          static auto other = make_trainer(threads);
          return &other;
        }()));
}

TEST_CASE("a checkpoint replaces the one before, and an unfinished one does not") {
  const folder f{"bitnet_checkpoint_replace"};
  two_arrays x;
  const std::string path = f / "c";
  REQUIRE(train::save_checkpoint(path, {1, "one"}, x.list()));
  x.a[1] = 20;
  REQUIRE(train::save_checkpoint(path, {2, "two"}, x.list()));
  {
    auto killed = gguf::file_sink::create(path);
    REQUIRE(killed);
    REQUIRE(killed->write(std::as_bytes(std::span{"half"})));
  }
  const auto c = train::checkpoint::open(path);
  REQUIRE(c);
  CHECK(c->info().step == 2);
  CHECK(c->info().settings == "two");
  two_arrays y;
  REQUIRE(c->restore(y.list()));
  CHECK(y.a == x.a);
  CHECK(std::distance(std::filesystem::directory_iterator{f.path},
                      std::filesystem::directory_iterator{}) == 1);
}

TEST_CASE("damaged checkpoints are errors") {
  const folder f{"bitnet_checkpoint_damage"};
  two_arrays x;
  REQUIRE(train::save_checkpoint(f / "good", {7, "settings"}, x.list()));
  const auto good = read(f / "good");
  const std::string path = f / "bad";
  for (std::size_t size = 0; size < good.size(); ++size) {
    write(path, std::span{good}.first(size));
    CHECK_FALSE(train::checkpoint::open(path));
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const unsigned bit : {1U, 0x80U}) {
      auto bad = good;
      bad[at] ^= std::byte{static_cast<unsigned char>(bit)};
      write(path, bad);
      CHECK_FALSE(train::checkpoint::open(path));
    }
  }
  auto longer = good;
  longer.push_back(std::byte{0});
  write(path, longer);
  CHECK_FALSE(train::checkpoint::open(path));
  // Sizes near 2^64 must not wrap round.
  for (const std::size_t at : {24U, 32U + 8U, 32U + 8U + 8U}) {
    auto bad = good;
    for (std::size_t i = 0; i < 8; ++i) bad[at + i] = std::byte{0xff};
    bad[at] = std::byte{0xfc};
    write(path, bad);
    CHECK_FALSE(train::checkpoint::open(path));
  }
  CHECK_FALSE(train::checkpoint::open(f / "absent"));
  CHECK_FALSE(train::checkpoint::open(""));
}

TEST_CASE("a checkpoint of another model changes nothing") {
  const folder f{"bitnet_checkpoint_other"};
  two_arrays x;
  REQUIRE(train::save_checkpoint(f / "c", {7, ""}, x.list()));
  const auto c = train::checkpoint::open(f / "c");
  REQUIRE(c);
  std::vector<float> a(3), b(2), none;
  CHECK_FALSE(c->restore(std::vector<train::named_array>{{"a", a}, {"b", b}, {"empty", none}}));
  CHECK_FALSE(c->restore(
      std::vector<train::named_array>{{"a", a}, {"c", std::span{b}.first(1)}, {"empty", none}}));
  CHECK_FALSE(c->restore(std::vector<train::named_array>{{"a", a}}));
  CHECK(a == std::vector<float>(3));
}
