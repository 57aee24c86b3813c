// SPDX-License-Identifier: Apache-2.0
// Files that a run writes beside its model.
#pragma once

#include "options.hpp"

#include <bitnet/train/plot.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace trainer {

/// Writes a whole file or nothing. Throws cli::failure.
void write_file(const std::string& path, std::span<const std::byte> bytes);
void write_file(const std::string& path, const std::string& text);

/// Writes the picture of `plot` and of the runs to compare.
void plot_runs(const options& o, std::vector<bitnet::train::plot_series> plot);

}  // namespace trainer
