// SPDX-License-Identifier: Apache-2.0
// What IQ1_BN and IQ2_BN have in common: a row is a scale followed by ternary blocks.
#pragma once

#include <bitnet/quant/encode.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// Base of a ternary row format F with a `header` that holds the scale of the row, a `block` of
/// `block_size` codes, and `scale`, `make_header`, `codes` and `make_block`.
template <class F>
struct scaled_rows {
  [[nodiscard]] static constexpr bool accepts(std::size_t, std::size_t cols) noexcept {
    return cols % F::block_size == 0;
  }
  [[nodiscard]] static constexpr std::size_t row_bytes(std::size_t cols) noexcept {
    return sizeof(typename F::header) + cols / F::block_size * sizeof(typename F::block);
  }

  static void decode_row(packed_rows w, std::size_t row, std::span<float> out) noexcept {
    const float s = scale_of(w, row);
    std::array<std::uint8_t, F::block_size> codes;
    for (std::size_t i = 0; i < w.cols / F::block_size; ++i) {
      F::codes(block_of(w, row, i), codes);
      for (std::size_t j = 0; j < F::block_size; ++j)
        out[i * F::block_size + j] = code_value(F::tile, codes[j]) * s;
    }
  }

  /// See tileable_format.
  static void split_row(packed_rows w, std::size_t row, std::span<std::uint8_t> codes,
                        std::span<float> scales, std::span<float>) noexcept {
    if (!scales.empty()) scales[0] = scale_of(w, row);
    if (codes.empty()) return;
    for (std::size_t i = 0; i < w.cols / F::block_size; ++i)
      F::codes(block_of(w, row, i),
               codes.subspan(i * F::block_size).template first<F::block_size>());
  }

  /// scale = max|x| of the row; below half of it a weight is 0. Lossless for weights in
  /// {-s, 0, s} if the header can hold s. `in` holds whole blocks of finite values.
  static void pack_row(std::span<const float> in, std::byte* out) noexcept {
    pack_with(in, max_magnitude(in), out);
  }
  /// The same for rows that are ternary; see ternary_scale() for others.
  static void encode_row(std::span<const float> in, const matrix_summary& whole,
                         std::byte* out) noexcept {
    pack_with(in, ternary_scale(in, whole), out);
  }

 private:
  static void pack_with(std::span<const float> in, float s, std::byte* out) noexcept {
    const auto head = F::make_header(s);
    std::memcpy(out, &head, sizeof head);
    out += sizeof head;
    for (; in.size() >= F::block_size; in = in.subspan(F::block_size)) {
      std::array<std::uint8_t, F::block_size> codes;
      for (std::size_t i = 0; i < F::block_size; ++i) codes[i] = ternary_code(in[i], s);
      const auto b = F::make_block(codes);
      std::memcpy(out, &b, sizeof b);
      out += sizeof b;
    }
  }

 protected:
  static float scale_of(packed_rows w, std::size_t row) noexcept {
    typename F::header head;
    std::memcpy(&head, w.data + row * row_bytes(w.cols), sizeof head);
    return F::scale(head);
  }
  static auto block_of(packed_rows w, std::size_t row, std::size_t index) noexcept {
    typename F::block b;
    const std::size_t start = row * row_bytes(w.cols) + sizeof(typename F::header);
    std::memcpy(&b, w.data + start + index * sizeof b, sizeof b);
    return b;
  }
};

}  // namespace quant
BITNET_NAMESPACE_END
