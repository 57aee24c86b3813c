// SPDX-License-Identifier: Apache-2.0
// Checks of the products that leave out zeros against those that do not.
#pragma once

#include "kernels/support.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace {

using bitnet::quant::nonzero_block;

/// Rows of which `percent` of the values are not zero, with room for their lists.
struct sparse_rows : test_rows {
  std::vector<nonzero_block> lists;

  sparse_rows(generator& g, std::size_t rows, std::size_t cols, std::size_t percent)
      : test_rows{rows, cols, false} {
    fill(g, [&](std::size_t, std::size_t) {
      return g.below(100) < percent ? static_cast<int>(g.below(255)) - 127 : 0;
    });
    lists.resize(view.quads() * view.nonzero_blocks());
  }
  /// The input with its lists, as `k` makes them.
  [[nodiscard]] bitnet::quant::quantized_rows listed(const kernel_table& k) {
    bitnet::quant::quantized_rows q = view;
    q.nonzero = lists.data();
    for (std::size_t quad = 0; quad < q.quads(); ++quad) k.list_nonzero(q, quad);
    return q;
  }
};

inline constexpr std::size_t sparse_percents[] = {0, 3, 30, 60, 100};
inline constexpr std::size_t sparse_tokens[] = {1, 3, 4, 6, 33};

/// Lists hold every value that is not zero, once and where it was.
inline void check_nonzero_lists() {
  generator g{21};
  for (const std::size_t percent : sparse_percents)
    for (const std::size_t cols : {20U, 256U, 300U, 1100U})
      for (const std::size_t tokens : {1U, 4U, 7U}) {
        sparse_rows x{g, tokens, cols, percent};
        for (const kernel_table* k : runnable_tables()) {
          CAPTURE(std::string{k->isa});
          const bitnet::quant::quantized_rows q = x.listed(*k);
          std::vector<std::int8_t> found(q.quads() * 4 * q.padded(), 0);
          for (std::size_t i = 0; i < x.lists.size(); ++i) {
            const nonzero_block& list = x.lists[i];
            const std::size_t quad = i / q.nonzero_blocks();
            const std::size_t column = i % q.nonzero_blocks() * nonzero_block::columns;
            std::size_t value = 0;
            CHECK(list.end[nonzero_block::masks - 1] == nonzero_block::fours);
            for (unsigned mask = 1; mask < nonzero_block::masks; ++mask)
              for (std::size_t p = list.end[mask - 1]; p < list.end[mask]; ++p)
                for (unsigned r = 0; r < nonzero_block::rows; ++r) {
                  if ((mask >> r & 1U) == 0) continue;
                  const std::int8_t* four = list.values[value++];
                  CHECK(std::any_of(four, four + 4, [](std::int8_t v) { return v != 0; }));
                  const std::size_t at = column + 4U * list.place[p];
                  REQUIRE(at < q.padded());
                  std::memcpy(&found[(4 * quad + r) * q.padded() + at], four, 4);
                }
            CHECK(value == list.used);
          }
          found.resize(x.values.size());
          CHECK(found == x.values);
        }
      }
}

/// gemm_tiled gives the same bits with lists as without, for any split of the tiles.
inline void check_nonzero_products() {
  generator g{22};
  for (const std::size_t percent : sparse_percents)
    for (std::size_t tokens : sparse_tokens) {
      if (percent == 30 && tokens == 33) tokens = 131;  // more than are summed up at a time
      const std::size_t cols = 20 + g.below(900), rows = 1 + g.below(150);
      const bool half = g.below(2) == 0;
      const test_matrix m =
          make_matrix(g, {rows, cols, bitnet::round_up(cols, 64), encoding::ternary2, half});
      sparse_rows x{g, tokens, cols, percent};
      CAPTURE(percent);
      CAPTURE(tokens);
      CAPTURE(cols);
      CAPTURE(rows);
      const std::size_t tiles = m.view().tiles(), middle = tiles / 2;
      for (const kernel_table* k : runnable_tables()) {
        CAPTURE(std::string{k->isa});
        std::vector<float> expected(tokens * rows, 1.0F), y(tokens * rows, 2.0F);
        k->gemm_tiled(m.view(), x.view, {expected.data(), tokens, rows}, 0, tiles);
        const bitnet::quant::quantized_rows q = x.listed(*k);
        k->gemm_tiled(m.view(), q, {y.data(), tokens, rows}, middle, tiles);
        if (middle != 0) CHECK(y[0] == 2.0F);
        k->gemm_tiled(m.view(), q, {y.data(), tokens, rows}, 0, middle);
        CHECK(differences(y, expected) == 0);
      }
    }
}

/// The largest sums, and codes that are no weights.
inline void check_nonzero_extremes() {
  generator g{23};
  for (const int code : {0, 2, 3}) {
    const test_matrix m = make_matrix(g, {70, 8640, 8640, encoding::ternary2, false, false, code});
    sparse_rows x{g, 5, 8640, 0};
    x.fill(g, [](std::size_t r, std::size_t c) {
      return c % 16 > 3 ? 0 : r % 2 == 0 ? 127 : -127;
    });
    for (const kernel_table* k : runnable_tables()) {
      CAPTURE(std::string{k->isa});
      std::vector<float> expected(5 * 70), y(5 * 70);
      k->gemm_tiled(m.view(), x.view, {expected.data(), 5, 70}, 0, 5);
      k->gemm_tiled(m.view(), x.listed(*k), {y.data(), 5, 70}, 0, 5);
      CHECK(differences(y, expected) == 0);
    }
  }
}

/// gemm_gated against gemm_tiled and relu2_mul, for a gate of which `percent` is open.
inline void check_gated(generator& g, const test_matrix& m, const test_rows& x,
                        const std::vector<float>& gate) {
  const std::size_t tokens = x.view.rows, tiles = m.view().tiles(), middle = tiles / 2;
  CAPTURE(tokens);
  CAPTURE(m.cols);
  CAPTURE(m.rows);
  std::vector<float> up(gate.size()), expected(gate.size());
  scalar_table().gemm_tiled(m.view(), x.view, {up.data(), tokens, m.rows}, 0, tiles);
  scalar_table().relu2_mul(gate.data(), up.data(), expected.data(), gate.size());
  auto scratch = bitnet::aligned_buffer<std::byte>::uninitialized(
      bitnet::kernels::gated_scratch(m.cols), "scratch");
  REQUIRE(bool(scratch));
  for (const kernel_table* k : runnable_tables()) {
    CAPTURE(std::string{k->isa});
    std::memset(scratch->data(), static_cast<int>(g.below(256)), scratch->size());
    std::vector<float> y = gate;
    const bitnet::matrix_view<float> view{y.data(), tokens, m.rows};
    k->gemm_gated(m.view(), x.view, view, middle, tiles, scratch->data());
    for (std::size_t t = 0; t < tokens && middle != 0; ++t)
      CHECK(same(y[t * m.rows], gate[t * m.rows]));
    k->gemm_gated(m.view(), x.view, view, 0, middle, scratch->data());
    CHECK(differences(y, expected) == 0);
  }
}

inline void check_gated_products() {
  generator g{24};
  for (const std::size_t percent : sparse_percents)
    for (const std::size_t tokens : sparse_tokens) {
      const std::size_t cols = 20 + g.below(700), rows = 1 + g.below(700);
      const test_matrix m = make_matrix(
          g, {rows, cols, bitnet::round_up(cols, 64), encoding::ternary2, g.below(2) == 0});
      test_rows x{tokens, cols, false};
      x.fill(g, [&](std::size_t, std::size_t) { return static_cast<int>(g.below(255)) - 127; });
      std::vector<float> gate(tokens * rows);
      for (float& v : gate) v = g.uniform(0.0F, 3.0F) * (g.below(100) < percent ? 1.0F : -1.0F);
      check_gated(g, m, x, gate);
    }
  // What no family need be quick at.
  for (const bool blocks : {false, true}) {
    const test_matrix m = make_matrix(g, {40, 200, 64, encoding::ternary2, true, true});
    test_rows x{5, 200, blocks};
    x.fill(g, [&](std::size_t, std::size_t) { return static_cast<int>(g.below(255)) - 127; });
    check_gated(g, m, x, g.floats(5 * 40));
  }
}

/// Gates and scales that are not numbers, zeros of both signs, and products that overflow.
inline void check_gated_specials() {
  constexpr float inf = std::numeric_limits<float>::infinity();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  generator g{25};
  const std::size_t rows = 100, cols = 300, tokens = 9;
  for (const float scale : {1.0F, 1e11F, 1e30F, 3e38F, inf, nan, -1.0F, 1e-40F})
    for (const float x_scale : {1.0F, 1e20F, 3e38F, inf, nan, 0.0F}) {
      test_matrix m = make_matrix(g, {rows, cols, 320, encoding::ternary2});
      m.scale[g.below(rows)] = scale;
      m.pack();
      test_rows x{tokens, cols, false};
      x.fill(g, [&](std::size_t, std::size_t) { return static_cast<int>(g.below(255)) - 127; });
      x.view.scales[g.below(tokens)] = x_scale;
      std::vector<float> gate = g.floats(tokens * rows);
      for (const float v : {inf, -inf, nan, 0.0F, -0.0F, 3e38F, 1e-40F})
        for (int i = 0; i < 9; ++i) gate[g.below(gate.size())] = v;
      CAPTURE(scale);
      CAPTURE(x_scale);
      check_gated(g, m, x, gate);
    }
}

}  // namespace
