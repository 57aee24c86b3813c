// SPDX-License-Identifier: Apache-2.0
// The exact float path for every weight format: decode a row, then multiply it as floats.
#pragma once

#include <bitnet/kernels/table.hpp>

#include <span>

BITNET_NAMESPACE_BEGIN
namespace kernels {

/// y[t][r] = W x_t for rows [first_row, last_row) of a matrix in any format. `scratch` holds at
/// least w.cols floats and belongs to this call. Same bits for any split of rows and tokens.
inline void gemm_decoded(const kernel_table& table, quant::decode_row_function decode,
                         quant::packed_rows w, matrix_view<const float> x, matrix_view<float> y,
                         std::size_t first_row, std::size_t last_row,
                         std::span<float> scratch) noexcept {
  BITNET_ASSERT(scratch.size() >= w.cols, "gemm_decoded: scratch holds less than a row");
  const std::span<float> row = scratch.first(w.cols);
  const quant::packed_rows one{reinterpret_cast<const std::byte*>(row.data()), 1, w.cols};
  for (std::size_t r = first_row; r < last_row; ++r) {
    decode(w, r, row);
    table.gemm_f32(one, x, {y.data + r, y.rows, 1, y.stride}, 0, 1);
  }
}

}  // namespace kernels
BITNET_NAMESPACE_END
