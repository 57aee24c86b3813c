// SPDX-License-Identifier: Apache-2.0
// Where the keys and values of one attention head lie, for each storage type of the KV cache.
#pragma once

#include <bitnet/core/half.hpp>
#include <bitnet/core/memory.hpp>

#include <algorithm>
#include <cstdint>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// Storage type of cached keys and values.
enum class kv_type : std::uint8_t {
  f16,
  f32,
  q8  ///< int8 with one scale for each position and head, as activations are rounded
};

/// Lanes of a panel: positions of keys, dimensions of values.
inline constexpr std::size_t kv_lanes = 16;
/// Positions that attention treats at once; chunks start at its multiples. Part of the result's
/// definition (see kernels/body/attend.inc), so changing it changes logits in the last bits.
inline constexpr std::size_t kv_chunk = 256;

/// A view of the keys and values of one KV head of one layer, in pages that it does not own. A page
/// holds one chunk of positions of every head; within it, head after head, lie [keys | values |
/// scales], in the order in which attention reads them.
///
/// Keys are panels of 16 positions, [panel][dimension][16]: a score is a sum down a lane, so that
/// no sum is folded across lanes. Values are panels of 16 dimensions, [panel][position][16]. In q8
/// panels the int8 numbers of two consecutive dimensions (of positions, for values) alternate, as
/// multiplying in pairs wants them, and the scales, [2][position], follow: x is about q * scale.
struct kv_head {
  std::byte* const* pages = nullptr;  ///< one for each chunk
  std::size_t index = 0;              ///< of this head in a page
  std::size_t capacity = 0;           ///< positions, a multiple of 16
  std::size_t dim = 0;                ///< elements of a key or value
  kv_type type = kv_type::f16;

  /// Elements of a key or value in memory.
  [[nodiscard]] constexpr std::size_t padded_dim() const noexcept {
    return round_up(dim, kv_lanes);
  }
  [[nodiscard]] static constexpr std::size_t element_bytes(kv_type type) noexcept {
    return type == kv_type::f32 ? sizeof(float) : type == kv_type::f16 ? sizeof(f16) : 1;
  }
  /// Bytes of a position, key and value.
  [[nodiscard]] static constexpr std::size_t position_bytes(kv_type type,
                                                            std::size_t dim) noexcept {
    return 2 * round_up(dim, kv_lanes) * element_bytes(type) +
           (type == kv_type::q8 ? 2 * sizeof(float) : 0);
  }

  /// Positions in memory of a chunk.
  [[nodiscard]] constexpr std::size_t length(std::size_t chunk) const noexcept {
    return std::min(kv_chunk, capacity - chunk * kv_chunk);
  }
  [[nodiscard]] constexpr std::byte* start(std::size_t chunk) const noexcept {
    return pages[chunk] + index * length(chunk) * position_bytes(type, dim);
  }
  /// The chunk's keys: panel p is position 16 p of the chunk and the 15 after it.
  [[nodiscard]] constexpr std::byte* keys(std::size_t chunk, std::size_t panel) const noexcept {
    return start(chunk) + panel * kv_lanes * padded_dim() * element_bytes(type);
  }
  /// The chunk's values: panel p is dimension 16 p and the 15 after it.
  [[nodiscard]] constexpr std::byte* values(std::size_t chunk, std::size_t panel) const noexcept {
    const std::size_t before = padded_dim() + panel * kv_lanes;
    return start(chunk) + length(chunk) * before * element_bytes(type);
  }
  /// Scales of the chunk's keys in q8; those of its values lie length(chunk) behind them.
  [[nodiscard]] float* scales(std::size_t chunk) const noexcept {
    return reinterpret_cast<float*>(values(chunk, padded_dim() / kv_lanes));
  }
};

}  // namespace quant
BITNET_NAMESPACE_END
