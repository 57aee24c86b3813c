// SPDX-License-Identifier: Apache-2.0
// I2_S (type 36 of bitnet.cpp): ternary, two bits a weight, one float scale for the whole tensor.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/quant/bit_matrix.hpp>
#include <bitnet/quant/encode.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// w = (code - 1) * scale. The tensor is one flat run of blocks of `Block` weights in Block / 4
/// bytes, so that blocks straddle rows when cols is no multiple of Block: byte j of a block holds
/// weights j + g * Block / 4 (g 0..3) in bits 6 - 2g. After rows * cols / 4 bytes comes one f32
/// scale, then 28 bytes to ignore. Code 3 does not occur in valid files and decodes to 0, as in
/// the reference decoder.
template <std::size_t Block>
struct basic_i2_s {
  static_assert(Block == 128 || Block == 64);
  static constexpr std::string_view name = Block == 128 ? "I2_S" : "I2_S (ARM order)";
  static constexpr std::size_t block_size = Block;
  static constexpr std::size_t flat_block = Block;  ///< blocks run on from row to row
  static constexpr encoding tile = encoding::ternary2;
  static constexpr std::size_t group = 0;
  static constexpr bool has_mins = false;
  static constexpr bool f16_scales = false;

  /// Only whole blocks: in a partial last block the scale would overlie codes.
  [[nodiscard]] static constexpr bool accepts(std::size_t rows, std::size_t cols) noexcept {
    const auto count = checked_mul(rows, cols);
    return count && *count % Block == 0;
  }
  [[nodiscard]] static constexpr std::optional<std::uint64_t> tensor_bytes(
      std::size_t rows, std::size_t cols) noexcept {
    const auto count = checked_mul(rows, cols);
    if (!count) return std::nullopt;
    return *count / 4 + 32;
  }

  /// The scale of the tensor.
  [[nodiscard]] static float scale(packed_rows w) noexcept {
    float value;
    std::memcpy(&value, w.data + w.rows * w.cols / 4, sizeof value);
    return value;
  }

  static void decode_row(packed_rows w, std::size_t row, std::span<float> out) noexcept {
    const float s = scale(w);
    for_each_run(w, row, [&](std::size_t to, std::span<const std::uint8_t> codes) {
      for (std::size_t i = 0; i < codes.size(); ++i) out[to + i] = code_value(tile, codes[i]) * s;
    });
  }

  /// See tileable_format.
  static void split_row(packed_rows w, std::size_t row, std::span<std::uint8_t> codes,
                        std::span<float> scales, std::span<float>) noexcept {
    if (!scales.empty()) scales[0] = scale(w);
    if (codes.empty()) return;
    for_each_run(w, row, [&](std::size_t to, std::span<const std::uint8_t> run) {
      std::memcpy(codes.data() + to, run.data(), run.size());
    });
  }

  /// See line_format: rows of whole blocks.
  static constexpr bool writes_lines(std::size_t cols) noexcept { return cols % Block == 0; }
  static void write_lines(packed_rows w, std::size_t row, std::uint8_t* words) noexcept {
    constexpr std::size_t parts = Block / 64;  // runs of 16 bytes in a block
    const std::byte* p = w.data + row * w.cols / 4;
    for (std::size_t i = 0; i < w.cols / Block; ++i, words += 4 * parts * line_bytes) {
      for (std::size_t part = 0; part < parts; ++part, p += 16) {
        const auto no_threes = [](std::uint64_t codes) {
          return codes ^ (codes & codes >> 1 & 0x5555555555555555U) << 1;
        };
        const ternary_runs packed = load_ternary_runs(p);
        const ternary_runs runs{no_threes(packed.first), no_threes(packed.second)};
        for (std::size_t g = 0; g < 4; ++g)  // the first 16 weights are in the highest bits
          store_u32(words + (parts * g + part) * line_bytes, runs[3 - g]);
      }
    }
  }

  /// Packs a whole tensor of tensor_bytes(1, in.size()) bytes: scale max|x|, nearest code.
  /// Lossless for weights in {-scale, 0, scale}.
  static void pack_tensor(std::span<const float> in, std::byte* out) noexcept {
    pack_with(in, max_magnitude(in), out);
  }
  /// The same for whole blocks of a tensor: with its scale where it is ternary with one scale, else
  /// with the mean magnitude, as b1.58 models are trained.
  static void encode_tensor(std::span<const float> in, const matrix_summary& whole,
                            std::byte* out) noexcept {
    pack_with(in, whole.one_scale ? whole.largest : whole.mean_magnitude(), out);
  }

 private:
  static void pack_with(std::span<const float> in, float scale, std::byte* out) noexcept {
    constexpr std::size_t quarter = Block / 4;
    std::byte* to = out;
    for (std::size_t first = 0; first < in.size(); first += Block) {
      for (std::size_t j = 0; j < quarter; ++j, ++to) {
        unsigned byte = 0;
        for (std::size_t g = 0; g < 4; ++g)
          byte = byte << 2 | ternary_code(in[first + g * quarter + j], scale);
        *to = static_cast<std::byte>(byte);
      }
    }
    std::memset(to, 0, 32);
    std::memcpy(to, &scale, sizeof scale);
  }

  /// Calls visit(first column, codes) for the piece of the row in each block that it touches.
  template <class Visit>
  static void for_each_run(packed_rows w, std::size_t row, Visit visit) noexcept {
    std::size_t element = row * w.cols;
    for (std::size_t col = 0; col < w.cols;) {
      std::array<std::uint8_t, Block> codes;
      const std::byte* p = w.data + element / Block * (Block / 4);
      for (std::size_t g = 0; g < 4; ++g) {
        for (std::size_t j = 0; j < Block / 4; ++j) {
          const auto code = std::to_integer<unsigned>(p[j]) >> (6 - 2 * g) & 3U;
          codes[g * (Block / 4) + j] = static_cast<std::uint8_t>(code ^ (code == 3 ? 2U : 0U));
        }
      }
      const std::size_t from = element % Block;
      const std::size_t count = std::min(Block - from, w.cols - col);
      visit(col, std::span<const std::uint8_t>{codes}.subspan(from, count));
      col += count;
      element += count;
    }
  }
};

/// The order of the published files.
struct i2_s : basic_i2_s<128> {};
/// The order that some ARM builds of bitnet.cpp wrote under the same type id. Nothing in a file
/// tells them apart, so this is only ever used by explicit choice.
struct i2_s_arm : basic_i2_s<64> {};

static_assert(row_format<i2_s> && tileable_format<i2_s> && line_format<i2_s>);
static_assert(row_format<i2_s_arm> && tileable_format<i2_s_arm> && line_format<i2_s_arm>);

}  // namespace quant
BITNET_NAMESPACE_END
