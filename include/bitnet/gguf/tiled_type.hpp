// SPDX-License-Identifier: Apache-2.0
// Tensor types of this project's own: matrices that lie in a file as the kernels read them.
//
// The type id says everything about the layout of a tensor but its shape, so that its size follows
// from id and shape as for any other type, and other readers refuse it by number:
//
//   bits 0..3    columns that share a scale, as a power of two: 8 << n; 0: the whole row
//   bit  4       scales are f16, otherwise f32
//   bit  5       there are mins, f32, one for each scale
//   bit  6       made from a format whose models were trained with int8 inputs, one scale a token
//   bits 8..15   the encoding of the codes, a value of quant::encoding
//   bits 16..31  0x6274
//
// The bytes are those of quant::tile_plan: lines of all tiles, scales, mins, each part padded to 64
// bytes. A file with such tensors says which version of that it follows, in `layout_key`.
#pragma once

#include <bitnet/core/checked.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace gguf {

/// The key with the version of the tiles' layout, a u32, and the version that this library reads
/// and writes.
inline constexpr std::string_view layout_key = "tiles.layout_version";
inline constexpr std::uint32_t layout_version = 1;
/// Alignment of tensors in tiled files: a page, so that mapped tensors begin on their own.
inline constexpr std::uint32_t tiled_alignment = 4096;

/// A tiled tensor type, taken apart.
struct tiled_type {
  std::uint32_t encoding = 0;  ///< position in `encodings`
  std::uint32_t group = 0;     ///< columns that share a scale; 0: the whole row
  bool f16_scales = false;
  bool mins = false;
  bool per_token = false;  ///< inputs are int8 with one scale a token, unless options say otherwise

  struct encoding_info {
    std::string_view name;
    std::uint32_t columns;  ///< of a 64-byte line, 16 rows
  };
  /// By the value of quant::encoding.
  static constexpr encoding_info encodings[] = {
      {"tiled_ternary2", 16}, {"tiled_binary", 32}, {"tiled_int8", 4}};
  static constexpr std::uint32_t encoding_count = sizeof encodings / sizeof *encodings;

  /// Whether an id is of this family at all, whatever version of this library it comes from.
  [[nodiscard]] static constexpr bool in_family(std::uint32_t id) noexcept {
    return id >> 16 == family;
  }
  /// The type of an id; nothing if it is not of this family, or not known to this version.
  [[nodiscard]] static constexpr std::optional<tiled_type> of(std::uint32_t id) noexcept {
    if (!in_family(id) || (id & 0x80U) != 0) return std::nullopt;
    tiled_type t;
    const std::uint32_t power = id & 15U;
    t.group = power == 0 ? 0 : 8U << power;
    t.f16_scales = (id & 16U) != 0;
    t.mins = (id & 32U) != 0;
    t.per_token = (id & 64U) != 0;
    t.encoding = id >> 8 & 0xffU;
    if (!t.valid()) return std::nullopt;
    return t;
  }
  /// The id of a type; nothing if the type cannot be written down.
  [[nodiscard]] constexpr std::optional<std::uint32_t> id() const noexcept {
    std::uint32_t power = 0;
    while (power < 16 && group != (power == 0 ? 0U : 8U << power)) ++power;
    if (power == 16 || !valid()) return std::nullopt;
    return family << 16 | encoding << 8 | (per_token ? 64U : 0U) | (mins ? 32U : 0U) |
           (f16_scales ? 16U : 0U) | power;
  }

  [[nodiscard]] constexpr std::string_view name() const noexcept {
    return encodings[encoding].name;
  }

  /// Bytes of a matrix, or nothing if they do not fit in 64 bits.
  [[nodiscard]] constexpr std::optional<std::uint64_t> bytes(std::uint64_t cols,
                                                             std::uint64_t rows) const noexcept {
    constexpr std::uint64_t line = 64, tile_rows = 16;
    const std::uint64_t tiles = rows / tile_rows + (rows % tile_rows != 0 ? 1 : 0);
    const auto times = [tiles](std::uint64_t each) { return checked_mul(tiles, each); };
    const auto columns = [cols](std::uint64_t unit) {
      return cols / unit + (cols % unit != 0 ? 1 : 0);
    };
    const std::uint64_t groups = group == 0 ? (cols == 0 ? 0 : 1) : columns(group);
    const auto line_bytes = checked_mul(columns(encodings[encoding].columns), line);
    const auto group_values = checked_mul(groups, tile_rows);
    if (!line_bytes || !group_values) return std::nullopt;
    const auto lines = times(*line_bytes), values = times(*group_values);
    const auto scales = values ? checked_mul(*values, f16_scales ? 2 : 4) : std::nullopt;
    const auto more = values ? checked_mul(*values, mins ? 4 : 0) : std::nullopt;
    if (!lines || !scales || !more) return std::nullopt;
    auto end = checked_add(*lines, *scales);
    if (end) end = checked_align(*end, line);
    if (end) end = checked_add(*end, *more);
    return end ? checked_align(*end, line) : std::nullopt;
  }

 private:
  static constexpr std::uint32_t family = 0x6274;

  /// Groups are whole lines, so that kernels find their scales.
  [[nodiscard]] constexpr bool valid() const noexcept {
    return encoding < encoding_count && group % encodings[encoding].columns == 0;
  }
};

}  // namespace gguf
BITNET_NAMESPACE_END
