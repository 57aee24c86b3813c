// SPDX-License-Identifier: Apache-2.0
// Gradients by central differences in double, and numbers that look random.
#pragma once

#include "doctest.hpp"

#include <bitnet/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace train_test {

/// `count` numbers in [-1, 1) of a stream.
inline std::vector<double> numbers(std::size_t count, std::uint64_t stream, double size = 1.0) {
  const bitnet::counter_random random{7};
  std::vector<double> out(count);
  for (std::size_t i = 0; i < count; ++i)
    out[i] = size * (2.0 * static_cast<double>(random.uniform(stream, i)) - 1.0);
  return out;
}

/// The slope of f() in x, which f reads. Steps of about 1e-5 leave errors of some 1e-10.
template <class F>
double slope(double& x, F&& f) {
  const double at = x, step = 1e-5 * std::max(1.0, std::abs(at));
  x = at + step;
  const double above = f();
  x = at - step;
  const double below = f();
  x = at;
  return (above - below) / (2.0 * step);
}

/// Checks `gradient` of the sum f() over everything in `x`, or over `most` values of it.
template <class F>
void check_gradient(const std::string& name, std::span<double> x, std::span<const double> gradient,
                    F&& f, std::size_t most = ~std::size_t{0}, double tolerance = 1e-6) {
  REQUIRE(x.size() == gradient.size());
  const std::size_t stride = std::max<std::size_t>(1, x.size() / most);
  double worst = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < x.size(); i += stride) {
    const double expected = slope(x[i], f);
    largest = std::max(largest, std::abs(expected));
    worst = std::max(worst, std::abs(gradient[i] - expected));
  }
  CAPTURE(name);
  CHECK(largest > 1e-12);  // else nothing was tested
  CHECK(worst <= tolerance * largest);
}

inline double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace train_test
