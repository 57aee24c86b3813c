// SPDX-License-Identifier: Apache-2.0
// Random weights made directly in the bytes of a tensor type, about as fast as a disk takes them.
#pragma once

#include <bitnet/core/random.hpp>
#include <bitnet/gguf/types.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace cli {

/// What a random tensor looks like.
struct weight_recipe {
  bitnet::gguf::tensor_type type = bitnet::gguf::tensor_type::f32;
  std::uint64_t cols = 0;
  float deviation = 0.0F;    ///< standard deviation of the weights
  float mean = 0.0F;         ///< f32 only
  std::uint64_t number = 0;  ///< of the tensor: tensors of one file differ
};

/// Bytes of a row, without what ends the tensor.
[[nodiscard]] std::size_t row_bytes(const weight_recipe& recipe);

/// Fills one row; any number of threads may fill different rows.
void fill_row(const weight_recipe& recipe, const bitnet::counter_random& random, std::uint64_t row,
              std::span<std::byte> out);

/// What follows the rows (I2_S: the scale).
[[nodiscard]] std::string tensor_tail(const weight_recipe& recipe);

}  // namespace cli
