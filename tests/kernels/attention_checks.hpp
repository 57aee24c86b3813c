// SPDX-License-Identifier: Apache-2.0
// Checks of attention: right against softmax in double, and the same bits on every instruction
// set, alone or with other rows, whole or chunk by chunk.
#pragma once

#include "kernels/support.hpp"

#include <bitnet/quant/kv_head.hpp>

#include <algorithm>
#include <array>
#include <limits>

namespace {

using bitnet::quant::kv_chunk;
using bitnet::quant::kv_type;

/// Keys and values of one head, as given and as each storage type keeps them.
struct kv_case {
  std::vector<float> keys, values;  ///< as given, [positions][dim]
  std::vector<double> kept_keys, kept_values;
  bitnet::aligned_buffer<std::byte> memory;
  std::vector<std::byte*> pages;
  bitnet::quant::kv_head head;

  kv_case(generator& g, std::size_t dim, std::size_t positions, kv_type type)
      : kv_case{g.floats(positions * dim, -2.0F, 2.0F), g.floats(positions * dim, -2.0F, 2.0F), dim,
                type} {}
  kv_case(std::vector<float> k, std::vector<float> v, std::size_t dim, kv_type type)
      : keys{std::move(k)}, values{std::move(v)} {
    const std::size_t positions = keys.size() / dim;
    const std::size_t capacity = bitnet::round_up(positions + 1, 16);
    const std::size_t bytes = capacity * bitnet::quant::kv_head::position_bytes(type, dim);
    memory = *bitnet::aligned_buffer<std::byte>::make(bytes, "test");
    std::memset(memory.data(), 0xff, bytes);  // NaN, where nothing is stored
    const std::size_t page = kv_chunk * bitnet::quant::kv_head::position_bytes(type, dim);
    for (std::size_t at = 0; at < bytes; at += page) pages.push_back(memory.data() + at);
    head = {pages.data(), 0, capacity, dim, type};
    kept_keys = kept(keys);
    kept_values = kept(values);
  }

  void store(const kernel_table& k) const {
    for (std::size_t j = 0; j < keys.size() / head.dim; ++j)
      k.store_kv(head, j, keys.data() + j * head.dim, values.data() + j * head.dim);
  }

 private:
  [[nodiscard]] std::vector<double> kept(const std::vector<float>& x) const {
    std::vector<double> y;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (head.type == kv_type::f32) y.push_back(double{x[i]});
      if (head.type == kv_type::f16) y.push_back(double{bitnet::to_float(bitnet::to_f16(x[i]))});
      if (head.type != kv_type::q8) continue;
      const float* row = x.data() + i / head.dim * head.dim;
      float m = 0.0F;
      for (std::size_t d = 0; d < head.dim; ++d) m = std::max(m, std::abs(row[d]));
      const float factor = m > 0.0F ? 127.0F / m : 0.0F, product = x[i] * factor;
      y.push_back(double{std::nearbyint(product)} * double{m} / 127.0);
    }
    return y;
  }
};

/// Attention of `rows` rows of `heads` heads, the last row at the last position of the case.
struct attention_run {
  const kv_case& kv;
  const std::vector<float>& q;  ///< [rows][heads][dim], row stride + 5
  std::size_t heads;
  std::size_t rows;

  [[nodiscard]] std::size_t row_stride() const { return heads * kv.head.dim + 5; }
  [[nodiscard]] std::size_t first_position() const { return kv.keys.size() / kv.head.dim - rows; }

  /// Rows [first, last), all at once, into out: [rows][heads][dim].
  void whole(const kernel_table& k, std::size_t first, std::size_t last, float* out) const {
    work w{*this, last - first};
    auto task = w.task(first);
    task.out = out + first * heads * kv.head.dim;
    task.out_stride = heads * kv.head.dim;
    task.head_stride = kv.head.dim;
    task.finish = true;
    k.attend(task);
  }
  /// Row by row and chunk by chunk, merged.
  void parts(const kernel_table& k, float* out) const {
    const std::size_t dim = kv.head.dim, record = dim + 2;
    for (std::size_t r = 0; r < rows; ++r) {
      work w{*this, 1};
      auto task = w.task(r);
      const std::size_t chunks = task.last_chunk;
      std::vector<float> part(chunks * heads * record);
      for (std::size_t c = chunks; c-- > 0;) {
        task.first_chunk = c;
        task.last_chunk = c + 1;
        task.out = part.data() + c * heads * record;
        task.head_stride = record;
        task.state = task.out + dim;
        task.state_stride = record;
        k.attend(task);
      }
      for (std::size_t h = 0; h < heads; ++h)
        k.merge_attention({part.data() + h * record, heads * record, dim, chunks, dim,
                           out + (r * heads + h) * dim});
    }
  }

 private:
  struct work {
    const attention_run& run;
    std::size_t rows;
    std::vector<float> state, scales;
    std::vector<std::int16_t> codes;
    work(const attention_run& r, std::size_t n)
        : run{r},
          rows{n},
          state(n * r.heads * 3),
          scales(n * r.heads),
          codes(n * r.heads * r.kv.head.padded_dim()) {}

    [[nodiscard]] bitnet::kernels::attention_task task(std::size_t first) {
      bitnet::kernels::attention_task t{};
      t.kv = run.kv.head;
      t.q = run.q.data() + first * run.row_stride();
      t.q_stride = run.row_stride();
      t.state = state.data();
      t.state_stride = 3;
      t.codes = codes.data();
      t.code_scales = scales.data();
      t.rows = rows;
      t.heads = run.heads;
      t.positions = run.first_position() + first + 1;
      t.last_chunk = bitnet::ceil_div(t.positions + rows - 1, kv_chunk);
      t.scale = 0.31F;
      return t;
    }
  };
};

/// The result in double, from what the storage type keeps.
inline std::vector<double> exact_attention(const attention_run& run) {
  const std::size_t dim = run.kv.head.dim;
  std::vector<double> out(run.rows * run.heads * dim);
  for (std::size_t i = 0; i < run.rows * run.heads; ++i) {
    const std::size_t row = i / run.heads, seen = run.first_position() + row + 1;
    const float* q = run.q.data() + row * run.row_stride() + i % run.heads * dim;
    std::vector<double> p(seen);
    double top = -1e300, sum = 0;
    for (std::size_t j = 0; j < seen; ++j) {
      for (std::size_t d = 0; d < dim; ++d) p[j] += double{q[d]} * run.kv.kept_keys[j * dim + d];
      p[j] *= double{0.31F};
      top = std::max(top, p[j]);
    }
    for (double& x : p) sum += x = std::exp(x - top);
    for (std::size_t j = 0; j < seen; ++j)
      for (std::size_t d = 0; d < dim; ++d)
        out[i * dim + d] += p[j] / sum * run.kv.kept_values[j * dim + d];
  }
  return out;
}

/// Every instruction set stores the same bytes; every way to compute gives the scalar bits.
inline std::vector<float> attention_everywhere(const kv_case& kv, const attention_run& run) {
  const std::size_t n = run.rows * run.heads * kv.head.dim;
  kv.store(scalar_table());
  const std::vector<std::byte> bytes(kv.memory.span().begin(), kv.memory.span().end());
  std::vector<float> expected(n);
  run.whole(scalar_table(), 0, run.rows, expected.data());
  for (const kernel_table* k : runnable_tables()) {
    CAPTURE(std::string{k->isa});
    std::memset(kv.pages[0], 0xff, bytes.size());
    kv.store(*k);
    CHECK(std::memcmp(kv.memory.data(), bytes.data(), bytes.size()) == 0);
    std::vector<float> whole(n), alone(n), parts(n);
    run.whole(*k, 0, run.rows, whole.data());
    CHECK(differences(whole, expected) == 0);
    for (std::size_t r = 0; r < run.rows; ++r) run.whole(*k, r, r + 1, alone.data());
    CHECK(differences(alone, expected) == 0);
    run.parts(*k, parts.data());
    CHECK(differences(parts, expected) == 0);
  }
  return expected;
}

inline void check_attention() {
  generator g{15};
  struct shape {
    std::size_t heads, rows, dim, positions;
  };
  std::vector<shape> shapes;
  for (const std::size_t heads : {1U, 2U, 3U, 4U, 5U, 7U, 8U})
    for (const std::size_t dim : {16U, 20U})
      for (const std::size_t rows : {1U, 3U})
        for (const std::size_t positions : {3U, 17U, 53U})
          shapes.push_back({heads, rows, dim, positions});
  for (const std::size_t dim : {1U, 2U, 7U, 64U, 80U, 130U}) shapes.push_back({3, 2, dim, 40});
  for (const std::size_t positions : {255U, 256U, 257U, 258U, 300U, 513U, 520U}) {
    shapes.push_back({1, 5, 24, positions});
    shapes.push_back({4, 2, 16, positions});
    shapes.push_back({3, 4, 16, positions});
  }
  for (const auto type : {kv_type::f32, kv_type::f16, kv_type::q8})
    for (const shape& s : shapes) {
      CAPTURE(static_cast<int>(type));
      CAPTURE(s.heads);
      CAPTURE(s.rows);
      CAPTURE(s.dim);
      CAPTURE(s.positions);
      const kv_case kv{g, s.dim, s.positions, type};
      const auto q = g.floats(s.rows * (s.heads * s.dim + 5));
      const attention_run run{kv, q, s.heads, s.rows};
      const auto y = attention_everywhere(kv, run);
      const auto exact = exact_attention(run);
      double worst = 0;
      for (std::size_t i = 0; i < y.size(); ++i)
        worst = std::max(worst, std::abs(double{y[i]} - exact[i]));
      CHECK(worst < (type == kv_type::q8 ? 5e-4 : 4e-6));
    }
}

/// Infinities, NaN and zeros: no harm, and alike; what a row may not see does not touch it.
inline void check_attention_specials() {
  generator g{16};
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr std::size_t dim = 20, positions = 270;
  for (const auto type : {kv_type::f32, kv_type::f16, kv_type::q8})
    for (const float bad : {nan, inf, -inf, 3e38F, 1e-45F, 0.0F}) {
      CAPTURE(static_cast<int>(type));
      CAPTURE(bad);
      auto keys = g.floats(positions * dim), values = g.floats(positions * dim);
      std::fill(keys.begin() + 5 * dim, keys.begin() + 6 * dim, bad);
      values[7 * dim + 3] = bad;
      const kv_case kv{keys, values, dim, type};
      const auto q = g.floats(3 * (2 * dim + 5));
      attention_everywhere(kv, {kv, q, 2, 3});

      // Rows of one group that see 267 .. 270 positions, the last of them bad.
      keys = g.floats(positions * dim);
      values = g.floats(positions * dim);
      const kv_case good{keys, values, dim, type};
      std::fill(values.end() - dim, values.end(), bad);
      std::fill(keys.end() - dim, keys.end(), bad);
      const kv_case last{keys, values, dim, type};
      const auto few = g.floats(4 * (dim + 5));
      const auto a = attention_everywhere(good, {good, few, 1, 4});
      const auto b = attention_everywhere(last, {last, few, 1, 4});
      CHECK(std::memcmp(a.data(), b.data(), 3 * dim * sizeof(float)) == 0);
      CHECK(std::memcmp(a.data(), b.data(), 4 * dim * sizeof(float)) != 0);
    }
}

}  // namespace
