// SPDX-License-Identifier: Apache-2.0
// Weights as the forward pass uses them: rounded, with their scales, and packed as integers.
#pragma once

#include <bitnet/core/memory.hpp>
#include <bitnet/train/bit_linear.hpp>
#include <bitnet/train/embedding.hpp>
#include <bitnet/train/parameter.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

/// The matrices of a block by what they take: those that share an input are one layer.
enum class block_layer : std::uint8_t { qkv, output, gate_up, down };
inline constexpr std::size_t block_layers = 4;

/// Parameters of a layer: the first, and how many.
struct layer_parameters {
  std::size_t first = 0, count = 0;
};
[[nodiscard]] inline layer_parameters parameters_of(const block_parameters& p,
                                                    block_layer l) noexcept {
  switch (l) {
    case block_layer::qkv:
      return {p.q, 3};
    case block_layer::output:
      return {p.output, 1};
    case block_layer::gate_up:
      return {p.gate, 2};
    case block_layer::down:
      break;
  }
  return {p.down, 1};
}

/// A parameter's place in an array of all of them.
template <class Buffer>
[[nodiscard]] auto view_of(Buffer& buffer, const parameter& p) noexcept {
  return matrix_view{buffer.data() + p.offset, p.rows, p.cols};
}
/// The matrices of a layer, below each other, in an array of all parameters.
template <class Buffer>
[[nodiscard]] auto view_of(Buffer& buffer, const parameter_list& list,
                           layer_parameters l) noexcept {
  std::size_t rows = 0;
  for (std::size_t k = 0; k < l.count; ++k) rows += list[l.first + k].rows;
  return matrix_view{buffer.data() + list[l.first].offset, rows, list[l.first].cols};
}

/// Rounded copies of a model's parameters. Lists and configurations are those of make().
template <class T>
class rounded_weights {
 public:
  /// errc::out_of_memory.
  [[nodiscard]] static result<rounded_weights> make(const model_config<T>& config,
                                                    const parameter_list& list) {
    rounded_weights w;
    BITNET_TRY(w.values_, aligned_buffer<T>::make(list.size(), "rounded parameters"));
    w.scales_.assign(list.all().size(), T{1});
    if (!multiplies_integers(config)) return w;
    const nn::hparams& h = config.shape;
    w.words_ = integer_weight_words(h.q_dim() + 2 * h.kv_dim(), h.dim) +
               integer_weight_words(h.dim, h.q_dim()) + integer_weight_words(2 * h.ffn, h.dim) +
               integer_weight_words(h.dim, h.ffn);
    BITNET_TRY(w.integers_,
               aligned_buffer<std::int32_t>::make(h.layers * w.words_, "integer parameters"));
    w.packed_.resize(h.layers);
    return w;
  }

  /// Whether layers multiply integers: where weights and inputs are.
  [[nodiscard]] static bool multiplies_integers(const model_config<T>& c) noexcept {
    return std::is_same_v<T, float> && c.weights.integers && c.activations.integers;
  }

  /// Rounds the parameters anew.
  void refresh(executor_ref threads, const model_config<T>& config, const parameter_list& list,
               const aligned_buffer<T>& parameters) {
    const auto all = list.all();
    const auto task = [&](std::size_t i, std::size_t) {
      const parameter& p = all[i];
      if (p.kind != parameter_kind::matrix) return;
      scales_[i] = config.weights.quantize(view_of(parameters, p), view_of(values_, p));
    };
    threads.parallel_for(all.size(), task);
    pack(threads, list);
    const parameter& e = all[list.embedding()];
    round_to_format<T>(config.embedding, threads, view_of(parameters, e), view_of(values_, e));
  }

  [[nodiscard]] matrix_view<const T> operator[](const parameter& p) const noexcept {
    return view_of(values_, p);
  }
  [[nodiscard]] T scale(std::size_t i) const noexcept { return scales_[i]; }

  [[nodiscard]] bit_linear<T> layer(const parameter_list& list, std::size_t block,
                                    block_layer which) const noexcept {
    bit_linear<T> l = unpacked(list, block, which);
    if (!packed_.empty()) l.integers = &packed_[block][static_cast<std::size_t>(which)];
    return l;
  }

 private:
  [[nodiscard]] bit_linear<T> unpacked(const parameter_list& list, std::size_t block,
                                       block_layer which) const noexcept {
    const layer_parameters p = parameters_of(list.block(block), which);
    bit_linear<T> l;
    for (std::size_t k = 0; k < p.count; ++k)
      l.parts[k] = {list[p.first + k].rows, scales_[p.first + k]};
    l.codes = view_of(values_, list, p);
    return l;
  }

  /// Integers of the rounded weights, for both passes.
  void pack(executor_ref threads, const parameter_list& list) {
    if constexpr (std::is_same_v<T, float>) {
      const auto task = [&](std::size_t block, std::size_t) {
        std::int32_t* words = integers_.data() + block * words_;
        std::vector<float> scales;
        for (std::size_t k = 0; k < block_layers; ++k) {
          const bit_linear<T> l = unpacked(list, block, static_cast<block_layer>(k));
          scales.clear();
          for (const auto& part : l.parts) scales.insert(scales.end(), part.outputs, part.scale);
          packed_[block][k] = pack_weights(l.codes, scales, words);
          words += integer_weight_words(l.codes.rows, l.codes.cols);
        }
      };
      threads.parallel_for(packed_.size(), task);
    }
  }

  aligned_buffer<T> values_;
  std::vector<T> scales_;  ///< of matrices
  aligned_buffer<std::int32_t> integers_;
  std::size_t words_ = 0;  ///< of a block
  std::vector<std::array<integer_weights, block_layers>> packed_;
};

}  // namespace train
BITNET_NAMESPACE_END
