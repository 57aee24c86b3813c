// SPDX-License-Identifier: Apache-2.0
// Philox against the published vectors of Random123, and the shape of the draws.
#include <bitnet/core/log.hpp>
#include <bitnet/core/random.hpp>

#include "doctest.hpp"

#include <array>
#include <cstdint>
#include <string>

TEST_CASE("philox4x32-10 gives the published vectors") {
  using block = std::array<std::uint32_t, 4>;
  CHECK(bitnet::philox4x32({0, 0, 0, 0}, {0, 0}) ==
        block{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U});
  CHECK(bitnet::philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) ==
        block{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU});
  CHECK(bitnet::philox4x32({0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U},
                           {0xa4093822U, 0x299f31d0U}) ==
        block{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U});
}

TEST_CASE("draws depend on seed, stream and index, and lie in [0, 1)") {
  const bitnet::counter_random random{7};
  CHECK(random.at(0, 5) == random.block(0, 1)[1]);
  CHECK(random.at64(0, 3) == (random.at(0, 6) | static_cast<std::uint64_t>(random.at(0, 7)) << 32));
  CHECK(random.at(0, 0) != random.at(1, 0));
  CHECK(random.at(0, 0) != bitnet::counter_random{8}.at(0, 0));
  double sum = 0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const float u = random.uniform(3, i);
    REQUIRE(u >= 0.0F);
    REQUIRE(u < 1.0F);
    sum += static_cast<double>(u);
  }
  CHECK(sum / 100000 == doctest::Approx(0.5).epsilon(0.01));
}

TEST_CASE("a log sink is silent by default and filters by level") {
  std::string seen;
  const auto write = [](void* user, bitnet::log_level, std::string_view text) {
    static_cast<std::string*>(user)->append(text);
  };
  bitnet::log_sink{}(bitnet::log_level::error, "nobody hears");
  const bitnet::log_sink sink{write, &seen, bitnet::log_level::warning};
  sink(bitnet::log_level::info, "a");
  sink(bitnet::log_level::warning, "b");
  CHECK(seen == "b");
}
