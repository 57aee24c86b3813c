// SPDX-License-Identifier: Apache-2.0
// The trained model as a GGUF file, and what it says.
#pragma once

#include "data.hpp"
#include "options.hpp"

#include <bitnet/train/trainer.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace trainer {

/// The bytes of the model's file. Throws cli::failure.
[[nodiscard]] std::vector<std::byte> to_gguf(const options& o, const dataset& d,
                                             const bitnet::train::model& model);

/// How far matrices in the file's type lie from the trained ones: relative, 0 for the same values.
[[nodiscard]] double loss_of_type(const bitnet::train::model& model);

/// A text that the inference engine makes of a model's file, the prompt before it.
[[nodiscard]] std::string sample(std::span<const std::byte> gguf, const std::string& prompt,
                                 std::size_t tokens, float temperature, std::uint64_t seed);

}  // namespace trainer
