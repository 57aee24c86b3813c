// SPDX-License-Identifier: Apache-2.0
// The kernels of one instruction set as a table, so that a layer picks once and then just calls.
#pragma once

#include <bitnet/core/half.hpp>
#include <bitnet/core/view.hpp>
#include <bitnet/quant/activation.hpp>
#include <bitnet/quant/kv_head.hpp>
#include <bitnet/quant/tile.hpp>

#include <span>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace kernels {

/// Attention of the query heads that share one KV head, for `rows` tokens at consecutive positions
/// of one sequence, over chunks [first_chunk, last_chunk) of quant::kv_chunk positions; keys and
/// values of every position that a row sees are stored. Query i is head i % heads of row i / heads.
/// Nothing is owned and nothing may overlap.
struct attention_task {
  quant::kv_head kv;
  const float* q;  ///< row r, head h at q + r * q_stride + h * kv.dim
  std::size_t q_stride;
  float* out;  ///< row r, head h at out + r * out_stride + h * head_stride
  std::size_t out_stride;
  std::size_t head_stride;
  float* state;  ///< query i: top score and sum so far, at state + i * state_stride
  std::size_t state_stride;
  std::int16_t* codes;  ///< scratch for q8: rows * heads * kv.padded_dim() numbers,
  float* code_scales;   ///< and rows * heads of these; else unused
  std::size_t rows;
  std::size_t heads;
  std::size_t positions;  ///< that row 0 sees, above kv_chunk * first_chunk; row r sees r more
  std::size_t first_chunk;
  std::size_t last_chunk;  ///< at most the chunks that the last row sees
  float scale;             ///< multiplies q . k before the softmax
  /// Whether `out` becomes the result. Otherwise it is the chunks' part of it, for one row, to be
  /// merged with those of the other chunks.
  bool finish;
};

/// Parts that attend left for each chunk of one query: out at first + c * stride, and its state
/// `state` floats behind. The result is what one task over all chunks gives.
struct attention_parts {
  const float* first;
  std::size_t stride;
  std::size_t state;
  std::size_t count;  ///< of chunks, at least 1
  std::size_t dim;
  float* out;
};

/// Tiles that gemm_gated rearranges at a time, and the scratch that it takes: their codes row by
/// row, and four tokens.
inline constexpr std::size_t gated_tiles = 32;
[[nodiscard]] constexpr std::size_t gated_scratch(std::size_t cols) noexcept {
  return round_up(cols, 256) * (gated_tiles * quant::tile_rows / 4 + 4);
}

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

  /// y[t][r] = W x_t for rows [16 * first_tile, 16 * last_tile) below w.rows; x.cols == w.cols. For
  /// binary matrices x.sums has to be there and groups to be multiples of 32, or plain C++ serves.
  void (*gemm_tiled)(const quant::tiled_view& w, const quant::quantized_rows& x,
                     matrix_view<float> y, std::size_t first_tile, std::size_t last_tile) noexcept;
  /// gate[t][r] becomes max(gate[t][r], 0)^2 * (W x_t)[r] for the same rows, with the bits of
  /// gemm_tiled and relu2_mul. `scratch`: gated_scratch(w.cols) bytes, aligned to 64. Where
  /// skips_zeros says so, products are computed only where the gate is open.
  void (*gemm_gated)(const quant::tiled_view& w, const quant::quantized_rows& x,
                     matrix_view<float> gate, std::size_t first_tile, std::size_t last_tile,
                     std::byte* scratch) noexcept;
  /// x.nonzero of rows 4 * quad onwards, from their values.
  void (*list_nonzero)(const quant::quantized_rows& x, std::size_t quad) noexcept;
  /// Whether gemm_gated and, with x.nonzero, gemm_tiled leave out products that are zero, for
  /// ternary matrices with one scale a row and inputs with one.
  bool skips_zeros;
  /// Row `row` of `out` from x[0, out.cols): values, scales, prefix sums and zero padding.
  void (*quantize)(const float* x, const quant::quantized_rows& out, std::size_t row) noexcept;
  /// x.sums of row `row` from its values.
  void (*tabulate)(const quant::quantized_rows& x, std::size_t row) noexcept;

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
  /// Stores the key and the value, to.dim floats each, of a position below to.capacity.
  void (*store_kv)(const quant::kv_head& to, std::size_t position, const float* k,
                   const float* v) noexcept;
  void (*attend)(const attention_task& task) noexcept;
  void (*merge_attention)(const attention_parts& parts) noexcept;

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
