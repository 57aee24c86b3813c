// SPDX-License-Identifier: Apache-2.0
// Checks of the float kernels: every instruction set gives the scalar bits, and those are right.
#pragma once

#include "kernels/support.hpp"

#include <algorithm>
#include <limits>

namespace {

/// Runs f(table, output) for every instruction set and compares its bits with the scalar ones.
template <class F>
std::vector<float> same_everywhere(std::size_t n, F f) {
  std::vector<float> expected(n + 3, 9.0F);  // 3 beyond the end: nothing may be written there
  f(scalar_table(), expected.data());
  for (std::size_t i = n; i < n + 3; ++i) CHECK(expected[i] == 9.0F);
  for (const kernel_table* k : runnable_tables()) {
    std::vector<float> y(n + 3, 9.0F);
    f(*k, y.data());
    CAPTURE(std::string{k->isa});
    CAPTURE(n);
    CHECK(differences(y, expected) == 0);
  }
  expected.resize(n);
  return expected;
}

inline void check_vectors() {
  generator g{11};
  for (std::size_t n = 1; n <= 70; ++n) {
    const auto x = g.floats(n), w = g.floats(n), up = g.floats(n),
               gate = g.floats(n, -20.0F, 20.0F);
    CAPTURE(n);
    for (const float* weight : {static_cast<const float*>(nullptr), w.data()}) {
      const auto y = same_everywhere(n, [&](const kernel_table& k, float* out) {
        k.rms_norm(x.data(), weight, 1e-5F, out, n);
      });
      const auto in_place = same_everywhere(n, [&](const kernel_table& k, float* out) {
        std::copy(x.begin(), x.end(), out);
        k.rms_norm(out, weight, 1e-5F, out, n);
      });
      CHECK(differences(y, in_place) == 0);
      double squares = 0;
      for (const float v : x) squares += double{v} * double{v};
      const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
      for (std::size_t i = 0; i < n; ++i)
        CHECK(double{y[i]} ==
              doctest::Approx(double{x[i]} * inverse * (weight != nullptr ? double{w[i]} : 1.0))
                  .epsilon(1e-6));
    }
    const auto sum = same_everywhere(n, [&](const kernel_table& k, float* out) {
      std::copy(x.begin(), x.end(), out);
      k.add(out, up.data(), n);
    });
    const auto scaled = same_everywhere(n, [&](const kernel_table& k, float* out) {
      std::copy(x.begin(), x.end(), out);
      k.scale(out, 0.3F, n);
    });
    const auto silu = same_everywhere(
        n, [&](const kernel_table& k, float* out) { k.silu_mul(gate.data(), up.data(), out, n); });
    const auto relu2 = same_everywhere(n, [&](const kernel_table& k, float* out) {
      std::copy(gate.begin(), gate.end(), out);
      k.relu2_mul(out, up.data(), out, n);
    });
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(sum[i] == x[i] + up[i]);
      CHECK(scaled[i] == x[i] * 0.3F);
      const double s = double{gate[i]} / (1.0 + std::exp(-double{gate[i]})) * double{up[i]};
      CHECK(std::abs(double{silu[i]} - s) <= 4e-7 * std::abs(s));
      const float r = std::max(gate[i], 0.0F);
      const float squared = r * r;
      CHECK(relu2[i] == squared * up[i]);
    }
    std::vector<f16> expected(n);
    for (std::size_t i = 0; i < n; ++i) expected[i] = bitnet::to_f16(x[i]);
    for (const kernel_table* k : runnable_tables()) {
      std::vector<f16> half(n + 1, f16{0x1234});
      k->to_f16(x.data(), half.data(), n);
      CHECK(std::memcmp(half.data(), expected.data(), n * sizeof(f16)) == 0);
      CHECK(half[n].bits == 0x1234);
    }
  }
}

/// Every finite and non-finite class of input, through the only kernel that shows exp.
inline void check_exp() {
  std::vector<float> gate, up;
  for (float x = -110.0F; x < 110.0F; x += 0.013F) gate.push_back(x);
  for (const float x :
       {0.0F, -0.0F, 1e-30F, -1e-30F, 1e-42F, 88.7F, 88.8F, -87.4F, -103.9F, 1e30F, -1e30F,
        std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()})
    gate.push_back(x);
  up.assign(gate.size(), 1.0F);
  const auto y = same_everywhere(gate.size(), [&](const kernel_table& k, float* out) {
    k.silu_mul(gate.data(), up.data(), out, gate.size());
  });
  double worst = 0;
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double x = double{gate[i]};
    if (!std::isfinite(gate[i]) || std::abs(x) < 1e-40) continue;
    const double s = x / (1.0 + std::exp(-x));
    if (x > -88.7)
      worst = std::max(worst, std::abs(double{y[i]} - s) / std::abs(s));
    else
      CHECK(std::abs(double{y[i]} - s) < 3e-37);  // exp(-x) has reached infinity
  }
  MESSAGE("largest relative error of silu: " << worst);
  CHECK(worst < 2.5e-7);
  CHECK(std::isnan(y.back()));
  CHECK(std::isinf(y[y.size() - 3]));
}

inline void check_rope() {
  generator g{12};
  for (std::size_t pairs = 1; pairs <= 70; ++pairs) {
    const auto x = g.floats(2 * pairs);
    std::vector<float> c(pairs), s(pairs);
    for (std::size_t i = 0; i < pairs; ++i) {
      const float angle = g.uniform(-3.0F, 3.0F);
      c[i] = std::cos(angle);
      s[i] = std::sin(angle);
    }
    CAPTURE(pairs);
    for (const bool halves : {false, true}) {
      const auto y = same_everywhere(2 * pairs, [&](const kernel_table& k, float* out) {
        std::copy(x.begin(), x.end(), out);
        (halves ? k.rope_halves : k.rope_adjacent)(out, c.data(), s.data(), pairs);
      });
      for (std::size_t i = 0; i < pairs; ++i) {
        const std::size_t a = halves ? i : 2 * i, b = halves ? i + pairs : 2 * i + 1;
        CHECK(std::abs(double{y[a]} - (double{x[a]} * double{c[i]} - double{x[b]} * double{s[i]})) <
              1e-6);
        CHECK(std::abs(double{y[b]} - (double{x[b]} * double{c[i]} + double{x[a]} * double{s[i]})) <
              1e-6);
      }
    }
  }
}

/// The quantizer on rows of every length and of every awkward kind.
inline void check_quantize() {
  generator g{13};
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t n = 1; n <= 200; n += n < 70 ? 1 : 13)
    for (const bool blocks : {false, true})
      for (int kind = 0; kind < 6; ++kind) {
        std::vector<float> x = g.floats(n, -3.0F, 3.0F);
        if (kind == 1) std::fill(x.begin(), x.end(), 0.0F);
        if (kind == 2)
          for (float& v : x) v *= 1e-7F;
        if (kind == 3)
          for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i % 255) - 127.0F;
        if (kind == 4) x[n / 2] = nan;
        if (kind == 5) x[n / 2] = inf;
        CAPTURE(n);
        CAPTURE(blocks);
        CAPTURE(kind);
        test_rows expected{1, n, blocks};
        scalar_table().quantize(x.data(), expected.view, 0);
        for (const kernel_table* k : runnable_tables()) {
          CAPTURE(std::string{k->isa});
          test_rows q{1, n, blocks};
          k->quantize(x.data(), q.view, 0);
          CHECK(q.values == expected.values);
          CHECK(q.prefix == expected.prefix);
          CHECK(q.less == expected.less);
          CHECK(differences(q.scales, expected.scales) == 0);
        }
        const auto& v = expected.view;
        std::int32_t sum = 0;
        CHECK(expected.prefix[0] == 0);
        for (std::size_t i = 0; i < v.padded(); ++i) {
          CHECK(v.values[i] >= -127);
          sum += v.values[i];
          if (i % 16 == 15) CHECK(v.prefix[i / 16 + 1] == sum);
          if (i >= n) CHECK(v.values[i] == 0);
        }
        for (std::size_t from = 0; from < n; from += v.block) {
          const std::size_t to = std::min(n, from + v.block);
          std::int32_t block_sum = 0;
          for (std::size_t i = from; i < to; ++i) block_sum += v.values[i];
          CHECK(v.less[from / v.block] == -block_sum);
          float m = blocks ? 0.0F : 1e-5F;
          for (std::size_t i = from; i < to; ++i)
            if (!std::isnan(x[i])) m = std::max(m, std::abs(x[i]));
          CHECK(v.scales[from / v.block] == m / 127.0F);
          if (std::isinf(m)) continue;
          const float s = 127.0F / m;
          for (std::size_t i = from; i < to; ++i) {
            const float product = x[i] * s;
            const float q = m == 0.0F || std::isnan(x[i]) ? 0.0F : std::nearbyint(product);
            CHECK(static_cast<float>(v.values[i]) == q);
          }
        }
      }
}

/// Values of T as float, and their bytes at an odd address.
template <class T>
struct dense_matrix {
  std::vector<float> value;
  std::vector<std::byte> bytes;
  bitnet::quant::packed_rows view;
  dense_matrix(generator& g, std::size_t rows, std::size_t cols)
      : value(rows * cols), bytes(rows * cols * sizeof(T) + 1) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      const float x = g.uniform(-1.0F, 1.0F);
      T t;
      if constexpr (std::is_same_v<T, float>)
        t = x;
      else if constexpr (std::is_same_v<T, f16>)
        t = bitnet::to_f16(x);
      else
        t = bitnet::to_bf16(x);
      if constexpr (std::is_same_v<T, float>)
        value[i] = t;
      else
        value[i] = bitnet::to_float(t);
      std::memcpy(bytes.data() + 1 + i * sizeof(T), &t, sizeof t);
    }
    view = {bytes.data() + 1, rows, cols};
  }
};

template <class T>
void check_dense(kernel_table::gemm_dense kernel_table::*member) {
  generator g{14};
  for (std::size_t cols = 1; cols <= 70; cols += 3)
    for (std::size_t tokens = 1; tokens <= 13; ++tokens) {
      constexpr std::size_t rows = 11;
      const dense_matrix<T> w{g, rows, cols};
      const auto x = g.floats(tokens * (cols + 2));
      const bitnet::matrix_view<const float> in{x.data(), tokens, cols, cols + 2};
      CAPTURE(cols);
      CAPTURE(tokens);
      const auto y = same_everywhere(tokens * rows, [&](const kernel_table& k, float* out) {
        (k.*member)(w.view, in, {out, tokens, rows}, 0, rows);
      });
      const auto pieces = same_everywhere(tokens * rows, [&](const kernel_table& k, float* out) {
        for (std::size_t t = 0; t < tokens; ++t) {
          (k.*member)(w.view, in.slice(t, 1), {out + t * rows, 1, rows}, 0, 4);
          (k.*member)(w.view, in.slice(t, 1), {out + t * rows, 1, rows}, 4, rows);
        }
      });
      CHECK(differences(y, pieces) == 0);
      for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t r = 0; r < rows; ++r) {
          double dot = 0;
          for (std::size_t c = 0; c < cols; ++c)
            dot += double{w.value[r * cols + c]} * double{x[t * (cols + 2) + c]};
          CHECK(std::abs(double{y[t * rows + r]} - dot) < 1e-5);
        }
    }
}

/// Special values go through every kernel without harm, and alike.
inline void check_special_values() {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {nan, inf, -inf, 3e38F, -1e-45F}) {
    std::vector<float> x(37, 0.5F), one(37, 1.0F);
    x[5] = x[35] = bad;
    const std::size_t n = x.size();
    CAPTURE(bad);
    const auto norm = same_everywhere(n, [&](const kernel_table& k, float* out) {
      k.rms_norm(x.data(), one.data(), 1e-6F, out, n);
    });
    if (std::isnan(bad)) CHECK(std::isnan(norm[0]));
    const auto relu = same_everywhere(
        n, [&](const kernel_table& k, float* out) { k.relu2_mul(x.data(), one.data(), out, n); });
    CHECK(std::isnan(relu[5]) == std::isnan(bad));
    same_everywhere(n, [&](const kernel_table& k, float* out) {
      std::vector<f16> half(n);
      k.to_f16(x.data(), half.data(), n);
      for (std::size_t i = 0; i < n; ++i) out[i] = bitnet::to_float(half[i]);
    });
  }
}

inline void check_decoded() {
  generator g{16};
  const dense_matrix<f16> w{g, 9, 50};
  const auto x = g.floats(3 * 50);
  const bitnet::quant::decode_row_function decode =
      [](bitnet::quant::packed_rows m, std::size_t row, std::span<float> out) noexcept {
        for (std::size_t c = 0; c < m.cols; ++c) {
          f16 h;
          std::memcpy(&h, m.data + (row * m.cols + c) * sizeof h, sizeof h);
          out[c] = bitnet::to_float(h);
        }
      };
  const bitnet::matrix_view<const float> in{x.data(), 3, 50};
  const auto direct = same_everywhere(27, [&](const kernel_table& k, float* out) {
    k.gemm_f16(w.view, in, {out, 3, 9}, 0, 9);
  });
  const auto decoded = same_everywhere(27, [&](const kernel_table& k, float* out) {
    std::vector<float> scratch(50);
    bitnet::kernels::gemm_decoded(k, decode, w.view, in, {out, 3, 9}, 0, 4, scratch);
    bitnet::kernels::gemm_decoded(k, decode, w.view, in, {out, 3, 9}, 4, 9, scratch);
  });
  CHECK(differences(direct, decoded) == 0);
}

}  // namespace
