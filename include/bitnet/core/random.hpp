// SPDX-License-Identifier: Apache-2.0
// Random numbers by counter: a draw is a function of seed, stream and index, not of history.
#pragma once

#include <bitnet/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

BITNET_NAMESPACE_BEGIN

/// Philox4x32-10: a bijection of 128-bit counters under a 64-bit key that passes the usual
/// batteries of tests (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
/// SC 2011). Integer arithmetic only, so the same on every platform.
[[nodiscard]] constexpr std::array<std::uint32_t, 4> philox4x32(
    std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) noexcept {
  constexpr std::uint64_t multiplier_0 = 0xd2511f53U;
  constexpr std::uint64_t multiplier_1 = 0xcd9e8d57U;
  constexpr std::uint32_t weyl_0 = 0x9e3779b9U;  // golden ratio
  constexpr std::uint32_t weyl_1 = 0xbb67ae85U;  // sqrt(3) - 1
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product_0 = multiplier_0 * counter[0];
    const std::uint64_t product_1 = multiplier_1 * counter[2];
    counter = {static_cast<std::uint32_t>(product_1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product_1),
               static_cast<std::uint32_t>(product_0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product_0)};
    key[0] += weyl_0;
    key[1] += weyl_1;
  }
  return counter;
}

/// Independent streams of draws under one seed. A draw costs one Philox block and changes nothing,
/// so draws may be made in any order and from any thread, and a run can be resumed or replayed
/// from the index alone.
class counter_random {
 public:
  constexpr explicit counter_random(std::uint64_t seed) noexcept
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)} {}

  /// Draws 4 * index to 4 * index + 3 of a stream.
  [[nodiscard]] constexpr std::array<std::uint32_t, 4> block(std::uint64_t stream,
                                                             std::uint64_t index) const noexcept {
    return philox4x32(
        {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
         static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)},
        key_);
  }

  /// Uniform in [0, 2^32).
  [[nodiscard]] constexpr std::uint32_t at(std::uint64_t stream,
                                           std::uint64_t index) const noexcept {
    return block(stream, index / 4)[static_cast<std::size_t>(index % 4)];
  }

  /// Uniform in [0, 2^64): draws 2 * index (low half) and 2 * index + 1 of the stream.
  [[nodiscard]] constexpr std::uint64_t at64(std::uint64_t stream,
                                             std::uint64_t index) const noexcept {
    const auto words = block(stream, index / 2);
    const auto first = static_cast<std::size_t>(index % 2) * 2;
    return words[first] | static_cast<std::uint64_t>(words[first + 1]) << 32;
  }

  /// Uniform multiple of 2^-24 in [0, 1): the upper 24 bits of `at`.
  [[nodiscard]] constexpr float uniform(std::uint64_t stream, std::uint64_t index) const noexcept {
    return static_cast<float>(at(stream, index) >> 8) * 0x1p-24F;
  }

 private:
  std::array<std::uint32_t, 2> key_;
};

BITNET_NAMESPACE_END
