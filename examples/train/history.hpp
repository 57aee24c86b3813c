// SPDX-License-Identifier: Apache-2.0
// The losses of a run: a table that spreadsheets read, checkpoints keep and plots show.
#pragma once

#include <bitnet/train/plot.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

struct measurement {
  std::uint64_t step = 0;
  double train = 0.0;    ///< mean loss of the steps since the last measurement, nats a token
  double valid = 0.0;    ///< loss on held-out text
  double seconds = 0.0;  ///< of training so far
};

struct history {
  std::vector<measurement> rows;

  /// The lowest held-out loss; infinity before the first measurement.
  [[nodiscard]] double best() const noexcept;
  [[nodiscard]] std::string to_csv() const;
  /// Lines that are no measurement are left out.
  [[nodiscard]] static history from_csv(std::string_view csv);
  /// Adds held-out and (faint) training loss to a plot.
  void add_to(std::vector<bitnet::train::plot_series>& plot, const std::string& name) const;
};

}  // namespace trainer
