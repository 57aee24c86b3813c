// SPDX-License-Identifier: Apache-2.0
// What a weight format is: how the bytes of a tensor become numbers. Order in memory is tile.hpp.
#pragma once

#include <bitnet/config.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// The bytes of one matrix as they lie in a file: `rows` rows (outputs) of `cols` weights (inputs).
/// Does not own; the bytes need no alignment and were checked to hold the whole tensor.
struct packed_rows {
  const std::byte* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
};

/// How codes lie in a 64-byte tile line; see tile.hpp. Values are in the tensor types of tiled
/// files (gguf/tiled_type.hpp): new ones go to the end.
enum class encoding : std::uint8_t {
  ternary2,  ///< 2-bit codes 0..3 for the values -1, 0, +1, +2
  binary,    ///< 1-bit codes 0, 1 for the values -1, +1
  int8       ///< 8-bit codes 0..255 for the values -128..127
};

/// A weight format that a user can write in one file: a trivially copyable `block` of `block_size`
/// weights, a `name`, and `unpack(block, out)` that gives the weights in order.
template <class F>
concept block_format = requires(const typename F::block& b, std::span<float, F::block_size> out) {
  requires std::is_trivially_copyable_v<typename F::block>;
  { F::name } -> std::convertible_to<std::string_view>;
  { F::unpack(b, out) }
  noexcept;
};

/// A format whose rows have something beside blocks (a scale for the row or the tensor): it decodes
/// whole rows itself.
template <class F>
concept row_format = requires(packed_rows w, std::size_t row, std::span<float> out) {
  { F::name } -> std::convertible_to<std::string_view>;
  { F::decode_row(w, row, out) }
  noexcept;
};

/// What a layer may be made of.
template <class F>
concept weight_format = block_format<F> || row_format<F>;

/// A format that also has a tile encoding: codes and scales can be taken apart, so that the integer
/// kernels serve it. For row `r`: `codes[c]` in [0, 256) as its `tile` encoding says, and one scale
/// for each group of `group` columns (0: one for the whole row). With `has_mins`, a weight is
/// value(code) * scale - min. An empty `codes` or `scales` is not wanted and costs no work; `mins`
/// matters only together with `scales`. A format whose scales are all half-precision numbers may
/// say `f16_scales = true`, and tiles then keep them as such.
template <class F>
concept tileable_format = weight_format<F> &&
    requires(packed_rows w, std::size_t row, std::span<std::uint8_t> codes, std::span<float> scales,
             std::span<float> mins) {
  { F::tile } -> std::convertible_to<encoding>;
  { F::group } -> std::convertible_to<std::size_t>;
  { F::has_mins } -> std::convertible_to<bool>;
  { F::split_row(w, row, codes, scales, mins) }
  noexcept;
};

/// A tileable format that can also write its codes straight into tile lines, faster than through
/// one byte a code. For each line of the tile, `write_lines(w, row, place)` writes the four bytes
/// of the row, the first at place + 64 * line and the others behind it as tile.hpp says, for rows
/// of `cols` with `writes_lines(cols)`.
template <class F>
concept line_format = tileable_format<F> &&
    requires(packed_rows w, std::size_t n, std::uint8_t* words) {
  { F::writes_lines(n) } -> std::same_as<bool>;
  { F::write_lines(w, n, words) }
  noexcept;
};

/// Decodes row `row` into out[0, cols): the exact values that the file states, in float.
template <weight_format F>
void decode_row(packed_rows w, std::size_t row, std::span<float> out) noexcept {
  if constexpr (row_format<F>) {
    F::decode_row(w, row, out);
  } else {
    using block = typename F::block;
    const std::size_t blocks = w.cols / F::block_size;
    const std::byte* p = w.data + row * blocks * sizeof(block);
    for (std::size_t b = 0; b < blocks; ++b, p += sizeof(block)) {
      block one;  // a copy, since file bytes may be unaligned
      std::memcpy(&one, p, sizeof one);
      F::unpack(one, out.subspan(b * F::block_size).template first<F::block_size>());
    }
  }
}

/// The same as a plain function pointer, for formats known at run time.
using decode_row_function = void (*)(packed_rows, std::size_t, std::span<float>) noexcept;

}  // namespace quant
BITNET_NAMESPACE_END
