// SPDX-License-Identifier: Apache-2.0
// Which architecture serves which name, and what each fixes.
#include <bitnet/models/registry.hpp>

#include "doctest.hpp"

#include <vector>

namespace models = bitnet::models;
namespace nn = bitnet::nn;

TEST_CASE("every published name finds its architecture") {
  const auto hparams_of = [](std::string_view name) {
    nn::hparams h;
    bool found = models::visit_architecture(
        name, [&](auto architecture) { decltype(architecture)::type::configure(h); });
    CHECK_MESSAGE(found, name);
    return h;
  };
  CHECK(hparams_of("bitnet-b1.58").activation == nn::gate_activation::relu2);
  CHECK(hparams_of("bitnet-25").activation == nn::gate_activation::relu2);
  CHECK(hparams_of("bitnet").activation == nn::gate_activation::silu);
  CHECK(hparams_of("bitnet").rope.order == nn::rope_order::halves);
  CHECK(hparams_of("llama").rope.order == nn::rope_order::adjacent);
  CHECK(hparams_of("qwen3").rope.order == nn::rope_order::halves);
  CHECK(!models::visit_architecture("gpt2", [](auto) {}));
  CHECK(!models::visit_architecture("", [](auto) {}));
}

TEST_CASE("a block lists each of its tensors once, with shapes that fit together") {
  struct lister {
    std::vector<std::string> names;
    std::size_t weights = 0;
    void operator()(std::string_view name, nn::rms_norm&, std::size_t size) {
      names.emplace_back(name);
      weights += size;
    }
    void operator()(std::string_view name, nn::linear<>&, std::size_t rows, std::size_t cols) {
      names.emplace_back(name);
      weights += rows * cols;
    }
  };
  nn::hparams h;
  h.dim = 2560;
  h.heads = 20;
  h.kv_heads = 5;
  h.head_dim = 128;
  h.ffn = 6912;
  lister v;
  models::bitnet_b158<>::block block;
  block.tensors(v, h);
  CHECK(v.names.size() == 11);
  // BitNet-b1.58-2B-4T: 69.47 M weights a layer.
  CHECK(v.weights == 2560U * (2560U * 2 + 640U * 2 + 6912U * 3) + 2560U * 3 + 6912U);
  std::sort(v.names.begin(), v.names.end());
  CHECK(std::adjacent_find(v.names.begin(), v.names.end()) == v.names.end());
}
