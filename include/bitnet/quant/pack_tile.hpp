// SPDX-License-Identifier: Apache-2.0
// Repacking: from the bytes of a file to the tile layout, tile by tile and in parallel.
#pragma once

#include <bitnet/core/bit_cast.hpp>
#include <bitnet/core/executor.hpp>
#include <bitnet/quant/storage.hpp>
#include <bitnet/quant/tile.hpp>

#include <algorithm>
#include <atomic>
#include <bit>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// Whether the scales of a tileable format are all half-precision numbers.
template <tileable_format F>
inline constexpr bool has_f16_scales = [] {
  if constexpr (requires { F::f16_scales; }) {
    return static_cast<bool>(F::f16_scales);
  } else {
    return false;
  }
}();

/// What a tiled matrix needs: sizes are counts of values, `lines` in bytes.
struct tile_plan {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t group = 0;         ///< columns a scale covers in the tiles, never 0
  std::size_t source_group = 0;  ///< the same in the file
  encoding codes = encoding::ternary2;
  bool f16_scales = false;
  bool has_mins = false;
  std::size_t lines = 0;
  std::size_t scales = 0;
  std::size_t mins = 0;
  std::size_t scratch = 0;  ///< floats of scratch memory for each worker

  [[nodiscard]] constexpr std::size_t tiles() const noexcept { return ceil_div(rows, tile_rows); }
};

/// Where tiles go: whole arrays of a matrix, sized by its tile_plan, `lines` aligned to 64 bytes.
struct tile_destination {
  std::uint8_t* lines = nullptr;
  float* scales_f32 = nullptr;  ///< this or the next
  f16* scales_f16 = nullptr;
  float* mins = nullptr;  ///< or null
};

/// Plans a non-empty rows x cols matrix whose bytes exist (so that products fit). `one_scale` says
/// that all groups of each row have the same scale (see has_one_scale).
template <tileable_format F>
[[nodiscard]] constexpr tile_plan plan_tiles(std::size_t rows, std::size_t cols,
                                             bool one_scale = false) noexcept {
  static_assert(F::group % 16 == 0, "kernels need scale groups of a multiple of 16 columns");
  BITNET_ASSERT(rows != 0 && cols != 0, "nothing to tile");
  tile_plan plan;
  plan.rows = rows;
  plan.cols = cols;
  plan.source_group = F::group == 0 ? round_up(cols, 64) : F::group;
  plan.group = one_scale ? round_up(cols, 64) : plan.source_group;
  plan.codes = F::tile;
  plan.f16_scales = has_f16_scales<F>;
  plan.has_mins = F::has_mins;
  const std::size_t per_line = columns_per_line(F::tile);
  plan.lines = plan.tiles() * ceil_div(cols, per_line) * line_bytes;
  plan.scales = plan.tiles() * ceil_div(cols, plan.group) * tile_rows;
  plan.mins = F::has_mins ? plan.scales : 0;
  plan.scratch = ceil_div(cols, plan.source_group) * 2 + round_up(cols, per_line) / sizeof(float);
  return plan;
}

/// Whether every group of each of the rows [first, last) has the same scale, to the bit. Scratch is
/// that of the plan.
template <tileable_format F>
[[nodiscard]] bool has_one_scale(packed_rows w, std::size_t first, std::size_t last,
                                 std::span<float> scratch) noexcept {
  if constexpr (F::has_mins || F::group == 0) {
    return !F::has_mins;
  } else {
    const std::span<float> scales = scratch.first(ceil_div(w.cols, F::group));
    for (std::size_t row = first; row < last; ++row) {
      F::split_row(w, row, {}, scales, {});
      const auto bits = bit_cast<std::uint32_t>(scales[0]);
      for (const float s : scales)
        if (bit_cast<std::uint32_t>(s) != bits) return false;
    }
    return true;
  }
}

namespace detail {

/// Writes the 4 bytes of one row in each line. `codes` has cols codes and then zeros up to a whole
/// line; `place` is that of the row's first byte in the first line.
template <encoding E>
void merge_codes(std::span<const std::uint8_t> codes, std::uint8_t* place) noexcept {
  const std::uint8_t* c = codes.data();
  const std::uint8_t* end = c + codes.size();
  const auto load = [](const std::uint8_t* p) {
    std::uint32_t word;
    std::memcpy(&word, p, sizeof word);
    return word;
  };
  for (; c != end; c += columns_per_line(E), place += line_bytes) {
    if constexpr (E == encoding::binary) {
      for (std::size_t i = 0; i < 32; i += 8) {
        unsigned byte = 0;
        for (unsigned bit = 0; bit < 8; ++bit) byte |= unsigned{c[i + bit]} << bit;
        place[2 * i] = static_cast<std::uint8_t>(byte);
      }
    } else {
      std::uint32_t word = load(c);
      if constexpr (E == encoding::ternary2)
        word |= load(c + 4) << 2 | load(c + 8) << 4 | load(c + 12) << 6;
      std::memcpy(place, &word, sizeof word);
    }
  }
}

}  // namespace detail

/// Writes tiles [first, last) of the matrix. Tiles do not depend on each other, so that disjoint
/// ranges may be packed at once, each with its own scratch of plan.scratch floats.
template <tileable_format F>
void pack_tiles(packed_rows w, const tile_plan& plan, std::size_t first, std::size_t last,
                const tile_destination& to, std::span<float> scratch) noexcept {
  BITNET_ASSERT(scratch.size() >= plan.scratch && last <= plan.tiles(), "pack_tiles arguments");
  const std::size_t source_groups = ceil_div(plan.cols, plan.source_group);
  const std::size_t groups = ceil_div(plan.cols, plan.group);
  const std::size_t per_line = columns_per_line(F::tile);
  const std::size_t tile_bytes = ceil_div(plan.cols, per_line) * line_bytes;
  const std::span<float> scales = scratch.first(source_groups);
  const std::span<float> mins = scratch.subspan(source_groups, F::has_mins ? source_groups : 0);
  const std::span<std::uint8_t> codes{
      reinterpret_cast<std::uint8_t*>(scratch.data() + 2 * source_groups),
      round_up(plan.cols, per_line)};
  std::fill(codes.begin() + static_cast<std::ptrdiff_t>(plan.cols), codes.end(), std::uint8_t{0});

  for (std::size_t tile = first; tile < last; ++tile) {
    for (std::size_t lane = 0; lane < tile_rows; ++lane) {
      const std::size_t row = tile * tile_rows + lane;
      std::uint8_t* place = to.lines + tile * tile_bytes + place_in_line(F::tile, lane, 0).byte;
      if (row >= plan.rows) {  // padding: code 0 and scale 0
        for (std::size_t i = 0; i < tile_bytes; i += line_bytes)
          for (std::size_t b = 0; b < 4; ++b) place[i + b * byte_stride(F::tile)] = 0;
        std::fill(scales.begin(), scales.end(), 0.0F);
        std::fill(mins.begin(), mins.end(), 0.0F);
      } else {
        bool written = false;
        if constexpr (line_format<F>) {
          written = F::writes_lines(plan.cols);
          if (written) F::write_lines(w, row, place);
        }
        F::split_row(w, row, written ? std::span<std::uint8_t>{} : codes.first(plan.cols), scales,
                     mins);
        if (!written) detail::merge_codes<F::tile>(codes, place);
      }
      for (std::size_t g = 0; g < groups; ++g) {
        const std::size_t at = (tile * groups + g) * tile_rows + lane;
        if (plan.f16_scales) {
          to.scales_f16[at] = to_f16(scales[g]);
        } else {
          to.scales_f32[at] = scales[g];
        }
        if (F::has_mins) to.mins[at] = mins[g];
      }
    }
  }
}

/// A tiled matrix that owns its memory. Move-only; `view` is valid while it lives.
class tiled_matrix {
 public:
  tiled_matrix() noexcept = default;

  /// Memory for a plan, not initialised; errc::out_of_memory naming `what`.
  [[nodiscard]] static result<tiled_matrix> make(const tile_plan& plan,
                                                 std::string_view what) noexcept {
    tiled_matrix m;
    m.plan_ = plan;
    BITNET_TRY(m.lines_, aligned_buffer<std::uint8_t>::uninitialized(plan.lines, what, true));
    BITNET_TRY(m.scales_f16_,
               aligned_buffer<f16>::uninitialized(plan.f16_scales ? plan.scales : 0, what));
    BITNET_TRY(m.scales_f32_,
               aligned_buffer<float>::uninitialized(plan.f16_scales ? 0 : plan.scales, what));
    BITNET_TRY(m.mins_, aligned_buffer<float>::uninitialized(plan.mins, what));
    return m;
  }

  [[nodiscard]] tiled_view view() const noexcept {
    tiled_view v;
    v.lines = lines_.data();
    v.scales_f32 = scales_f32_.data();
    v.scales_f16 = scales_f16_.data();
    v.mins = mins_.data();
    v.rows = plan_.rows;
    v.cols = plan_.cols;
    v.group = plan_.group;
    v.codes = plan_.codes;
    return v;
  }
  [[nodiscard]] tile_destination destination() noexcept {
    return {lines_.data(), scales_f32_.data(), scales_f16_.data(), mins_.data()};
  }
  [[nodiscard]] const tile_plan& plan() const noexcept { return plan_; }
  /// Bytes of memory held.
  [[nodiscard]] std::size_t bytes() const noexcept {
    return lines_.size() + scales_f16_.size() * sizeof(f16) +
           (scales_f32_.size() + mins_.size()) * sizeof(float);
  }

 private:
  tile_plan plan_;
  aligned_buffer<std::uint8_t> lines_;
  aligned_buffer<float> scales_f32_;
  aligned_buffer<f16> scales_f16_;
  aligned_buffer<float> mins_;
};

/// Repacks a whole matrix. Group scales that are the same all along every row, as BitNet files have
/// them, become one scale for the row. Errors, all naming `what`: errc::shape for an empty matrix
/// or one that F cannot hold, errc::out_of_memory.
template <tileable_format F>
[[nodiscard]] result<tiled_matrix> make_tiled(packed_rows w, executor_ref threads,
                                              std::string_view what = F::name) noexcept {
  if (w.rows == 0 || w.cols == 0) return error{errc::shape, "the matrix is empty", what};
  if (!accepts_shape<F>(w.rows, w.cols))
    return error{errc::shape, "the shape is no whole number of blocks of its format", what};
  tile_plan plan = plan_tiles<F>(w.rows, w.cols);
  const std::size_t tiles = plan.tiles();
  const std::size_t stride = round_up(plan.scratch, cache_line / sizeof(float));
  BITNET_TRY(auto scratch, aligned_buffer<float>::make(stride * threads.concurrency(), what));
  const auto scratch_of = [&](std::size_t worker) {
    return scratch.span().subspan(worker * stride, plan.scratch);
  };

  if constexpr (F::group != 0 && !F::has_mins) {
    std::atomic<bool> one{true};
    threads.parallel_for(tiles, [&](std::size_t tile, std::size_t worker) {
      const std::size_t first = tile * tile_rows;
      if (one.load(std::memory_order_relaxed) &&
          !has_one_scale<F>(w, first, std::min(first + tile_rows, w.rows), scratch_of(worker)))
        one.store(false, std::memory_order_relaxed);
    });
    if (one.load(std::memory_order_relaxed)) plan = plan_tiles<F>(w.rows, w.cols, true);
  }

  BITNET_TRY(auto matrix, tiled_matrix::make(plan, what));
  threads.parallel_for(tiles, [&](std::size_t tile, std::size_t worker) {
    pack_tiles<F>(w, plan, tile, tile + 1, matrix.destination(), scratch_of(worker));
  });
  return matrix;
}

}  // namespace quant
BITNET_NAMESPACE_END
