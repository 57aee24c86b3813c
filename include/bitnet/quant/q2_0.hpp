// SPDX-License-Identifier: Apache-2.0
// Q2_0 (ggml type 42): two-bit blocks with an f16 scale, of 64 weights or, in older files, of 128.
#pragma once

#include <bitnet/quant/bit_matrix.hpp>
#include <bitnet/quant/encode.hpp>
#include <bitnet/quant/exact_step.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = (code - 1) * d with codes 0..3 for -d, 0, d, 2d. Weight j is in bits 2 * (j % 4) of byte
/// j / 4. Files of both group sizes carry the same type id and differ in size only.
template <std::size_t Group>
struct basic_q2_0 : coded_blocks<basic_q2_0<Group>> {
  static_assert(Group == 64 || Group == 128);
  static constexpr std::string_view name = Group == 64 ? "Q2_0" : "Q2_0 (group 128)";
  static constexpr std::size_t block_size = Group;
  static constexpr encoding tile = encoding::ternary2;
  static constexpr std::size_t group = Group;
  static constexpr bool has_mins = false;
  static constexpr bool f16_scales = true;

  struct block {
    f16 d;
    std::uint8_t q[Group / 4];
  };
  static_assert(sizeof(block) == Group / 4 + 2);

  static void codes(const block& b, std::span<std::uint8_t, block_size> out) noexcept {
    for (std::size_t i = 0; i < block_size; ++i) out[i] = code_bits(b.q[i / 4], 2 * (i % 4), 3U);
  }
  static void scales(const block& b, std::span<float, 1> out, std::span<float, 1>) noexcept {
    out[0] = to_float(b.d);
  }

  /// See line_format.
  static constexpr bool writes_lines(std::size_t) noexcept { return true; }
  static void write_lines(packed_rows w, std::size_t row, std::uint8_t* words) noexcept {
    const std::size_t blocks = w.cols / block_size;
    const std::byte* p = w.data + row * blocks * sizeof(block) + offsetof(block, q);
    for (std::size_t i = 0; i < blocks; ++i, p += sizeof(block))
      for (std::size_t line = 0; line < Group / 16; ++line, words += line_bytes)
        store_u32(words, ternary_word(load_u32(p + 4 * line)));
  }

  /// d = max|x|, nearest code; so 2d is never written. Lossless for weights in {-d, 0, d} with d a
  /// half-precision number. `in` holds whole blocks of finite values.
  static void pack_row(std::span<const float> in, std::byte* out) noexcept {
    for (; in.size() >= block_size; in = in.subspan(block_size), out += sizeof(block))
      store(ternary_block(in.first(block_size), max_magnitude(in.first(block_size))), out);
  }

  /// The same for ternary blocks. Others keep their values if these are -d, 0, d and 2d for a d of
  /// either sign, and otherwise get the d with the least square error.
  static void encode_row(std::span<const float> in, const matrix_summary&,
                         std::byte* out) noexcept {
    for (; in.size() >= block_size; in = in.subspan(block_size), out += sizeof(block)) {
      const std::span<const float> x = in.first(block_size);
      const float most = max_magnitude(x);
      if (is_ternary(x, most)) {
        store(ternary_block(x, most), out);
      } else if (const auto grid = grid_block(x)) {
        store(*grid, out);
      } else {
        store(ternary_block(x, best_ternary_scale(x)), out);
      }
    }
  }

 private:
  static void store(const block& b, std::byte* out) noexcept { std::memcpy(out, &b, sizeof b); }
  static void put_code(block& b, std::size_t i, std::uint32_t code) noexcept {
    b.q[i / 4] = static_cast<std::uint8_t>(b.q[i / 4] | code << 2 * (i % 4));
  }
  static block ternary_block(std::span<const float> x, float d) noexcept {
    block b{};
    b.d = to_f16(d);
    for (std::size_t i = 0; i < block_size; ++i) put_code(b, i, ternary_code(x[i], d));
    return b;
  }
  static std::optional<block> grid_block(std::span<const float> x) noexcept {
    const auto step = half_step(x, 2);
    if (!step) return std::nullopt;
    const float most = max_magnitude(x);
    const bool up = std::find(x.begin(), x.end(), most) != x.end();
    block b{};
    b.d = up ? *step : f16{static_cast<std::uint16_t>(step->bits | 0x8000U)};
    const float d = to_float(b.d);
    for (std::size_t i = 0; i < block_size; ++i) {
      const auto code = static_cast<std::int32_t>(std::round(x[i] / d)) + 1;
      if (code < 0) return std::nullopt;  // both signs occur twice
      put_code(b, i, static_cast<std::uint32_t>(code));
    }
    return b;
  }
};

/// The published format.
struct q2_0 : basic_q2_0<64> {};
/// The older files.
struct q2_0_g128 : basic_q2_0<128> {};

static_assert(block_format<q2_0> && coded_block_format<q2_0> && tileable_format<q2_0> &&
              line_format<q2_0>);
static_assert(block_format<q2_0_g128> && coded_block_format<q2_0_g128> &&
              tileable_format<q2_0_g128> && line_format<q2_0_g128>);

}  // namespace quant
BITNET_NAMESPACE_END
