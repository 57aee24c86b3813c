// SPDX-License-Identifier: Apache-2.0
// Memory of a training step: one block, laid out once.
#pragma once

#include <bitnet/train/matrix.hpp>

#include <cstddef>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Hands out pieces of a block. Without a block it only counts, so that laying out twice, first
/// without and then with memory, gives every piece its place.
template <class T>
class layout {
 public:
  layout() = default;
  explicit layout(T* base) noexcept : base_{base} {}

  [[nodiscard]] T* take(std::size_t count) noexcept {
    T* const p = base_ == nullptr ? nullptr : base_ + used_;
    used_ += round_up(count, cache_line / sizeof(T));
    return p;
  }
  [[nodiscard]] matrix_view<T> take(std::size_t rows, std::size_t cols) noexcept {
    return {take(rows * cols), rows, cols};
  }
  [[nodiscard]] std::size_t used() const noexcept { return used_; }

 private:
  T* base_ = nullptr;
  std::size_t used_ = 0;
};

/// What the backward pass of a block needs of its forward pass. Matrices have a row for each token.
template <class T>
struct block_memory {
  matrix_view<T> x;           ///< input of the block
  T* attn_inverse = nullptr;  ///< 1 / rms of x
  matrix_view<T> attn_in;     ///< rounded input of q, k, v
  matrix_view<T> qkv;         ///< after rotation
  matrix_view<T> qk_raw;      ///< before their norms (Qwen3)
  matrix_view<T> qk_inverse;
  matrix_view<T> log_sum;  ///< of the softmax, for each head
  matrix_view<T> attended;
  T* sub_inverse = nullptr;
  matrix_view<T> output_in;
  matrix_view<T> middle;  ///< the residual stream between attention and feed-forward
  T* ffn_inverse = nullptr;
  matrix_view<T> ffn_in;
  matrix_view<T> gate_up;
  T* ffn_sub_inverse = nullptr;
  matrix_view<T> down_in;
};

/// Memory that all blocks use in turn.
template <class T>
struct shared_memory {
  T* scales = nullptr;     ///< of each token's rounded input
  T* attention = nullptr;  ///< scratch of each worker
  T* gate = nullptr;       ///< a row for each worker
  T* norm_partials = nullptr;
  matrix_view<T> d_out, d_middle, d_in;  ///< gradients of the residual stream
  matrix_view<T> d_dim, d_qkv, d_attended, d_gate_up, d_ffn;
};

}  // namespace train
BITNET_NAMESPACE_END
