// SPDX-License-Identifier: Apache-2.0
// Causal grouped-query attention over a KV cache (Ainslie et al., "GQA", 2023).
#pragma once

#include <bitnet/nn/context.hpp>

#include <cmath>

BITNET_NAMESPACE_BEGIN
namespace nn {

namespace detail {

/// Writes the keys and values of one row into its sequence's cache.
template <class C>
void store_row(const C& c, const step_row& row, const float* k, const float* v) noexcept {
  const hparams& h = c.shape();
  for (std::size_t head = 0; head < h.kv_heads; ++head, k += h.head_dim, v += h.head_dim)
    c.kernels().store_kv(row.cache->head(c.layer, head), row.position, k, v);
}

/// Rows whose attention is one piece of work: what they read of a KV head is read once, and stays
/// in the second cache level together with their queries and results.
inline constexpr std::size_t attention_rows = 16;

/// Rows [first, result) follow each other in one sequence; result is at most `last`.
[[nodiscard]] inline std::size_t end_of_run(std::span<const step_row> rows, std::size_t first,
                                            std::size_t last) noexcept {
  std::size_t r = first + 1;
  while (r < last && rows[r].cache == rows[first].cache &&
         rows[r].position == rows[first].position + (r - first))
    ++r;
  return r;
}

/// What a worker needs for `rows` rows of one KV head, in scratch memory.
struct attention_scratch {
  float* state = nullptr;
  float* code_scales = nullptr;
  std::int16_t* codes = nullptr;
};

/// A task over the chunks that `count` rows from row `first` see of KV head `kv`, without its
/// output.
template <class C>
[[nodiscard]] kernels::attention_task attention_of(const C& c, std::size_t first, std::size_t count,
                                                   std::size_t kv, activations q,
                                                   const attention_scratch& scratch) noexcept {
  const hparams& h = c.shape();
  const step_row& row = c.rows()[first];
  const std::size_t group = h.heads / h.kv_heads;
  kernels::attention_task task{};
  task.kv = row.cache->head(c.layer, kv);
  task.q = q.row(first) + kv * group * h.head_dim;
  task.q_stride = q.stride;
  task.state = scratch.state;
  task.state_stride = 2;
  task.codes = scratch.codes;
  task.code_scales = scratch.code_scales;
  task.rows = count;
  task.heads = group;
  task.positions = row.position + 1;
  task.last_chunk = ceil_div(row.position + count, quant::kv_chunk);
  task.scale = 1.0F / std::sqrt(static_cast<float>(h.head_dim));
  return task;
}

}  // namespace detail

/// Stores k and v, [rows][kv_dim], at the rows' positions, then gives softmax(q k^T / sqrt(d)) v
/// for q, [rows][q_dim]: each row sees its own sequence up to and including itself.
template <class C>
[[nodiscard]] activations attend(C& c, activations q, activations k, activations v) {
  const auto timing = c.time(step_part::attention);
  const hparams& h = c.shape();
  const auto rows = c.rows();
  auto out = c.make(q.rows, q.cols);
  const auto scope = c.scope();

  std::size_t longest = 0;  // positions that any row of any step may see
  std::size_t used = 0;     // chunks that one of these rows sees
  bool codes = false;
  for (const step_row& row : rows) {
    longest = std::max(longest, row.cache->capacity());
    used = std::max(used, row.position / quant::kv_chunk + 1);
    codes = codes || row.cache->type() == kv_type::q8;
  }
  const std::size_t group = h.heads / h.kv_heads;
  const std::size_t together = std::min(rows.size(), detail::attention_rows);
  // A step that may be stopped has shorter pieces where each row reads much.
  const std::size_t batch =
      c.control == nullptr ? together : std::clamp<std::size_t>(64 / used, 1, together);
  const std::size_t padded = round_up(h.head_dim, quant::kv_lanes);
  const std::size_t queries = c.concurrency() * together * group;
  detail::attention_scratch all;
  all.state = c.template take<float>(queries * 2);
  all.code_scales = c.template take<float>(codes ? queries : 0);
  all.codes = c.template take<std::int16_t>(codes ? queries * padded : 0);
  const auto scratch_of = [&](std::size_t worker) {
    detail::attention_scratch mine = all;
    mine.state += worker * together * group * 2;
    if (codes) mine.code_scales += worker * together * group;
    if (codes) mine.codes += worker * together * group * padded;
    return mine;
  };

  // Few rows have too few KV heads to keep threads busy: their chunks are pieces of their own, and
  // the parts are merged, which gives the same bits.
  const std::size_t few =
      c.concurrency() == 1 ? 0 : std::min(rows.size(), 4 * c.concurrency() / h.kv_heads);
  const bool spread = rows.size() <= few && used > 1;
  const std::size_t chunks = ceil_div(longest, quant::kv_chunk);
  const std::size_t record = padded + cache_line / sizeof(float);  // a part and its state
  float* parts = c.template take<float>(few * h.heads * chunks * record);

  c.each_row(rows.size(),
             [&](std::size_t r) { detail::store_row(c, rows[r], k.row(r), v.row(r)); });
  if (!spread) {
    c.parallel(ceil_div(rows.size(), batch) * h.kv_heads, [&](std::size_t i, std::size_t worker) {
      const std::size_t kv = i % h.kv_heads;
      const std::size_t begin = i / h.kv_heads * batch;
      const std::size_t end = std::min(begin + batch, rows.size());
      for (std::size_t r = begin; r < end;) {
        const std::size_t next = detail::end_of_run(rows, r, end);
        auto task = detail::attention_of(c, r, next - r, kv, q, scratch_of(worker));
        task.out = out.row(r) + kv * group * h.head_dim;
        task.out_stride = out.stride;
        task.head_stride = h.head_dim;
        task.finish = true;
        c.kernels().attend(task);
        r = next;
      }
    });
    return out;
  }
  const auto part_of = [&](std::size_t r, std::size_t head, std::size_t chunk) {
    return parts + ((r * chunks + chunk) * h.heads + head) * record;
  };
  c.parallel(rows.size() * h.kv_heads * used, [&](std::size_t i, std::size_t worker) {
    // A worker's pieces follow each other in memory: the heads of a chunk.
    const std::size_t kv = i % h.kv_heads;
    const std::size_t chunk = i / h.kv_heads % used;
    const std::size_t r = i / h.kv_heads / used;
    auto task = detail::attention_of(c, r, 1, kv, q, scratch_of(worker));
    if (chunk >= task.last_chunk) return;
    task.first_chunk = chunk;
    task.last_chunk = chunk + 1;
    task.out = part_of(r, kv * group, chunk);
    task.head_stride = record;
    task.state = task.out + padded;
    task.state_stride = record;
    c.kernels().attend(task);
  });
  c.parallel(rows.size() * h.heads, [&](std::size_t i, std::size_t) {
    const std::size_t r = i / h.heads;
    const std::size_t head = i % h.heads;
    c.kernels().merge_attention({.first = part_of(r, head, 0),
                                 .stride = h.heads * record,
                                 .state = padded,
                                 .count = rows[r].position / quant::kv_chunk + 1,
                                 .dim = h.head_dim,
                                 .out = out.row(r) + head * h.head_dim});
  });
  return out;
}

}  // namespace nn
BITNET_NAMESPACE_END
