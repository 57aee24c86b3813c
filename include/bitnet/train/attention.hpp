// SPDX-License-Identifier: Apache-2.0
// Causal grouped-query attention of one sequence and one KV head, forwards and backwards.
//
// Scores exist for a block of queries at a time, and the backward pass computes them again from
// the softmax's logarithm of the sum (Dao et al., "FlashAttention", 2022), so that memory stays
// linear in the length.
#pragma once

#include <bitnet/train/exp.hpp>
#include <bitnet/train/matrix.hpp>

#include <cmath>
#include <cstddef>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Queries whose scores exist at once.
inline constexpr std::size_t attention_block = 64;

/// Values of scratch that a worker needs for sequences of `length`.
[[nodiscard]] constexpr std::size_t attention_scratch(std::size_t length) noexcept {
  return 2 * attention_block * length;
}

/// One head of one sequence: [length][head_dim] each. Heads of a group share k and v.
template <class T>
struct attention_head {
  matrix_view<const T> q, k, v;
  matrix_view<T> out;
  T* log_sum = nullptr;  ///< of query i at i * log_sum_stride: log(sum(exp(score)))
  std::size_t log_sum_stride = 1;
  T* scratch = nullptr;  ///< attention_scratch(length) values
};

/// out = softmax(q k^T / sqrt(head_dim)) v, each query seeing the keys up to its own.
template <class T>
void attend(const attention_head<T>& a) noexcept {
  const T scale = T{1} / std::sqrt(static_cast<T>(a.q.cols));
  for (std::size_t first = 0; first < a.q.rows; first += attention_block) {
    const std::size_t count = std::min(attention_block, a.q.rows - first);
    const std::size_t seen = first + count;
    const matrix_view<T> p{a.scratch, count, seen};
    multiply_nt(p, a.q.slice(first, count), a.k.slice(0, seen), scale);
    for (std::size_t r = 0; r < count; ++r) {
      T* x = p.row(r);
      const std::size_t n = first + r + 1;
      const T most = lane_max<T>(n, x[0], [x](std::size_t i) { return x[i]; });
      for (std::size_t i = 0; i < n; ++i) x[i] = exponential(x[i] - most);
      const T sum = lane_sum<T>(n, [x](std::size_t i) { return x[i]; });
      const T inverse = T{1} / sum;
      for (std::size_t i = 0; i < n; ++i) x[i] *= inverse;
      std::fill(x + n, x + seen, T{0});
      a.log_sum[(first + r) * a.log_sum_stride] = most + std::log(sum);
    }
    multiply_nn(a.out.slice(first, count), p, a.v.slice(0, seen));
  }
}

/// Writes dq and adds to dk and dv the gradients for the gradient dout of out.
template <class T>
void attend_backward(const attention_head<T>& a, detail::constant<T> dout, matrix_view<T> dq,
                     matrix_view<T> dk, matrix_view<T> dv) noexcept {
  const T scale = T{1} / std::sqrt(static_cast<T>(a.q.cols));
  for (std::size_t first = 0; first < a.q.rows; first += attention_block) {
    const std::size_t count = std::min(attention_block, a.q.rows - first);
    const std::size_t seen = first + count;
    const matrix_view<T> p{a.scratch, count, seen};
    const matrix_view<T> ds{a.scratch + attention_block * a.q.rows, count, seen};
    const auto q = a.q.slice(first, count);
    const auto dy = dout.slice(first, count);
    multiply_nt(p, q, a.k.slice(0, seen), scale);
    multiply_nt(ds, dy, a.v.slice(0, seen));
    for (std::size_t r = 0; r < count; ++r) {
      T* x = p.row(r);
      T* d = ds.row(r);
      const T* y = a.out.row(first + r);
      const T* g = dy.row(r);
      const std::size_t n = first + r + 1;
      const T log_sum = a.log_sum[(first + r) * a.log_sum_stride];
      const T mean = lane_sum<T>(a.q.cols, [=](std::size_t i) { return y[i] * g[i]; });
      for (std::size_t i = 0; i < n; ++i) {
        x[i] = exponential(x[i] - log_sum);
        d[i] = x[i] * (d[i] - mean) * scale;
      }
      std::fill(x + n, x + seen, T{0});
      std::fill(d + n, d + seen, T{0});
    }
    multiply_nn(dq.slice(first, count), ds, a.k.slice(0, seen));
    add_multiply_tn(dk.slice(0, seen), ds, q);
    add_multiply_tn(dv.slice(0, seen), p, dy);
  }
}

}  // namespace train
BITNET_NAMESPACE_END
