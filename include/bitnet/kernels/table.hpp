// SPDX-License-Identifier: Apache-2.0
// The kernels of one instruction set as a table, so that a layer picks once and then just calls.
#pragma once

#include <bitnet/core/half.hpp>
#include <bitnet/core/view.hpp>
#include <bitnet/quant/activation.hpp>
#include <bitnet/quant/tile.hpp>

#include <span>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace kernels {

/// Attention of the query heads that share one KV head, for one token, over positions
/// [0, positions). T is f16 or float. Nothing is owned and nothing may overlap.
template <class T>
struct attention_task {
  const float* q;     ///< [heads][head_dim], head h at q + h * head_stride
  const T* k;         ///< [positions][head_dim]
  const T* v;         ///< [positions][head_dim]
  float* out;         ///< [heads][head_dim], head h at out + h * head_stride
  float* scores;      ///< scratch, heads * round_up(positions, 16) floats
  std::size_t heads;  ///< query heads in the group
  std::size_t head_stride;
  std::size_t head_dim;
  std::size_t positions;  ///< at least 1
  float scale;            ///< multiplies q . k before the softmax
};

/// Bounds on `count` scores, each known to within error * of_error + magnitude * of_magnitude.
/// Nothing is owned.
struct score_bounds_task {
  const float* scores;
  const float* error;
  const float* magnitude;
  float of_error;
  float of_magnitude;
  float* lower;  ///< for each 16 scores, the largest that one of them is sure to reach
  float* upper;  ///< and the largest that one of them may reach
  std::size_t count;
};

/// Every kernel that layers call. All are safe on any thread, allocate nothing, and give the same
/// bits whatever the instruction set and whatever the number of rows in the call.
struct kernel_table {
  std::string_view isa;

  /// y[t][r] = W x_t for rows [16 * first_tile, 16 * last_tile) below w.rows; x.cols == w.cols.
  void (*gemm_tiled)(const quant::tiled_view& w, const quant::quantized_rows& x,
                     matrix_view<float> y, std::size_t first_tile, std::size_t last_tile) noexcept;
  /// Row `row` of `out` from x[0, out.cols): values, scales, prefix sums and zero padding.
  void (*quantize)(const float* x, const quant::quantized_rows& out, std::size_t row) noexcept;

  /// y[t][r] = W x_t for rows [first_row, last_row) of a row-major matrix; bytes may be unaligned.
  using gemm_dense = void (*)(quant::packed_rows w, matrix_view<const float> x,
                              matrix_view<float> y, std::size_t first_row,
                              std::size_t last_row) noexcept;
  gemm_dense gemm_f32;
  gemm_dense gemm_f16;
  gemm_dense gemm_bf16;

  /// y = x / sqrt(mean(x^2) + eps) * weight; weight may be null (all ones); y may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, float* y,
                   std::size_t n) noexcept;
  void (*add)(float* y, const float* x, std::size_t n) noexcept;  ///< y += x
  void (*scale)(float* y, float factor, std::size_t n) noexcept;  ///< y *= factor
  /// y = silu(gate) * up, silu(x) = x / (1 + exp(-x)); y may be gate or up.
  void (*silu_mul)(const float* gate, const float* up, float* y, std::size_t n) noexcept;
  /// y = max(gate, 0)^2 * up; y may be gate or up.
  void (*relu2_mul)(const float* gate, const float* up, float* y, std::size_t n) noexcept;
  /// Rotates pairs (2i, 2i + 1) of x[0, 2 * pairs) by the angles whose cos and sin are given.
  void (*rope_adjacent)(float* x, const float* cos, const float* sin, std::size_t pairs) noexcept;
  /// Rotates pairs (i, i + pairs), the NEOX order.
  void (*rope_halves)(float* x, const float* cos, const float* sin, std::size_t pairs) noexcept;
  void (*to_f16)(const float* x, f16* y, std::size_t n) noexcept;  ///< to nearest, ties even
  void (*attend_f16)(const attention_task<f16>& task) noexcept;
  void (*attend_f32)(const attention_task<float>& task) noexcept;

  /// n half-precision numbers from unaligned memory as floats.
  void (*widen_f16)(const std::byte* x, float* y, std::size_t n) noexcept;
  void (*widen_bf16)(const std::byte* x, float* y, std::size_t n) noexcept;
  void (*sum_squares)(const float* x, std::size_t n, float& sum) noexcept;
  /// w[0, n) as codes in [-127, 127] times one scale for each `group` (a multiple of 16) columns;
  /// `codes` has room for a multiple of 16. `lost` is the sum of squares of what w and the copy
  /// differ by, `kept` that of the copy.
  void (*copy_row)(const float* w, std::size_t n, std::size_t group, std::int8_t* codes,
                   f16* scales, float& lost, float& kept) noexcept;
  void (*score_bounds)(const score_bounds_task& task) noexcept;
};

}  // namespace kernels
BITNET_NAMESPACE_END
