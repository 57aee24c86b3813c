// SPDX-License-Identifier: Apache-2.0
// What the machine can do at best: reading memory, and the dot products of an instruction set.
#pragma once

#include <bitnet/core/executor.hpp>

#include <cstddef>
#include <string_view>

namespace cli {

/// Bytes a second that all threads together read from memory, streaming through a block that no
/// cache holds, with the vectors of that instruction set. Measures for about `seconds`.
[[nodiscard]] double read_bandwidth(bitnet::executor_ref threads, std::string_view isa,
                                    double seconds);

/// Int8 multiply-adds a second of all threads together, with operands in registers or the first
/// cache, by the dot-product instructions of that instruction set. Measures for about `seconds`.
[[nodiscard]] double dot_product_peak(bitnet::executor_ref threads, std::string_view isa,
                                      double seconds);

}  // namespace cli
