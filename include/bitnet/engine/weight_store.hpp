// SPDX-License-Identifier: Apache-2.0
// Memory of a model's weights: on the heap one block for all of them, on huge pages where the
// system has those.
#pragma once

#include <bitnet/core/memory.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// A memory_provider that hands out pieces of one block of the heap, and blocks of their own where
/// it has none left. Pages are touched when they are filled, so the block costs what is used of it.
class weight_block {
 public:
  /// Takes the block; false if the heap refuses, then every piece is a block of its own.
  [[nodiscard]] bool reserve(std::uint64_t bytes) {
    if (bytes > std::numeric_limits<std::size_t>::max()) return false;
    auto memory =
        aligned_buffer<std::byte>::uninitialized(static_cast<std::size_t>(bytes), "weights", true);
    if (!memory) return false;
    memory_ = *std::move(memory);
    pieces_ = arena{memory_.span()};
    return true;
  }

  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
    void* const p = pieces_.allocate(bytes, alignment);
    return p != nullptr ? p : memory_source{}.allocate(bytes, alignment);
  }
  void release(void* p, std::size_t bytes, std::size_t alignment) noexcept {
    const auto* const at = static_cast<std::byte*>(p);
    const bool inside = std::less_equal<>{}(memory_.data(), at) &&
                        std::less<>{}(at, memory_.data() + memory_.size());
    if (inside) {
      pieces_.release(p, bytes, alignment);
    } else {
      memory_source{}.release(p, bytes, alignment);
    }
  }

 private:
  aligned_buffer<std::byte> memory_;
  arena pieces_;
};

/// Memory of weights that is not a layer's own, and the block that layers have theirs from: it must
/// outlive them.
struct weight_store {
  std::unique_ptr<weight_block> block;
  std::vector<aligned_buffer<float>> floats;
  std::vector<aligned_buffer<std::byte>> bytes;

  weight_store() = default;
  weight_store(weight_store&&) noexcept = default;
  /// Layers that are replaced after this still find the block that they are in.
  weight_store& operator=(weight_store&& other) noexcept {
    std::swap(block, other.block);
    std::swap(floats, other.floats);
    std::swap(bytes, other.bytes);
    return *this;
  }
};

}  // namespace detail
BITNET_NAMESPACE_END
