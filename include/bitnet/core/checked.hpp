// SPDX-License-Identifier: Apache-2.0
// Arithmetic on sizes read from files: every operation says whether it fitted.
#pragma once

#include <bitnet/config.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

BITNET_NAMESPACE_BEGIN

/// a + b, or nothing if it does not fit in 64 bits.
[[nodiscard]] constexpr std::optional<std::uint64_t> checked_add(std::uint64_t a,
                                                                 std::uint64_t b) noexcept {
  if (a > std::numeric_limits<std::uint64_t>::max() - b) return std::nullopt;
  return a + b;
}

/// a * b, or nothing if it does not fit in 64 bits.
[[nodiscard]] constexpr std::optional<std::uint64_t> checked_mul(std::uint64_t a,
                                                                 std::uint64_t b) noexcept {
  if (b != 0 && a > std::numeric_limits<std::uint64_t>::max() / b) return std::nullopt;
  return a * b;
}

/// a rounded up to a multiple of a power of two, or nothing if it does not fit in 64 bits.
[[nodiscard]] constexpr std::optional<std::uint64_t> checked_align(std::uint64_t a,
                                                                   std::uint64_t power) noexcept {
  const auto sum = checked_add(a, power - 1);
  if (!sum) return std::nullopt;
  return *sum & ~(power - 1);
}

/// A number of bytes as a size, or nothing if no object is so large.
[[nodiscard]] constexpr std::optional<std::size_t> to_size(
    std::optional<std::uint64_t> n) noexcept {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::ptrdiff_t>::max());
  if (!n || *n > most) return std::nullopt;
  return static_cast<std::size_t>(*n);
}

/// a / b rounded up; b is not zero.
[[nodiscard]] constexpr std::size_t ceil_div(std::size_t a, std::size_t b) noexcept {
  return a / b + (a % b != 0 ? 1 : 0);
}

/// a rounded up to a multiple of b; b is not zero and the result fits.
[[nodiscard]] constexpr std::size_t round_up(std::size_t a, std::size_t b) noexcept {
  return ceil_div(a, b) * b;
}

BITNET_NAMESPACE_END
