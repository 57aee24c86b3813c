// SPDX-License-Identifier: Apache-2.0
// Q4_K (ggml type 12): super-blocks of 256 four-bit codes, a scale and a minimum for each 32.
#pragma once

#include <bitnet/quant/coded_block.hpp>
#include <bitnet/quant/k_scales.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = d * sc * q - dmin * m, 4.5 bits a weight. 32 bytes hold two sub-blocks: the even one in
/// the low halves, the odd one in the high halves.
struct q4_k : coded_blocks<q4_k> {
  static constexpr std::string_view name = "Q4_K";
  static constexpr std::size_t block_size = 256;
  static constexpr encoding tile = encoding::int8;
  static constexpr std::size_t group = 32;
  static constexpr bool has_mins = true;
  static constexpr bool f16_scales = false;

  struct block {
    k_header header;
    std::uint8_t q[128];
  };
  static_assert(sizeof(block) == 144);

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    for (std::size_t pair = 0; pair < 4; ++pair) {
      for (std::size_t i = 0; i < 32; ++i) {
        const std::uint32_t q = b.q[32 * pair + i];
        out[64 * pair + i] = static_cast<std::uint8_t>((q & 15U) + 128U);
        out[64 * pair + 32 + i] = static_cast<std::uint8_t>((q >> 4U) + 128U);
      }
    }
  }
  static void scales(const block& b, std::span<float, 8> out, std::span<float, 8> mins) noexcept {
    b.header.unpack(out, mins);
  }
};
static_assert(block_format<q4_k> && coded_block_format<q4_k> && tileable_format<q4_k>);

}  // namespace quant
BITNET_NAMESPACE_END
