// SPDX-License-Identifier: Apache-2.0
// The hyper-parameters of a decoder-only transformer, in the field's usual terms.
#pragma once

#include <bitnet/config.hpp>

#include <cstddef>
#include <cstdint>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// Which elements of a head rotary embedding turns together.
enum class rope_order : std::uint8_t {
  adjacent,  ///< (2i, 2i + 1): "NORM" in GGUF terms; Llama files are permuted for it
  halves     ///< (i, i + n/2): "NEOX"
};

/// How positions beyond the trained context are squeezed into it.
enum class rope_scaling : std::uint8_t {
  none,
  linear,  ///< all angles divided by the factor
  yarn     ///< per frequency (Peng et al., "YaRN", 2023)
};

/// Rotary position embedding (Su et al., "RoFormer", 2021).
struct rope_hparams {
  std::size_t dims = 0;   ///< rotated elements of each head, even, at most head_dim
  float base = 10000.0F;  ///< theta
  rope_order order = rope_order::halves;
  rope_scaling scaling = rope_scaling::none;
  float factor = 1.0F;            ///< context extension, above 0
  float attention_factor = 1.0F;  ///< factor on cos and sin
  std::size_t original_context = 0;
};

/// The nonlinearity on the gate of a gated feed-forward layer.
enum class gate_activation : std::uint8_t { silu, relu2 };

/// Validated by the loader: every size is at least 1, heads is a multiple of kv_heads.
struct hparams {
  std::size_t dim = 0;  ///< width of the residual stream (n_embd)
  std::size_t layers = 0;
  std::size_t heads = 0;     ///< query heads
  std::size_t kv_heads = 0;  ///< key and value heads (grouped-query attention)
  std::size_t head_dim = 0;
  std::size_t ffn = 0;  ///< width of the feed-forward layer (n_ff)
  std::size_t vocab = 0;
  std::size_t context = 0;  ///< positions that the model was trained for
  float norm_eps = 1e-5F;   ///< the file's, never clamped: a trained model has 1e-16
  gate_activation activation = gate_activation::silu;
  rope_hparams rope = {};

  [[nodiscard]] constexpr std::size_t q_dim() const noexcept { return heads * head_dim; }
  [[nodiscard]] constexpr std::size_t kv_dim() const noexcept { return kv_heads * head_dim; }
};

}  // namespace nn
BITNET_NAMESPACE_END
