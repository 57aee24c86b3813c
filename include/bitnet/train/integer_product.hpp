// SPDX-License-Identifier: Apache-2.0
// Products of integers in 32-bit words, exact: two or four times as fast as those of floats.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/core/view.hpp>
#include <bitnet/train/word_vector.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

BITNET_NAMESPACE_BEGIN
namespace train {
namespace detail {

/// Rows of a tile of the left matrix, and columns of a panel of the right one.
inline constexpr std::size_t word_rows = word_vector::tile_rows;
inline constexpr std::size_t word_cols = 2 * word_vector::width;

/// The left matrix, [rows][depth] words: word (m + r, k) of the tile that begins at row m lies
/// 4 (m * tile + r * row + k * col) bytes behind `data`.
struct word_tiles {
  const std::byte* data;
  std::size_t tile, row, col;
};

/// The right matrix: panels [depth][word_cols] of words, aligned to 64 bytes, and what else a
/// column of the result is made with. Columns behind `cols` are zeros.
struct word_panels {
  const std::int32_t* words = nullptr;
  const std::int32_t* start = nullptr;  ///< sums begin with these, one a column; or null
  const float* scales = nullptr;        ///< of columns; or null
  std::size_t cols = 0;
  std::size_t depth = 0;

  [[nodiscard]] static constexpr std::size_t panels(std::size_t cols) noexcept {
    return ceil_div(cols, word_cols);
  }
};

/// One tile of a product: `count` columns at n of the rows whose words begin at `from`.
template <class Dot>
BITNET_INLINE void multiply_tile(const std::byte* const (&from)[word_rows], std::size_t step,
                                 const float* row_scales, const word_panels& b, std::size_t n,
                                 bool add, float* c, std::size_t stride) noexcept {
  constexpr std::size_t width = word_vector::width;
  typename word_vector::type sum[word_rows][2];
  BITNET_UNROLL
  for (std::size_t r = 0; r < word_rows; ++r) {
    sum[r][0] = b.start == nullptr ? word_vector::zero() : word_vector::load(b.start + n);
    sum[r][1] = b.start == nullptr ? word_vector::zero() : word_vector::load(b.start + n + width);
  }
  const std::int32_t* at = b.words + n * b.depth;
  for (std::size_t k = 0; k < b.depth; ++k, at += word_cols) {
    const typename Dot::operand b0 = Dot::load(at), b1 = Dot::load(at + width);
    BITNET_UNROLL
    for (std::size_t r = 0; r < word_rows; ++r) {
      const std::int32_t x = load_word(from[r] + k * step);
      Dot::dot(sum[r][0], x, b0);
      Dot::dot(sum[r][1], x, b1);
    }
  }
  const float* const scales = b.scales == nullptr ? nullptr : b.scales + n;
  BITNET_UNROLL
  for (std::size_t r = 0; r < word_rows; ++r) {
    word_vector::store(sum[r][0], row_scales[r], scales, add, c + r * stride);
    word_vector::store(sum[r][1], row_scales[r], scales == nullptr ? nullptr : scales + width, add,
                       c + r * stride + width);
  }
}

/// c = or += (sum * row_scales[r]) * scales of columns, for c [rows][b.cols], with exact sums of
/// Dot::dot over the words of a row of a and a column of b.
template <class Dot>
void multiply_words(matrix_view<float> c, word_tiles a, const float* row_scales,
                    const word_panels& b, bool add) noexcept {
  for (std::size_t m = 0; m < c.rows; m += word_rows) {
    const std::size_t high = std::min(word_rows, c.rows - m);
    const std::byte* from[word_rows];  // rows behind the last are computed and dropped
    for (std::size_t r = 0; r < word_rows; ++r)
      from[r] = a.data + 4 * (m * a.tile + std::min(r, high - 1) * a.row);
    for (std::size_t n = 0; n < b.cols; n += word_cols) {
      const std::size_t wide = std::min(word_cols, b.cols - n);
      if (high == word_rows && wide == word_cols) {
        multiply_tile<Dot>(from, 4 * a.col, row_scales + m, b, n, add, c.row(m) + n, c.stride);
        continue;
      }
      float edge[word_rows * word_cols] = {}, scales[word_rows] = {};
      std::copy_n(row_scales + m, high, scales);
      for (std::size_t r = 0; r < high; ++r)
        std::copy_n(c.row(m + r) + n, wide, edge + r * word_cols);
      multiply_tile<Dot>(from, 4 * a.col, scales, b, n, add, edge, word_cols);
      for (std::size_t r = 0; r < high; ++r)
        std::copy_n(edge + r * word_cols, wide, c.row(m + r) + n);
    }
  }
}

}  // namespace detail
}  // namespace train
BITNET_NAMESPACE_END
