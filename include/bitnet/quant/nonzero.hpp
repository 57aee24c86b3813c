// SPDX-License-Identifier: Apache-2.0
// Where quantized activations are not zero. Most of them are after a squared ReLU; products with
// zeros are left out for many tokens at once, which changes no bit of an integer sum.
#pragma once

#include <bitnet/config.hpp>

#include <cstddef>
#include <cstdint>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// What four rows hold in 256 columns, four columns at a time (a "four": what one dot product
/// takes). A four's mask says in which of the rows it has a value that is not zero. Fours are
/// listed by mask, those of a mask in order; of each, the values of the rows in the mask follow.
struct nonzero_block {
  static constexpr std::size_t rows = 4;
  static constexpr std::size_t columns = 256;
  static constexpr std::size_t fours = columns / 4;
  static constexpr std::size_t masks = 1U << rows;

  /// Fours with mask m are place[end[m - 1]] .. [end[m] - 1]; those before are zero in every row.
  std::uint8_t end[masks];
  std::uint8_t place[fours];  ///< of each four in the block
  std::int8_t values[fours * rows]
                    [4];  ///< of fours with masks 1, 2, ...: rows in the mask, in order
  std::uint16_t used;     ///< of `values`
};

}  // namespace quant
BITNET_NAMESPACE_END
