// SPDX-License-Identifier: Apache-2.0
// Weights stored as floats: F32, F16 and BF16.
#pragma once

#include <bitnet/core/half.hpp>
#include <bitnet/quant/format.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// Rows of plain values of type T: float, f16 or bf16. Bytes may be unaligned.
template <class T>
struct dense {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, f16> || std::is_same_v<T, bf16>);
  using value_type = T;

  static constexpr std::string_view name = std::is_same_v<T, float> ? "F32"
                                           : std::is_same_v<T, f16> ? "F16"
                                                                    : "BF16";

  /// Exact.
  static void decode_row(packed_rows w, std::size_t row, std::span<float> out) noexcept {
    const std::byte* p = w.data + row * w.cols * sizeof(T);
    if (w.cols == 0) return;
    if constexpr (std::is_same_v<T, float>) {
      std::memcpy(out.data(), p, w.cols * sizeof(float));
    } else {
      for (std::size_t i = 0; i < w.cols; ++i) {
        T value;
        std::memcpy(&value, p + i * sizeof value, sizeof value);
        out[i] = to_float(value);
      }
    }
  }

  /// Rounds to nearest, halves to even.
  static void pack_row(std::span<const float> in, std::byte* out) noexcept {
    for (std::size_t i = 0; i < in.size(); ++i) {
      T value;
      if constexpr (std::is_same_v<T, float>) {
        value = in[i];
      } else if constexpr (std::is_same_v<T, f16>) {
        value = to_f16(in[i]);
      } else {
        value = to_bf16(in[i]);
      }
      std::memcpy(out + i * sizeof value, &value, sizeof value);
    }
  }

  [[nodiscard]] static constexpr bool accepts(std::size_t, std::size_t) noexcept { return true; }
  [[nodiscard]] static constexpr std::size_t row_bytes(std::size_t cols) noexcept {
    return cols * sizeof(T);
  }
};

using dense_f32 = dense<float>;
using dense_f16 = dense<f16>;
using dense_bf16 = dense<bf16>;

static_assert(row_format<dense_f32> && row_format<dense_f16> && row_format<dense_bf16>);

}  // namespace quant
BITNET_NAMESPACE_END
