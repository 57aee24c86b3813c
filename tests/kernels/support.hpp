// SPDX-License-Identifier: Apache-2.0
// Random data, an independent tile packer, and helpers that compare kernels bit by bit.
#pragma once

#include <bitnet/kernels/decoded.hpp>
#include <bitnet/kernels/kernels.hpp>
#include <bitnet/kernels/report.hpp>

#include "doctest.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace {

using bitnet::f16;
using bitnet::kernels::kernel_table;
using bitnet::quant::encoding;

/// A small generator (splitmix64), so that data does not depend on the standard library.
struct generator {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
  float uniform(float low, float high) {
    const double u = static_cast<double>(next() >> 11) * 0x1p-53;
    return static_cast<float>(low + (high - low) * u);
  }
  std::vector<float> floats(std::size_t n, float low = -2.0F, float high = 2.0F) {
    std::vector<float> v(n);
    for (float& x : v) x = uniform(low, high);
    return v;
  }
};

/// Tables of the instruction sets that this machine (or this emulation) runs.
inline std::vector<const kernel_table*> runnable_tables() {
  std::vector<const kernel_table*> tables;
  const bitnet::isa::cpu_features features = bitnet::isa::detect();
  bitnet::isa::for_each(bitnet::isa::compiled{}, [&]<class I>(I tag) {
    if (bitnet::isa::runs(tag, features)) tables.push_back(&bitnet::kernels::table_of<I>);
  });
  return tables;
}

inline const kernel_table& scalar_table() { return bitnet::kernels::table_of<bitnet::isa::scalar>; }

/// Equal bits, or both NaN.
inline bool same(float a, float b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}
inline std::size_t differences(const std::vector<float>& a, const std::vector<float>& b) {
  std::size_t n = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; n == 0 && i < a.size(); ++i) n += same(a[i], b[i]) ? 0U : 1U;
  return n;
}

/// A matrix of codes with scales, and its tiles, packed here from the layout's description.
struct test_matrix {
  std::size_t rows, cols, group;
  encoding codes;
  std::vector<std::uint8_t> code;  // [rows][cols]
  std::vector<float> scale, min;   // [rows][groups]
  bitnet::aligned_buffer<std::uint8_t> lines;
  std::vector<float> scales_f32, mins;  // [tile][group][16]
  std::vector<f16> scales_f16;
  bool half = false, with_mins = false;

  [[nodiscard]] std::size_t groups() const { return (cols + group - 1) / group; }
  [[nodiscard]] int value(std::size_t r, std::size_t c) const {
    const int v = code[r * cols + c];
    return codes == encoding::binary ? 2 * v - 1 : codes == encoding::int8 ? v - 128 : v - 1;
  }
  void pack() {
    const std::size_t per_line = codes == encoding::ternary2 ? 16
                                 : codes == encoding::binary ? 32
                                                             : 4;
    const unsigned bits = codes == encoding::ternary2 ? 2 : codes == encoding::binary ? 1 : 8;
    const std::size_t tiles = (rows + 15) / 16, count = (cols + per_line - 1) / per_line;
    // One spare line of other bytes at the end: kernels must not depend on what follows.
    auto made = bitnet::aligned_buffer<std::uint8_t>::make(tiles * count * 64 + 64, "test");
    REQUIRE(bool(made));
    lines = *std::move(made);
    std::memset(lines.data() + tiles * count * 64, 0xa5, 64);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) {
        const std::size_t line = (r / 16) * count + c / per_line;
        const std::size_t row = r % 16, in_line = c % per_line;
        const bool binary = codes == encoding::binary;
        const std::size_t at =
            binary ? 16 * (in_line / 8) + 2 * (row % 8) + row / 8 : 4 * row + in_line % 4;
        const std::size_t shift = binary ? in_line % 8 : bits * (in_line / 4);
        std::uint8_t& byte = lines[line * 64 + at];
        byte = static_cast<std::uint8_t>(byte | code[r * cols + c] << shift);
      }
    const std::size_t size = tiles * groups() * 16;
    scales_f32.assign(size, 0.0F);
    scales_f16.assign(size, f16{0});
    mins.assign(size, 0.0F);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t g = 0; g < groups(); ++g) {
        const std::size_t at = ((r / 16) * groups() + g) * 16 + r % 16;
        scales_f32[at] = scale[r * groups() + g];
        scales_f16[at] = bitnet::to_f16(scale[r * groups() + g]);
        mins[at] = with_mins ? min[r * groups() + g] : 0.0F;
      }
  }
  [[nodiscard]] bitnet::quant::tiled_view view() const {
    bitnet::quant::tiled_view v;
    v.lines = lines.data();
    if (half) {
      v.scales_f16 = scales_f16.data();
    } else {
      v.scales_f32 = scales_f32.data();
    }
    v.mins = with_mins ? mins.data() : nullptr;
    v.rows = rows;
    v.cols = cols;
    v.group = group;
    v.codes = codes;
    return v;
  }
};

struct matrix_options {
  std::size_t rows, cols, group;
  encoding codes;
  bool half = false, mins = false;
  int extreme = -1;  ///< this code everywhere, or random
};

inline test_matrix make_matrix(generator& g, const matrix_options& o) {
  test_matrix m{};
  m.rows = o.rows;
  m.cols = o.cols;
  m.group = o.group;
  m.codes = o.codes;
  m.half = o.half;
  m.with_mins = o.mins;
  const std::size_t kinds = o.codes == encoding::ternary2 ? 4
                            : o.codes == encoding::binary ? 2
                                                          : 256;
  m.code.resize(o.rows * o.cols);
  for (auto& c : m.code)
    c = static_cast<std::uint8_t>(o.extreme >= 0 ? static_cast<std::size_t>(o.extreme)
                                                 : g.below(kinds));
  m.scale = g.floats(o.rows * m.groups(), 0.01F, 1.0F);
  for (float& s : m.scale)
    if (o.half) s = bitnet::to_float(bitnet::to_f16(s));
  m.min = g.floats(o.rows * m.groups(), -1.0F, 1.0F);
  m.pack();
  return m;
}

/// Quantized activations that own their memory.
struct test_rows {
  std::vector<std::int8_t> values;
  std::vector<float> scales;
  std::vector<std::int32_t> prefix;
  std::vector<std::int32_t> less;
  std::vector<std::int8_t> sums;
  bitnet::quant::quantized_rows view;

  test_rows(std::size_t rows, std::size_t cols, bool blocks) {
    view.rows = rows;
    view.cols = cols;
    view.block = blocks ? 32 : view.padded();
    values.assign(rows * view.padded(), 77);
    scales.assign(rows * view.blocks(), -1.0F);
    prefix.assign(rows * view.prefixes(), -1);
    less.assign(rows * view.blocks(), -1);
    sums.assign(rows * view.padded() * bitnet::quant::sums_per_value, 99);
    attach();
  }
  void attach() {
    view.values = values.data();
    view.scales = scales.data();
    view.prefix = prefix.data();
    view.less = less.data();
    view.sums = sums.data();
  }
  /// Values chosen here: `q(row, column)`, scales random.
  template <class Q>
  void fill(generator& g, Q q) {
    for (std::size_t r = 0; r < view.rows; ++r) {
      std::int32_t sum = 0;
      prefix[r * view.prefixes()] = 0;
      for (std::size_t b = 0; b < view.blocks(); ++b) less[r * view.blocks() + b] = 0;
      for (std::size_t c = 0; c < view.padded(); ++c) {
        const int v = c < view.cols ? q(r, c) : 0;
        values[r * view.padded() + c] = static_cast<std::int8_t>(v);
        sum += v;
        if (c < view.cols) less[r * view.blocks() + c / view.block] -= v;
        if (c % 16 == 15) prefix[r * view.prefixes() + c / 16 + 1] = sum;
      }
    }
    for (float& s : scales) s = g.uniform(0.001F, 0.1F);
    for (std::size_t r = 0; r < view.rows; ++r) scalar_table().tabulate(view, r);
  }
  /// One row of it, sharing memory.
  [[nodiscard]] bitnet::quant::quantized_rows row(std::size_t r) const {
    bitnet::quant::quantized_rows one = view;
    one.values += r * view.padded();
    one.scales += r * view.blocks();
    one.prefix += r * view.prefixes();
    one.less += r * view.blocks();
    one.sums += r * view.padded() * bitnet::quant::sums_per_value;
    one.rows = 1;
    return one;
  }
};

}  // namespace
