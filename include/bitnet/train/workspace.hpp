// SPDX-License-Identifier: Apache-2.0
// Memory of a training step: one block, laid out once.
#pragma once

#include <bitnet/train/integer_linear.hpp>

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
  /// Integers, in the place of as many bytes of T.
  template <class I>
  [[nodiscard]] I* take_integers(std::size_t count) noexcept {
    return reinterpret_cast<I*>(take(ceil_div(count * sizeof(I), sizeof(T))));
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
  layer_input<T> attn_in;     ///< rounded input of q, k, v
  matrix_view<T> qkv;         ///< after rotation
  matrix_view<T> qk_raw;      ///< before their norms (Qwen3)
  matrix_view<T> qk_inverse;
  matrix_view<T> log_sum;  ///< of the softmax, for each head
  matrix_view<T> attended;
  T* sub_inverse = nullptr;
  layer_input<T> output_in;
  matrix_view<T> middle;  ///< the residual stream between attention and feed-forward
  T* ffn_inverse = nullptr;
  layer_input<T> ffn_in;
  matrix_view<T> gate_up;
  T* ffn_sub_inverse = nullptr;
  layer_input<T> down_in;
};

/// Memory that all blocks use in turn.
template <class T>
struct shared_memory {
  T* attention = nullptr;  ///< scratch of each worker
  T* gate = nullptr;       ///< a row for each worker
  T* norm_partials = nullptr;
  matrix_view<T> d_out, d_middle, d_in;  ///< gradients of the residual stream
  matrix_view<T> d_dim, d_qkv, d_attended, d_gate_up, d_ffn;
  std::int32_t* integers = nullptr;  ///< of each worker, integer_words of them
  std::size_t integer_words = 0;
  gradient_operands qkv, output, gate_up, down;
};

}  // namespace train
BITNET_NAMESPACE_END
