// SPDX-License-Identifier: Apache-2.0
// Reading a vocabulary from GGUF metadata: defaults, and errors that name the key.
#include "../gguf/raw_gguf.hpp"
#include "doctest.hpp"

#include <bitnet/engine/vocabulary.hpp>
#include <bitnet/gguf/parser.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using bitnet::errc;
using bitnet::gguf::value_type;

namespace {

constexpr auto string_type = static_cast<std::uint32_t>(value_type::string);
constexpr auto i32_type = static_cast<std::uint32_t>(value_type::i32);
constexpr auto f32_type = static_cast<std::uint32_t>(value_type::f32);

/// What varies between the files of these tests.
struct recipe {
  std::string model = "gpt2";
  std::string architecture = "llama";
  std::optional<std::string> pre{};
  std::uint64_t scores = 0;  ///< how many
  bool integer_scores = false;
  std::uint64_t types = 0;
  std::vector<std::string> merges{"a b"};
  bool with_merges = true;
  std::optional<std::int32_t> eos{};
};

std::vector<std::byte> write(const recipe& r) {
  const bool optional_keys[] = {r.pre.has_value(), r.scores != 0, r.types != 0, r.with_merges,
                                r.eos.has_value()};
  const auto more = std::count(std::begin(optional_keys), std::end(optional_keys), true);
  const std::uint64_t keys = 3 + static_cast<std::uint64_t>(more);
  gguf_test::raw_gguf g{0, keys};
  g.key("general.architecture", value_type::string).string(r.architecture);
  g.key("tokenizer.ggml.model", value_type::string).string(r.model);
  g.array("tokenizer.ggml.tokens", string_type, 3).string("a").string("b").string("ab");
  if (r.pre) g.key("tokenizer.ggml.pre", value_type::string).string(*r.pre);
  if (r.scores != 0) {
    g.array("tokenizer.ggml.scores", r.integer_scores ? i32_type : f32_type, r.scores);
    for (std::uint64_t i = 0; i < r.scores; ++i) {
      if (r.integer_scores) {
        g.put(std::int32_t{-7});
      } else {
        g.put(-7.0F);
      }
    }
  }
  if (r.types != 0) {
    g.array("tokenizer.ggml.token_type", i32_type, r.types);
    for (std::uint64_t i = 0; i < r.types; ++i) g.put(std::int32_t{i == 2 ? 77 : 1});
  }
  if (r.with_merges) {
    g.array("tokenizer.ggml.merges", string_type, r.merges.size());
    for (const auto& m : r.merges) g.string(m);
  }
  if (r.eos) g.key("tokenizer.ggml.eos_token_id", value_type::i32, *r.eos);
  return g.bytes;
}

/// Runs `check` on the vocabulary of a file, or on the error that reading it gives.
void read(const recipe& r, bool expected,
          const std::function<void(const bitnet::result<bitnet::text::vocabulary>&)>& check) {
  const auto bytes = write(r);
  const auto file = bitnet::gguf::parse(bytes);
  REQUIRE(file);
  const auto v = bitnet::read_vocabulary(file->meta());
  CHECK(v.has_value() == expected);
  if (v.has_value() == expected) check(v);
}

void refused(const recipe& r, errc code, std::string_view what) {
  read(r, false, [&](const auto& v) {
    CHECK(v.error().code() == code);
    CHECK(v.error().what() == what);
  });
}

void pre_is(const recipe& r, std::string_view pre) {
  read(r, true, [&](const auto& v) { CHECK(v->pre == pre); });
}

}  // namespace

TEST_CASE("a file without a pre-tokenizer: llama-bpe for the BitNet architectures") {
  for (const char* arch : {"bitnet", "bitnet-25", "bitnet-b1.58"})
    pre_is({.architecture = arch}, "llama-bpe");
  pre_is({.architecture = "llama"}, "default");
  pre_is({.architecture = "bitnet-b1.58", .pre = "qwen2"}, "qwen2");
  pre_is({.model = "llama", .with_merges = false}, "");
}

TEST_CASE("the lists of a vocabulary are read") {
  read({.scores = 3, .types = 3, .eos = 2}, true, [](const auto& v) {
    CHECK(v->tokens.size() == 3);
    CHECK(v->tokens[2] == "ab");
    CHECK(v->scores == std::vector<float>{-7, -7, -7});
    CHECK(v->types[0] == bitnet::text::token_type::normal);
    CHECK(v->types[2] == bitnet::text::token_type::undefined);  // 77 is no type
    CHECK(v->eos == 2);
    CHECK(!v->bos);
    CHECK(bitnet::text::tokenizer::make(*v));
  });
  read({.scores = 3, .integer_scores = true}, true, [](const auto& v) {
    CHECK(v->scores == std::vector<float>{-7, -7, -7});
  });
  read({.eos = -1}, true, [](const auto& v) { CHECK(!v->eos); });
}

TEST_CASE("what contradicts itself or is unknown is refused by name") {
  refused({.model = "bert"}, errc::unknown, "bert");
  refused({.pre = "starcoder"}, errc::unknown, "starcoder");
  refused({.scores = 2}, errc::malformed, "tokenizer.ggml.scores");
  refused({.types = 4}, errc::malformed, "tokenizer.ggml.token_type");
  refused({.eos = 3}, errc::malformed, "tokenizer.ggml.eos_token_id");
  refused({.eos = -2}, errc::malformed, "tokenizer.ggml.eos_token_id");
  refused({.with_merges = false}, errc::missing, "tokenizer.ggml.merges");

  gguf_test::raw_gguf bare{0, 1};
  bare.key("general.architecture", value_type::string).string("llama");
  const auto file = bitnet::gguf::parse(bare.bytes);
  REQUIRE(file);
  const auto v = bitnet::read_vocabulary(file->meta());
  REQUIRE(!v);
  CHECK(v.error().code() == errc::missing);
  CHECK(v.error().what() == "tokenizer.ggml.model");
}
