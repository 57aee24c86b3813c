// SPDX-License-Identifier: Apache-2.0
// A run of training: from options to a model file.
#pragma once

#include "options.hpp"

namespace trainer {

/// Trains, measures, shows, saves and writes. Throws cli::failure.
void run(const options& o);

}  // namespace trainer
