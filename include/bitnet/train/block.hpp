// SPDX-License-Identifier: Apache-2.0
// One transformer block, forwards and backwards: the graphs of models/ for training.
#pragma once

#include <bitnet/train/attention.hpp>
#include <bitnet/train/bit_linear.hpp>
#include <bitnet/train/config.hpp>
#include <bitnet/train/feed_forward.hpp>
#include <bitnet/train/norm.hpp>
#include <bitnet/train/rope.hpp>
#include <bitnet/train/workspace.hpp>

#include <array>
#include <cstddef>

BITNET_NAMESPACE_BEGIN
namespace train {

/// The weights of a block, or their gradients. Pointers are null for norms that it lacks.
template <class T>
struct block_norms {
  T* attn = nullptr;
  T* q = nullptr;
  T* k = nullptr;
  T* attn_sub = nullptr;
  T* ffn = nullptr;
  T* ffn_sub = nullptr;
};

/// Gradients of a block's parameters; matrices that share their input are one.
template <class T>
struct block_gradients {
  block_norms<T> norms;
  matrix_view<T> qkv, output, gate_up, down;
};

/// A block of a model. Nothing is owned. `length` tokens make a sequence.
template <class T>
struct block {
  const model_config<T>* config = nullptr;
  const rope_table<T>* rope = nullptr;
  block_norms<const T> norms;
  bit_linear<T> qkv, output, gate_up, down;
  block_memory<T> memory;

  /// Reads memory.x, [tokens][dim], and writes `y`.
  void forward(executor_ref threads, std::size_t length, const shared_memory<T>& shared,
               matrix_view<T> y) const {
    each_chunk(threads, y.rows,
               [&](std::size_t first, std::size_t count) { project(first, count, length); });
    const nn::hparams& h = config->shape;
    const auto attention = [&](std::size_t i, std::size_t worker) {
      for_each_head(i, length, worker, shared,
                    [](const auto& head, std::size_t, std::size_t) { attend(head); });
    };
    threads.parallel_for(y.rows / length * h.kv_heads, attention);
    each_chunk(threads, y.rows, [&](std::size_t first, std::size_t count) {
      feed(first, count, y.slice(first, count));
    });
  }

  /// Turns shared.d_out, the gradient of y, into shared.d_in, that of x, and adds to the gradients
  /// of the parameters.
  void backward(executor_ref threads, std::size_t length, const shared_memory<T>& shared,
                const block_gradients<T>& gradients) const {
    const nn::hparams& h = config->shape;
    const std::size_t tokens = shared.d_out.rows;
    const std::size_t chunks = ceil_div(tokens, chunk_rows);
    std::fill_n(shared.norm_partials, chunks * norm_values(h), T{0});
    const auto feed_back = [&](std::size_t chunk, std::size_t worker) {
      feed_backward(chunk, worker, tokens, shared);
    };
    threads.parallel_for(chunks, feed_back);
    const auto attention = [&](std::size_t i, std::size_t worker) {
      const std::size_t row = i / h.kv_heads * length;
      const std::size_t kv = i % h.kv_heads;
      const auto d = shared.d_qkv.slice(row, length);
      const auto dk = columns(d, h.q_dim() + kv * h.head_dim, h.head_dim);
      const auto dv = columns(d, h.q_dim() + h.kv_dim() + kv * h.head_dim, h.head_dim);
      for (std::size_t r = 0; r < length; ++r) {
        std::fill_n(dk.row(r), h.head_dim, T{0});
        std::fill_n(dv.row(r), h.head_dim, T{0});
      }
      for_each_head(
          i, length, worker, shared, [&](const auto& head, std::size_t first, std::size_t column) {
            const auto dout = columns(shared.d_attended.slice(first, length), column, h.head_dim);
            attend_backward<T>(head, dout, columns(d, column, h.head_dim), dk, dv);
          });
    };
    threads.parallel_for(tokens / length * h.kv_heads, attention);
    const auto project_back = [&](std::size_t chunk, std::size_t worker) {
      project_backward(chunk, worker, tokens, length, shared);
    };
    threads.parallel_for(chunks, project_back);
    weight_gradients<T, 4>(
        threads, {{{gradients.qkv, shared.d_qkv, memory.attn_in.values, shared.qkv},
                   {gradients.output, shared.d_middle, memory.output_in.values, shared.output},
                   {gradients.gate_up, shared.d_gate_up, memory.ffn_in.values, shared.gate_up},
                   {gradients.down, shared.d_out, memory.down_in.values, shared.down}}});
    for (std::size_t c = 0; c < chunks; ++c) {
      const auto part = partials(shared, c);
      add(gradients.norms.attn, part.attn, h.dim);
      add(gradients.norms.q, part.q, h.head_dim);
      add(gradients.norms.k, part.k, h.head_dim);
      add(gradients.norms.attn_sub, part.attn_sub, h.q_dim());
      add(gradients.norms.ffn, part.ffn, h.dim);
      add(gradients.norms.ffn_sub, part.ffn_sub, h.ffn);
    }
  }

 private:
  [[nodiscard]] T eps() const noexcept { return static_cast<T>(config->shape.norm_eps); }

  [[nodiscard]] static std::int32_t* scratch(const shared_memory<T>& shared,
                                             std::size_t worker) noexcept {
    return shared.integers + worker * shared.integer_words;
  }

  static void add(T* sum, const T* part, std::size_t n) noexcept {
    if (sum == nullptr) return;
    for (std::size_t i = 0; i < n; ++i) sum[i] += part[i];
  }

  [[nodiscard]] block_norms<T> partials(const shared_memory<T>& shared,
                                        std::size_t chunk) const noexcept {
    const nn::hparams& h = config->shape;
    block_norms<T> p;
    p.attn = shared.norm_partials + chunk * norm_values(h);
    p.ffn = p.attn + h.dim;
    p.q = p.ffn + h.dim;
    p.k = p.q + h.head_dim;
    p.attn_sub = p.k + h.head_dim;
    p.ffn_sub = p.attn_sub + h.q_dim();
    return p;
  }

  /// norm, q, k, v and their rotation for `count` tokens.
  void project(std::size_t first, std::size_t count, std::size_t length) const {
    const nn::hparams& h = config->shape;
    const auto in = memory.attn_in.slice(first, count);
    const auto out = memory.qkv.slice(first, count);
    for (std::size_t r = 0; r < count; ++r)
      memory.attn_inverse[first + r] =
          rms_norm(memory.x.row(first + r), norms.attn, eps(), in.values.row(r), h.dim);
    quantize_rows(config->activations, in);
    qkv.forward(in, out);
    for (std::size_t r = 0; r < count; ++r) {
      T* x = out.row(r);
      const std::size_t row = first + r;
      for (std::size_t head = 0; head < h.heads + h.kv_heads; ++head, x += h.head_dim) {
        if (norms.q != nullptr) {
          T* raw = memory.qk_raw.row(row) + head * h.head_dim;
          std::copy_n(x, h.head_dim, raw);
          memory.qk_inverse.row(row)[head] =
              rms_norm(raw, head < h.heads ? norms.q : norms.k, eps(), x, h.head_dim);
        }
        rope->rotate(x, row % length);
      }
    }
  }

  void project_backward(std::size_t chunk, std::size_t worker, std::size_t tokens,
                        std::size_t length, const shared_memory<T>& shared) const {
    const nn::hparams& h = config->shape;
    const auto part = partials(shared, chunk);
    const std::size_t first = chunk * chunk_rows;
    const std::size_t count = std::min(chunk_rows, tokens - first);
    for (std::size_t row = first; row < first + count; ++row) {
      T* d = shared.d_qkv.row(row);
      for (std::size_t head = 0; head < h.heads + h.kv_heads; ++head, d += h.head_dim) {
        rope->rotate_back(d, row % length);
        if (norms.q == nullptr) continue;
        const bool query = head < h.heads;
        rms_norm_backward<into::replace>(
            memory.qk_raw.row(row) + head * h.head_dim, query ? norms.q : norms.k,
            memory.qk_inverse.row(row)[head], d, d, query ? part.q : part.k, h.head_dim);
      }
    }
    qkv.backward(chunk, shared.d_qkv.slice(first, count), memory.attn_in.slice(first, count),
                 shared.d_dim.slice(first, count), shared.qkv, scratch(shared, worker));
    for (std::size_t row = first; row < first + count; ++row) {
      std::copy_n(shared.d_middle.row(row), h.dim, shared.d_in.row(row));
      rms_norm_backward<into::add>(memory.x.row(row), norms.attn, memory.attn_inverse[row],
                                   shared.d_dim.row(row), shared.d_in.row(row), part.attn, h.dim);
    }
  }

  /// Calls f(head, first row, column of its queries) for the heads of a KV head of a sequence.
  template <class F>
  void for_each_head(std::size_t i, std::size_t length, std::size_t worker,
                     const shared_memory<T>& shared, F&& f) const {
    const nn::hparams& h = config->shape;
    const std::size_t row = i / h.kv_heads * length;
    const std::size_t kv = i % h.kv_heads;
    const std::size_t group = h.heads / h.kv_heads;
    const auto own = memory.qkv.slice(row, length);
    attention_head<T> a;
    a.k = columns(own, h.q_dim() + kv * h.head_dim, h.head_dim);
    a.v = columns(own, h.q_dim() + h.kv_dim() + kv * h.head_dim, h.head_dim);
    a.scratch = shared.attention + worker * attention_scratch(length);
    a.log_sum_stride = h.heads;
    for (std::size_t head = kv * group; head < (kv + 1) * group; ++head) {
      a.q = columns(own, head * h.head_dim, h.head_dim);
      a.out = columns(memory.attended.slice(row, length), head * h.head_dim, h.head_dim);
      a.log_sum = memory.log_sum.row(row) + head;
      f(a, row, head * h.head_dim);
    }
  }

  /// The output projection and the feed-forward layer for `count` tokens.
  void feed(std::size_t first, std::size_t count, matrix_view<T> y) const {
    const nn::hparams& h = config->shape;
    const auto attended = memory.attended.slice(first, count);
    const auto output_in = memory.output_in.slice(first, count);
    const auto middle = memory.middle.slice(first, count);
    for (std::size_t r = 0; r < count; ++r) {
      if (norms.attn_sub != nullptr) {
        memory.sub_inverse[first + r] =
            rms_norm(attended.row(r), norms.attn_sub, eps(), output_in.values.row(r), h.q_dim());
      } else {
        std::copy_n(attended.row(r), h.q_dim(), output_in.values.row(r));
      }
    }
    quantize_rows(config->activations, output_in);
    output.forward(output_in, middle);
    const auto ffn_in = memory.ffn_in.slice(first, count);
    for (std::size_t r = 0; r < count; ++r) {
      add(middle.row(r), memory.x.row(first + r), h.dim);
      memory.ffn_inverse[first + r] =
          rms_norm(middle.row(r), norms.ffn, eps(), ffn_in.values.row(r), h.dim);
    }
    quantize_rows(config->activations, ffn_in);
    const auto both = memory.gate_up.slice(first, count);
    gate_up.forward(ffn_in, both);
    const auto down_in = memory.down_in.slice(first, count);
    for (std::size_t r = 0; r < count; ++r) {
      T* in = down_in.values.row(r);
      gated(h.activation, both.row(r), both.row(r) + h.ffn, in, h.ffn);
      if (norms.ffn_sub != nullptr)
        memory.ffn_sub_inverse[first + r] = rms_norm(in, norms.ffn_sub, eps(), in, h.ffn);
    }
    quantize_rows(config->activations, down_in);
    down.forward(down_in, y);
    for (std::size_t r = 0; r < count; ++r) add(y.row(r), middle.row(r), h.dim);
  }

  void feed_backward(std::size_t chunk, std::size_t worker, std::size_t tokens,
                     const shared_memory<T>& shared) const {
    const nn::hparams& h = config->shape;
    T* const hidden = shared.gate + worker * h.ffn;
    const auto part = partials(shared, chunk);
    const std::size_t first = chunk * chunk_rows;
    const std::size_t count = std::min(chunk_rows, tokens - first);
    const auto d_ffn = shared.d_ffn.slice(first, count);
    down.backward(chunk, shared.d_out.slice(first, count), memory.down_in.slice(first, count),
                  d_ffn, shared.down, scratch(shared, worker));
    for (std::size_t r = 0; r < count; ++r) {
      const T* gate = memory.gate_up.row(first + r);
      T* d = d_ffn.row(r);
      if (norms.ffn_sub != nullptr) {
        gated(h.activation, gate, gate + h.ffn, hidden, h.ffn);
        rms_norm_backward<into::replace>(static_cast<const T*>(hidden), norms.ffn_sub,
                                         memory.ffn_sub_inverse[first + r], d, d, part.ffn_sub,
                                         h.ffn);
      }
      T* to = shared.d_gate_up.row(first + r);
      gated_backward(h.activation, gate, gate + h.ffn, d, to, to + h.ffn, h.ffn);
    }
    const auto d_dim = shared.d_dim.slice(first, count);
    gate_up.backward(chunk, shared.d_gate_up.slice(first, count), memory.ffn_in.slice(first, count),
                     d_dim, shared.gate_up, scratch(shared, worker));
    for (std::size_t row = first; row < first + count; ++row) {
      std::copy_n(shared.d_out.row(row), h.dim, shared.d_middle.row(row));
      rms_norm_backward<into::add>(memory.middle.row(row), norms.ffn, memory.ffn_inverse[row],
                                   shared.d_dim.row(row), shared.d_middle.row(row), part.ffn,
                                   h.dim);
    }
    const auto d_attended = shared.d_attended.slice(first, count);
    output.backward(chunk, shared.d_middle.slice(first, count),
                    memory.output_in.slice(first, count), d_attended, shared.output,
                    scratch(shared, worker));
    if (norms.attn_sub == nullptr) return;
    for (std::size_t r = 0; r < count; ++r)
      rms_norm_backward<into::replace>(memory.attended.row(first + r), norms.attn_sub,
                                       memory.sub_inverse[first + r], d_attended.row(r),
                                       d_attended.row(r), part.attn_sub, h.q_dim());
  }
};

}  // namespace train
BITNET_NAMESPACE_END
