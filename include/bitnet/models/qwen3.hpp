// SPDX-License-Identifier: Apache-2.0
// Qwen3 ("Qwen3 Technical Report", 2025), the graph of Bonsai and Ternary-Bonsai.
#pragma once

#include <bitnet/models/architecture.hpp>
#include <bitnet/nn/attention.hpp>
#include <bitnet/nn/feed_forward.hpp>

BITNET_NAMESPACE_BEGIN
namespace models {

/// Llama's block with every query and key head normalised before rotation.
template <nn::layer_format W = nn::any_format>
struct qwen3_block {
  nn::rms_norm attn_norm, q_norm, k_norm, ffn_norm;
  nn::linear<W> wq, wk, wv, wo, gate, up, down;

  template <class V>
  void tensors(V& v, const nn::hparams& h) {
    v("attn_norm", attn_norm, h.dim);
    v("attn_q", wq, h.q_dim(), h.dim);
    v("attn_k", wk, h.kv_dim(), h.dim);
    v("attn_v", wv, h.kv_dim(), h.dim);
    v("attn_q_norm", q_norm, h.head_dim);
    v("attn_k_norm", k_norm, h.head_dim);
    v("attn_output", wo, h.dim, h.q_dim());
    v("ffn_norm", ffn_norm, h.dim);
    v("ffn_gate", gate, h.ffn, h.dim);
    v("ffn_up", up, h.ffn, h.dim);
    v("ffn_down", down, h.dim, h.ffn);
  }

  template <class C>
  void operator()(C& c, nn::activations x) const {
    auto [q, k, v] = nn::project(c, attn_norm(c, x), wq, wk, wv);
    q_norm.each_head(c, q);
    k_norm.each_head(c, k);
    nn::rope(c, q);
    nn::rope(c, k);
    nn::add(c, x, wo(c, nn::attend(c, q, k, v)));

    auto f = nn::gated_product(c, ffn_norm(c, x), gate, up);
    nn::add(c, x, nn::down_product(c, f, down));
  }
};

template <nn::layer_format W = nn::any_format>
struct qwen3 {
  static constexpr std::array<std::string_view, 1> gguf_names{"qwen3"};
  static constexpr bool bitnet_activations = false;
  using block = qwen3_block<W>;
  static constexpr void configure(nn::hparams& h) noexcept {
    h.rope.order = nn::rope_order::halves;
    h.activation = nn::gate_activation::silu;
  }
};

static_assert(architecture<qwen3<>>);

}  // namespace models
BITNET_NAMESPACE_END
