// SPDX-License-Identifier: Apache-2.0
// Q8_0 (ggml type 8): blocks of 32 signed bytes with an f16 scale.
#pragma once

#include <bitnet/quant/encode.hpp>
#include <bitnet/quant/exact_step.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = q * d, 8.5 bits a weight.
struct q8_0 : coded_blocks<q8_0> {
  static constexpr std::string_view name = "Q8_0";
  static constexpr std::size_t block_size = 32;
  static constexpr encoding tile = encoding::int8;
  static constexpr std::size_t group = 32;
  static constexpr bool has_mins = false;
  static constexpr bool f16_scales = true;

  struct block {
    f16 d;
    std::uint8_t q[32];  ///< two's complement
  };
  static_assert(sizeof(block) == 34);

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    for (std::size_t i = 0; i < block_size; ++i) out[i] = static_cast<std::uint8_t>(b.q[i] ^ 0x80U);
  }
  static void scales(const block& b, std::span<float, 1> out, std::span<float, 1>) noexcept {
    out[0] = to_float(b.d);
  }

  /// d = max|x| / 127, codes from the scale before it is rounded to f16, as the published
  /// quantizer does. `in` holds whole blocks of finite values.
  static void pack_row(std::span<const float> in, std::byte* out) noexcept {
    for (; in.size() >= block_size; in = in.subspan(block_size), out += sizeof(block)) {
      const block b = pack_block(in.first(block_size));
      std::memcpy(out, &b, sizeof b);
    }
  }

  /// The same, unless the values are few whole steps, as ternary weights are: then these, exactly
  /// or nearly so.
  static void encode_row(std::span<const float> in, const matrix_summary&,
                         std::byte* out) noexcept {
    for (; in.size() >= block_size; in = in.subspan(block_size), out += sizeof(block)) {
      const std::span<const float> x = in.first(block_size);
      block b = pack_block(x);
      if (!decodes_to<q8_0>(b, x)) {
        if (const auto step = half_step(x, 127))
          b = make_block(*step, x, [d = to_float(*step)](float v) { return std::round(v / d); });
      }
      std::memcpy(out, &b, sizeof b);
    }
  }

 private:
  template <class Code>
  static block make_block(f16 d, std::span<const float> x, Code code) noexcept {
    block b;
    b.d = d;
    for (std::size_t i = 0; i < block_size; ++i)
      b.q[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(code(x[i])) & 0xff);
    return b;
  }
  static block pack_block(std::span<const float> x) noexcept {
    const float d = max_magnitude(x) / 127.0F;
    const f16 half = to_f16(d);
    const float inverse = to_float(half) == 0.0F ? 0.0F : 1.0F / d;  // 1 / d stays finite
    return make_block(half, x, [inverse](float v) {
      return std::clamp(std::round(v * inverse), -127.0F, 127.0F);
    });
  }
};
static_assert(block_format<q8_0> && coded_block_format<q8_0> && tileable_format<q8_0>);

}  // namespace quant
BITNET_NAMESPACE_END
