// SPDX-License-Identifier: Apache-2.0
// Curves of one or several runs as a picture (SVG) that a browser or a README shows.
#pragma once

#include <bitnet/config.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

/// A point of a curve, for example step and loss. Points that are not finite are left out.
struct plot_point {
  double x = 0.0;
  double y = 0.0;
};

/// A curve under a name. Curves of the same `color` index share a colour: the training and
/// validation loss of one run, say, of which one is `faint`.
struct plot_series {
  std::string name;
  std::vector<plot_point> points;
  std::size_t color = 0;
  bool faint = false;  ///< thin and light, and not in the legend
};

struct plot_options {
  std::string title;
  std::string x_label = "step";
  std::string y_label = "loss";
  int width = 720;
  int height = 420;
};

namespace detail {

/// Decimal text without trailing zeros, whatever the locale; for |x| < 1e15.
[[nodiscard]] inline std::string decimal(double x, int digits) {
  double scale = 1.0;
  for (int i = 0; i < digits; ++i) scale *= 10.0;
  const bool negative = x < 0.0;
  const auto scaled = static_cast<std::uint64_t>(std::llround(std::abs(x) * scale));
  const auto unit = static_cast<std::uint64_t>(scale);
  std::string s = std::to_string(scaled / unit);
  std::string rest = std::to_string(scaled % unit);
  rest.insert(0,
              static_cast<std::size_t>(digits) -
                  std::min<std::size_t>(rest.size(), static_cast<std::size_t>(digits)),
              '0');
  while (!rest.empty() && rest.back() == '0') rest.pop_back();
  if (digits > 0 && !rest.empty()) s += '.' + rest;
  return negative && scaled != 0 ? '-' + s : s;
}

/// Text as XML may hold it.
[[nodiscard]] inline std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

/// Range of an axis and the distance of its ticks: 1, 2 or 5 times a power of ten.
struct plot_axis {
  double low = 0.0, high = 1.0, tick = 0.5;
  int digits = 0;  ///< behind the point, that ticks need

  [[nodiscard]] double share(double x) const noexcept { return (x - low) / (high - low); }

  [[nodiscard]] static plot_axis around(double low, double high, int ticks) {
    constexpr double most = 1e12;
    low = std::clamp(low, -most, most);
    high = std::clamp(high, -most, most);
    if (!(high - low > 1e-9 * std::max(1.0, std::abs(high)))) {
      low -= 0.5;
      high += 0.5;
    }
    plot_axis a;
    const double raw = (high - low) / ticks;
    const double power = std::pow(10.0, std::floor(std::log10(raw)));
    const double lead = raw / power;
    a.tick = power * (lead <= 1.0 ? 1.0 : lead <= 2.0 ? 2.0 : lead <= 5.0 ? 5.0 : 10.0);
    a.low = std::floor(low / a.tick + 1e-9) * a.tick;
    a.high = std::ceil(high / a.tick - 1e-9) * a.tick;
    a.digits = std::clamp(static_cast<int>(-std::floor(std::log10(a.tick) + 1e-9)), 0, 9);
    return a;
  }
};

[[nodiscard]] inline bool is_drawn(const plot_point& p) noexcept {
  return std::isfinite(p.x) && std::isfinite(p.y);
}

}  // namespace detail

/// The picture as SVG text: axes with ticks and a grid, a legend; colours that colour-blind people
/// tell apart (Okabe and Ito), and a dark variant for readers who prefer that.
[[nodiscard]] inline std::string plot_svg(std::span<const plot_series> series,
                                          const plot_options& options = {}) {
  using detail::decimal;
  constexpr std::size_t colors = 7;
  constexpr std::size_t most_points = 2000;  // of a curve: more cannot be seen
  constexpr int left = 62, right = 16, top = 40, bottom = 52;
  const int width = std::clamp(options.width, 200, 8000);
  const int height = std::clamp(options.height, 150, 8000);
  double x0 = std::numeric_limits<double>::infinity(), x1 = -x0, y0 = x0, y1 = -x0;
  for (const plot_series& s : series)
    for (const plot_point& p : s.points)
      if (detail::is_drawn(p)) {
        x0 = std::min(x0, p.x);
        x1 = std::max(x1, p.x);
        y0 = std::min(y0, p.y);
        y1 = std::max(y1, p.y);
      }
  if (!(x0 <= x1)) x0 = y0 = 0.0, x1 = y1 = 1.0;
  const auto x_axis = detail::plot_axis::around(x0, x1, 8);
  const auto y_axis = detail::plot_axis::around(y0, y1, 6);
  const auto x_at = [&](double x) { return left + x_axis.share(x) * (width - left - right); };
  const auto y_at = [&](double y) {
    return height - bottom - y_axis.share(y) * (height - top - bottom);
  };
  const auto number = [](int n) { return std::to_string(n); };

  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width) + ' ' +
      number(height) + "\" width=\"" + number(width) + "\" height=\"" + number(height) +
      "\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\n<style>\n"
      "svg{background:#fff;color:#222}text{fill:currentColor}"
      ".grid{stroke:currentColor;stroke-opacity:.15}"
      ".c{fill:none;stroke-width:2;stroke-linejoin:round}"
      ".f{stroke-width:1;stroke-opacity:.35}\n"
      ".c0{stroke:#0072b2}.c1{stroke:#d55e00}.c2{stroke:#009e73}.c3{stroke:#cc79a7}"
      ".c4{stroke:#b58900}.c5{stroke:#56b4e9}.c6{stroke:#777}\n"
      "@media(prefers-color-scheme:dark){svg{background:#0d1117;color:#ddd}"
      ".c0{stroke:#4aa8e0}.c1{stroke:#ff8a3d}.c2{stroke:#2fd0a0}.c4{stroke:#f0e442}}\n"
      "</style>\n";
  const auto text = [&](double x, double y, std::string_view anchor, std::string_view value,
                        std::string_view more = {}) {
    svg += "<text x=\"" + decimal(x, 1) + "\" y=\"" + decimal(y, 1) + "\" text-anchor=\"" +
           std::string{anchor} + "\"" + std::string{more} + '>' + detail::escaped(value) +
           "</text>\n";
  };
  const auto line = [&](double ax, double ay, double bx, double by) {
    svg += "<path class=\"grid\" d=\"M" + decimal(ax, 1) + ' ' + decimal(ay, 1) + 'L' +
           decimal(bx, 1) + ' ' + decimal(by, 1) + "\"/>\n";
  };
  const auto ticks = [](const detail::plot_axis& a) {
    return static_cast<int>(std::lround((a.high - a.low) / a.tick));
  };
  text(left, 22, "start", options.title, " font-size=\"15\" font-weight=\"bold\"");
  for (int i = 0; i <= ticks(y_axis); ++i) {
    const double y = y_axis.low + i * y_axis.tick;
    line(left, y_at(y), width - right, y_at(y));
    text(left - 8, y_at(y) + 4, "end", decimal(y, y_axis.digits));
  }
  for (int i = 0; i <= ticks(x_axis); ++i) {
    const double x = x_axis.low + i * x_axis.tick;
    line(x_at(x), height - bottom, x_at(x), height - bottom + 5);
    text(x_at(x), height - bottom + 19, "middle", decimal(x, x_axis.digits));
  }
  text((left + width - right) / 2.0, height - 12, "middle", options.x_label);
  const std::string middle = decimal((top + height - bottom) / 2.0, 1);
  text(16, (top + height - bottom) / 2.0, "middle", options.y_label,
       " transform=\"rotate(-90 16 " + middle + ")\"");

  int row = 0;
  for (const plot_series& s : series) {
    const std::string kind =
        "class=\"c c" + std::to_string(s.color % colors) + (s.faint ? " f\"" : "\"");
    const std::size_t stride = s.points.size() / most_points + 1;
    std::string path;
    for (std::size_t i = 0; i < s.points.size(); ++i) {
      const plot_point& p = s.points[i];
      if (!detail::is_drawn(p) || (i % stride != 0 && i + 1 != s.points.size())) continue;
      path += path.empty() ? 'M' : 'L';
      path += decimal(x_at(p.x), 1) + ' ' + decimal(y_at(p.y), 1);
    }
    if (!path.empty()) svg += "<path " + kind + " d=\"" + path + "\"/>\n";
    if (s.faint) continue;
    const double y = top + 16 + 18 * row++;
    svg += "<path " + kind + " d=\"M" + decimal(width - right - 30, 1) + ' ' + decimal(y - 4, 1) +
           "h22\"/>\n";
    text(width - right - 38, y, "end", s.name);
  }
  return svg + "</svg>\n";
}

}  // namespace train
BITNET_NAMESPACE_END
