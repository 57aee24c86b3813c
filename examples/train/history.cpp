// SPDX-License-Identifier: Apache-2.0
// The losses of a run: a table that spreadsheets read, checkpoints keep and plots show.
#include "history.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <limits>

namespace trainer {

double history::best() const noexcept {
  double best = std::numeric_limits<double>::infinity();
  for (const measurement& m : rows) best = std::min(best, m.valid);
  return best;
}

std::string history::to_csv() const {
  std::string csv = "step,train,valid,seconds\n";
  for (const measurement& m : rows) {
    char line[160];
    // 17 digits give a double back exactly: a resumed run compares with the same best loss.
    std::snprintf(line, sizeof line, "%" PRIu64 ",%.6g,%.17g,%.1f\n", m.step, m.train, m.valid,
                  m.seconds);
    csv += line;
  }
  return csv;
}

history history::from_csv(std::string_view csv) {
  history h;
  while (!csv.empty()) {
    const std::size_t end = csv.find('\n');
    const std::string line{csv.substr(0, end)};
    csv = end == std::string_view::npos ? std::string_view{} : csv.substr(end + 1);
    measurement m;
    if (std::sscanf(line.c_str(), "%" SCNu64 ",%lf,%lf,%lf", &m.step, &m.train, &m.valid,
                    &m.seconds) == 4)
      h.rows.push_back(m);
  }
  return h;
}

void history::add_to(std::vector<bitnet::train::plot_series>& plot, const std::string& name) const {
  const std::size_t color = plot.size() / 2;
  bitnet::train::plot_series valid{name, {}, color}, train{name + ", training", {}, color, true};
  for (const measurement& m : rows) {
    const double step = static_cast<double>(m.step);
    valid.points.push_back({step, m.valid});
    train.points.push_back({step, m.train});
  }
  plot.push_back(std::move(valid));
  plot.push_back(std::move(train));
}

}  // namespace trainer
