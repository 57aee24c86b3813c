// SPDX-License-Identifier: Apache-2.0
// The build's own contract check and log, defined before the first include.
#include <cstddef>
#include <string>

namespace {
std::string broken;
std::string logged;

void on_broken(const char* text) { broken = text; }
void on_log(int level, const char* text, std::size_t size) {
  logged += std::to_string(level) + ' ' + std::string{text, size} + '\n';
}
}  // namespace

#define BITNET_ASSERT(condition, text) ((condition) ? void() : on_broken(text))
#define BITNET_LOG(level, text, size) on_log(level, text, size)
#include <bitnet/core/thread_pool.hpp>
#include <bitnet/engine/vocabulary.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/quant/tiled_matrix.hpp>

#include "doctest.hpp"

TEST_CASE("a broken contract reaches the build's check, and a kept one does not") {
  using namespace bitnet::quant;
  broken.clear();
  static_assert(plan_tiles(16, 64, encoding::ternary2, 0, false).rows == 16);
  tiled_matrix m;
  m.replan(m.plan());
  CHECK(broken.empty());
  m.replan(plan_tiles(16, 64, encoding::ternary2, 0, false));
  CHECK(broken == "replan() to more memory");
}

TEST_CASE("what has no sink of its own speaks to the build's log, the rest to its own") {
  const auto document =
      bitnet::gguf::open(std::string{BITNET_TEST_DATA_DIR} + "/models/b25-i2_s.gguf");
  REQUIRE(document);
  logged.clear();
  REQUIRE(bitnet::read_vocabulary(document->meta()));
  CHECK(logged ==
        "2 the file has no tokenizer.ggml.pre: llama-bpe is assumed; "
        "`bitnet repair` writes a copy that has one\n");

  logged.clear();
  bitnet::log_sink{}(bitnet::log_level::debug, "below what is wanted");
  bitnet::log_sink{}(bitnet::log_level::error, "text");
  CHECK(logged == "3 text\n");
  std::string own;
  const bitnet::log_sink sink{[](void* user, bitnet::log_level, std::string_view text) {
                                static_cast<std::string*>(user)->append(text);
                              },
                              &own};
  logged.clear();
  sink(bitnet::log_level::error, "mine");
  CHECK(own == "mine");
  CHECK(logged.empty());
}
