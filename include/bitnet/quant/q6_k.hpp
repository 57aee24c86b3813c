// SPDX-License-Identifier: Apache-2.0
// Q6_K (ggml type 14): super-blocks of 256 six-bit codes with a signed scale for each 16.
#pragma once

#include <bitnet/quant/encode.hpp>
#include <bitnet/quant/fit_q6_k.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = d * scale * (q - 32), 6.5625 bits a weight. Two halves of 128; in a half, weight i of
/// quarter n (0..3) has its low 4 bits in byte 32 * (n % 2) + i, the low or the high half of it
/// for n < 2 or n >= 2, and its top 2 bits in bits 2n of high byte i.
struct q6_k : coded_blocks<q6_k> {
  static constexpr std::string_view name = "Q6_K";
  static constexpr std::size_t block_size = 256;
  static constexpr encoding tile = encoding::int8;
  static constexpr std::size_t group = 16;
  static constexpr bool has_mins = false;
  static constexpr bool f16_scales = false;

  struct block {
    std::uint8_t low[128];
    std::uint8_t high[64];
    std::int8_t scale[16];
    f16 d;
  };
  static_assert(sizeof(block) == 210);

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    for (std::size_t half = 0; half < 2; ++half) {
      for (std::size_t n = 0; n < 4; ++n) {
        for (std::size_t i = 0; i < 32; ++i) {
          const std::uint32_t low = b.low[64 * half + 32 * (n % 2) + i];
          const std::uint32_t high = b.high[32 * half + i];
          const std::uint32_t q = (low >> 4 * (n / 2) & 15U) | (high >> 2 * n & 3U) << 4U;
          out[128 * half + 32 * n + i] = static_cast<std::uint8_t>(q + 96U);
        }
      }
    }
  }
  static void scales(const block& b, std::span<float, 16> out, std::span<float, 16>) noexcept {
    const float d = to_float(b.d);  // times 8 bits: exact in float
    for (std::size_t g = 0; g < 16; ++g) out[g] = d * static_cast<float>(b.scale[g]);
  }

  /// Exact where the values allow; otherwise a search for the scales with the least square error.
  /// `in` holds whole blocks of finite values.
  static void pack_row(std::span<const float> in, std::byte* out) noexcept {
    for (; in.size() >= block_size; in = in.subspan(block_size), out += sizeof(block)) {
      const auto x = in.first<block_size>();
      const q6_k_fit fit = fit_q6_k(x);
      block b{};
      b.d = fit.d;
      for (std::size_t g = 0; g < 16; ++g) b.scale[g] = fit.scale[g];
      for (std::size_t half = 0; half < 2; ++half) {
        for (std::size_t n = 0; n < 4; ++n) {
          for (std::size_t i = 0; i < 32; ++i) {
            const unsigned q = fit.code[128 * half + 32 * n + i];
            std::uint8_t& low = b.low[64 * half + 32 * (n % 2) + i];
            std::uint8_t& high = b.high[32 * half + i];
            low = static_cast<std::uint8_t>(low | (q & 15U) << 4 * (n / 2));
            high = static_cast<std::uint8_t>(high | q >> 4U << 2 * n);
          }
        }
      }
      std::memcpy(out, &b, sizeof b);
    }
  }
};
static_assert(block_format<q6_k> && coded_block_format<q6_k> && tileable_format<q6_k>);

}  // namespace quant
BITNET_NAMESPACE_END
