// SPDX-License-Identifier: Apache-2.0
// What the options say: the model, and what a checkpoint has to agree with.
#pragma once

#include "data.hpp"
#include "options.hpp"

#include <bitnet/train/config.hpp>

#include <cstdint>
#include <string>

namespace trainer {

/// The model to train on a text. Throws cli::failure for unknown names.
[[nodiscard]] bitnet::train::model_config<float> model_of(const options& o, const dataset& d);

/// What decides the bits of a run of so many steps, a line each. A checkpoint of other settings is
/// not gone on from.
[[nodiscard]] std::string settings_of(const options& o, const dataset& d, std::uint64_t steps);

}  // namespace trainer
