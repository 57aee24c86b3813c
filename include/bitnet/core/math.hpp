// SPDX-License-Identifier: Apache-2.0
// Scalar float operations whose result is the same on every compiler, flag and machine.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/bit_cast.hpp>

#include <bit>
#include <cmath>
#include <cstdint>

BITNET_NAMESPACE_BEGIN

/// a * b + c rounded once. Uses the hardware instruction where the flags allow it, and otherwise
/// an exact emulation in double: the product of two floats is exact there, and rounding the sum to
/// odd makes the second rounding harmless (Boldo and Melquiond, "Emulation of a FMA and correctly
/// rounded sums", 2008). It does not call libm, whose fmaf is not correctly rounded everywhere.
[[nodiscard]] BITNET_INLINE float fused_multiply_add(float a, float b, float c) noexcept {
#if BITNET_FLAGS_FMA
  return std::fma(a, b, c);
#else
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = static_cast<double>(c);
  double sum = product + addend;
  const double part = sum - product;
  const double rest = (product - (sum - part)) + (addend - part);  // exact error of the sum
  auto bits = bit_cast<std::uint64_t>(sum);
  const bool inexact = rest != 0.0 && (bits >> 52 & 0x7ff) != 0x7ff;
  if (inexact && (bits & 1) == 0) {
    bits += ((rest > 0.0) == (sum > 0.0)) ? std::uint64_t{1} : ~std::uint64_t{0};
    sum = bit_cast<double>(bits);
  }
  return static_cast<float>(sum);
#endif
}

/// Nearest integer, halves to even, of |x| < 2^22. Adding 1.5 * 2^23 leaves the integer in the low
/// bits of the sum in the default rounding mode, without a call and without a flag to depend on.
[[nodiscard]] BITNET_INLINE std::int32_t round_to_even(float x) noexcept {
  const float shifted = x + 12582912.0F;
  return static_cast<std::int32_t>(bit_cast<std::uint32_t>(shifted) & 0x007fffffU) - 0x400000;
}

BITNET_NAMESPACE_END
