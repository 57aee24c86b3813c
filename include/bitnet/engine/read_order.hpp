// SPDX-License-Identifier: Apache-2.0
// Finds how this machine reads a model's matrices fastest, by trying it while loading.
#pragma once

#include <bitnet/core/log.hpp>
#include <bitnet/nn/context.hpp>
#include <bitnet/nn/linear.hpp>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// Takes matrices, as a visitor of layers too, and sets their reading. Matrices of the same
/// encoding and width are decided together: parts of some, each read once, in line and apart by
/// turns, so that nothing is read from a cache. That takes `most_bytes` of reading for each kind, 2
/// ms at 24 GB/s; models so small that this would be all of them are left alone. A wrong choice,
/// made while something else took the core, costs speed and nothing else.
class read_order_finder {
 public:
  static constexpr std::size_t most_bytes = std::size_t{48} << 20;
  static constexpr std::size_t part_bytes = std::size_t{4} << 20;
  static constexpr std::size_t least_part_bytes = std::size_t{1} << 20;

  explicit read_order_finder(std::size_t bytes = most_bytes, std::size_t of_part = part_bytes,
                             std::size_t least_part = least_part_bytes) noexcept
      : bytes_{bytes}, part_{of_part}, least_part_{least_part} {}

  template <class W>
  void operator()(std::string_view, nn::linear<W>& layer, std::size_t, std::size_t) {
    if (layer.weight.storage == nn::weight_storage::tiled)
      add(layer.weight.tiles, layer.weight.input == quant::activation_kind::per_token);
  }
  void operator()(std::string_view, const nn::rms_norm&, std::size_t) noexcept {}

  /// A matrix whose input has one scale for a token, or one for each block.
  void add(quant::tiled_matrix& m, bool per_token) {
    const quant::tile_plan& plan = m.plan();
    if (plan.rows == 0 || m.memory().data() == nullptr) return;
    for (kind& k : kinds_)
      if (k.codes == plan.codes && k.cols == plan.cols && k.per_token == per_token)
        return k.matrices.push_back(&m);
    kinds_.push_back({plan.codes, plan.cols, per_token, {&m}});
  }

  /// Times kinds of which there is enough and decides; says what was found.
  void run(const kernels::kernel_table& kernels, executor_ref threads, log_sink log) {
    for (kind& k : kinds_) {
      const std::vector<part> parts = parts_of(k);
      if (parts.empty()) continue;
      const speeds found = measure(kernels, threads, k, parts);
      const quant::reading best = found.best();
      for (quant::tiled_matrix* m : k.matrices) m->read(best);
      if (!log.wants(log_level::info)) continue;
      constexpr std::string_view names[] = {"as the kernels are used to", "in line", "apart"};
      const auto rounded = [](float x) { return std::to_string(std::lround(x)); };
      log(log_level::info, "matrices of " + std::to_string(k.cols) + " columns are read " +
                               std::string{names[static_cast<std::size_t>(best)]} + ": in line " +
                               rounded(found.in_line) + " GB/s, apart " + rounded(found.apart));
    }
  }

 private:
  struct kind {
    quant::encoding codes;
    std::size_t cols;
    bool per_token;
    std::vector<quant::tiled_matrix*> matrices;
  };
  /// Tiles [first, last) of a matrix.
  struct part {
    const quant::tiled_matrix* of;
    std::size_t first, last;
  };

  /// Medians, in GB/s.
  struct speeds {
    float in_line, apart;
    [[nodiscard]] quant::reading best() const noexcept {
      constexpr float clear = 1.03F;  // less than that is noise
      if (in_line == 0.0F || apart == 0.0F) return quant::reading::by_family;
      return apart > clear * in_line   ? quant::reading::apart
             : in_line > clear * apart ? quant::reading::in_line
                                       : quant::reading::by_family;
    }
  };

  /// Parts that are bytes_ together, or none.
  [[nodiscard]] std::vector<part> parts_of(const kind& k) const {
    std::vector<part> parts;
    std::size_t sum = 0;
    for (const quant::tiled_matrix* m : k.matrices) {
      const std::size_t tiles = m->plan().tiles(), tile_bytes = m->plan().lines / tiles;
      const std::size_t most = std::max<std::size_t>(1, part_ / tile_bytes);
      for (std::size_t first = 0; first < tiles; first += most) {
        const std::size_t last = std::min(tiles, first + most);
        if ((last - first) * tile_bytes < least_part_) continue;
        parts.push_back({m, first, last});
        sum += (last - first) * tile_bytes;
        if (sum >= bytes_) return parts;
      }
    }
    return {};
  }

  [[nodiscard]] static speeds measure(const kernels::kernel_table& kernels, executor_ref threads,
                                      const kind& k, const std::vector<part>& parts) {
    quant::quantized_rows x;  // one token of zeros
    x.rows = 1;
    x.cols = k.cols;
    x.block = k.per_token ? x.padded() : quant::activation_block;
    std::vector<std::int8_t> values(x.padded() * (1 + quant::sums_per_value) + 2 * cache_line);
    std::vector<float> scales(x.blocks());
    std::vector<std::int32_t> sums(x.prefixes() + x.blocks());
    auto* const aligned = reinterpret_cast<std::int8_t*>(
        round_up(reinterpret_cast<std::uintptr_t>(values.data()), cache_line));
    x.values = aligned;
    x.sums = aligned + x.padded();
    x.scales = scales.data();
    x.prefix = sums.data();
    x.less = sums.data() + x.prefixes();

    std::vector<float> y;
    const auto time = [&](const part& p, quant::reading order) {
      quant::tiled_view w = p.of->view();
      w.order = order;
      y.resize(std::max(y.size(), w.rows));
      const std::size_t tiles = p.last - p.first;
      const std::size_t pieces = nn::piece_count(tiles, threads.concurrency());
      const auto begin = std::chrono::steady_clock::now();
      threads.parallel_for(pieces, [&](std::size_t i, std::size_t) {
        kernels.gemm_tiled(w, x, {y.data(), 1, w.rows}, p.first + tiles * i / pieces,
                           p.first + tiles * (i + 1) / pieces);
      });
      const std::chrono::duration<float, std::nano> took = std::chrono::steady_clock::now() - begin;
      const std::size_t bytes = p.of->plan().lines / p.of->plan().tiles() * tiles;
      return static_cast<float>(bytes) / std::max(took.count(), 1.0F);
    };
    if (!parts[0].of->owns_memory())  // a file's pages are not there before they are read
      for (const part& p : parts) (void)time(p, quant::reading::in_line);
    std::vector<float> in_line, apart;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const bool second = std::popcount(i) % 2 != 0;  // no period that matrices of a block have too
      (second ? apart : in_line)
          .push_back(time(parts[i], second ? quant::reading::apart : quant::reading::in_line));
    }
    return {median(in_line), median(apart)};
  }

  [[nodiscard]] static float median(std::vector<float>& x) noexcept {
    if (x.empty()) return 0.0F;
    const auto middle = x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2);
    std::nth_element(x.begin(), middle, x.end());
    return *middle;
  }

  std::size_t bytes_, part_, least_part_;
  std::vector<kind> kinds_;
};

}  // namespace detail
BITNET_NAMESPACE_END
