// SPDX-License-Identifier: Apache-2.0
// TQ2_0 (ggml type 35): ternary blocks of 256, two bits a weight.
#pragma once

#include <bitnet/quant/bit_matrix.hpp>
#include <bitnet/quant/encode.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = (code - 1) * d, 2.0625 bits a weight. Byte m of half h holds weights 128h + 32l + m in bits
/// 2l. Ternary files use codes 0..2; code 3 is legal and means +2d, as in the reference decoder.
struct tq2_0 : ternary_blocks<tq2_0> {
  static constexpr std::string_view name = "TQ2_0";
  static constexpr std::size_t block_size = 256;
  static constexpr encoding tile = encoding::ternary2;
  static constexpr std::size_t group = 256;
  static constexpr bool has_mins = false;
  static constexpr bool f16_scales = true;

  struct block {
    std::uint8_t q[64];
    f16 d;
  };
  static_assert(sizeof(block) == 66);

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    for (std::size_t half = 0; half < 2; ++half)
      for (std::size_t l = 0; l < 4; ++l)
        for (std::size_t m = 0; m < 32; ++m)
          out[128 * half + 32 * l + m] = code_bits(b.q[32 * half + m], 2 * l, 3U);
  }
  static void scales(const block& b, std::span<float, 1> out, std::span<float, 1>) noexcept {
    out[0] = to_float(b.d);
  }

  /// See line_format.
  static constexpr bool writes_lines(std::size_t) noexcept { return true; }
  static void write_lines(packed_rows w, std::size_t row, std::uint8_t* words) noexcept {
    const std::size_t blocks = w.cols / block_size;
    const std::byte* p = w.data + row * blocks * sizeof(block);
    for (std::size_t i = 0; i < blocks; ++i, p += sizeof(block)) {
      for (std::size_t half = 0; half < 2; ++half, words += 8 * line_bytes) {
        for (std::size_t odd = 0; odd < 2; ++odd) {  // field l of these 16 bytes is line 2l + odd
          const ternary_runs runs = load_ternary_runs(p + 32 * half + 16 * odd);
          for (std::size_t l = 0; l < 4; ++l)
            store_u32(words + (2 * l + odd) * line_bytes, runs[l]);
        }
      }
    }
  }

  /// See ternary_blocks.
  static block make_block(std::span<const float> x, float d) noexcept {
    block b{};
    b.d = to_f16(d);
    for (std::size_t i = 0; i < block_size; ++i) {
      const std::uint32_t code = ternary_code(x[i], d);
      std::uint8_t& byte = b.q[32 * (i / 128) + i % 32];
      byte = static_cast<std::uint8_t>(byte | code << 2 * (i / 32 % 4));
    }
    return b;
  }
};
static_assert(block_format<tq2_0> && coded_block_format<tq2_0> && tileable_format<tq2_0> &&
              line_format<tq2_0>);

}  // namespace quant
BITNET_NAMESPACE_END
