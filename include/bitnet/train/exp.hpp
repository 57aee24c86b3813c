// SPDX-License-Identifier: Apache-2.0
// exp that compilers turn into vector code, as accurate as the kernels' own.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/bit_cast.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

BITNET_NAMESPACE_BEGIN
namespace train {

/// exp(x), in float within 1 ulp and limited to arguments in [-87, 88].
template <class T>
[[nodiscard]] BITNET_INLINE T exponential(T x) noexcept {
  if constexpr (!std::is_same_v<T, float>) {
    return std::exp(x);
  } else {
    x = x < -87.0F ? -87.0F : x;
    x = x > 88.0F ? 88.0F : x;
    constexpr float magic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
    const float shifted = x * 1.44269504F + magic;
    const float n = shifted - magic;
    float r = x - n * 0.693145752F;
    r = r - n * 1.42860677e-6F;
    float p = 1.98412698e-4F;
    p = p * r + 1.38888889e-3F;
    p = p * r + 8.33333333e-3F;
    p = p * r + 4.16666667e-2F;
    p = p * r + 1.66666667e-1F;
    p = p * r + 0.5F;
    p = p * r + 1.0F;
    p = p * r + 1.0F;
    const auto exponent = bit_cast<std::uint32_t>(shifted) - bit_cast<std::uint32_t>(magic) + 127U;
    return p * bit_cast<float>(exponent << 23);
  }
}

}  // namespace train
BITNET_NAMESPACE_END
