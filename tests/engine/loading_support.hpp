// SPDX-License-Identifier: Apache-2.0
// What the tests of loading share: hosts' memory that is counted, readers, tiled copies.
#pragma once

#include "engine/allocations.hpp"
#include "engine/support.hpp"

#include <map>
#include <new>

namespace testing {

/// A host's memory: every block is known, and the n-th request can be refused.
class host_memory {
 public:
  ~host_memory() {
    for (const auto& [p, bytes] : blocks_) ::operator delete(p, line);
  }

  void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
    sound = sound && bytes != 0 && bytes % alignment == 0 && alignment == bitnet::cache_line;
    if (requests++ == refuse_at) return nullptr;
    allocations::hosts_own = true;
    void* p = ::operator new(bytes, line, std::nothrow);
    allocations::hosts_own = false;
    blocks_.emplace(p, bytes);
    now += bytes;
    peak = std::max(peak, now);
    return p;
  }
  void release(void* p, std::size_t bytes, std::size_t) noexcept {
    const auto block = blocks_.find(p);
    sound = sound && block != blocks_.end() && block->second == bytes;
    if (block == blocks_.end()) return;
    blocks_.erase(block);
    now -= bytes;
    ::operator delete(p, line);
  }

  std::size_t requests = 0;
  std::size_t refuse_at = ~std::size_t{0};
  std::uint64_t now = 0;
  std::uint64_t peak = 0;
  bool sound = true;  ///< every call kept the provider's contract

 private:
  static constexpr std::align_val_t line{bitnet::cache_line};
  std::map<void*, std::size_t> blocks_;
};

/// A file in memory behind a reader, which can fail and lie.
struct test_reader {
  std::string bytes;
  std::size_t reads = 0;
  std::size_t fail_at = ~std::size_t{0};    ///< the read that fails
  std::size_t shrink_at = ~std::size_t{0};  ///< the read after which the file is smaller
  std::size_t largest = 0;

  [[nodiscard]] std::uint64_t size() const { return bytes.size() - (reads > shrink_at ? 1 : 0); }
  [[nodiscard]] bitnet::status read(std::uint64_t offset, std::span<std::byte> out) {
    if (reads++ == fail_at) return bitnet::error{bitnet::errc::io, "the pak is damaged"};
    if (offset > bytes.size() || out.size() > bytes.size() - offset)
      return bitnet::error{bitnet::errc::truncated, "read behind the end"};
    std::memcpy(out.data(), bytes.data() + offset, out.size());
    largest = std::max(largest, out.size());
    return {};
  }
};
static_assert(bitnet::gguf::byte_reader<test_reader>);

/// Bytes of a file at a multiple of 64, or `off` bytes behind one.
class placed_file {
 public:
  explicit placed_file(std::span<const std::byte> bytes, std::size_t off = 0)
      : memory_{*bitnet::aligned_buffer<std::byte>::make(bytes.size() + off, "file")}, off_{off} {
    std::memcpy(memory_.data() + off, bytes.data(), bytes.size());
  }
  [[nodiscard]] std::span<std::byte> bytes() { return memory_.span().subspan(off_); }
  [[nodiscard]] std::span<const std::byte> view() const { return memory_.span().subspan(off_); }

 private:
  bitnet::aligned_buffer<std::byte> memory_;
  std::size_t off_;
};

inline std::vector<std::byte> tiled(const bitnet::gguf::document& from) {
  bitnet::gguf::memory_sink sink;
  bitnet::serial_executor here;
  const auto done = bitnet::write_tiled(from, sink, here);
  return done ? std::move(sink.bytes) : std::vector<std::byte>{};
}
inline std::vector<std::byte> tiled(const std::string& path) {
  const auto document = bitnet::gguf::open(path);
  return document ? tiled(*document) : std::vector<std::byte>{};
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && !a.empty() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Logits of every position, and the best tokens after the last one.
inline std::vector<float> answers(const bitnet::dynamic_model& model,
                                  std::span<const bitnet::token> tokens) {
  std::vector<float> all = all_logits(model, tokens, bitnet::nn::kv_type::f16);
  auto s = bitnet::session<bitnet::dynamic_model>::make(model, model.threads(),
                                                        {.context = tokens.size() + 3});
  if (!s || !s->feed(tokens)) return {};
  for (const auto& best : s->best(20)) {
    all.push_back(best.logit);
    all.push_back(static_cast<float>(best.id));
  }
  return all;
}

}  // namespace testing
