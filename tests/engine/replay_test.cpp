// SPDX-License-Identifier: Apache-2.0
// One recorded session for each model of the tree: every build, machine and system gives its bits.
#include "engine/support.hpp"

#include "doctest.hpp"

#include <bit>
#include <cstdio>

namespace {

/// FNV-1a over the bits of floats.
struct bits_hash {
  std::uint64_t value = 0xcbf29ce484222325U;
  void add(std::span<const float> row) noexcept {
    for (const float x : row) value = (value ^ bitnet::bit_cast<std::uint32_t>(x)) * 0x100000001b3U;
  }
};

/// What is recorded: a hash of the logits of 192 positions, and 24 tokens sampled after them.
std::string replay(const bitnet::dynamic_model& model, std::span<const bitnet::token> tokens) {
  auto s = bitnet::session<bitnet::dynamic_model>::make(model, model.threads(),
                                                        {.context = 224, .batch = 40});
  if (!s) return bitnet::to_string(s.error());
  bits_hash hash;
  for (int round = 0; round < 4; ++round) {
    const auto scored =
        s->score(tokens, [&](std::size_t, std::span<const float> row) { hash.add(row); });
    if (!scored) return bitnet::to_string(scored.error());
  }
  bitnet::generate_options options;
  options.max_tokens = 24;
  options.ignore_eos = true;
  options.sampling.temperature = 0.9F;
  options.sampling.top_p = 0.95F;
  options.sampling.seed = 7;
  const auto out = bitnet::generate(*s, model.tokenizer(), std::span{tokens}.first(1), options,
                                    [](std::string_view) { return true; });
  if (!out) return bitnet::to_string(out.error());
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash.value));
  std::string line{text};
  for (const bitnet::token t : out->tokens) line += ' ' + std::to_string(t);
  return line;
}

}  // namespace

TEST_CASE("a recorded session replays to the bit") {
  const std::string folder = std::string{BITNET_TEST_DATA_DIR} + "/models/";
  std::istringstream lines{testing::read_text(folder + "replay.txt")};
  std::size_t replayed = 0;
  for (std::string name, recorded; lines >> name && std::getline(lines >> std::ws, recorded);) {
    CAPTURE(name);
    bitnet::open_options options;
    options.threads = std::min<std::size_t>(2, bitnet::hardware_threads());
    const auto model = bitnet::open(folder + name + ".gguf", options);
    REQUIRE(model);
    const auto tokens = testing::read_tokens(testing::read_text(folder + name + ".tokens.txt"));
    CHECK(replay(*model, tokens) == recorded);
    ++replayed;
  }
  CHECK(replayed == 10);
}
