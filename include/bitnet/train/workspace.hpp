// SPDX-License-Identifier: Apache-2.0
// Memory of a training step: one block, laid out once.
#pragma once

#include <bitnet/train/attention.hpp>
#include <bitnet/train/config.hpp>
#include <bitnet/train/integer_linear.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

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

/// Gradients of norm weights that a piece of work sums up by itself.
[[nodiscard]] inline std::size_t norm_values(const nn::hparams& h) noexcept {
  return 2 * h.dim + 2 * h.head_dim + h.q_dim() + h.ffn;
}

/// Everything that a step of a model needs besides parameters and gradients.
template <class T>
struct step_memory {
  std::vector<block_memory<T>> blocks;
  shared_memory<T> shared;
  matrix_view<T> final;  ///< the residual stream behind the last block
  T* final_inverse = nullptr;
  matrix_view<T> normed;
  matrix_view<T> logits;  ///< of as many tokens as are scored at once

  /// Places everything for so many tokens, in sequences of `length`, in `base`, which has as many
  /// values as the same call with a null pointer returns. `integers`: layers multiply integers.
  std::size_t lay_out(const nn::hparams& h, bool qk_norms, bool integers, std::size_t workers,
                      T* base, std::size_t tokens, std::size_t length) {
    layout<T> l{base};
    place_blocks(l, h, qk_norms, integers, tokens);
    final = l.take(tokens, h.dim);
    final_inverse = l.take(tokens);
    normed = l.take(tokens, h.dim);
    logits = l.take(head_rows(tokens, h.vocab), h.vocab);
    place_shared(l, h, workers, tokens, length);
    if (integers) place_integers(l, h, workers, tokens);
    return l.used();
  }

 private:
  /// Rows of the head that are computed at once: their logits are the largest matrix of a step.
  [[nodiscard]] static std::size_t head_rows(std::size_t tokens, std::size_t vocab) noexcept {
    constexpr std::size_t most = std::size_t{1} << 23;  // values
    const std::size_t rows = most / vocab / chunk_rows * chunk_rows;
    return std::min(tokens, std::max(rows, chunk_rows));
  }

  void place_blocks(layout<T>& l, const nn::hparams& h, bool qk_norms, bool integers,
                    std::size_t tokens) {
    // Codes are all that the backward pass needs of rounded inputs; then blocks share the values.
    const auto shared_values = [&](std::size_t cols) {
      return integers ? l.take(tokens, cols) : matrix_view<T>{};
    };
    const auto dim_values = shared_values(h.dim), q_values = shared_values(h.q_dim()),
               ffn_values = shared_values(h.ffn);
    const auto input = [&](const matrix_view<T>& values, std::size_t cols) {
      layer_input<T> in;
      in.values = integers ? values : l.take(tokens, cols);
      in.scales = l.take(tokens);
      if (integers)
        in.codes = l.template take_integers<std::uint8_t>(tokens * layer_input<T>::stride_of(cols));
      return in;
    };
    blocks.resize(h.layers);
    for (block_memory<T>& m : blocks) {
      m.x = l.take(tokens, h.dim);
      m.attn_inverse = l.take(tokens);
      m.attn_in = input(dim_values, h.dim);
      m.qkv = l.take(tokens, h.q_dim() + 2 * h.kv_dim());
      if (qk_norms) {
        m.qk_raw = l.take(tokens, h.q_dim() + h.kv_dim());
        m.qk_inverse = l.take(tokens, h.heads + h.kv_heads);
      }
      m.log_sum = l.take(tokens, h.heads);
      m.attended = l.take(tokens, h.q_dim());
      m.sub_inverse = l.take(tokens);
      m.output_in = input(q_values, h.q_dim());
      m.middle = l.take(tokens, h.dim);
      m.ffn_inverse = l.take(tokens);
      m.ffn_in = input(dim_values, h.dim);
      m.gate_up = l.take(tokens, 2 * h.ffn);
      m.ffn_sub_inverse = l.take(tokens);
      m.down_in = input(ffn_values, h.ffn);
    }
  }

  void place_shared(layout<T>& l, const nn::hparams& h, std::size_t workers, std::size_t tokens,
                    std::size_t length) {
    shared.attention = l.take(workers * attention_scratch(length));
    shared.gate = l.take(workers * h.ffn);
    shared.norm_partials = l.take(ceil_div(tokens, chunk_rows) * norm_values(h));
    shared.d_out = l.take(tokens, h.dim);
    shared.d_middle = l.take(tokens, h.dim);
    shared.d_in = l.take(tokens, h.dim);
    shared.d_dim = l.take(tokens, h.dim);
    shared.d_qkv = l.take(tokens, h.q_dim() + 2 * h.kv_dim());
    shared.d_attended = l.take(tokens, h.q_dim());
    shared.d_gate_up = l.take(tokens, 2 * h.ffn);
    shared.d_ffn = l.take(tokens, h.ffn);
  }

  void place_integers(layout<T>& l, const nn::hparams& h, std::size_t workers, std::size_t tokens) {
    const std::size_t chunks = ceil_div(tokens, chunk_rows);
    const auto operands = [&](std::size_t outputs, std::size_t inputs) {
      gradient_operands g;
      g.outputs = outputs;
      g.inputs = inputs;
      g.left = l.template take_integers<std::int32_t>(chunks * g.left_words());
      g.scales = l.template take_integers<float>(chunks * outputs);
      g.right = l.template take_integers<std::int32_t>(chunks * g.right_words());
      return g;
    };
    const std::size_t qkv = h.q_dim() + 2 * h.kv_dim();
    shared.qkv = operands(qkv, h.dim);
    shared.output = operands(h.dim, h.q_dim());
    shared.gate_up = operands(2 * h.ffn, h.dim);
    shared.down = operands(h.dim, h.ffn);
    shared.integer_words = integer_scratch(std::max({qkv, h.dim, 2 * h.ffn}));
    shared.integers = l.template take_integers<std::int32_t>(workers * shared.integer_words);
  }
};

}  // namespace train
BITNET_NAMESPACE_END
