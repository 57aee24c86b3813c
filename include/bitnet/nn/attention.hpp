// SPDX-License-Identifier: Apache-2.0
// Causal grouped-query attention over a KV cache (Ainslie et al., "GQA", 2023).
#pragma once

#include <bitnet/nn/context.hpp>

#include <cmath>
#include <cstring>

BITNET_NAMESPACE_BEGIN
namespace nn {

namespace detail {

/// Writes the keys and values of one row into its sequence's cache.
template <class C>
void store_row(const C& c, const step_row& row, const float* k, const float* v) noexcept {
  const hparams& h = c.shape();
  const std::size_t at = row.position * h.head_dim;
  for (std::size_t head = 0; head < h.kv_heads; ++head, k += h.head_dim, v += h.head_dim) {
    if (row.cache->type() == kv_type::f16) {
      c.kernels().to_f16(k, row.cache->template keys<f16>(c.layer, head) + at, h.head_dim);
      c.kernels().to_f16(v, row.cache->template values<f16>(c.layer, head) + at, h.head_dim);
    } else {
      const std::size_t bytes = h.head_dim * sizeof(float);
      std::memcpy(row.cache->template keys<float>(c.layer, head) + at, k, bytes);
      std::memcpy(row.cache->template values<float>(c.layer, head) + at, v, bytes);
    }
  }
}

/// Query heads whose attention is one piece of work: they share the reading of keys and values.
inline constexpr std::size_t attention_heads = 4;

/// Query heads [first, first + count) of one row, which share a KV head.
template <class T, class C>
[[nodiscard]] kernels::attention_task<T> attention_of(const C& c, const step_row& row,
                                                      std::size_t first, std::size_t count,
                                                      const float* q, float* out,
                                                      float* scores) noexcept {
  const hparams& h = c.shape();
  const std::size_t kv = first / (h.heads / h.kv_heads);
  return {.q = q + first * h.head_dim,
          .k = row.cache->template keys<T>(c.layer, kv),
          .v = row.cache->template values<T>(c.layer, kv),
          .out = out + first * h.head_dim,
          .scores = scores,
          .heads = count,
          .head_stride = h.head_dim,
          .head_dim = h.head_dim,
          .positions = row.position + 1,
          .scale = 1.0F / std::sqrt(static_cast<float>(h.head_dim))};
}

}  // namespace detail

/// Stores k and v, [rows][kv_dim], at the rows' positions, then gives softmax(q k^T / sqrt(d)) v
/// for q, [rows][q_dim]: each row sees its own sequence up to and including itself.
template <class C>
[[nodiscard]] activations attend(C& c, activations q, activations k, activations v) {
  const hparams& h = c.shape();
  const auto rows = c.rows();
  auto out = c.make(q.rows, q.cols);
  const auto scope = c.scope();

  std::size_t longest = 0;  // positions that any row of this step may see
  for (const step_row& row : rows) longest = std::max(longest, row.cache->capacity());
  const std::size_t group = h.heads / h.kv_heads;
  const std::size_t together = std::min(group, detail::attention_heads);
  const std::size_t pieces = ceil_div(group, together);  // of a group
  const std::size_t scores_each = together * round_up(longest, 16);
  float* scores = c.template take<float>(c.concurrency() * scores_each);

  c.each_row(rows.size(),
             [&](std::size_t r) { detail::store_row(c, rows[r], k.row(r), v.row(r)); });
  c.parallel(rows.size() * h.kv_heads * pieces, [&](std::size_t i, std::size_t worker) {
    const std::size_t r = i / (h.kv_heads * pieces);
    const std::size_t kv = i / pieces % h.kv_heads;
    const std::size_t skip = i % pieces * together;  // query heads of the group before this piece
    const std::size_t first = kv * group + skip;
    const std::size_t count = std::min(together, group - skip);
    float* mine = scores + worker * scores_each;
    if (rows[r].cache->type() == kv_type::f16) {
      c.kernels().attend_f16(
          detail::attention_of<f16>(c, rows[r], first, count, q.row(r), out.row(r), mine));
    } else {
      c.kernels().attend_f32(
          detail::attention_of<float>(c, rows[r], first, count, q.row(r), out.row(r), mine));
    }
  });
  return out;
}

}  // namespace nn
BITNET_NAMESPACE_END
