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

/// A view of the keys and values of one sequence: a table of pages, each with one chunk of
/// quant::kv_chunk positions of every layer and head (see quant::kv_head). Does not own.
class kv_cache {
 public:
  kv_cache() noexcept = default;

  /// Pages for `capacity` positions.
  [[nodiscard]] static constexpr std::size_t page_count(std::size_t capacity) noexcept {
    return ceil_div(capacity, quant::kv_chunk);
  }
  /// Bytes for `capacity` positions, or nothing if the number does not fit. A page has
  /// bytes(h, quant::kv_chunk, type).
  [[nodiscard]] static std::optional<std::size_t> bytes(const hparams& h, std::size_t capacity,
                                                        kv_type type) noexcept {
    const auto positions = checked_align(capacity, quant::kv_lanes);
    const auto head =
        positions ? checked_mul(*positions, quant::kv_head::position_bytes(type, h.head_dim))
                  : positions;
    const auto layer = head ? checked_mul(*head, h.kv_heads) : head;
    return to_size(layer ? checked_mul(*layer, h.layers) : layer);
  }

  /// `pages` has page_count(capacity) entries and outlives this; the pages are aligned to a cache
  /// line. All are whole, or, if `exact`, the last one ends with the capacity, rounded up to 16.
  kv_cache(const hparams& h, std::size_t capacity, kv_type type, std::byte* const* pages,
           bool exact) noexcept
      : pages_{pages},
        capacity_{capacity},
        positions_{round_up(capacity, exact ? quant::kv_lanes : quant::kv_chunk)},
        layers_{h.layers},
        kv_heads_{h.kv_heads},
        head_dim_{h.head_dim},
        type_{type} {}

  /// The same over one block of bytes(h, capacity, type), aligned to a cache line, for which it
  /// fills in `pages`.
  kv_cache(const hparams& h, std::size_t capacity, kv_type type, std::span<std::byte*> pages,
           std::span<std::byte> memory) noexcept
      : kv_cache{h, capacity, type, pages.data(), true} {
    const std::size_t page = bytes(h, quant::kv_chunk, type).value_or(0);
    for (std::size_t i = 0; i < page_count(capacity); ++i) pages[i] = memory.data() + i * page;
  }

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] kv_type type() const noexcept { return type_; }
  /// Heads of all layers.
  [[nodiscard]] std::size_t heads() const noexcept { return layers_ * kv_heads_; }

  /// Keys and values of one head.
  [[nodiscard]] quant::kv_head head(std::size_t layer, std::size_t index) const noexcept {
    return {pages_, layer * kv_heads_ + index, positions_, head_dim_, type_};
  }

 private:
  std::byte* const* pages_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t positions_ = 0;
  std::size_t layers_ = 0;
  std::size_t kv_heads_ = 0;
  std::size_t head_dim_ = 0;
  kv_type type_ = kv_type::f16;
};

}  // namespace nn
BITNET_NAMESPACE_END
