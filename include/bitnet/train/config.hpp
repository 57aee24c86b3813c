// SPDX-License-Identifier: Apache-2.0
// What model is trained: an architecture of inference, its shape, and what is rounded.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/nn/hparams.hpp>
#include <bitnet/train/quantizers.hpp>

#include <cstdint>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace train {

/// The architectures of models/, by the graph that they compute.
enum class architecture : std::uint8_t {
  bitnet_b158,  ///< "bitnet-b1.58": sub-norms, squared ReLU
  bitnet_silu,  ///< "bitnet": sub-norms, SiLU
  llama,        ///< no sub-norms, SiLU
  qwen3         ///< llama with normalised queries and keys
};

/// The value of general.architecture.
[[nodiscard]] constexpr std::string_view name_of(architecture a) noexcept {
  switch (a) {
    case architecture::bitnet_b158:
      return "bitnet-b1.58";
    case architecture::bitnet_silu:
      return "bitnet";
    case architecture::llama:
      return "llama";
    case architecture::qwen3:
      return "qwen3";
  }
  return "";
}
[[nodiscard]] constexpr bool has_sub_norms(architecture a) noexcept {
  return a == architecture::bitnet_b158 || a == architecture::bitnet_silu;
}
[[nodiscard]] constexpr bool has_qk_norms(architecture a) noexcept {
  return a == architecture::qwen3;
}

/// Everything that a model is made from, in the scalar type of its training.
template <class T>
struct model_config {
  architecture kind = architecture::bitnet_b158;
  /// Sizes, norm_eps, and the rope's base. `configured` sets what the architecture fixes.
  nn::hparams shape;
  weight_rounding<T> weights = train::weights<absmean_ternary, T>();
  activation_rounding<T> activations = train::activations<int8_per_token, T>();
  /// How files keep the embedding, which is the head too: the forward pass uses its rounding.
  quant::format_id embedding = quant::format_id::f16;
};

/// How inference represents the inputs of linear layers whose weights are in `format`.
template <class T>
[[nodiscard]] activation_rounding<T> activations_of(architecture a,
                                                    quant::format_id format) noexcept {
  using enum quant::format_id;
  if (has_sub_norms(a)) return activations<int8_per_token, T>();
  switch (format) {
    case i2_s:
    case tq1_0:
    case tq2_0:
    case iq1_bn:
    case iq2_bn:
      return activations<int8_per_token, T>();
    case f32:
    case f16:
    case bf16:
      return activations<no_quantizer, T>();
    default:
      return activations<int8_per_block<32>, T>();
  }
}

/// A configuration with what the architecture fixes (activation, order of the rotary pairs) and
/// with the activations that inference will use for such weights.
template <class T>
[[nodiscard]] model_config<T> configured(architecture a, nn::hparams shape,
                                         weight_rounding<T> weights) noexcept {
  model_config<T> c;
  c.kind = a;
  c.shape = shape;
  c.shape.activation =
      a == architecture::bitnet_b158 ? nn::gate_activation::relu2 : nn::gate_activation::silu;
  c.shape.rope.order = a == architecture::llama ? nn::rope_order::adjacent : nn::rope_order::halves;
  if (c.shape.rope.dims == 0) c.shape.rope.dims = c.shape.head_dim;
  c.weights = weights;
  c.activations = activations_of<T>(a, weights.format);
  return c;
}

/// errc::invalid_argument naming the size that is wrong.
template <class T>
[[nodiscard]] status check(const model_config<T>& c) noexcept {
  const nn::hparams& h = c.shape;
  const auto wrong = [](const char* message, std::string_view what) {
    return error{errc::invalid_argument, message, what};
  };
  const auto size = [](std::size_t n, std::size_t most) { return n >= 1 && n <= most; };
  if (!size(h.dim, 1U << 16)) return wrong("the size is out of range", "dim");
  if (!size(h.layers, 1U << 10)) return wrong("the size is out of range", "layers");
  if (!size(h.ffn, 1U << 18)) return wrong("the size is out of range", "ffn");
  if (!size(h.vocab, 1U << 20)) return wrong("the size is out of range", "vocab");
  if (!size(h.context, 1U << 20)) return wrong("the size is out of range", "context");
  if (!size(h.heads, 1U << 12)) return wrong("the size is out of range", "heads");
  if (!size(h.kv_heads, h.heads) || h.heads % h.kv_heads != 0)
    return wrong("query heads must be a multiple of key-value heads", "kv_heads");
  if (!size(h.head_dim, 1U << 12) || h.q_dim() > (1U << 16))
    return wrong("the size is out of range", "head_dim");
  if (h.rope.dims < 2 || h.rope.dims % 2 != 0 || h.rope.dims > h.head_dim)
    return wrong("rotary dimensions come in pairs, at most a head's", "rope.dims");
  if (!(h.rope.base > 1.0F) || h.rope.base > 1e9F)
    return wrong("the number is out of range", "rope.base");
  if (h.rope.scaling != nn::rope_scaling::none)
    return wrong("training takes no rope scaling", "rope.scaling");
  if (!(h.norm_eps >= 0.0F) || h.norm_eps > 1.0F)
    return wrong("the number is out of range", "norm_eps");
  if (c.weights.quantize == nullptr) return wrong("there is no weight quantizer", "weights");
  if (c.activations.quantize == nullptr)
    return wrong("there is no activation quantizer", "activations");
  for (const std::size_t inputs : {h.dim, h.q_dim(), h.ffn})
    if (inputs % c.weights.group != 0)
      return wrong("a matrix's width is no multiple of the quantizer's group", "group");
  const auto format = quant::find_writable_format(c.embedding);
  if (!format || !format->accepts_shape(h.vocab, h.dim))
    return wrong("an embedding of this shape cannot be packed in this format", "embedding");
  return {};
}

}  // namespace train
BITNET_NAMESPACE_END
