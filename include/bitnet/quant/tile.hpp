// SPDX-License-Identifier: Apache-2.0
// The tile layout: weights in the order in which the integer kernels read them.
//
// A tile is 16 rows. It is a sequence of 64-byte lines:
//
//   encoding   columns a line   row r (0..15), column c of the line is in
//   ternary2   16               bits 2p .. 2p+1 of byte 4*r + c % 4, plane p = c / 4
//   int8        4               byte 4*r + c
//   binary     32               bit c % 8 of byte 16 * (c / 8) + 2 * (r % 8) + r / 8
//
// A line of ternary2 or int8 feeds one dot-product instruction per plane (16 int32 sums on AVX-512,
// two halves on AVX2, four quarters on NEON) against 4 broadcast activations: no horizontal sums.
// A line of binary feeds byte shuffles: 16 bytes hold one half byte of each row, which selects one
// of the 16 signed sums of the same 4 activations (see quantized_rows). The rows' order makes
// pairs of 16-bit sums come apart into rows 0..7 and rows 8..15.
// Columns are padded with code 0 to whole lines (activations are padded with zeros), rows to 16
// with scale 0.
#pragma once

#include <bitnet/core/half.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/quant/format.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

inline constexpr std::size_t tile_rows = 16;
inline constexpr std::size_t line_bytes = 64;

/// Columns that one 64-byte line covers.
[[nodiscard]] constexpr std::size_t columns_per_line(encoding e) noexcept {
  switch (e) {
    case encoding::ternary2:
      return 16;
    case encoding::binary:
      return 32;
    case encoding::int8:
      return 4;
  }
  return 4;
}

/// Where a code lies in a line.
struct code_place {
  std::size_t byte;
  unsigned shift;
};
/// The place of row r (0..15) and column c of a line.
[[nodiscard]] constexpr code_place place_in_line(encoding e, std::size_t r,
                                                 std::size_t c) noexcept {
  switch (e) {
    case encoding::ternary2:
      return {4 * r + c % 4, static_cast<unsigned>(c / 4 * 2)};
    case encoding::binary:
      return {16 * (c / 8) + 2 * (r % 8) + r / 8, static_cast<unsigned>(c % 8)};
    case encoding::int8:
      return {4 * r + c, 0};
  }
  return {0, 0};
}
/// The bytes of a row in a line are 4, this far from each other.
[[nodiscard]] constexpr std::size_t byte_stride(encoding e) noexcept {
  return e == encoding::binary ? 16 : 1;
}

/// A weight is multiplier * code - offset, times its scale.
struct code_meaning {
  std::int32_t multiplier;
  std::int32_t offset;
};
[[nodiscard]] constexpr code_meaning meaning(encoding e) noexcept {
  switch (e) {
    case encoding::ternary2:
      return {1, 1};
    case encoding::binary:
      return {2, 1};
    case encoding::int8:
      return {1, 128};
  }
  return {1, 0};
}

/// The number that a code stands for, before its scale.
[[nodiscard]] constexpr float code_value(encoding e, std::uint8_t code) noexcept {
  const auto [multiplier, offset] = meaning(e);
  return static_cast<float>(multiplier * static_cast<std::int32_t>(code) - offset);
}

/// Columns up to which the sum of values times int8 activations fits in int32: 2^22 where a value
/// is at most 2 in magnitude, 2^17 where it is at most 128. Loading checks the shorter of a
/// matrix's scale group and activation block against it.
[[nodiscard]] constexpr std::size_t max_unit_columns(encoding e) noexcept {
  return e == encoding::int8 ? std::size_t{1} << 17 : std::size_t{1} << 22;
}

/// Where a matrix is read for one token, which is bound by memory. Processors differ: some read
/// several places far from each other faster than one, to others that costs up to a third.
enum class reading : std::uint8_t {
  by_family,  ///< as the kernel family was measured to do best
  in_line,    ///< one tile after the other (of binary ones two)
  apart       ///< four runs of tiles side by side
};

/// A tiled matrix in somebody's memory. y[r] = sum over groups g of
/// scale[r][g] * sum over columns c of g of value(r, c) * x[c]   (- min[r][g] * sum x[c]).
/// Scales (and mins) lie as [tile][group][16], in f16 where every value is one, else in f32.
struct tiled_view {
  const std::uint8_t* lines = nullptr;  ///< [tiles][lines_per_tile][64], 64-byte aligned
  const float* scales_f32 = nullptr;    ///< exactly one of the two scale pointers is set
  const f16* scales_f16 = nullptr;
  const float* mins = nullptr;  ///< or null
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t group = 0;  ///< columns a scale covers, a multiple of 16; never 0 here:
                          ///< one scale for the row is group == round_up(cols, 64)
  encoding codes = encoding::ternary2;
  reading order = reading::by_family;  ///< changes no result

  [[nodiscard]] constexpr std::size_t tiles() const noexcept { return ceil_div(rows, tile_rows); }
  [[nodiscard]] constexpr std::size_t lines_per_tile() const noexcept {
    return ceil_div(cols, columns_per_line(codes));
  }
  [[nodiscard]] constexpr std::size_t groups() const noexcept { return ceil_div(cols, group); }
};

/// The code of row r and column c; both may lie in the padding. For tests and the reference, as
/// are the next two.
[[nodiscard]] constexpr std::uint8_t code_at(const tiled_view& w, std::size_t r,
                                             std::size_t c) noexcept {
  const std::size_t per_line = columns_per_line(w.codes);
  const std::size_t line = r / tile_rows * w.lines_per_tile() + c / per_line;
  const auto [byte, shift] = place_in_line(w.codes, r % tile_rows, c % per_line);
  return static_cast<std::uint8_t>(w.lines[line * line_bytes + byte] >> shift &
                                   ((1U << 32 / per_line) - 1U));
}

/// The scale of group g of row r.
[[nodiscard]] constexpr float scale_at(const tiled_view& w, std::size_t r, std::size_t g) noexcept {
  const std::size_t at = (r / tile_rows * w.groups() + g) * tile_rows + r % tile_rows;
  return w.scales_f16 != nullptr ? to_float(w.scales_f16[at]) : w.scales_f32[at];
}

/// The weight of row r and column c.
[[nodiscard]] constexpr float weight_at(const tiled_view& w, std::size_t r,
                                        std::size_t c) noexcept {
  const std::size_t g = c / w.group;
  const auto value = code_value(w.codes, code_at(w, r, c)) * scale_at(w, r, g);
  if (w.mins == nullptr) return value;
  return value - w.mins[(r / tile_rows * w.groups() + g) * tile_rows + r % tile_rows];
}

}  // namespace quant
BITNET_NAMESPACE_END
