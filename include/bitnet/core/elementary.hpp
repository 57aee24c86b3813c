// SPDX-License-Identifier: Apache-2.0
// Logarithm, power, sine and cosine with the same bits on every platform.
//
// C libraries differ in the last bits of theirs, and some differ from one processor to the next.
// Here everything is integer arithmetic but for exact scalings by powers of two.
#pragma once

#include <bitnet/core/bit_cast.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

BITNET_NAMESPACE_BEGIN
namespace elementary {

namespace detail {

/// Upper half of the product.
[[nodiscard]] constexpr std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) noexcept {
  const std::uint64_t a0 = a & 0xffffffffU, a1 = a >> 32, b0 = b & 0xffffffffU, b1 = b >> 32;
  const std::uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
  return a1 * b1 + (middle >> 32) + ((a0 * b1 + (middle & 0xffffffffU)) >> 32);
}

inline constexpr std::uint64_t one = std::uint64_t{1} << 62;  ///< 1 in units of 2^-62

/// a * b in units of 2^-62; both are below 2.
[[nodiscard]] constexpr std::uint64_t multiply(std::uint64_t a, std::uint64_t b) noexcept {
  return multiply_high(a << 1, b << 1);
}

/// 2^n for n in [-1022, 1023].
[[nodiscard]] constexpr double power_of_two(std::int64_t n) noexcept {
  return bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52);
}

/// c[0] - z (c[1] - z (c[2] - ..)) for coefficients that fall fast enough to stay positive.
template <std::size_t N>
[[nodiscard]] constexpr std::uint64_t alternating(const std::uint64_t (&c)[N],
                                                  std::uint64_t z) noexcept {
  std::uint64_t sum = c[N - 1];
  for (std::size_t i = N - 1; i-- > 0;) sum = c[i] - multiply(z, sum);
  return sum;
}

/// 1 / n! for n = First, First + 2 .. in units of 2^-62.
template <std::uint64_t First, std::size_t N>
struct inverse_factorials {
  static_assert(First <= 1);
  std::uint64_t c[N];
  constexpr inverse_factorials() noexcept : c{} {
    std::uint64_t value = one;
    for (std::uint64_t i = 0; i < N; ++i) {
      c[i] = value;
      value /= (First + 2 * i + 1) * (First + 2 * i + 2);
    }
  }
};

}  // namespace detail

/// Unit of log2 and exp2: 2^-52.
inline constexpr double log_unit = 0x1p-52;

/// log2(x) in units of 2^-52, within 2 of them. x is a normal number above 0; what others give is
/// defined but means nothing.
[[nodiscard]] constexpr std::int64_t log2(double x) noexcept {
  const auto bits = bit_cast<std::uint64_t>(x);
  std::int64_t result = static_cast<std::int64_t>(bits >> 52 & 0x7ffU) - 1023;
  std::uint64_t m = (bits << 11) | std::uint64_t{1} << 63;  // [1, 2) in units of 2^-63
  for (int i = 0; i < 52; ++i) {  // squaring doubles the logarithm: a bit of it comes out
    m = detail::multiply_high(m, m);
    const bool bit = m >> 63 != 0;
    result = result * 2 + (bit ? 1 : 0);
    if (!bit) m <<= 1;
  }
  return result;
}

/// 2^x for x in units of 2^-52 between -1022 and 1023, with a relative error below 2^-52; beyond
/// that as at the end.
[[nodiscard]] constexpr double exp2(std::int64_t x) noexcept {
  constexpr std::int64_t unit = std::int64_t{1} << 52;
  if (x < -1022 * unit) x = -1022 * unit;
  if (x > 1023 * unit) x = 1023 * unit;
  std::int64_t whole = x / unit;
  if (x < whole * unit) --whole;
  const auto fraction = static_cast<std::uint64_t>(x - whole * unit) << 10;  // of 2^62
  const std::uint64_t y = detail::multiply(fraction, 0x2c5c85fdf473de6bU);   // times ln 2
  std::uint64_t sum = detail::one;
  for (std::uint64_t n = 20; n != 0; --n) sum = detail::one + detail::multiply(y, sum) / n;
  return static_cast<double>(sum) * 0x1p-62 * detail::power_of_two(whole);
}

/// Fractions of a turn in units of 2^-64: sums and multiples wrap as angles do, exactly.
using turns = std::uint64_t;

/// x turns, for any finite x; whole turns drop out, and infinity and NaN are 0.
[[nodiscard]] constexpr turns to_turns(double x) noexcept {
  const auto bits = bit_cast<std::uint64_t>(x);
  const auto exponent = static_cast<std::int64_t>(bits >> 52 & 0x7ffU) - 1023;
  const std::uint64_t mantissa = (bits & 0xfffffffffffffU) | std::uint64_t{1} << 52;
  const std::int64_t shift = exponent - 52 + 64;
  if (exponent == 1024 || shift >= 64 || shift <= -53) return 0;
  const turns t = shift >= 0 ? mantissa << shift : mantissa >> -shift;
  return bits >> 63 != 0 ? turns{0} - t : t;
}

struct sine_cosine {
  float sine;
  float cosine;
};

/// Sine and cosine of an angle, each within 0.51 ulp or 2^-60.
[[nodiscard]] inline sine_cosine sincos(turns angle) noexcept {
  // 1 / (2 n + 1)! and 1 / (2 n)!; the first terms left out are below 2^-45.
  static constexpr detail::inverse_factorials<1, 7> odd;
  static constexpr detail::inverse_factorials<0, 8> even;
  const std::uint64_t quarter = (angle + (std::uint64_t{1} << 61)) >> 62;
  const std::uint64_t rest = angle - (quarter << 62);  // within an eighth of a turn, either side
  const bool below = rest >> 63 != 0;
  const std::uint64_t size = below ? std::uint64_t{0} - rest : rest;
  // Turns to radians: size * 2 pi / 2^64 in units of 2^-62 is size * pi / 2.
  const std::uint64_t radians = detail::multiply_high(size << 1, 0xc90fdaa22168c235U);
  const std::uint64_t square = detail::multiply(radians, radians);
  const auto number = [](std::uint64_t x, bool negative) {
    const float f = static_cast<float>(static_cast<std::int64_t>(x)) * 0x1p-62F;
    return negative ? -f : f;
  };
  const std::uint64_t sine = detail::multiply(radians, detail::alternating(odd.c, square));
  const std::uint64_t cosine = detail::alternating(even.c, square);
  switch (quarter) {
    case 0:
      return {number(sine, below), number(cosine, false)};
    case 1:
      return {number(cosine, false), number(sine, !below)};
    case 2:
      return {number(sine, !below), number(cosine, true)};
    default:
      return {number(cosine, true), number(sine, below)};
  }
}

}  // namespace elementary
BITNET_NAMESPACE_END
