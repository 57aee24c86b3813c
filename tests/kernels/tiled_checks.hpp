// SPDX-License-Identifier: Apache-2.0
// Checks of the integer matrix product against sums computed here, for native and emulated kernels.
#pragma once

#include "exact_fma.hpp"
#include "kernels/support.hpp"

#include <algorithm>
#include <cstdlib>

namespace {

/// y[t][r] by the definition in kernels/reference.hpp, from the unpacked codes, with exact sums.
inline std::vector<float> tiled_oracle(const test_matrix& m, const test_rows& x) {
  const auto& v = x.view;
  std::vector<float> y(v.rows * m.rows);
  const std::size_t unit = std::min(m.group, v.block);
  for (std::size_t t = 0; t < v.rows; ++t)
    for (std::size_t r = 0; r < m.rows; ++r) {
      float total = 0.0F;
      for (std::size_t g = 0; g < m.groups(); ++g) {
        const std::size_t end = std::min(m.cols, (g + 1) * m.group);
        float part = 0.0F, bias = 0.0F;
        for (std::size_t c = g * m.group; c < end; c += unit) {
          std::int64_t sum = 0, sum_x = 0;
          for (std::size_t i = c; i < std::min(end, c + unit); ++i) {
            sum += m.value(r, i) * v.values[t * v.padded() + i];
            sum_x += v.values[t * v.padded() + i];
          }
          const float s = v.scales[t * v.blocks() + c / v.block];
          part = testing::exact_fma(static_cast<float>(sum), s, part);
          bias = testing::exact_fma(static_cast<float>(sum_x), s, bias);
        }
        total = testing::exact_fma(part, m.scale[r * m.groups() + g], total);
        if (m.with_mins) total = testing::exact_fma(-m.min[r * m.groups() + g], bias, total);
      }
      y[t * m.rows + r] = total;
    }
  return y;
}

using bitnet::quant::reading;

inline std::vector<float> run_tiled(const kernel_table& k, const test_matrix& m, const test_rows& x,
                                    reading order = reading::by_family) {
  std::vector<float> y(x.view.rows * m.rows, -7.0F);
  bitnet::quant::tiled_view w = m.view();
  w.order = order;
  k.gemm_tiled(w, x.view, {y.data(), x.view.rows, m.rows}, 0, w.tiles());
  return y;
}

inline void check_tiled(generator& g, const matrix_options& o, bool blocks, std::size_t tokens) {
  const test_matrix m = make_matrix(g, o);
  test_rows x{tokens, o.cols, blocks};
  if (o.extreme >= 0) {
    x.fill(g, [](std::size_t r, std::size_t) { return r % 2 == 0 ? 127 : -127; });
  } else {
    x.fill(g, [&](std::size_t, std::size_t) { return static_cast<int>(g.below(255)) - 127; });
  }
  CAPTURE(o.rows);
  CAPTURE(o.cols);
  CAPTURE(o.group);
  CAPTURE(static_cast<int>(o.codes));
  CAPTURE(blocks);
  CAPTURE(tokens);
  CAPTURE(o.extreme);
  const std::vector<float> expected = tiled_oracle(m, x);
  for (const kernel_table* k : runnable_tables()) {
    CAPTURE(std::string{k->isa});
    CHECK(differences(run_tiled(*k, m, x), expected) == 0);
  }
}

inline constexpr encoding all_encodings[] = {encoding::ternary2, encoding::binary, encoding::int8};

/// Every encoding, with one scale a row and with groups, for both kinds of activations.
inline void check_tiled_shapes() {
  generator g{1};
  for (const encoding e : all_encodings)
    for (const bool blocks : {false, true})
      for (const std::size_t cols : {64U, 100U, 20U, 160U, 416U, 1000U}) {
        const std::size_t padded = bitnet::round_up(cols, 64);
        check_tiled(g, {40, cols, padded, e}, blocks, 3);
        check_tiled(g, {16, cols, 128, e, true}, blocks, 5);
        check_tiled(g, {33, cols, 32, e, false, true}, blocks, 2);
        check_tiled(g, {7, cols, 16, e, true, true}, blocks, 1);
        check_tiled(g, {17, cols, 256, e, true, true}, blocks, 4);
      }
  // Many tokens go another way, over 512 columns at a time; odd tiles and tokens are left over.
  for (const encoding e : all_encodings)
    for (const bool blocks : {false, true}) {
      check_tiled(g, {40, 1100, 1152, e}, blocks, 27);
      check_tiled(g, {16, 1100, 64, e, true, true}, blocks, 12);
      check_tiled(g, {33, 640, 128, e, true}, blocks, 62);
      check_tiled(g, {24, 600, 32, e, false, true}, blocks, 13);
    }
}

/// The largest sums: one code everywhere, activations 127 or -127.
inline void check_tiled_extremes(std::size_t cols) {
  generator g{2};
  for (const bool blocks : {false, true})
    for (const std::size_t group : {bitnet::round_up(cols, 64), std::size_t{128}}) {
      for (const int code : {0, 1, 2, 3})
        check_tiled(g, {16, cols, group, encoding::ternary2, false, false, code}, blocks, 14);
      for (const int code : {0, 1})
        check_tiled(g, {16, cols, group, encoding::binary, false, false, code}, blocks, 2);
      for (const int code : {0, 1, 128, 255})
        check_tiled(g, {16, cols, group, encoding::int8, false, false, code}, blocks, 14);
    }
}

/// The tables of signed sums are what the definition says, digit by digit.
inline void check_tabulate() {
  generator g{5};
  for (const std::size_t cols : {20U, 64U, 416U}) {
    test_rows x{3, cols, true};
    x.fill(g, [&](std::size_t r, std::size_t) {
      return r == 0 ? 127 : r == 1 ? -127 : static_cast<int>(g.below(255)) - 127;
    });
    const std::vector<std::int8_t> values = x.values, expected = x.sums;
    for (std::size_t i = 0; i < expected.size(); i += 16) {  // 16 digits of 4 values
      const std::size_t line = i / 256, half = i % 256 / 128, byte = i % 64 / 16;
      if (i % 128 >= 64) continue;
      const std::int8_t* v = values.data() + 32 * line + 8 * byte + 4 * half;
      for (std::size_t n = 0; n < 16; ++n) {
        int sum = 0;
        for (std::size_t k = 0; k < 4; ++k) sum += (n >> k & 1U) != 0 ? v[k] : -v[k];
        CHECK(expected[i + n] + 32 * expected[i + 64 + n] == sum);
        CHECK(std::abs(expected[i + n]) <= 16);
        CHECK(std::abs(expected[i + 64 + n]) <= 16);
      }
    }
    for (const kernel_table* k : runnable_tables()) {
      CAPTURE(std::string{k->isa});
      x.sums.assign(x.sums.size(), 99);
      for (std::size_t r = 0; r < 3; ++r) k->tabulate(x.view, r);
      CHECK(x.sums == expected);
    }
  }
}

/// One token gives the same bits however tiles are read.
inline void check_reading_orders() {
  generator g{6};
  for (const encoding e : all_encodings)
    for (const bool blocks : {false, true})
      for (const std::size_t rows : {16U, 90U, 200U})
        for (const std::size_t cols :
             {288U, 3200U}) {  // signed sums of these leave the first cache
          const test_matrix m = make_matrix(
              g, {rows, cols, blocks ? 32U : bitnet::round_up(cols, 64), e, false, blocks});
          test_rows x{1, cols, blocks};
          x.fill(g, [&](std::size_t, std::size_t) { return static_cast<int>(g.below(255)) - 127; });
          const std::vector<float> expected = run_tiled(scalar_table(), m, x);
          for (const kernel_table* k : runnable_tables())
            for (const reading order : {reading::by_family, reading::in_line, reading::apart}) {
              CAPTURE(std::string{k->isa});
              CAPTURE(static_cast<int>(order));
              CHECK(differences(run_tiled(*k, m, x, order), expected) == 0);
            }
        }
}

/// Any number of tokens gives what each gives alone, and any split of the tiles the same.
inline void check_tiled_batches() {
  generator g{3};
  for (const encoding e : all_encodings)
    for (const bool blocks : {false, true}) {
      const test_matrix m = make_matrix(g, {90, 288, blocks ? 32U : 320U, e, false, blocks});
      for (std::size_t tokens = 1; tokens <= 26; ++tokens) {
        test_rows x{tokens, m.cols, blocks};
        x.fill(g, [&](std::size_t, std::size_t) { return static_cast<int>(g.below(255)) - 127; });
        for (const kernel_table* k : runnable_tables()) {
          CAPTURE(std::string{k->isa});
          CAPTURE(tokens);
          const std::vector<float> all = run_tiled(*k, m, x);
          std::vector<float> alone(all.size()), split(all.size(), 5.0F);
          for (std::size_t t = 0; t < tokens; ++t)
            scalar_table().gemm_tiled(m.view(), x.row(t), {alone.data() + t * m.rows, 1, m.rows}, 0,
                                      6);
          CHECK(differences(all, alone) == 0);
          const bitnet::matrix_view<float> y{split.data(), tokens, m.rows};
          k->gemm_tiled(m.view(), x.view, y, 3, 6);
          CHECK(split[0] == 5.0F);
          CHECK(split[47] == 5.0F);
          k->gemm_tiled(m.view(), x.view, y, 0, 1);
          k->gemm_tiled(m.view(), x.view, y, 1, 3);
          CHECK(differences(split, all) == 0);
        }
      }
    }
}

}  // namespace
