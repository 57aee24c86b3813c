// SPDX-License-Identifier: Apache-2.0
// Half precision, bfloat16, fused multiply-add, rounding and checked sizes, against exact oracles.
#include <bitnet/core/checked.hpp>
#include <bitnet/core/half.hpp>
#include <bitnet/core/math.hpp>
#include <bitnet/core/random.hpp>

#include "doctest.hpp"
#include "exact_fma.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

TEST_CASE("every f16 survives the way through float and has its value") {
  for (std::uint32_t b = 0; b < 0x10000U; ++b) {
    const bitnet::f16 h{static_cast<std::uint16_t>(b)};
    const float x = bitnet::to_float(h);
    const int exponent = static_cast<int>(b >> 10 & 31U);
    const auto mantissa = static_cast<float>(b & 0x3ffU);
    if (exponent == 31 && mantissa > 0) {
      REQUIRE(std::isnan(x));
      REQUIRE(bitnet::to_f16(x).bits == (b | 0x200U));
      continue;
    }
    float expect =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024.0F + mantissa, exponent - 25);
    if (exponent == 31) expect = std::numeric_limits<float>::infinity();
    REQUIRE(std::fabs(x) == expect);
    REQUIRE(std::signbit(x) == ((b & 0x8000U) != 0));
    REQUIRE(bitnet::to_f16(x).bits == b);
    if (exponent == 31 || (b & 0x8000U) != 0) continue;
    // Halfway to the next one goes to the even one; a touch beside it goes to the near one.
    const double next =
        exponent == 30 && mantissa >= 1023.0F
            ? 65536.0
            : static_cast<double>(bitnet::to_float(bitnet::f16{static_cast<std::uint16_t>(b + 1)}));
    const auto half = static_cast<float>((static_cast<double>(x) + next) / 2);
    REQUIRE(bitnet::to_f16(half).bits == b + (b & 1U));
    REQUIRE(bitnet::to_f16(std::nextafter(half, 0.0F)).bits == b);
    REQUIRE(bitnet::to_f16(std::nextafter(half, 1e9F)).bits == b + 1);
  }
}

TEST_CASE("every bf16 survives, and halves go to even") {
  for (std::uint32_t b = 0; b < 0x10000U; ++b) {
    const bitnet::bf16 h{static_cast<std::uint16_t>(b)};
    const float x = bitnet::to_float(h);
    if (std::isnan(x)) {
      REQUIRE(std::isnan(bitnet::to_float(bitnet::to_bf16(x))));
      continue;
    }
    REQUIRE(bitnet::to_bf16(x).bits == b);
    if (std::isinf(x)) continue;
    REQUIRE(bitnet::to_bf16(bitnet::bit_cast<float>(b << 16 | 0x8000U)).bits == b + (b & 1U));
    REQUIRE(bitnet::to_bf16(bitnet::bit_cast<float>(b << 16 | 0x7fffU)).bits == b);
    REQUIRE(bitnet::to_bf16(bitnet::bit_cast<float>(b << 16 | 0x8001U)).bits == b + 1);
  }
}

TEST_CASE("fused_multiply_add rounds once") {
  const auto same = [](float a, float b, float c) {
    const float got = bitnet::fused_multiply_add(a, b, c);
    const float expect = testing::exact_fma(a, b, c);
    return std::isnan(expect)
               ? std::isnan(got)
               : bitnet::bit_cast<std::uint32_t>(got) == bitnet::bit_cast<std::uint32_t>(expect);
  };
  const bitnet::counter_random random{1};
  for (std::uint64_t i = 0; i < 300000; ++i) {
    const auto w = random.block(0, i);
    REQUIRE(same(bitnet::bit_cast<float>(w[0]), bitnet::bit_cast<float>(w[1]),
                 bitnet::bit_cast<float>(w[2])));
    // Short significands and near exponents: many exact halves, cancellations and subnormals.
    const auto hard = [](std::uint32_t x, int shift) {
      return std::ldexp(static_cast<float>(x & 0xffffU) + 0x1p16F,
                        static_cast<int>(x >> 16 & 31U) - shift);
    };
    REQUIRE(same(hard(w[0], 24), -hard(w[1], 24), hard(w[2], 24)));
    REQUIRE(same(hard(w[0], 90), hard(w[1], 90), hard(w[2], 165)));
  }
  // One bit beyond a half, too small for a double's sum: rounding twice would lose it.
  CHECK(same(1.0F + 0x1p-12F, 1.0F + 0x1p-12F, 0x1p-60F));
  CHECK(same(1.0F + 0x1p-12F, 1.0F + 0x1p-12F, -0x1p-60F));
}

TEST_CASE("round_to_even") {
  for (int i = -8400000 / 4; i <= 8400000 / 4; i += 7) {
    const float x = static_cast<float>(i) * 0.5F;
    REQUIRE(bitnet::round_to_even(x) == static_cast<std::int32_t>(std::nearbyint(x)));
  }
  CHECK(bitnet::round_to_even(0.5F) == 0);
  CHECK(bitnet::round_to_even(1.5F) == 2);
  CHECK(bitnet::round_to_even(-2.5F) == -2);
}

TEST_CASE("checked sizes notice overflow") {
  constexpr std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
  CHECK(bitnet::checked_add(max, 0) == max);
  CHECK(!bitnet::checked_add(max, 1));
  CHECK(bitnet::checked_mul(max / 3, 3) == max);
  CHECK(!bitnet::checked_mul(std::uint64_t{1} << 32, std::uint64_t{1} << 32));
  CHECK(bitnet::checked_align(33, 32) == 64);
  CHECK(!bitnet::checked_align(max, 32));
  CHECK(bitnet::ceil_div(7, 3) == 3);
  CHECK(bitnet::round_up(8, 4) == 8);
}
