// SPDX-License-Identifier: Apache-2.0
// The first positions of a chunk of a KV head as bytes: copied to another page, packed, unpacked.
#pragma once

#include <bitnet/quant/kv_head.hpp>

#include <cstring>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// f(bytes from the chunk's start, size, bytes from the start of the same run in a chunk of `other`
/// positions) for each run of memory that holds the first `count` positions, rounded up to 16, of a
/// chunk of `length` positions.
template <class F>
constexpr void for_each_kv_run(const kv_head& head, std::size_t length, std::size_t other,
                               std::size_t count, F&& f) {
  const std::size_t used = round_up(count, kv_lanes);
  const std::size_t lane = kv_head::element_bytes(head.type) * kv_lanes;
  const std::size_t strips = head.padded_dim() / kv_lanes;
  f(0, used * lane * strips, 0);
  for (std::size_t s = 0; s < strips; ++s)
    f((strips + s) * length * lane, used * lane, (strips + s) * other * lane);
  if (head.type != kv_type::q8) return;
  for (std::size_t i = 0; i < 2; ++i)
    f((2 * strips * lane + i * sizeof(float)) * length, used * sizeof(float),
      (2 * strips * lane + i * sizeof(float)) * other);
}

/// Bytes of `count` positions of a head as pack_kv writes them.
[[nodiscard]] constexpr std::size_t packed_kv_bytes(const kv_head& head,
                                                    std::size_t count) noexcept {
  return round_up(count, kv_lanes) * kv_head::position_bytes(head.type, head.dim);
}

/// Copies the first `count` positions of a chunk from one cache to another of the same type.
inline void copy_kv(const kv_head& from, const kv_head& to, std::size_t chunk,
                    std::size_t count) noexcept {
  const std::byte* source = from.start(chunk);
  std::byte* target = to.start(chunk);
  for_each_kv_run(from, from.length(chunk), to.length(chunk), count,
                  [&](std::size_t at, std::size_t size, std::size_t there) {
                    std::memcpy(target + there, source + at, size);
                  });
}

/// The inverse of pack_kv.
inline void unpack_kv(const kv_head& to, std::size_t chunk, std::size_t count,
                      const std::byte* in) noexcept {
  for_each_kv_run(to, to.length(chunk), round_up(count, kv_lanes), count,
                  [&](std::size_t at, std::size_t size, std::size_t packed) {
                    std::memcpy(to.start(chunk) + at, in + packed, size);
                  });
}

/// Writes the first `count` positions of a chunk to `out`, packed_kv_bytes of them: what a chunk of
/// that length would hold, zeros in the places of positions that are not there.
inline void pack_kv(const kv_head& head, std::size_t chunk, std::size_t count,
                    std::byte* out) noexcept {
  const std::size_t used = round_up(count, kv_lanes);
  for_each_kv_run(head, head.length(chunk), used, count,
                  [&](std::size_t at, std::size_t size, std::size_t packed) {
                    std::memcpy(out + packed, head.start(chunk) + at, size);
                  });
  if (used == count) return;
  const std::size_t element = kv_head::element_bytes(head.type);
  const std::size_t pair = head.type == kv_type::q8 ? 2 : 1;  // see store_kv
  const std::size_t dims = head.padded_dim();
  const auto clear = [&](std::size_t at) { std::memset(out + at * element, 0, element); };
  std::byte* scales = out + 2 * used * dims * element;
  for (std::size_t j = count; j < used; ++j) {
    for (std::size_t d = 0; d < dims; ++d) {
      const std::size_t panel = j / kv_lanes * kv_lanes * dims;
      clear(panel + d / pair * pair * kv_lanes + j % kv_lanes * pair + d % pair);
      const std::size_t strip = (dims + d / kv_lanes * kv_lanes) * used;
      clear(strip + j / pair * pair * kv_lanes + d % kv_lanes * pair + j % pair);
    }
    if (head.type != kv_type::q8) continue;
    std::memset(scales + j * sizeof(float), 0, sizeof(float));
    std::memset(scales + (used + j) * sizeof(float), 0, sizeof(float));
  }
}

}  // namespace quant
BITNET_NAMESPACE_END
