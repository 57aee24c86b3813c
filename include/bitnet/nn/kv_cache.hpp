// SPDX-License-Identifier: Apache-2.0
// Keys and values of one sequence, for every layer, in memory that the session provides.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/nn/hparams.hpp>
#include <bitnet/quant/kv_head.hpp>

#include <optional>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace nn {

using quant::kv_type;

/// A view of [layer][kv head], each as quant::kv_head says: attention streams through a head's
/// memory from its start to its end. Does not own; belongs to one session.
class kv_cache {
 public:
  kv_cache() noexcept = default;

  /// Bytes for `capacity` positions, or nothing if the number does not fit.
  [[nodiscard]] static std::optional<std::size_t> bytes(const hparams& h, std::size_t capacity,
                                                        kv_type type) noexcept {
    const auto positions = checked_align(capacity, quant::kv_lanes);
    const auto head =
        positions ? checked_mul(*positions, quant::kv_head::position_bytes(type, h.head_dim))
                  : positions;
    const auto layer = head ? checked_mul(*head, h.kv_heads) : head;
    return layer ? checked_mul(*layer, h.layers) : layer;
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

  /// Keys and values of one head.
  [[nodiscard]] quant::kv_head head(std::size_t layer, std::size_t index) const noexcept {
    const std::size_t positions = round_up(capacity_, quant::kv_lanes);
    const std::size_t bytes = positions * quant::kv_head::position_bytes(type_, head_dim_);
    return {memory_ + (layer * kv_heads_ + index) * bytes, positions, head_dim_, type_};
  }

 private:
  std::byte* memory_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t kv_heads_ = 0;
  std::size_t head_dim_ = 0;
  kv_type type_ = kv_type::f16;
};

}  // namespace nn
BITNET_NAMESPACE_END
