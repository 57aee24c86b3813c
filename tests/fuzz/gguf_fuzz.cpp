// SPDX-License-Identifier: Apache-2.0
// Feeds bytes, some of them nearly a GGUF file, to the parser and reads all that it lets through.
#include "../gguf/touch.hpp"
#include "frame.hpp"

#include <bitnet/gguf/source.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace {
using fuzz::require;

constexpr std::size_t most_bytes = 8192;  // longer inputs cost time and reach nothing new
volatile std::uint64_t sink_of_reads = 0;

bool has_q2_0(const bitnet::gguf::file& f) {
  for (const auto& t : f.tensors())
    if (bitnet::gguf::file_id(t.type) == 42) return true;
  return false;
}

/// A valid file with values and tensors of many types.
std::vector<std::byte> valid_file() {
  using namespace bitnet;
  using gguf::tensor_type;
  gguf::writer w;
  gguf::memory_sink out;
  const auto build = [&]() -> status {
    BITNET_CHECK(w.set("general.architecture", "llama"));
    BITNET_CHECK(w.set("general.alignment", std::uint32_t{8}));
    BITNET_CHECK(w.set("u8", std::uint8_t{1}));
    BITNET_CHECK(w.set("i64", std::int64_t{-1}));
    BITNET_CHECK(w.set("f32", 1.0F));
    BITNET_CHECK(w.set("yes", true));
    BITNET_CHECK(w.set("tokens", std::vector<std::string_view>{"a", "", "bc"}));
    BITNET_CHECK(w.set("scores", std::vector<float>{1.0F, 2.0F}));
    BITNET_CHECK(w.set("types", std::vector<std::int32_t>{1, 3}));
    BITNET_CHECK(w.add_tensor("a", {2, 3}, tensor_type::f32));
    BITNET_CHECK(w.add_tensor("b", {64, 2}, tensor_type::iq2_bn));
    BITNET_CHECK(w.add_tensor("c", {128}, tensor_type::i2_s));
    BITNET_CHECK(w.add_tensor("d", {512}, tensor_type::q2_0_g128));
    BITNET_TRY(auto data, w.begin(out));
    const std::vector<std::byte> zeros(136);
    for (const std::size_t size : {24U, 40U, 64U, 136U})
      BITNET_CHECK(data.write(std::span{zeros}.first(size)));
    return data.finish();
  };
  require(static_cast<bool>(build()));
  return out.bytes;
}
}  // namespace

/// Starts from a valid file now and then.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  static const std::vector<std::byte> valid = valid_file();
  return fuzz::mutate(
      {data, max_size}, size, most_bytes, seed, 16,
      [](std::span<std::uint8_t> room, unsigned) { return fuzz::start_from(room, valid); });
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitnet;
  size = std::min(size, most_bytes);
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto f = gguf::parse(bytes);
  if (!f) {
    sink_of_reads = f.error().offset() + f.error().what().size();
    require(!f.error().has_offset() || f.error().offset() <= size);
    return 0;
  }
  sink_of_reads = gguf_test::touch(*f);
  for (const auto& t : f->tensors()) require(t.offset <= size && t.data.size() <= size - t.offset);
  if (const auto d = gguf::view(bytes)) require(d->tensors().size() == f->tensors().size());

  // What was read can be written and read again. Padding can make the block size of id 42 unclear,
  // so such files are left out.
  if (has_q2_0(*f)) return 0;
  gguf::memory_sink written;
  require(static_cast<bool>(gguf_test::rewrite(*f, written)));
  const auto again = gguf::parse(written.bytes);
  require(again && gguf_test::same(*f, *again));
  return 0;
}
