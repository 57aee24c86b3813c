// SPDX-License-Identifier: Apache-2.0
// The same bits on every instruction set, with any number of threads and any split of the prompt.
#include "engine/support.hpp"

#include "doctest.hpp"

#include <bitnet/core/thread_pool.hpp>

using bitnet::nn::kv_type;

namespace {

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && !a.empty() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("logits do not depend on the instruction set") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    std::vector<float> first;
    for (const std::string_view isa : bitnet::isa::runnable_names()) {
      CAPTURE(isa);
      bitnet::open_options options;
      options.isa = isa;
      options.threads = 1;
      const auto model = bitnet::open(m.path + ".gguf", options);
      REQUIRE(model);
      CHECK(model->isa() == isa);
      const auto logits = testing::all_logits(*model, m.tokens(), kv_type::f16);
      if (first.empty()) first = logits;
      CHECK(same_bits(first, logits));
    }
  }
}

TEST_CASE("logits of a long context depend neither on the kernels nor on threads nor on batches") {
  const auto m = testing::golden_models().front();
  std::vector<bitnet::token> tokens;  // two chunks of attention, the second not full
  while (tokens.size() < 300) {
    const auto some = m.tokens();
    tokens.insert(tokens.end(), some.begin(), some.end());
  }
  tokens.resize(300);
  for (const kv_type kv : {kv_type::f16, kv_type::q8}) {
    std::vector<float> first;
    for (const std::string_view isa : bitnet::isa::runnable_names())
      for (const std::size_t threads : {1U, 2U}) {
        CAPTURE(isa);
        CAPTURE(threads);
        bitnet::open_options options;
        options.isa = isa;
        options.threads = threads;
        const auto model = bitnet::open(m.path + ".gguf", options);
        REQUIRE(model);
        for (const std::size_t batch : {1U, 83U, 300U}) {
          CAPTURE(batch);
          if (isa == "scalar" && (threads != 1 || batch != 83)) continue;  // slow
          const auto logits = testing::all_logits(*model, tokens, kv, batch);
          if (first.empty()) first = logits;
          CHECK(same_bits(first, logits));
        }
      }
  }
}

TEST_CASE("logits do not depend on threads or on how a prompt is split") {
  std::size_t number = 0;
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    const kv_type kv = ++number % 3 == 0 ? kv_type::q8 : kv_type::f16;
    bitnet::open_options options;
    options.threads = 1;
    const auto model = bitnet::open(m.path + ".gguf", options);
    REQUIRE(model);
    const auto tokens = m.tokens();
    const auto first = testing::all_logits(*model, tokens, kv, 64);
    for (const std::size_t threads : {1U, 2U, 3U}) {
      auto pool = bitnet::thread_pool::make({.threads = threads});
      REQUIRE(pool);
      bitnet::executor_ref executor{*pool};
      for (const std::size_t batch : {1U, 7U, 16U, 48U}) {
        CAPTURE(threads);
        CAPTURE(batch);
        CHECK(same_bits(first, testing::all_logits(*model, tokens, kv, batch, &executor)));
      }
    }
  }
}

TEST_CASE("a rewound session continues as a fresh one") {
  const auto m = testing::golden_models().front();
  const auto model = bitnet::open(m.path + ".gguf");
  REQUIRE(model);
  const auto tokens = m.tokens();
  const auto make = [&] {
    return bitnet::session<bitnet::dynamic_model>::make(*model, model->threads(), {.context = 64});
  };
  auto fresh = make();
  auto used = make();
  REQUIRE(fresh);
  REQUIRE(used);
  CHECK(fresh->feed(tokens));
  CHECK(used->feed(std::span{tokens}.first(20)));
  CHECK(used->feed(std::span{tokens}.first(10)));
  CHECK(used->rewind(20));
  CHECK(used->logits().empty());
  CHECK(used->feed(std::span{tokens}.subspan(20)));
  const std::vector<float> a{fresh->logits().begin(), fresh->logits().end()};
  const std::vector<float> b{used->logits().begin(), used->logits().end()};
  CHECK(same_bits(a, b));
}
