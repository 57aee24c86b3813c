// SPDX-License-Identifier: Apache-2.0
// The matrix of a linear layer in the form in which its kernels read it.
#pragma once

#include <bitnet/core/memory.hpp>
#include <bitnet/quant/activation.hpp>
#include <bitnet/quant/format.hpp>
#include <bitnet/quant/pack_tile.hpp>

#include <span>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// Stands for "whatever format the file has", decided at load.
struct any_format {
  static constexpr std::string_view name = "any";
};

/// What a linear layer may be instantiated with: a weight format, or any_format.
template <class W>
concept layer_format = std::same_as<W, any_format> || quant::weight_format<W>;

/// Where the weights are and which family of kernels reads them.
enum class weight_storage : std::uint8_t {
  none,
  tiled,  ///< repacked into tiles: integer kernels
  f32,    ///< row-major floats as in the file: float kernels
  f16,
  bf16,
  decoded  ///< row-major bytes of any format, decoded to float row by row: exact, slow
};

/// A loaded matrix of `rows` outputs and `cols` inputs. Immutable once loaded; read by any number
/// of threads. It owns tiles or converted bytes; bytes of the file belong to the model's document.
struct weight_matrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  weight_storage storage = weight_storage::none;
  /// How the input is represented. With float storage and per_token, the input is rounded to int8
  /// and back, so that a BitNet model in F16 computes what its ternary forms compute.
  quant::activation_kind input = quant::activation_kind::float32;

  quant::tiled_matrix tiles;                    ///< storage == tiled
  quant::packed_rows bytes;                     ///< all other storages
  quant::decode_row_function decode = nullptr;  ///< storage == decoded
  aligned_buffer<std::byte> owned;              ///< bytes that are not the file's

  float output_scale = 1.0F;    ///< multiplies the result (".scale" tensors)
  std::span<const float> bias;  ///< added to the result, or empty

  std::size_t read_bytes = 0;  ///< what one pass over the matrix reads
};

}  // namespace nn
BITNET_NAMESPACE_END
