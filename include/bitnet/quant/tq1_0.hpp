// SPDX-License-Identifier: Apache-2.0
// TQ1_0 (ggml type 34): ternary blocks of 256, five weights to a byte in base 3.
#pragma once

#include <bitnet/quant/base3.hpp>
#include <bitnet/quant/bit_matrix.hpp>
#include <bitnet/quant/encode.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = (trit - 1) * d, 1.6875 bits a weight. Digit n of byte m is weight 32n + m of the first 160
/// (bytes 0..31), 160 + 16n + m of the next 80 (bytes 32..47), and 240 + 4n + m of the last 16
/// (four digits in each byte of `last`). The first digit is the most significant.
struct tq1_0 : ternary_blocks<tq1_0> {
  static constexpr std::string_view name = "TQ1_0";
  static constexpr std::size_t block_size = 256;
  static constexpr encoding tile = encoding::ternary2;
  static constexpr std::size_t group = 256;
  static constexpr bool has_mins = false;
  static constexpr bool f16_scales = true;

  struct block {
    std::uint8_t q[48];
    std::uint8_t last[4];
    f16 d;
  };
  static_assert(sizeof(block) == 54);

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    const auto read = [&](const std::uint8_t* bytes, std::size_t first, std::size_t stride) {
      base3_reader digits{bytes};
      for (std::size_t n = 0; n < 5; ++n) {
        const std::uint64_t eight = digits.next();
        std::memcpy(&out[first + stride * n], &eight, sizeof eight);
      }
    };
    for (std::size_t m = 0; m < 32; m += 8) read(b.q + m, m, 32);
    for (std::size_t m = 0; m < 16; m += 8) read(b.q + 32 + m, 160 + m, 16);
    for (std::size_t n = 0; n < 4; ++n)
      for (std::size_t m = 0; m < 4; ++m) out[240 + 4 * n + m] = base3_digit(b.last[m], n);
  }
  static void scales(const block& b, std::span<float, 1> out, std::span<float, 1>) noexcept {
    out[0] = to_float(b.d);
  }

  /// See line_format.
  static constexpr bool writes_lines(std::size_t) noexcept { return true; }
  static void write_lines(packed_rows w, std::size_t row, std::uint8_t* words) noexcept {
    // Sixteen bytes give five runs of 16 columns; codes of columns 4p.. go to bits 2p.
    const auto runs = [](const std::uint8_t* bytes, std::uint8_t* to, std::size_t stride) {
      base3_reader low{bytes};
      base3_reader high{bytes + 8};
      for (std::size_t n = 0; n < 5; ++n, to += stride) {
        const std::uint64_t pairs = low.next() | high.next() << 4;  // p = 0 and 2, p = 1 and 3
        store_u32(to, static_cast<std::uint32_t>(pairs | pairs >> 30));
      }
    };
    for (std::size_t i = 0; i < w.cols / block_size; ++i, words += 16 * line_bytes) {
      const block b = load_block<tq1_0>(w, row, i);
      runs(b.q, words, 2 * line_bytes);
      runs(b.q + 16, words + line_bytes, 2 * line_bytes);
      runs(b.q + 32, words + 10 * line_bytes, line_bytes);
      std::uint32_t last = 0;  // here byte c holds columns 4p + c already
      for (std::size_t n = 0; n < 4; ++n)
        for (std::size_t m = 0; m < 4; ++m)
          last |= static_cast<std::uint32_t>(base3_digit(b.last[m], n)) << (8 * m + 2 * n);
      store_u32(words + 15 * line_bytes, last);
    }
  }

  /// See ternary_blocks.
  static block make_block(std::span<const float> x, float d) noexcept {
    block b;
    b.d = to_f16(d);
    const auto pack = [&](std::size_t first, std::size_t stride, std::size_t digits) {
      std::array<std::uint8_t, 5> trits{};  // a fifth digit of 0 where there are only four
      for (std::size_t n = 0; n < digits; ++n) trits[n] = ternary_code(x[first + stride * n], d);
      return base3_byte(trits);
    };
    for (std::size_t m = 0; m < 32; ++m) b.q[m] = pack(m, 32, 5);
    for (std::size_t m = 0; m < 16; ++m) b.q[32 + m] = pack(160 + m, 16, 5);
    for (std::size_t m = 0; m < 4; ++m) b.last[m] = pack(240 + m, 4, 4);
    return b;
  }
};
static_assert(block_format<tq1_0> && coded_block_format<tq1_0> && tileable_format<tq1_0> &&
              line_format<tq1_0>);

}  // namespace quant
BITNET_NAMESPACE_END
