// SPDX-License-Identifier: Apache-2.0
// IQ2_BN (type 135 of ik_llama.cpp): ternary, two bits, one f32 scale at the head of each row.
#pragma once

#include <bitnet/quant/bit_matrix.hpp>
#include <bitnet/quant/scaled_rows.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = (code - 1) * scale, 2 bits a weight and 4 bytes a row. Byte j of a block of 64 holds weights
/// j + 16k in bits 2k. Ternary files use codes 0..2; code 3 is legal and means +2 * scale.
struct iq2_bn : scaled_rows<iq2_bn> {
  static constexpr std::string_view name = "IQ2_BN";
  static constexpr std::size_t block_size = 64;
  static constexpr encoding tile = encoding::ternary2;
  static constexpr std::size_t group = 0;
  static constexpr bool has_mins = false;
  static constexpr bool f16_scales = false;

  using header = float;
  struct block {
    std::uint8_t q[16];
  };

  [[nodiscard]] static float scale(header h) noexcept { return h; }
  [[nodiscard]] static header make_header(float scale) noexcept { return scale; }

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t j = 0; j < 16; ++j) out[16 * k + j] = code_bits(b.q[j], 2 * k, 3U);
  }

  static block make_block(std::span<const std::uint8_t, block_size> codes) noexcept {
    block b;
    for (std::size_t j = 0; j < 16; ++j)
      b.q[j] = static_cast<std::uint8_t>(codes[j] | codes[j + 16] << 2 | codes[j + 32] << 4 |
                                         codes[j + 48] << 6);
    return b;
  }

  /// See line_format.
  static constexpr bool writes_lines(std::size_t) noexcept { return true; }
  static void write_lines(packed_rows w, std::size_t row, std::uint8_t* words) noexcept {
    const std::byte* p = w.data + row * row_bytes(w.cols) + sizeof(header);
    for (std::size_t i = 0; i < w.cols / block_size; ++i, p += sizeof(block)) {
      const ternary_runs runs = load_ternary_runs(p);
      for (std::size_t f = 0; f < 4; ++f, words += line_bytes) store_u32(words, runs[f]);
    }
  }
};
static_assert(row_format<iq2_bn> && tileable_format<iq2_bn> && line_format<iq2_bn>);

}  // namespace quant
BITNET_NAMESPACE_END
