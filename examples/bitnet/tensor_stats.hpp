// SPDX-License-Identifier: Apache-2.0
// Sizes of the numbers in a file's tensors, and which of them are unusual.
#pragma once

#include <bitnet/gguf/source.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace cli {

struct tensor_stats {
  bool known = false;     ///< false for tensors that hold no weights
  double rms = 0.0;       ///< root of the mean square
  double largest = 0.0;   ///< magnitude
  std::string suspicion;  ///< why the tensor looks wrong, or empty
};

/// Reads every tensor, in parallel, and shows how far that is. One entry for each tensor.
[[nodiscard]] std::vector<tensor_stats> measure_tensors(const bitnet::gguf::document& document,
                                                        std::string_view architecture);

}  // namespace cli
