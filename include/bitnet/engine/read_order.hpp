// SPDX-License-Identifier: Apache-2.0
// Finds how this machine reads a model's matrices fastest, by trying it while loading.
#pragma once

#include <bitnet/core/concat.hpp>
#include <bitnet/core/log.hpp>
#include <bitnet/nn/context.hpp>
#include <bitnet/nn/linear.hpp>
#include <bitnet/nn/norm.hpp>

#include <algorithm>
#include <bit>
#include <chrono>
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
    if (m.memory().data() != nullptr) matrices_.push_back({&m, per_token, false});
  }

  /// Times kinds of which there is enough and decides; says what was found.
  void run(const kernels::kernel_table& kernels, executor_ref threads, log_sink log) {
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
      if (matrices_[i].decided) continue;
      const auto kind = std::span{matrices_}.subspan(i);
      const speeds found = measure(kernels, threads, kind);
      for (entry& e : kind) {
        if (!e.like(kind[0])) continue;
        e.of->read(found.best());
        e.decided = true;
      }
      if (found.known() && log.wants(log_level::info))
        log(log_level::info, found.text(kind[0].of->plan().cols));
    }
  }

 private:
  struct entry {
    quant::tiled_matrix* of;
    bool per_token;
    bool decided;
    /// Whether both are of one kind.
    [[nodiscard]] bool like(const entry& other) const noexcept {
      const quant::tile_plan &a = of->plan(), &b = other.of->plan();
      return a.codes == b.codes && a.cols == b.cols && per_token == other.per_token;
    }
  };
  /// Tiles [first, last) of a matrix.
  struct part {
    const quant::tiled_matrix* of;
    std::size_t first, last;
  };
  static constexpr std::size_t most_parts = 64;

  /// Speeds in GB/s, in order.
  class samples {
   public:
    void add(float speed) noexcept {
      std::size_t at = count_++;
      for (; at > 0 && sorted_[at - 1] > speed; --at) sorted_[at] = sorted_[at - 1];
      sorted_[at] = speed;
    }
    [[nodiscard]] float median() const noexcept { return count_ == 0 ? 0.0F : sorted_[count_ / 2]; }

   private:
    float sorted_[most_parts];
    std::size_t count_ = 0;
  };

  /// Medians, in GB/s; 0 where nothing was read.
  struct speeds {
    float in_line = 0.0F, apart = 0.0F;
    [[nodiscard]] bool known() const noexcept { return in_line > 0.0F && apart > 0.0F; }
    [[nodiscard]] quant::reading best() const noexcept {
      constexpr float clear = 1.03F;  // less than that is noise
      return !known()                  ? quant::reading::by_family
             : apart > clear * in_line ? quant::reading::apart
             : in_line > clear * apart ? quant::reading::in_line
                                       : quant::reading::by_family;
    }
    [[nodiscard]] std::string text(std::size_t cols) const {
      constexpr const char* names[] = {"as the kernels are used to", "in line", "apart"};
      const auto rounded = [](float speed) { return static_cast<std::uint32_t>(speed + 0.5F); };
      return concat({"matrices of ", cols, " columns are read ",
                     names[static_cast<std::size_t>(best())], ": in line ", rounded(in_line),
                     " GB/s, apart ", rounded(apart), " GB/s"});
    }
  };

  /// Parts of matrices of the first one's kind that are bytes_ together, or none.
  [[nodiscard]] std::size_t find_parts(std::span<const entry> kind,
                                       part (&parts)[most_parts]) const noexcept {
    std::size_t count = 0, sum = 0;
    for (const entry& e : kind) {
      if (!e.like(kind[0])) continue;
      const std::size_t tiles = e.of->plan().tiles(), tile_bytes = e.of->plan().lines / tiles;
      const std::size_t most = std::max<std::size_t>(1, part_ / tile_bytes);
      for (std::size_t first = 0; first < tiles; first += most) {
        const std::size_t last = std::min(tiles, first + most);
        if ((last - first) * tile_bytes < least_part_) continue;
        parts[count++] = {e.of, first, last};
        sum += (last - first) * tile_bytes;
        if (sum >= bytes_ || count == most_parts) return count;
      }
    }
    return 0;
  }

  [[nodiscard]] speeds measure(const kernels::kernel_table& kernels, executor_ref threads,
                               std::span<const entry> kind) const {
    part parts[most_parts];
    const std::size_t count = find_parts(kind, parts);
    if (count == 0) return {};
    quant::quantized_rows x;  // one token of zeros
    x.rows = 1;
    x.cols = kind[0].of->plan().cols;
    x.block = kind[0].per_token ? x.padded() : quant::activation_block;
    std::size_t rows = 0;
    for (std::size_t i = 0; i < count; ++i) rows = std::max(rows, parts[i].of->plan().rows);
    const std::size_t room = x.padded() * (1 + quant::sums_per_value) +
                             (x.prefixes() + 2 * x.blocks() + rows) * sizeof(float) +
                             8 * cache_line;
    auto memory = aligned_buffer<std::byte>::make(room, "a token");
    if (!memory) return {};
    arena scratch{memory->span()};
    x.values = scratch.take<std::int8_t>(x.padded()).data();
    x.sums = scratch.take<std::int8_t>(x.padded() * quant::sums_per_value).data();
    x.scales = scratch.take<float>(x.blocks()).data();
    x.prefix = scratch.take<std::int32_t>(x.prefixes()).data();
    x.less = scratch.take<std::int32_t>(x.blocks()).data();
    float* const y = scratch.take<float>(rows).data();

    const auto read = [&](const part& p, quant::reading order) {
      quant::tiled_view w = p.of->view();
      w.order = order;
      const std::size_t tiles = p.last - p.first;
      const std::size_t pieces = nn::piece_count(tiles, threads.concurrency());
      const auto begin = std::chrono::steady_clock::now();
      threads.parallel_for(pieces, [&](std::size_t i, std::size_t) {
        kernels.gemm_tiled(w, x, {y, 1, w.rows}, p.first + tiles * i / pieces,
                           p.first + tiles * (i + 1) / pieces);
      });
      const std::chrono::duration<float, std::nano> took = std::chrono::steady_clock::now() - begin;
      const std::size_t bytes = p.of->plan().lines / p.of->plan().tiles() * tiles;
      return static_cast<float>(bytes) / std::max(took.count(), 1.0F);
    };
    if (!parts[0].of->owns_memory())  // a file's pages are not there before they are read
      for (std::size_t i = 0; i < count; ++i) (void)read(parts[i], quant::reading::in_line);
    samples in_line, apart;
    for (std::size_t i = 0; i < count; ++i) {
      const bool second = std::popcount(i) % 2 != 0;  // no period that matrices of a block have too
      (second ? apart : in_line)
          .add(read(parts[i], second ? quant::reading::apart : quant::reading::in_line));
    }
    return {in_line.median(), apart.median()};
  }

  std::size_t bytes_, part_, least_part_;
  std::vector<entry> matrices_;
};

}  // namespace detail
BITNET_NAMESPACE_END
