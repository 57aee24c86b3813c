// SPDX-License-Identifier: Apache-2.0
// A tiny model with random weights, as GGUF bytes in memory, for any architecture's list of
// tensors.
#pragma once

#include <bitnet/bitnet.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace examples {

/// The tensors that a block lists, in order: the visitor that loads a model also describes one.
struct tensor_list {
  struct entry {
    std::string name;
    std::size_t rows;
    std::size_t cols;
    bool matrix;
  };
  std::vector<entry> entries;
  std::string prefix;

  void operator()(std::string_view name, bitnet::nn::rms_norm&, std::size_t size) {
    entries.push_back({prefix + std::string{name} + ".weight", 1, size, false});
  }
  template <class W>
  void operator()(std::string_view name, bitnet::nn::linear<W>&, std::size_t rows,
                  std::size_t cols) {
    entries.push_back({prefix + std::string{name} + ".weight", rows, cols, true});
  }
};

/// Writes `tensors` with weights drawn from `random`: norms are 1, matrices ternary in TQ2_0.
template <class Stream>
bitnet::status write_weights(Stream& out, const tensor_list& tensors,
                             const bitnet::counter_random& random) {
  std::uint64_t stream = 0;
  for (const auto& t : tensors.entries) {
    std::vector<float> values(t.rows * t.cols, 1.0F);
    const float size = 1.0F / std::sqrt(static_cast<float>(t.cols));
    if (t.matrix)
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = size * (static_cast<float>(random.at(stream, i) % 3) - 1.0F);
    ++stream;
    std::vector<std::byte> bytes(values.size() * sizeof(float));
    if (t.matrix) {
      bytes.resize(*bitnet::quant::tensor_bytes<bitnet::quant::tq2_0>(t.rows, t.cols));
      bitnet::quant::pack<bitnet::quant::tq2_0>(values.data(), t.rows, t.cols, bytes.data());
    } else {
      std::memcpy(bytes.data(), values.data(), bytes.size());
    }
    BITNET_CHECK(out.write(bytes));
  }
  return out.finish();
}

/// A model of architecture A: the vocabulary is the 256 bytes and an end-of-text token, and every
/// width must be a multiple of 256 for its format.
template <class A>
bitnet::result<std::vector<std::byte>> random_model(const bitnet::nn::hparams& h,
                                                    std::uint64_t seed) {
  namespace gguf = bitnet::gguf;
  const std::string name{A::gguf_names.front()};
  gguf::writer w;
  const auto size = [&](std::string_view key, std::size_t value) {
    return w.set(name + "." + std::string{key}, static_cast<std::uint32_t>(value));
  };
  BITNET_CHECK(w.set("general.architecture", name));
  BITNET_CHECK(size("embedding_length", h.dim));
  BITNET_CHECK(size("block_count", h.layers));
  BITNET_CHECK(size("feed_forward_length", h.ffn));
  BITNET_CHECK(size("attention.head_count", h.heads));
  BITNET_CHECK(size("attention.head_count_kv", h.kv_heads));
  BITNET_CHECK(size("context_length", h.context));
  BITNET_CHECK(w.set(name + ".attention.layer_norm_rms_epsilon", h.norm_eps));

  tensor_list tensors;
  tensors.entries.push_back({"token_embd.weight", h.vocab, h.dim, true});
  tensors.entries.push_back({"output_norm.weight", 1, h.dim, false});
  typename A::block block;
  for (std::size_t i = 0; i < h.layers; ++i) {
    tensors.prefix = "blk." + std::to_string(i) + ".";
    block.tensors(tensors, h);
  }
  for (const auto& t : tensors.entries) {
    const std::array<std::uint64_t, 2> dims{t.cols, t.rows};
    const auto type = t.matrix ? gguf::tensor_type::tq2_0 : gguf::tensor_type::f32;
    BITNET_CHECK(w.add_tensor(t.name, std::span{dims}.first(t.matrix ? 2 : 1), type));
  }
  gguf::memory_sink sink;
  BITNET_TRY(auto out, w.begin(sink));
  BITNET_CHECK(write_weights(out, tensors, bitnet::counter_random{seed}));
  return std::move(sink.bytes);
}

}  // namespace examples
