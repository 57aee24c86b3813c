// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any metadata are refused, asked about, or repaired so that nothing is left to
// repair and the tokenizer can be made.
#include "metadata.hpp"

#include <bitnet/engine/repair_model.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace bitnet;
using fuzz::decisions;
using fuzz::require;

constexpr std::size_t most_bytes = 1024;

/// Metadata of a file, some of them wrong, and flipped bytes.
std::vector<std::byte> make_file(decisions& d) {
  static constexpr std::string_view architectures[] = {"bitnet-b1.58", "bitnet", "llama", "qwen3"};
  const std::string architecture{d.one_of(architectures)};
  gguf::writer w;
  for (std::size_t changes = d.below(6); changes > 0; --changes)
    fuzz::set_hostile_key(d, w, architecture);
  (void)w.set("general.architecture", architecture);
  fuzz::set_vocabulary(d, w);
  gguf::memory_sink sink;
  require(static_cast<bool>(w.begin(sink)));
  for (std::size_t flips = d.below(3); flips > 0; --flips)
    sink.bytes[d.value<std::uint16_t>() % sink.bytes.size()] = d.value<std::byte>();
  return std::move(sink.bytes);
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  return fuzz::mutate({data, max_size}, size, most_bytes, seed, 8, fuzz::start_deciding);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  decisions d{std::span{data, std::min(size, most_bytes)}};
  std::string texts[4];
  for (std::string& text : texts)
    if (d.below(8) == 1) text = d.text(8);
  const std::vector<std::byte> bytes = make_file(d);
  const auto file = gguf::parse(bytes);
  if (!file) return 0;
  repair_options options{.pre = d.below(8) == 1 ? std::string_view{"qwen2"} : std::string_view{},
                         .chat_template = texts[0],
                         .bos = texts[1],
                         .eos = texts[2],
                         .eot = texts[3]};
  if (d.below(8) == 1) options.set = {{"tokenizer.ggml.eos_token_id", d.value<std::uint32_t>()}};
  if (d.below(8) == 1) options.remove = {"tokenizer.ggml.bos_token_id"};
  const auto repair = plan_repair(file->meta(), options);
  if (!repair) {
    require(!to_string(repair.error()).empty());
    return 0;
  }
  for (const auto& c : repair->changes) require(!c.reason.empty() && c.from.size() < 200);
  for (const auto& q : repair->open) require(!q.problem.empty() && !q.option.empty());
  if (!repair->open.empty()) return 0;

  gguf::writer w;
  require(static_cast<bool>(repair->edits.apply(file->meta(), w)));
  gguf::memory_sink sink;
  require(static_cast<bool>(w.begin(sink)));
  const auto repaired = gguf::parse(sink.bytes);
  require(static_cast<bool>(repaired));
  const auto again = plan_repair(repaired->meta(), options);
  require(again && again->changes.empty() && again->open.empty());
  return 0;
}
