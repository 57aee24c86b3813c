// SPDX-License-Identifier: Apache-2.0
// Activations as the integer kernels read them: int8 values, one scale for each block, prefix sums.
#pragma once

#include <bitnet/core/memory.hpp>
#include <bitnet/quant/nonzero.hpp>

#include <cstdint>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// How the input of a matrix is represented.
enum class activation_kind : std::uint8_t {
  float32,    ///< not quantized
  per_token,  ///< int8, one scale for the whole row: BitNet's training semantics
  per_block,  ///< int8, one scale for each 32 values: weight-only models
  two_planes  ///< per_block, and what rounding lost quantized again: close to float, for heads
};

/// Values that share a scale in activation_kind::per_block.
inline constexpr std::size_t activation_block = 32;
/// Rows of int8 activations are padded with zeros to a multiple of this.
inline constexpr std::size_t activation_padding = 64;
/// Bytes of the tables of signed sums (see quantized_rows) for each value, and for each 32 of them.
inline constexpr std::size_t sums_per_value = 8;
inline constexpr std::size_t sums_per_line = 32 * sums_per_value;
/// Granularity of the prefix sums; every scale group of a format is a multiple of it.
inline constexpr std::size_t prefix_unit = 16;

/// `rows` quantized rows of `cols` values. x[r][c] is about values[r][c] * scales[r][c / block].
/// prefix[r][j] is the sum of values[r][0 .. 16 j), so the sum of any aligned run is a difference;
/// kernels need it because codes are unsigned. Values lie in [-127, 127]: the quantizer's result
/// never reaches -128, which the sign trick of the AVX2 kernels relies on.
///
/// Products with binary weights are looked up: 4 values have 16 sums s(n), value i taken with plus
/// where bit i of n is set and else with minus. A sum is two digits, s = low + 32 * high with low
/// in [-16, 15] and high in [-16, 16], so that bytes can be selected and added. For 32 values the
/// table holds [half h][digit][byte j][n]: the 16 low (then high) digits of values 8j + 4h onwards.
struct quantized_rows {
  std::int8_t* values = nullptr;   ///< [rows][padded()]
  float* scales = nullptr;         ///< [rows][blocks()]
  std::int32_t* prefix = nullptr;  ///< [rows][padded() / 16 + 1]
  std::int32_t* less = nullptr;    ///< [rows][blocks()], minus the sum of each block's values
  std::int8_t* sums = nullptr;     ///< [rows][padded() * 8] for binary matrices, or null
  /// [quads()][nonzero_blocks()] where many values are expected to be zero, or null.
  nonzero_block* nonzero = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t block = 0;  ///< 32, or padded() for per_token

  [[nodiscard]] constexpr std::size_t padded() const noexcept {
    return round_up(cols, activation_padding);
  }
  [[nodiscard]] constexpr std::size_t blocks() const noexcept { return ceil_div(cols, block); }
  [[nodiscard]] constexpr std::size_t prefixes() const noexcept {
    return padded() / prefix_unit + 1;
  }
  /// Groups of four rows, of which the last may have less, that lists of nonzero values are about.
  [[nodiscard]] constexpr std::size_t quads() const noexcept {
    return ceil_div(rows, nonzero_block::rows);
  }
  [[nodiscard]] constexpr std::size_t nonzero_blocks() const noexcept {
    return ceil_div(cols, nonzero_block::columns);
  }
};

}  // namespace quant
BITNET_NAMESPACE_END
