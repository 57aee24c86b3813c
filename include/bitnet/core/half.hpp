// SPDX-License-Identifier: Apache-2.0
// Half precision (IEEE 754 binary16) and bfloat16 as storage types, bit-exact with the hardware.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/bit_cast.hpp>

#include <bit>
#include <cstdint>

BITNET_NAMESPACE_BEGIN

/// IEEE binary16 storage. Arithmetic happens in float.
struct f16 {
  std::uint16_t bits;
};

/// Upper half of an IEEE binary32.
struct bf16 {
  std::uint16_t bits;
};

/// Exact.
[[nodiscard]] constexpr float to_float(f16 h) noexcept {
  const std::uint32_t sign = (h.bits & 0x8000U) << 16;
  const std::uint32_t rest = h.bits & 0x7fffU;
  if (rest >= 0x7c00U) {  // infinity, or NaN made quiet as the hardware does
    const std::uint32_t quiet = rest > 0x7c00U ? 0x400000U : 0U;
    return bit_cast<float>(sign | 0x7f800000U | (rest & 0x3ffU) << 13 | quiet);
  }
  if (rest >= 0x0400U) return bit_cast<float>(sign | ((rest << 13) + 0x38000000U));
  // Subnormal: rest * 2^-24, exact in float.
  const float magnitude = static_cast<float>(rest) * 0x1p-24F;
  return bit_cast<float>(bit_cast<std::uint32_t>(magnitude) | sign);
}

/// Exact.
[[nodiscard]] constexpr float to_float(bf16 b) noexcept {
  return bit_cast<float>(static_cast<std::uint32_t>(b.bits) << 16);
}

/// Round to nearest, halves to even; too large becomes infinity.
[[nodiscard]] constexpr f16 to_f16(float x) noexcept {
  const auto bits = bit_cast<std::uint32_t>(x);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000U);
  const std::uint32_t rest = bits & 0x7fffffffU;
  if (rest > 0x7f800000U)  // NaN, quiet, upper payload bits kept
    return {static_cast<std::uint16_t>(sign | 0x7e00U | (rest >> 13 & 0x3ffU))};
  if (rest >= 0x477ff000U) return {static_cast<std::uint16_t>(sign | 0x7c00U)};
  if (rest < 0x38800000U) {  // subnormal in half: let float addition do the rounding
    const float aligned = bit_cast<float>(rest) + 0.5F;
    return {static_cast<std::uint16_t>(sign | (bit_cast<std::uint32_t>(aligned) - 0x3f000000U))};
  }
  const std::uint32_t odd = rest >> 13 & 1U;
  return {static_cast<std::uint16_t>(sign | ((rest + 0xfffU + odd - 0x38000000U) >> 13))};
}

/// Round to nearest, halves to even.
[[nodiscard]] constexpr bf16 to_bf16(float x) noexcept {
  const auto bits = bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>(bits >> 16 | 0x40U)};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16)};
}

BITNET_NAMESPACE_END
