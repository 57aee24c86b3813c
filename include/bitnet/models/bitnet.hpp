// SPDX-License-Identifier: Apache-2.0
// BitNet b1.58 (Ma et al., "The Era of 1-bit LLMs", 2024; "BitNet b1.58 2B4T Technical Report",
// 2025): a gated transformer with normalisation before every quantized projection.
#pragma once

#include <bitnet/models/architecture.hpp>
#include <bitnet/nn/attention.hpp>
#include <bitnet/nn/feed_forward.hpp>

BITNET_NAMESPACE_BEGIN
namespace models {

/// x += Wo norm(attention(norm(x)));  x += Wdown norm(act(Wgate n) * (Wup n)), n = norm(x).
/// The inner norms ("sub-norms") keep the int8 inputs of Wo and Wdown well scaled.
template <nn::layer_format W = nn::any_format>
struct bitnet_block {
  nn::rms_norm attn_norm, attn_sub_norm, ffn_norm, ffn_sub_norm;
  nn::linear<W> wq, wk, wv, wo, gate, up, down;

  template <class V>
  void tensors(V& v, const nn::hparams& h) {
    v("attn_norm", attn_norm, h.dim);
    v("attn_q", wq, h.q_dim(), h.dim);
    v("attn_k", wk, h.kv_dim(), h.dim);
    v("attn_v", wv, h.kv_dim(), h.dim);
    v("attn_sub_norm", attn_sub_norm, h.q_dim());
    v("attn_output", wo, h.dim, h.q_dim());
    v("ffn_norm", ffn_norm, h.dim);
    v("ffn_gate", gate, h.ffn, h.dim);
    v("ffn_up", up, h.ffn, h.dim);
    v("ffn_sub_norm", ffn_sub_norm, h.ffn);
    v("ffn_down", down, h.dim, h.ffn);
  }

  template <class C>
  void operator()(C& c, nn::activations x) const {
    auto [q, k, v] = nn::project(c, attn_norm(c, x), wq, wk, wv);
    nn::rope(c, q);
    nn::rope(c, k);
    auto a = nn::attend(c, q, k, v);
    nn::add(c, x, wo(c, attn_sub_norm(c, a)));

    auto f = nn::gated_product(c, ffn_norm(c, x), gate, up);
    nn::add(c, x, nn::down_product(c, ffn_sub_norm(c, f), down));
  }
};

/// microsoft/BitNet-b1.58-2B-4T and its first upload: squared ReLU.
template <nn::layer_format W = nn::any_format>
struct bitnet_b158 {
  static constexpr std::array<std::string_view, 2> gguf_names{"bitnet-b1.58", "bitnet-25"};
  static constexpr bool bitnet_activations = true;
  using block = bitnet_block<W>;
  static constexpr void configure(nn::hparams& h) noexcept {
    h.rope.order = nn::rope_order::halves;
    h.activation = nn::gate_activation::relu2;
  }
};

/// 1bitLLM/bitnet_b1_58-large, -3B and their kin: the same with SiLU.
template <nn::layer_format W = nn::any_format>
struct bitnet_silu {
  static constexpr std::array<std::string_view, 1> gguf_names{"bitnet"};
  static constexpr bool bitnet_activations = true;
  using block = bitnet_block<W>;
  static constexpr void configure(nn::hparams& h) noexcept {
    h.rope.order = nn::rope_order::halves;
    h.activation = nn::gate_activation::silu;
  }
};

static_assert(architecture<bitnet_b158<>> && architecture<bitnet_silu<>>);

}  // namespace models
BITNET_NAMESPACE_END
