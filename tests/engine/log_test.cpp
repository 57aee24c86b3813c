// SPDX-License-Identifier: Apache-2.0
// What loading says to a log sink: to that of its own model, and to nobody else.
#include "engine/loading_support.hpp"

#include "doctest.hpp"

namespace gguf = bitnet::gguf;
using bitnet::log_level;

namespace {

/// Lines as "level: text".
struct log_lines {
  std::vector<std::string> lines;

  [[nodiscard]] bitnet::log_sink sink(log_level least = log_level::debug) {
    return bitnet::log_sink{[](void* user, log_level level, std::string_view text) {
                              static_cast<log_lines*>(user)->lines.push_back(
                                  std::string{bitnet::name_of(level)} + ": " + std::string{text});
                            },
                            this, least};
  }
  [[nodiscard]] std::size_t count(std::string_view part) const {
    std::size_t n = 0;
    for (const auto& line : lines) n += line.find(part) != std::string::npos ? 1U : 0U;
    return n;
  }
};

/// A copy of a file without a key, and with every weight of one tensor of f16 changed to `value`.
std::vector<std::byte> changed(const std::string& path, std::string_view key,
                               std::string_view tensor = {}, std::uint16_t value = 0) {
  const auto from = gguf::open(path);
  REQUIRE(from);
  gguf::writer w;
  for (const auto& [name, meta] : from->meta())
    if (name != key) REQUIRE(w.set(name, meta));
  for (const auto* t : from->tensors())
    REQUIRE(w.add_tensor(t->name, std::span{t->dims}.first(t->n_dims), t->type));
  gguf::memory_sink sink;
  auto out = w.begin(sink);
  REQUIRE(out);
  for (const auto* t : from->tensors()) {
    std::vector<std::byte> bytes{t->data.begin(), t->data.end()};
    if (t->name == tensor) {
      REQUIRE(t->type == gguf::tensor_type::f16);
      std::memcpy(bytes.data(), &value, sizeof value);
    }
    REQUIRE(out->write(bytes));
  }
  return std::move(sink.bytes);
}

}  // namespace

TEST_CASE("each model tells its own sink which kernels it uses and what loading took") {
  log_lines ours, theirs, nobodys;
  bitnet::open_options options;
  options.threads = 1;
  options.log = ours.sink();
  const auto a = bitnet::open(testing::golden_path("llama-f16"), options);
  options.log = theirs.sink();
  options.isa = "scalar";
  options.threads = testing::two_threads();
  const auto b = bitnet::open(testing::golden_path("bitnet-"), options);
  options.log = nobodys.sink(log_level::warning);
  REQUIRE(bitnet::open(testing::golden_path("llama-f16"), options));
  REQUIRE(a);
  REQUIRE(b);
  CHECK(ours.count("info: kernels " + std::string{a->isa()} + ", threads 1, weights " +
                   std::to_string(a->plan().weights) + " bytes") == 1);
  CHECK(theirs.count("info: kernels scalar, threads " + std::to_string(options.threads) +
                     ", weights " + std::to_string(b->plan().weights) + " bytes") == 1);
  CHECK(ours.lines.size() == 1);
  CHECK(nobodys.lines.empty());
}

TEST_CASE("what a file leaves out is assumed aloud") {
  for (const auto& [start, assumed] :
       {std::pair{"b25-", "llama-bpe"}, std::pair{"qwen3-q1_0", "default"}}) {
    const std::string file{start};  // Clang 14 captures no structured binding
    CAPTURE(file);
    const auto bytes = changed(testing::golden_path(start), "tokenizer.ggml.pre");
    log_lines log;
    bitnet::open_options options;
    options.threads = 1;
    options.log = log.sink(log_level::warning);
    REQUIRE(bitnet::open(bytes, options));
    CHECK(log.lines.size() == 1);
    CHECK(log.count(std::string{"warning: the file has no tokenizer.ggml.pre: "} + assumed +
                    " is assumed; `bitnet repair`") == 1);
  }
}

TEST_CASE("a head that cannot be screened is no secret") {
  const auto bytes =
      changed(testing::golden_path("llama-f16"), {}, "output.weight", 0x7C00);  // infinity
  log_lines log;
  bitnet::open_options options;
  options.threads = 1;
  options.log = log.sink(log_level::warning);
  const auto model = bitnet::open(bytes, options);
  if (!model) FAIL_CHECK(bitnet::to_string(model.error()));
  REQUIRE(model);
  CHECK(log.count("warning: the output head holds weights") == 1);
}
