// SPDX-License-Identifier: Apache-2.0
// How many bytes a matrix takes in a weight format, and which shapes the format can hold.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/quant/format.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// Whether a rows x cols matrix can be stored in F: the row is a whole number of blocks, or what
/// the format's own `accepts(rows, cols)` says.
template <weight_format F>
[[nodiscard]] constexpr bool accepts_shape(std::size_t rows, std::size_t cols) noexcept {
  if constexpr (requires { F::accepts(rows, cols); }) {
    return F::accepts(rows, cols);
  } else if constexpr (block_format<F>) {
    return cols % F::block_size == 0;
  } else {
    return true;
  }
}

/// Bytes of one row of an accepted shape, for formats whose rows are stored one after the other.
template <weight_format F>
  requires(block_format<F> || requires { F::row_bytes(std::size_t{}); })
[[nodiscard]] constexpr std::size_t row_bytes(std::size_t cols) noexcept {
  if constexpr (requires { F::row_bytes(cols); }) {
    return F::row_bytes(cols);
  } else {
    return cols / F::block_size * sizeof(typename F::block);
  }
}

/// Bytes of a whole matrix of an accepted shape; nothing if they do not fit in 64 bits.
template <weight_format F>
[[nodiscard]] constexpr std::optional<std::uint64_t> tensor_bytes(std::size_t rows,
                                                                  std::size_t cols) noexcept {
  if constexpr (requires { F::tensor_bytes(rows, cols); }) {
    return F::tensor_bytes(rows, cols);
  } else {
    if (!checked_mul(cols, 8)) return std::nullopt;  // no format takes more than 8 bytes a weight
    return checked_mul(rows, row_bytes<F>(cols));
  }
}

/// Packs a whole row-major rows x cols matrix of finite values into tensor_bytes<F> bytes with the
/// format's reference quantizer. The shape is an accepted one. encode() in encode.hpp keeps more
/// matrices exactly.
template <weight_format F>
  requires(
      requires(std::span<const float> in, std::byte* out) { F::pack_row(in, out); } ||
      requires(std::span<const float> in, std::byte* out) { F::pack_tensor(in, out); })
void pack(const float* weights, std::size_t rows, std::size_t cols, std::byte* out) noexcept {
  if constexpr (requires { F::pack_tensor(std::span<const float>{}, out); }) {
    F::pack_tensor({weights, rows * cols}, out);
  } else {
    for (std::size_t r = 0; r < rows; ++r)
      F::pack_row({weights + r * cols, cols}, out + r * row_bytes<F>(cols));
  }
}

}  // namespace quant
BITNET_NAMESPACE_END
