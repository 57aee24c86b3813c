// SPDX-License-Identifier: Apache-2.0
// Keys and values of one sequence, for every layer, in memory that the session provides.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/core/half.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/nn/hparams.hpp>

#include <optional>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// Storage type of cached keys and values.
enum class kv_type : std::uint8_t { f16, f32 };

/// A view of [layer][key | value][kv head][position][head_dim]. A head's positions are contiguous,
/// so attention streams through memory. Does not own; belongs to one session.
class kv_cache {
 public:
  kv_cache() noexcept = default;

  /// Bytes for `capacity` positions, or nothing if the number does not fit.
  [[nodiscard]] static std::optional<std::size_t> bytes(const hparams& h, std::size_t capacity,
                                                        kv_type type) noexcept {
    const auto head = checked_mul(capacity, h.head_dim);
    const auto layer = head ? checked_mul(*head, 2 * h.kv_heads) : head;
    const auto all = layer ? checked_mul(*layer, h.layers) : layer;
    return all ? checked_mul(*all, type == kv_type::f16 ? sizeof(f16) : sizeof(float)) : all;
  }

  /// `memory` holds at least bytes(h, capacity, type), aligned to a cache line, and outlives this.
  kv_cache(const hparams& h, std::size_t capacity, kv_type type,
           std::span<std::byte> memory) noexcept
      : memory_{memory.data()},
        capacity_{capacity},
        kv_heads_{h.kv_heads},
        head_dim_{h.head_dim},
        type_{type} {}

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] kv_type type() const noexcept { return type_; }

  /// Keys or values of one head: [capacity][head_dim]; T matches type().
  template <class T>
  [[nodiscard]] T* keys(std::size_t layer, std::size_t head) const noexcept {
    return at<T>(layer, 0, head);
  }
  template <class T>
  [[nodiscard]] T* values(std::size_t layer, std::size_t head) const noexcept {
    return at<T>(layer, 1, head);
  }

 private:
  template <class T>
  [[nodiscard]] T* at(std::size_t layer, std::size_t which, std::size_t head) const noexcept {
    BITNET_ASSERT(sizeof(T) == (type_ == kv_type::f16 ? 2 : 4), "kv_cache read as another type");
    const std::size_t index = (layer * 2 + which) * kv_heads_ + head;
    return reinterpret_cast<T*>(memory_) + index * capacity_ * head_dim_;
  }

  std::byte* memory_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t kv_heads_ = 0;
  std::size_t head_dim_ = 0;
  kv_type type_ = kv_type::f16;
};

}  // namespace nn
BITNET_NAMESPACE_END
