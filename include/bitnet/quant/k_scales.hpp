// SPDX-License-Identifier: Apache-2.0
// The 6-bit scales and minimums that Q4_K and Q5_K share.
#pragma once

#include <bitnet/core/half.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// Header of a super-block of 8 sub-blocks of 32 weights: w = d * sc * q - dmin * m, with 6-bit sc
/// and m. The first four pairs lie in the low 6 bits of bytes 0..3 and 4..7; the last four have
/// their low 4 bits in the halves of bytes 8..11 and their top 2 bits above the first four.
struct k_header {
  f16 d;
  f16 dmin;
  std::uint8_t packed[12];

  /// scales[s] = d * sc and mins[s] = dmin * m, exact in float (11 + 6 bits).
  void unpack(std::span<float, 8> scales, std::span<float, 8> mins) const noexcept {
    for (std::size_t s = 0; s < 4; ++s) {
      const std::uint32_t a = packed[s];
      const std::uint32_t b = packed[s + 4];
      const std::uint32_t c = packed[s + 8];
      scales[s] = to_float(d) * static_cast<float>(a & 63U);
      mins[s] = to_float(dmin) * static_cast<float>(b & 63U);
      scales[s + 4] = to_float(d) * static_cast<float>((c & 15U) | (a >> 6U) << 4U);
      mins[s + 4] = to_float(dmin) * static_cast<float>(c >> 4U | (b >> 6U) << 4U);
    }
  }
};
static_assert(sizeof(k_header) == 16);

}  // namespace quant
BITNET_NAMESPACE_END
