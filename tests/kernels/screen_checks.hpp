// SPDX-License-Identifier: Apache-2.0
// Checks of the kernels behind the screened head: right by plain loops, and alike everywhere.
#pragma once

#include "kernels/support.hpp"

#include <algorithm>
#include <limits>

namespace {

inline void check_widening() {
  generator g{31};
  for (const std::size_t n : {1U, 15U, 16U, 17U, 70U}) {
    std::vector<std::byte> bytes(2 * n + 1);
    for (std::byte& b : bytes) b = static_cast<std::byte>(g.below(256));
    const std::byte* odd = bytes.data() + 1;  // files promise no alignment
    std::vector<float> halves(n), uppers(n);
    for (std::size_t i = 0; i < n; ++i) {
      f16 h;
      bitnet::bf16 b;
      std::memcpy(&h, odd + 2 * i, 2);
      std::memcpy(&b, odd + 2 * i, 2);
      halves[i] = bitnet::to_float(h);
      uppers[i] = bitnet::to_float(b);
    }
    for (const kernel_table* k : runnable_tables()) {
      CAPTURE(std::string{k->isa});
      std::vector<float> y(n);
      k->widen_f16(odd, y.data(), n);
      CHECK(differences(y, halves) == 0);
      k->widen_bf16(odd, y.data(), n);
      CHECK(differences(y, uppers) == 0);
    }
  }
}

inline void check_copies() {
  generator g{32};
  for (const std::size_t n : {1U, 16U, 100U, 128U, 129U, 300U}) {
    auto w = g.floats(n);
    if (n == 300) std::fill(w.begin() + 128, w.begin() + 256, 0.0F);  // a group of zeros
    const std::size_t group = 128, groups = (n + group - 1) / group;
    std::vector<std::int8_t> codes((n + 15) / 16 * 16), same_codes(codes.size());
    std::vector<f16> scales(groups), same_scales(groups);
    float lost = 0, kept = 0, squares = 0;
    scalar_table().copy_row(w.data(), n, group, codes.data(), scales.data(), lost, kept);
    scalar_table().sum_squares(w.data(), n, squares);
    double lost_here = 0, kept_here = 0, squares_here = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double step = double{bitnet::to_float(scales[i / group])};
      const double copy = codes[i] * step, d = double{w[i]} - copy;
      CHECK(std::abs(d) <= step * 0.51);
      lost_here += d * d;
      kept_here += copy * copy;
      squares_here += double{w[i]} * double{w[i]};
    }
    CHECK(double{lost} == doctest::Approx(lost_here).epsilon(1e-5));
    CHECK(double{kept} == doctest::Approx(kept_here).epsilon(1e-5));
    CHECK(double{squares} == doctest::Approx(squares_here).epsilon(1e-5));
    for (const kernel_table* k : runnable_tables()) {
      CAPTURE(std::string{k->isa});
      float a = 0, b = 0, c = 0;
      k->copy_row(w.data(), n, group, same_codes.data(), same_scales.data(), a, b);
      k->sum_squares(w.data(), n, c);
      CHECK(std::equal(codes.begin(), codes.begin() + static_cast<std::ptrdiff_t>(n),
                       same_codes.begin()));
      CHECK(std::memcmp(scales.data(), same_scales.data(), groups * sizeof(f16)) == 0);
      CHECK((same(a, lost) && same(b, kept) && same(c, squares)));
    }
  }
}

inline void check_score_bounds() {
  generator g{33};
  for (const std::size_t n : {1U, 16U, 31U, 160U}) {
    const auto scores = g.floats(n), error = g.floats(n, 0.0F, 1.0F),
               magnitude = g.floats(n, 0.0F, 1.0F);
    const std::size_t tiles = (n + 15) / 16;
    for (const kernel_table* k : runnable_tables()) {
      CAPTURE(std::string{k->isa});
      std::vector<float> lower(tiles), upper(tiles);
      k->score_bounds({scores.data(), error.data(), magnitude.data(), 0.5F, 0.25F, lower.data(),
                       upper.data(), n});
      for (std::size_t t = 0; t < tiles; ++t) {
        double low = -HUGE_VAL, high = -HUGE_VAL;
        for (std::size_t i = 16 * t; i < std::min(n, 16 * t + 16); ++i) {
          const double bound = double{error[i]} * 0.5 + double{magnitude[i]} * 0.25;
          low = std::max(low, double{scores[i]} - bound);
          high = std::max(high, double{scores[i]} + bound);
        }
        CHECK(double{lower[t]} == doctest::Approx(low).epsilon(1e-6));
        CHECK(double{upper[t]} == doctest::Approx(high).epsilon(1e-6));
      }
    }
  }
}

}  // namespace
