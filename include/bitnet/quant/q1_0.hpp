// SPDX-License-Identifier: Apache-2.0
// Q1_0 (ggml type 41): binary blocks of 128 with an f16 scale.
#pragma once

#include <bitnet/quant/bit_matrix.hpp>
#include <bitnet/quant/coded_block.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = bit ? d : -d, 1.125 bits a weight. Weight j is bit j % 8 of byte j / 8. There is no zero.
struct q1_0 : coded_blocks<q1_0> {
  static constexpr std::string_view name = "Q1_0";
  static constexpr std::size_t block_size = 128;
  static constexpr encoding tile = encoding::binary;
  static constexpr std::size_t group = 128;
  static constexpr bool has_mins = false;
  static constexpr bool f16_scales = true;

  struct block {
    f16 d;
    std::uint8_t q[16];
  };
  static_assert(sizeof(block) == 18);

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    for (std::size_t i = 0; i < block_size; ++i) out[i] = code_bits(b.q[i / 8], i % 8, 1U);
  }
  static void scales(const block& b, std::span<float, 1> out, std::span<float, 1>) noexcept {
    out[0] = to_float(b.d);
  }

  /// See line_format.
  static constexpr bool writes_lines(std::size_t) noexcept { return true; }
  static void write_lines(packed_rows w, std::size_t row, std::uint8_t* place) noexcept {
    const std::size_t blocks = w.cols / block_size;
    const std::byte* p = w.data + row * blocks * sizeof(block) + offsetof(block, q);
    for (std::size_t i = 0; i < blocks; ++i, p += sizeof(block))
      for (std::size_t byte = 0; byte < 16; ++byte, place += byte_stride(tile))
        *place = std::to_integer<std::uint8_t>(p[byte]);
  }

  /// d = mean|x|, bit = (x >= 0). Lossless for weights in {-d, d} with d a half-precision number.
  /// `in` holds whole blocks of finite values.
  static void pack_row(std::span<const float> in, std::byte* out) noexcept {
    for (; in.size() >= block_size; in = in.subspan(block_size), out += sizeof(block)) {
      block b{};
      float sum = 0.0F;
      for (std::size_t i = 0; i < block_size; ++i) {
        sum += std::fabs(in[i]);
        const unsigned bit = in[i] >= 0.0F ? 1U : 0U;
        b.q[i / 8] = static_cast<std::uint8_t>(b.q[i / 8] | bit << i % 8);
      }
      b.d = to_f16(sum / static_cast<float>(block_size));
      std::memcpy(out, &b, sizeof b);
    }
  }
};
static_assert(block_format<q1_0> && coded_block_format<q1_0> && tileable_format<q1_0> &&
              line_format<q1_0>);

}  // namespace quant
BITNET_NAMESPACE_END
