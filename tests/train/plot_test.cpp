// SPDX-License-Identifier: Apache-2.0
// Plots are well-formed, show what they are given, and survive odd numbers and names.
#include "doctest.hpp"

#include <bitnet/train/plot.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace bitnet;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("decimal numbers") {
  using train::detail::decimal;
  CHECK(decimal(0.0, 2) == "0");
  CHECK(decimal(-0.001, 2) == "0");
  CHECK(decimal(2.5, 2) == "2.5");
  CHECK(decimal(-2.05, 2) == "-2.05");
  CHECK(decimal(1000.0, 0) == "1000");
  CHECK(decimal(0.999, 2) == "1");
  CHECK(decimal(1200.04, 1) == "1200");
}

TEST_CASE("ticks are round numbers round the data") {
  const auto a = train::detail::plot_axis::around(1.83, 7.4, 6);
  CHECK(a.tick == doctest::Approx(1.0));
  CHECK(a.low == doctest::Approx(1.0));
  CHECK(a.high == doctest::Approx(8.0));
  const auto b = train::detail::plot_axis::around(2.011, 2.0345, 5);
  CHECK(b.tick == doctest::Approx(0.005));
  CHECK(b.digits == 3);
  const auto same = train::detail::plot_axis::around(3.0, 3.0, 5);
  CHECK(same.low < 3.0);
  CHECK(same.high > 3.0);
}

TEST_CASE("curves, legend and dark colours are there") {
  std::vector<train::plot_series> s{{"ternary & <float>", {{0, 5}, {100, 3}, {200, 2.5}}, 0, false},
                                    {"training", {{0, 6}, {200, 2}}, 0, true}};
  train::plot_options o;
  o.title = "Loss \"here\"";
  const std::string svg = train::plot_svg(s, o);
  CHECK(svg.rfind("<svg ", 0) == 0);
  CHECK(svg.find("</svg>\n") == svg.size() - 7);
  CHECK(svg.find("ternary &amp; &lt;float&gt;") != std::string::npos);
  CHECK(svg.find("training") == std::string::npos);  // faint: not in the legend
  CHECK(svg.find("prefers-color-scheme:dark") != std::string::npos);
  CHECK(count(svg, "<path class=\"c c0\"") == 2);  // the curve and its mark in the legend
  CHECK(count(svg, "<path class=\"c c0 f\"") == 1);
  CHECK(count(svg, "<text") == count(svg, "</text>"));
}

TEST_CASE("odd numbers give a picture all the same") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  for (const double x : {nan, inf, -inf, 1e300, -1e300, 1e-300, 0.0}) {
    const std::vector<train::plot_series> s{{"x", {{0, 1}, {x, x}, {2, 3}}, 99, false}};
    const std::string svg = train::plot_svg(s);
    CHECK(svg.find("nan") == std::string::npos);
    CHECK(svg.find("inf") == std::string::npos);
    CHECK(svg.size() < 20'000);
  }
  CHECK(train::plot_svg({}).find("</svg>") != std::string::npos);
  train::plot_options tiny;
  tiny.width = -5;
  tiny.height = 0;
  CHECK(train::plot_svg({}, tiny).find("</svg>") != std::string::npos);
}

TEST_CASE("long runs are thinned") {
  train::plot_series s{"long", {}, 0, false};
  for (int i = 0; i < 1'000'000; ++i) s.points.push_back({double(i), std::sin(i * 1e-5)});
  const std::string svg = train::plot_svg(std::vector{s});
  CHECK(svg.size() < 60'000);
}
