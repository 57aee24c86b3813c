// SPDX-License-Identifier: Apache-2.0
// Finds the scale with which values are small whole numbers, if there is one: lossless encoding.
#pragma once

#include <bitnet/core/half.hpp>
#include <bitnet/quant/coded_block.hpp>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// The largest step of which every value is a whole multiple, at most `most` steps (up to 128) from
/// zero. 0 if all values are; nothing if there is no such step. `x` is finite.
[[nodiscard]] inline std::optional<float> common_step(std::span<const float> x,
                                                      std::uint32_t most) noexcept {
  BITNET_ASSERT(most >= 1 && most <= 128, "common_step() counts to 128");
  const float largest = max_magnitude(x);
  if (largest == 0.0F) return 0.0F;
  // In units of the smallest bit that a value of largest / 128 can have, all are 32-bit integers.
  const double unit = std::ldexp(1.0, std::ilogb(largest) - 31);
  const double per_unit = 1.0 / unit;
  const auto units = [&](float v) {
    return static_cast<std::uint32_t>(static_cast<double>(std::fabs(v)) * per_unit);
  };
  const std::uint32_t top = units(largest);
  const std::uint32_t least = top / most;
  std::uint32_t step = top;
  for (const float v : x) {
    if (v == 0.0F) continue;
    const std::uint32_t n = units(v);
    if (n < least) return std::nullopt;
    if (n % step != 0) step = std::gcd(n, step);
    if (step < least) return std::nullopt;
  }
  if (top / step > most) return std::nullopt;
  return static_cast<float>(static_cast<double>(step) * unit);
}

/// The same as a half-precision number: the step, or the largest whole part of it that is one, or
/// else the number next to the step, which is off by at most 2^-11 of it. So counts of steps are
/// value / step to the nearest integer.
[[nodiscard]] inline std::optional<f16> half_step(std::span<const float> x,
                                                  std::uint32_t most) noexcept {
  const auto step = common_step(x, most);
  if (!step) return std::nullopt;
  if (*step == 0.0F) return f16{0};
  const float times = max_magnitude(x) / *step;
  for (float parts = 1.0F; parts * times <= static_cast<float>(most); parts += 1.0F) {
    const f16 h = to_f16(*step / parts);
    if (h.bits != 0 && to_float(h) * parts == *step) return h;
  }
  const f16 nearest = to_f16(*step);
  const unsigned exponent = nearest.bits >> 10U;
  if (exponent == 0 || exponent == 31) return std::nullopt;  // too coarse, or infinite
  return nearest;
}

/// Whether a block decodes to just these values.
template <class F>
[[nodiscard]] bool decodes_to(const typename F::block& b, std::span<const float> x) noexcept {
  std::array<float, F::block_size> decoded;
  F::unpack(b, std::span<float, F::block_size>{decoded});
  return std::equal(decoded.begin(), decoded.end(), x.begin());
}

}  // namespace quant
BITNET_NAMESPACE_END
