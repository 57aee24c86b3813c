// SPDX-License-Identifier: Apache-2.0
// Q4_0 (ggml type 2): blocks of 32 four-bit codes with an f16 scale.
#pragma once

#include <bitnet/quant/encode.hpp>
#include <bitnet/quant/exact_step.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = (code - 8) * d, 4.5 bits a weight. Weight j < 16 is the low half of byte j, weight j + 16
/// the high half. d may be negative.
struct q4_0 : coded_blocks<q4_0> {
  static constexpr std::string_view name = "Q4_0";
  static constexpr std::size_t block_size = 32;
  static constexpr encoding tile = encoding::int8;
  static constexpr std::size_t group = 32;
  static constexpr bool has_mins = false;
  static constexpr bool f16_scales = true;

  struct block {
    f16 d;
    std::uint8_t q[16];
  };
  static_assert(sizeof(block) == 18);

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    for (std::size_t i = 0; i < 16; ++i) {
      out[i] = static_cast<std::uint8_t>((b.q[i] & 15U) + 120U);
      out[i + 16] = static_cast<std::uint8_t>((b.q[i] >> 4U) + 120U);
    }
  }
  static void scales(const block& b, std::span<float, 1> out, std::span<float, 1>) noexcept {
    out[0] = to_float(b.d);
  }

  /// d = m / -8 where m is the value of largest magnitude with its sign, so that m is code 0.
  /// `in` holds whole blocks of finite values.
  static void pack_row(std::span<const float> in, std::byte* out) noexcept {
    for (; in.size() >= block_size; in = in.subspan(block_size), out += sizeof(block)) {
      const block b = pack_block(in.first(block_size));
      std::memcpy(out, &b, sizeof b);
    }
  }

  /// The same, unless the values are few whole steps: then these, exactly or nearly so.
  static void encode_row(std::span<const float> in, const matrix_summary&,
                         std::byte* out) noexcept {
    for (; in.size() >= block_size; in = in.subspan(block_size), out += sizeof(block)) {
      const std::span<const float> x = in.first(block_size);
      block b = pack_block(x);
      if (!decodes_to<q4_0>(b, x)) b = grid_block(x).value_or(b);
      std::memcpy(out, &b, sizeof b);
    }
  }

 private:
  /// The value of largest magnitude, with its sign.
  static float extreme(std::span<const float> x) noexcept {
    return *std::max_element(x.begin(), x.end(),
                             [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  }
  template <class Code>
  static block make_block(f16 d, std::span<const float> x, Code code) noexcept {
    block b;
    b.d = d;
    for (std::size_t i = 0; i < 16; ++i)
      b.q[i] = static_cast<std::uint8_t>(code(x[i]) | code(x[i + 16]) << 4);
    return b;
  }
  static block pack_block(std::span<const float> x) noexcept {
    const float d = extreme(x) / -8.0F;
    const f16 half = to_f16(d);
    const float inverse = to_float(half) == 0.0F ? 0.0F : 1.0F / d;  // 1 / d stays finite
    return make_block(half, x, [inverse](float v) {
      return static_cast<std::uint32_t>(std::clamp(std::floor(v * inverse + 8.5F), 0.0F, 15.0F));
    });
  }
  /// The values as few whole steps, if they are that.
  static std::optional<block> grid_block(std::span<const float> x) noexcept {
    const auto step = half_step(x, 8);
    if (!step) return std::nullopt;
    // Codes reach 8 steps on one side only: then d points away from the extreme.
    const bool flip = extreme(x) > 7.5F * to_float(*step);
    const auto sign = static_cast<std::uint16_t>(flip ? 0x8000U : 0U);
    const f16 half{static_cast<std::uint16_t>(step->bits | sign)};
    const auto code = [d = to_float(half)](float v) {
      return static_cast<std::uint32_t>(std::round(v / d) + 8.0F);
    };
    if (std::any_of(x.begin(), x.end(), [&](float v) { return code(v) > 15; })) return std::nullopt;
    return make_block(half, x, code);
  }
};
static_assert(block_format<q4_0> && coded_block_format<q4_0> && tileable_format<q4_0>);

}  // namespace quant
BITNET_NAMESPACE_END
