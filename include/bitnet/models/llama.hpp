// SPDX-License-Identifier: Apache-2.0
// Llama (Touvron et al., 2023) and what shares its graph: Falcon3-1.58bit, Falcon-E, TriLM,
// Llama3-8B-1.58.
#pragma once

#include <bitnet/models/architecture.hpp>
#include <bitnet/nn/attention.hpp>
#include <bitnet/nn/feed_forward.hpp>

BITNET_NAMESPACE_BEGIN
namespace models {

/// x += Wo attention(norm(x));  x += Wdown (silu(Wgate n) * (Wup n)), n = norm(x).
template <nn::layer_format W = nn::any_format>
struct llama_block {
  nn::rms_norm attn_norm, ffn_norm;
  nn::linear<W> wq, wk, wv, wo, gate, up, down;

  template <class V>
  void tensors(V& v, const nn::hparams& h) {
    v("attn_norm", attn_norm, h.dim);
    v("attn_q", wq, h.q_dim(), h.dim);
    v("attn_k", wk, h.kv_dim(), h.dim);
    v("attn_v", wv, h.kv_dim(), h.dim);
    v("attn_output", wo, h.dim, h.q_dim());
    v("ffn_norm", ffn_norm, h.dim);
    v("ffn_gate", gate, h.ffn, h.dim);
    v("ffn_up", up, h.ffn, h.dim);
    v("ffn_down", down, h.dim, h.ffn);
  }

  template <class C>
  void operator()(C& c, nn::activations x) const {
    auto [q, k, v] = nn::project(c, attn_norm(c, x), wq, wk, wv);
    nn::rope(c, q);
    nn::rope(c, k);
    nn::add(c, x, wo(c, nn::attend(c, q, k, v)));

    auto f = nn::gated_product(c, ffn_norm(c, x), gate, up);
    nn::add(c, x, nn::down_product(c, f, down));
  }
};

/// Files hold query and key rows permuted, so rotation turns adjacent pairs.
template <nn::layer_format W = nn::any_format>
struct llama {
  static constexpr std::array<std::string_view, 1> gguf_names{"llama"};
  static constexpr bool bitnet_activations = false;
  using block = llama_block<W>;
  static constexpr void configure(nn::hparams& h) noexcept {
    h.rope.order = nn::rope_order::adjacent;
    h.activation = nn::gate_activation::silu;
  }
};

static_assert(architecture<llama<>>);

}  // namespace models
BITNET_NAMESPACE_END
