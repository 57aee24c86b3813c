// SPDX-License-Identifier: Apache-2.0
// What the options say: the model, and what a checkpoint has to agree with.
#pragma once

#include "data.hpp"
#include "options.hpp"

#include <bitnet/train/config.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace trainer {

/// The model to train with so many tokens in its vocabulary. Throws cli::failure, in terms of the
/// options, for what makes no model.
[[nodiscard]] bitnet::train::model_config<float> model_of(const options& o, std::size_t vocab);

/// Throws cli::failure if the run would replace a file that it reads, or, without --force, a model
/// or run that is there already.
void check_files(const options& o, const std::string& folder);

/// What decides the bits of a run of so many steps, a line each. A checkpoint of other settings is
/// not gone on from.
[[nodiscard]] std::string settings_of(const options& o, const dataset& d, std::uint64_t steps);

}  // namespace trainer
