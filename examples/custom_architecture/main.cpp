// SPDX-License-Identifier: Apache-2.0
// An architecture of your own: a list of tensors and a call operator. The library loads, repacks,
// checks, threads and runs it like the shipped ones.
//
// This one is invented: attention and feed-forward side by side on one norm (as in GPT-J), with
// ternary weights and squared ReLU.
#include "../common/random_model.hpp"

#include <bitnet/bitnet.hpp>

#include <cstdio>

namespace nn = bitnet::nn;

template <nn::layer_format W>
struct parallel_block {
  nn::rms_norm norm, ffn_sub_norm;
  nn::linear<W> wq, wk, wv, wo, gate, up, down;

  template <class V>
  void tensors(V& v, const nn::hparams& h) {
    v("norm", norm, h.dim);
    v("attn_q", wq, h.q_dim(), h.dim);
    v("attn_k", wk, h.kv_dim(), h.dim);
    v("attn_v", wv, h.kv_dim(), h.dim);
    v("attn_output", wo, h.dim, h.q_dim());
    v("ffn_gate", gate, h.ffn, h.dim);
    v("ffn_up", up, h.ffn, h.dim);
    v("ffn_sub_norm", ffn_sub_norm, h.ffn);
    v("ffn_down", down, h.dim, h.ffn);
  }

  template <class C>
  void operator()(C& c, nn::activations x) const {
    auto [q, k, v, g, u] = nn::project(c, norm(c, x), wq, wk, wv, gate, up);
    nn::rope(c, q);
    nn::rope(c, k);
    nn::add(c, x, wo(c, nn::attend(c, q, k, v)));
    nn::add(c, x, down(c, ffn_sub_norm(c, nn::relu2_mul(c, g, u))));
  }
};

struct parallel_net {
  static constexpr std::array<std::string_view, 1> gguf_names{"parallel-net"};
  static constexpr bool bitnet_activations = true;
  using block = parallel_block<nn::any_format>;
  static constexpr void configure(nn::hparams& h) { h.rope.order = nn::rope_order::halves; }
};

int main() {
  const nn::hparams shape{.dim = 256,
                          .layers = 3,
                          .heads = 8,
                          .kv_heads = 2,
                          .head_dim = 32,
                          .ffn = 512,
                          .vocab = 257,
                          .context = 128};
  const auto bytes = examples::random_model<parallel_net>(shape, 42);
  if (!bytes) return std::puts(bitnet::to_string(bytes.error()).c_str()), 1;

  const auto model = bitnet::load<parallel_net, nn::dynamic_kernels>(bitnet::gguf::view(*bytes));
  if (!model) return std::puts(bitnet::to_string(model.error()).c_str()), 1;
  bitnet::serial_executor here;
  auto session = bitnet::session<std::remove_cvref_t<decltype(*model)>>::make(*model, here);
  if (!session) return std::puts(bitnet::to_string(session.error()).c_str()), 1;

  std::printf("tokens:");
  bitnet::token next = 1;
  for (int i = 0; i < 12; ++i) {
    if (const auto fed = session->feed({&next, 1}); !fed)
      return std::puts(bitnet::to_string(fed.error()).c_str()), 1;
    next = bitnet::sample::argmax(session->logits());
    std::printf(" %d", next);
  }
  std::printf("\nweights read for each token: %llu bytes\n",
              static_cast<unsigned long long>(model->bytes_per_token()));
}
