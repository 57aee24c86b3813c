// SPDX-License-Identifier: Apache-2.0
// Five base-3 digits in a byte, in the fixed-point form that decodes without a division.
#pragma once

#include <bitnet/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// A byte b stands for the fraction b / 256 = 0.t0 t1 t2 t3 t4 in base 3. Multiplying by 3^n moves
/// digit n to the front (whole parts fall off the byte), and times 3 once more its integer part is
/// the digit. Every byte decodes to digits 0..2.
[[nodiscard]] constexpr std::uint8_t base3_digit(std::uint8_t b, std::size_t n) noexcept {
  constexpr std::uint8_t powers[5] = {1, 3, 9, 27, 81};
  const auto front = static_cast<std::uint8_t>(b * powers[n]);
  return static_cast<std::uint8_t>(front * 3U >> 8U);
}

/// The byte of five digits, first digit most significant: v / 243 rounded up to a multiple of
/// 1 / 256, so that truncation in base3_digit cannot fall below a digit.
[[nodiscard]] constexpr std::uint8_t base3_byte(const std::array<std::uint8_t, 5>& t) noexcept {
  const std::uint32_t v = (((t[0] * 3U + t[1]) * 3U + t[2]) * 3U + t[3]) * 3U + t[4];
  return static_cast<std::uint8_t>((v * 256U + 242U) / 243U);
}

/// The digits of eight bytes, most significant first: each call of next() gives one digit of each.
/// Even and odd bytes sit in 16-bit lanes, so that times 3 does not carry into a neighbour.
class base3_reader {
 public:
  explicit base3_reader(const void* eight_bytes) noexcept {
    std::uint64_t all;
    std::memcpy(&all, eight_bytes, sizeof all);
    even_ = all & low_bytes;
    odd_ = all >> 8 & low_bytes;
  }
  /// Digits 0..2, that of byte i in byte i.
  [[nodiscard]] std::uint64_t next() noexcept {
    const std::uint64_t even = even_ * 3;
    const std::uint64_t odd = odd_ * 3;
    even_ = even & low_bytes;
    odd_ = odd & low_bytes;
    return (even >> 8 & low_bytes) | (odd & ~low_bytes);
  }

 private:
  static constexpr std::uint64_t low_bytes = 0x00ff00ff00ff00ffU;
  std::uint64_t even_;
  std::uint64_t odd_;
};

/// The digits of every byte as two-bit codes, the least significant digit in the lowest bits.
inline constexpr std::array<std::uint16_t, 256> base3_codes = [] {
  std::array<std::uint16_t, 256> table{};
  for (std::size_t b = 0; b < 256; ++b) {
    unsigned codes = 0;
    for (std::size_t n = 0; n < 5; ++n)
      codes = codes << 2 | base3_digit(static_cast<std::uint8_t>(b), n);
    table[b] = static_cast<std::uint16_t>(codes);
  }
  return table;
}();

}  // namespace quant
BITNET_NAMESPACE_END
