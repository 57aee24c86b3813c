// SPDX-License-Identifier: Apache-2.0
// A number that tells loaded models apart, so that a snapshot of one is not restored into another.
#pragma once

#include <bitnet/core/checksum.hpp>
#include <bitnet/nn/linear.hpp>
#include <bitnet/nn/norm.hpp>

#include <algorithm>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// Visits layers by the list that loads them and takes in how they compute, their norms, and
/// samples of their matrices as kernels read them and of the embedding: no pass over all weights,
/// and the same number whether they came from a map, a reader or a tiled file.
class model_fingerprint {
 public:
  explicit model_fingerprint(const nn::hparams& h) noexcept {
    for (const std::uint64_t n : {h.dim, h.layers, h.heads, h.kv_heads, h.head_dim, h.ffn, h.vocab,
                                  h.rope.dims, h.rope.original_context})
      add(n);
    for (const float x : {h.norm_eps, h.rope.base, h.rope.factor, h.rope.attention_factor}) add(x);
    add(h.activation);
    add(h.rope.order);
    add(h.rope.scaling);
  }

  /// The embedding's bytes, as the file has them.
  void table(std::span<const std::byte> bytes) noexcept { add_samples(bytes, 31); }
  /// The file's factors of rotation frequencies, perhaps none.
  void factors(std::span<const float> all) noexcept { add_all(std::as_bytes(all)); }
  template <class W>
  void operator()(std::string_view, const nn::linear<W>& layer, std::size_t, std::size_t) noexcept {
    const nn::weight_matrix& w = layer.weight;
    for (const std::uint64_t n : {w.rows, w.cols}) add(n);
    add(w.storage);
    add(w.input);
    add(w.output_scale);
    add_all(std::as_bytes(w.bias));
    if (w.storage == nn::weight_storage::tiled) {
      const quant::tiled_view tiles = w.tiles.view();
      if (tiles.lines == nullptr) return;  // an outline
      const std::size_t lines = tiles.tiles() * tiles.lines_per_tile();
      add_samples(std::as_bytes(std::span{tiles.lines, lines * quant::line_bytes}));
      constexpr std::size_t last = 7;  // of some scales
      for (std::size_t i = 0; i <= last; ++i)
        add(quant::scale_at(tiles, (tiles.rows - 1) * i / last, (tiles.groups() - 1) * i / last));
    } else if (w.bytes.data != nullptr) {
      add_samples({w.bytes.data, w.read_bytes});
    }
  }
  void operator()(std::string_view, const nn::rms_norm& norm, std::size_t) noexcept {
    add_all(std::as_bytes(norm.weight));
  }

  [[nodiscard]] std::uint64_t value() const noexcept { return sum_; }

 private:
  template <class T>
  void add(const T& value) noexcept {
    add_all(std::as_bytes(std::span{&value, 1}));
  }
  void add_all(std::span<const std::byte> bytes) noexcept { sum_ = checksum(bytes, sum_); }
  void add_samples(std::span<const std::byte> bytes, std::size_t samples = 3) noexcept {
    constexpr std::size_t sample = 64;
    const std::size_t size = std::min(sample, bytes.size());
    for (std::size_t i = 0; i <= samples; ++i)
      add_all(bytes.subspan((bytes.size() - size) / samples * i, size));
  }

  std::uint64_t sum_ = 0;
};

}  // namespace detail
BITNET_NAMESPACE_END
