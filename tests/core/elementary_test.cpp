// SPDX-License-Identifier: Apache-2.0
// Logarithm, power, sine and cosine against the C library's, and their bits against recorded ones.
#include <bitnet/core/bit_cast.hpp>
#include <bitnet/core/elementary.hpp>
#include <bitnet/core/random.hpp>

#include "doctest.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

using namespace bitnet;

namespace {

/// FNV-1a over the bits of what is added.
struct fingerprint {
  std::uint64_t value = 0xcbf29ce484222325U;
  void add(std::uint64_t bits) {
    for (int i = 0; i < 8; ++i, bits >>= 8) value = (value ^ (bits & 0xffU)) * 0x100000001b3U;
  }
};

double ulps(float got, double exact) {
  const auto near = static_cast<float>(std::fabs(exact));
  const double unit =
      static_cast<double>(std::nextafter(near, std::numeric_limits<float>::infinity())) -
      static_cast<double>(near);
  return std::fabs(static_cast<double>(got) - exact) / unit;
}

}  // namespace

TEST_CASE("sine and cosine of turns are nearly correctly rounded, everywhere in a turn") {
  const counter_random random{1};
  fingerprint bits;
  double worst = 0.0;
  for (std::uint64_t i = 0; i < 200000; ++i) {
    elementary::turns t = random.at64(0, i);
    if (i % 4 == 1) t >>= 20 + i % 40;                     // small angles
    if (i % 4 == 2) t = (t & 0xfffffU) + (i << 61);        // where octants meet
    if (i % 4 == 3) t = elementary::turns{0} - (t >> 30);  // small ones below 0
    const auto [sine, cosine] = elementary::sincos(t);
    bits.add(bitnet::bit_cast<std::uint32_t>(sine));
    bits.add(bitnet::bit_cast<std::uint32_t>(cosine));
    // The angle in double relative to the nearest quarter turn, where it is precise.
    const std::uint64_t quarter = (t + (std::uint64_t{1} << 61)) >> 62;
    const auto rest = static_cast<std::int64_t>(t - (quarter << 62));
    const double x = static_cast<double>(rest) * 0x1p-63 * std::numbers::pi;
    const double s = std::sin(x), c = std::cos(x);
    const double sin_cos[5] = {s, c, -s, -c, s};
    const double exact_sine = sin_cos[quarter], exact_cosine = sin_cos[quarter + 1];
    if (std::fabs(exact_sine) > 1e-9) worst = std::fmax(worst, ulps(sine, exact_sine));
    if (std::fabs(exact_cosine) > 1e-9) worst = std::fmax(worst, ulps(cosine, exact_cosine));
    REQUIRE(std::fabs(static_cast<double>(sine) - exact_sine) < 1e-7);
    REQUIRE(std::fabs(static_cast<double>(cosine) - exact_cosine) < 1e-7);
  }
  CAPTURE(worst);
  CHECK(worst < 0.51);
  CHECK(bits.value == 0x7c8fa7e66b1bd8faU);  // recorded on x86-64
}

TEST_CASE("quarter turns are exact") {
  const auto at = [](std::uint64_t quarters) { return elementary::sincos(quarters << 62); };
  CHECK((at(0).sine == 0.0F && at(0).cosine == 1.0F));
  CHECK((at(1).sine == 1.0F && at(1).cosine == 0.0F));
  CHECK((at(2).sine == 0.0F && at(2).cosine == -1.0F));
  CHECK((at(3).sine == -1.0F && at(3).cosine == 0.0F));
}

TEST_CASE("logarithm and power agree with the C library, and each other") {
  const counter_random random{2};
  fingerprint bits;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const auto exponent = static_cast<int>(random.at(0, i) % 2000U) - 1000;
    const double x =
        std::ldexp(1.0 + static_cast<double>(random.at64(1, i) >> 12) * 0x1p-52, exponent);
    const std::int64_t log = elementary::log2(x);
    REQUIRE(std::fabs(static_cast<double>(log) * elementary::log_unit - std::log2(x)) <
            1e-15 * std::fmax(1.0, std::fabs(std::log2(x))));
    REQUIRE(elementary::exp2(log) == doctest::Approx(x).epsilon(1e-15));
    bits.add(static_cast<std::uint64_t>(log));
    bits.add(bitnet::bit_cast<std::uint64_t>(elementary::exp2(log)));
  }
  CHECK(bits.value == 0xd48507474a9fc1c0U);  // recorded on x86-64
  CHECK(elementary::log2(1.0) == 0);
  CHECK(elementary::log2(8.0) == std::int64_t{3} << 52);
  CHECK(elementary::exp2(std::int64_t{-3} * (std::int64_t{1} << 52)) == 0.125);
  CHECK(elementary::exp2(0) == 1.0);
  CHECK(elementary::exp2(std::numeric_limits<std::int64_t>::max()) == 0x1p1023);
  CHECK(elementary::exp2(std::numeric_limits<std::int64_t>::min()) == 0x1p-1022);
}

TEST_CASE("turns wrap, and what has no angle is 0") {
  CHECK(elementary::to_turns(0.25) == std::uint64_t{1} << 62);
  CHECK(elementary::to_turns(1.0) == 0);
  CHECK(elementary::to_turns(5.25) == std::uint64_t{1} << 62);
  CHECK(elementary::to_turns(-0.25) == std::uint64_t{3} << 62);
  CHECK(elementary::to_turns(0x1p-64) == 1);
  CHECK(elementary::to_turns(0x1p-65) == 0);
  CHECK(elementary::to_turns(0.0) == 0);
  CHECK(elementary::to_turns(0x1p-1070) == 0);
  CHECK(elementary::to_turns(0x1p70) == 0);
  CHECK(elementary::to_turns(1e300) == 0);
  CHECK(elementary::to_turns(std::numeric_limits<double>::infinity()) == 0);
  CHECK(elementary::to_turns(std::numeric_limits<double>::quiet_NaN()) == 0);
}
