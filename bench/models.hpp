// SPDX-License-Identifier: Apache-2.0
// Synthetic models for the benchmarks: the architecture of BitNet b1.58 at several sizes.
#pragma once

#include "../examples/common/random_model.hpp"
#include "support.hpp"

#include <map>
#include <vector>

namespace bench {

using network = bitnet::models::bitnet_b158<>;
using model = bitnet::model<network, bitnet::nn::dynamic_kernels>;

struct model_size {
  const char* name;
  std::size_t layers, dim, ffn, heads, kv_heads, vocab;
};

/// One that fits in a cache and one that does not.
inline constexpr model_size model_sizes[] = {
    {"small", 4, 512, 1536, 8, 2, 2048},
    {"mid", 6, 2048, 5632, 16, 4, 8192},
};

/// The bytes of a GGUF file with random ternary weights, made once.
[[nodiscard]] inline std::span<const std::byte> model_file(const model_size& size) {
  static std::map<std::string, std::vector<std::byte>> made;
  auto& file = made[size.name];
  if (file.empty()) {
    bitnet::nn::hparams h;
    h.layers = size.layers;
    h.dim = size.dim;
    h.ffn = size.ffn;
    h.heads = size.heads;
    h.kv_heads = size.kv_heads;
    h.head_dim = size.dim / size.heads;
    h.vocab = size.vocab;
    h.context = 4096;
    file = value_of(examples::random_model<network>(h, 1));
  }
  return file;
}

[[nodiscard]] inline model load(bitnet::result<bitnet::gguf::document> document,
                                bitnet::executor_ref threads,
                                const bitnet::kernels::kernel_table& k) {
  return value_of(bitnet::load<network>(value_of(std::move(document)), threads, {},
                                        bitnet::nn::dynamic_kernels{k}));
}

}  // namespace bench
