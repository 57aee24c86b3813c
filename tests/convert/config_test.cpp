// SPDX-License-Identifier: Apache-2.0
// Configurations of published models, and which of two settings of one name counts.
#include "doctest.hpp"

#include <bitnet/convert/checkpoint.hpp>
#include <bitnet/convert/config.hpp>

#include <cstdio>
#include <filesystem>
#include <string>

namespace {

using namespace bitnet;

/// A published configuration; its architecture is empty, said aloud, where there is no shared data.
convert::model_config published(const std::string& folder) {
  const std::string path = std::string{BITNET_SHARED_DIR} + "/" + folder;
  if (!std::filesystem::exists(path + "/config.json")) {
    std::printf("the shared data has no %s: using less\n", folder.c_str());
    return {};
  }
  const auto file = convert::small_file::open(path, "config.json");
  REQUIRE(file);
  const auto parsed = (*file)->parse(convert::json::twins::last_counts);
  REQUIRE(parsed);
  auto config = convert::read_config(*parsed);
  if (!config) FAIL(to_string(config.error()));
  return config ? *std::move(config) : convert::model_config{};
}

}  // namespace

TEST_CASE("BitNet-b1.58-2B-4T: what its GGUF file says") {
  const auto c = published("bitnet-2b-4t");
  if (c.architecture.empty()) return;
  CHECK(c.architecture == "bitnet-b1.58");
  CHECK(c.ternary == convert::ternary_source::packed);
  CHECK(c.tied == true);
  CHECK_FALSE(c.states_head_dim);
  const nn::hparams& h = c.shape;
  CHECK(h.vocab == 128256);
  CHECK(h.context == 4096);
  CHECK(h.dim == 2560);
  CHECK(h.layers == 30);
  CHECK(h.ffn == 6912);
  CHECK(h.rope.dims == 128);
  CHECK(h.heads == 20);
  CHECK(h.kv_heads == 5);
  CHECK(h.norm_eps == 1e-5F);
  CHECK(h.rope.base == 500000.0F);
}

TEST_CASE("Llama3-8B-1.58 states its quantization twice") {
  const auto c = published("tokenizers/Llama3-8B-1.58-100B");
  if (c.architecture.empty()) return;
  CHECK(c.architecture == "llama");
  CHECK(c.ternary == convert::ternary_source::packed_reciprocal);
  CHECK(c.tied == false);
  CHECK(c.shape.kv_heads == 8);
  CHECK(c.shape.head_dim == 128);
}

TEST_CASE("bitnet_b1_58-large: master weights, SiLU") {
  const auto c = published("tokenizers/bitnet_b1_58-large");
  if (c.architecture.empty()) return;
  CHECK(c.architecture == "bitnet");
  CHECK(c.ternary == convert::ternary_source::master);
  CHECK(c.shape.rope.base == 10000.0F);
  CHECK(c.shape.vocab == 32002);
}

TEST_CASE("the last of two settings counts where Python would read the file") {
  constexpr std::string_view text = R"({"a": 1, "b": 2, "a": {"c": 3}})";
  CHECK_FALSE(convert::json::parse(text, "file"));
  const auto d = convert::json::parse(text, "file", convert::json::twins::last_counts);
  REQUIRE(d);
  CHECK(*convert::json::root(*d).find("a")->get<std::uint64_t>("c") == 3);
}
