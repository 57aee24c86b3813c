// SPDX-License-Identifier: Apache-2.0
// The slow, exact ways to multiply: any weight format through floats, and int8 inputs as floats.
#pragma once

#include <bitnet/core/math.hpp>
#include <bitnet/isa/tags.hpp>
#include <bitnet/kernels/decoded.hpp>
#include <bitnet/kernels/table.hpp>
#include <bitnet/quant/format.hpp>

#include <algorithm>

BITNET_NAMESPACE_BEGIN
namespace kernels {

/// y[t][r] = W x_t for rows [first, last) of a matrix in format F: decode a row, multiply.
/// `scratch` holds one row. This serves every format on every instruction set. A user makes a
/// format faster with an overload beside the type, found by argument-dependent lookup: the same
/// parameters with another tag (isa::avx2, say) and the format itself in place of F.
template <quant::weight_format F>
void gemm_rows(isa::scalar, F, const kernel_table& table, quant::packed_rows w,
               matrix_view<const float> x, matrix_view<float> y, std::size_t first,
               std::size_t last, std::span<float> scratch) noexcept {
  gemm_decoded(table, &quant::decode_row<F>, w, x, y, first, last, scratch);
}

/// Row `row` of quantized activations as floats: what an int8 input is worth to a float matrix.
inline void dequantize(const quant::quantized_rows& q, std::size_t row, float* y) noexcept {
  const std::int8_t* values = q.values + row * q.padded();
  const float* scales = q.scales + row * q.blocks();
  for (std::size_t first = 0; first < q.cols; first += q.block, ++scales)
    for (std::size_t i = first; i < std::min(first + q.block, q.cols); ++i)
      y[i] = static_cast<float>(values[i]) * *scales;
}

/// What quantizing x into row `row` of q lost: x minus what dequantize gives.
inline void rounding_error(const float* x, const quant::quantized_rows& q, std::size_t row,
                           float* y) noexcept {
  const std::int8_t* values = q.values + row * q.padded();
  const float* scales = q.scales + row * q.blocks();
  for (std::size_t first = 0; first < q.cols; first += q.block, ++scales)
    for (std::size_t i = first; i < std::min(first + q.block, q.cols); ++i)
      y[i] = fused_multiply_add(static_cast<float>(-values[i]), *scales, x[i]);
}

}  // namespace kernels
BITNET_NAMESPACE_END
