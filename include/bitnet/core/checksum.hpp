// SPDX-License-Identifier: Apache-2.0
// A checksum for data that may be damaged, not for data that somebody forges.
#pragma once

#include <bitnet/config.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

BITNET_NAMESPACE_BEGIN

/// A checksum over 64-bit words, the last one filled up with zeros: four lanes, since one would
/// wait for its multiplications. Every step maps one-to-one, so no change within a single word is
/// missed.
[[nodiscard]] inline std::uint64_t checksum(std::span<const std::byte> bytes,
                                            std::uint64_t seed = 0) noexcept {
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15U;  // 2^64 over the golden ratio
  std::array<std::uint64_t, 4> lanes{seed + 1, seed + 2, seed + 3, seed + 4};
  const auto mix = [](std::uint64_t h, std::uint64_t w) {
    h = (h ^ w) * odd;
    return h ^ (h >> 32);
  };
  for (std::size_t at = 0, lane = 0; at < bytes.size(); at += 8, lane = (lane + 1) % 4) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min<std::size_t>(8, bytes.size() - at));
    lanes[lane] = mix(lanes[lane], word);
  }
  std::uint64_t sum = mix(seed, bytes.size());
  for (const std::uint64_t lane : lanes) sum = mix(sum, lane);
  return sum;
}

BITNET_NAMESPACE_END
