// SPDX-License-Identifier: Apache-2.0
// What block formats of integer codes and scales have in common: decoding and taking rows apart.
#pragma once

#include <bitnet/quant/tile.hpp>

#include <algorithm>
#include <array>
#include <cmath>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// A block format that says which codes and which scales a block holds. Decoding and tiling both
/// follow from that, so they cannot disagree. `codes` and `scales` accept every bit pattern.
template <class F>
concept coded_block_format = requires(const typename F::block& b,
                                      std::span<std::uint8_t, F::block_size> codes,
                                      std::span<float, F::block_size / F::group> scales,
                                      std::span<float, F::block_size / F::group> mins) {
  requires std::is_trivially_copyable_v<typename F::block> && F::block_size % F::group == 0;
  { F::tile } -> std::convertible_to<encoding>;
  { F::has_mins } -> std::convertible_to<bool>;
  { F::codes(b, codes) }
  noexcept;
  { F::scales(b, scales, mins) }
  noexcept;
};

/// Block `index` of row `row`: a copy, since file bytes may be unaligned.
template <class F>
[[nodiscard]] typename F::block load_block(packed_rows w, std::size_t row,
                                           std::size_t index) noexcept {
  typename F::block b;
  std::memcpy(&b, w.data + (row * (w.cols / F::block_size) + index) * sizeof b, sizeof b);
  return b;
}

/// Base of such a format (`struct q8_0 : coded_blocks<q8_0>`): gives it unpack and split_row.
template <class F>
struct coded_blocks {
  /// value(code) * scale, minus the minimum where the format has them. N is F::block_size.
  template <class Block, std::size_t N>
  static void unpack(const Block& b, std::span<float, N> out) noexcept {
    static_assert(coded_block_format<F> && std::is_same_v<Block, typename F::block>);
    constexpr std::size_t groups = N / F::group;
    std::array<std::uint8_t, N> codes;
    std::array<float, groups> scales;
    std::array<float, groups> mins{};
    F::codes(b, codes);
    F::scales(b, scales, mins);
    for (std::size_t g = 0; g < groups; ++g) {
      for (std::size_t i = g * F::group; i < (g + 1) * F::group; ++i) {
        out[i] = code_value(F::tile, codes[i]) * scales[g];
        if constexpr (F::has_mins) out[i] -= mins[g];
      }
    }
  }

  /// See tileable_format.
  static void split_row(packed_rows w, std::size_t row, std::span<std::uint8_t> codes,
                        std::span<float> scales, std::span<float> mins) noexcept {
    constexpr std::size_t groups = F::block_size / F::group;
    std::array<float, groups> unused;
    for (std::size_t i = 0; i < w.cols / F::block_size; ++i) {
      const typename F::block b = load_block<F>(w, row, i);
      if (!codes.empty())
        F::codes(b, codes.subspan(i * F::block_size).template first<F::block_size>());
      if (!scales.empty()) {
        F::scales(b, scales.subspan(i * groups).template first<groups>(),
                  mins.empty() ? std::span<float, groups>{unused}
                               : mins.subspan(i * groups).template first<groups>());
      }
    }
  }
};

/// Largest |x|; 0 for an empty span.
[[nodiscard]] inline float max_magnitude(std::span<const float> x) noexcept {
  float most = 0.0F;
  for (const float v : x) most = std::max(most, std::fabs(v));
  return most;
}

/// Code 0, 1 or 2 of the nearest of -scale, 0, +scale, halves away from zero.
[[nodiscard]] inline std::uint8_t ternary_code(float x, float scale) noexcept {
  if (!(std::fabs(x) * 2.0F >= scale) || scale == 0.0F) return 1;
  return x < 0.0F ? 0 : 2;
}

}  // namespace quant
BITNET_NAMESPACE_END
