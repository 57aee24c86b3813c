// SPDX-License-Identifier: Apache-2.0
// Q5_K (ggml type 13): Q4_K with a fifth bit for each code.
#pragma once

#include <bitnet/quant/coded_block.hpp>
#include <bitnet/quant/k_scales.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = d * sc * q - dmin * m, 5.5 bits a weight. Low bits as in Q4_K; bit s of high[i] adds 16 to
/// weight i of sub-block s.
struct q5_k : coded_blocks<q5_k> {
  static constexpr std::string_view name = "Q5_K";
  static constexpr std::size_t block_size = 256;
  static constexpr encoding tile = encoding::int8;
  static constexpr std::size_t group = 32;
  static constexpr bool has_mins = true;
  static constexpr bool f16_scales = false;

  struct block {
    k_header header;
    std::uint8_t high[32];
    std::uint8_t q[128];
  };
  static_assert(sizeof(block) == 176);

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    for (std::size_t pair = 0; pair < 4; ++pair) {
      for (std::size_t i = 0; i < 32; ++i) {
        const std::uint32_t q = b.q[32 * pair + i];
        const std::uint32_t high = static_cast<std::uint32_t>(b.high[i]) >> (2 * pair);
        out[64 * pair + i] = static_cast<std::uint8_t>((q & 15U) + (high & 1U) * 16U + 128U);
        out[64 * pair + 32 + i] =
            static_cast<std::uint8_t>((q >> 4U) + (high >> 1U & 1U) * 16U + 128U);
      }
    }
  }
  static void scales(const block& b, std::span<float, 8> out, std::span<float, 8> mins) noexcept {
    b.header.unpack(out, mins);
  }
};
static_assert(block_format<q5_k> && coded_block_format<q5_k> && tileable_format<q5_k>);

}  // namespace quant
BITNET_NAMESPACE_END
