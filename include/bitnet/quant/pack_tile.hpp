// SPDX-License-Identifier: Apache-2.0
// Repacking: from the bytes of a file to the tile layout, tile by tile and in parallel.
#pragma once

#include <bitnet/core/bit_cast.hpp>
#include <bitnet/core/executor.hpp>
#include <bitnet/quant/storage.hpp>
#include <bitnet/quant/tiled_matrix.hpp>

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

/// Plans a non-empty rows x cols matrix whose bytes exist (so that products fit). `one_scale` says
/// that all groups of each row have the same scale (see has_one_scale).
template <tileable_format F>
[[nodiscard]] constexpr tile_plan plan_tiles(std::size_t rows, std::size_t cols,
                                             bool one_scale = false) noexcept {
  static_assert(F::group % 16 == 0, "kernels need scale groups of a multiple of 16 columns");
  const std::size_t group = one_scale ? 0 : F::group;
  tile_plan plan = plan_tiles(rows, cols, F::tile, group, has_f16_scales<F>, F::has_mins);
  if (F::group != 0) plan.source_group = F::group;
  return plan;
}

/// Floats of scratch memory that each worker needs to pack tiles.
[[nodiscard]] constexpr std::size_t tile_scratch(const tile_plan& plan) noexcept {
  const std::size_t floats = ceil_div(plan.cols, plan.source_group) * 2 +
                             round_up(plan.cols, columns_per_line(plan.codes)) / sizeof(float);
  return round_up(floats, cache_line / sizeof(float));
}

/// Whether every group of each of the rows [first, last) has the same scale, to the bit. Scratch is
/// that of a worker.
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
/// ranges may be packed at once, each with its own scratch of tile_scratch(plan) floats.
template <tileable_format F>
void pack_tiles(packed_rows w, const tile_plan& plan, std::size_t first, std::size_t last,
                const tile_destination& to, std::span<float> scratch) noexcept {
  BITNET_ASSERT(scratch.size() >= tile_scratch(plan) && last <= plan.tiles(),
                "pack_tiles arguments");
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

/// Whether all groups of each row have the same scale, as BitNet files have them: one scale for the
/// row then says the same. `scratch` has tile_scratch floats for each worker.
template <tileable_format F>
[[nodiscard]] bool has_one_scale(packed_rows w, executor_ref threads,
                                 std::span<float> scratch) noexcept {
  if constexpr (F::has_mins || F::group == 0) {
    return !F::has_mins;
  } else {
    const std::size_t each = scratch.size() / threads.concurrency();
    std::atomic<bool> one{true};
    threads.parallel_for(ceil_div(w.rows, tile_rows), [&](std::size_t tile, std::size_t worker) {
      const std::size_t first = tile * tile_rows;
      if (one.load(std::memory_order_relaxed) &&
          !has_one_scale<F>(w, first, std::min(first + tile_rows, w.rows),
                            scratch.subspan(worker * each, each)))
        one.store(false, std::memory_order_relaxed);
    });
    return one.load(std::memory_order_relaxed);
  }
}

/// Packs a whole matrix into `to`, which was made for plan_tiles<F>; where has_one_scale, it gets
/// the smaller plan with one scale for the row. `scratch` has tile_scratch floats for each worker.
template <tileable_format F>
void fill_tiles(packed_rows w, executor_ref threads, std::span<float> scratch,
                tiled_matrix& to) noexcept {
  if (F::group != 0 && has_one_scale<F>(w, threads, scratch))
    to.replan(plan_tiles<F>(w.rows, w.cols, true));
  const tile_plan& plan = to.plan();
  const std::size_t each = scratch.size() / threads.concurrency();
  threads.parallel_for(plan.tiles(), [&](std::size_t tile, std::size_t worker) {
    pack_tiles<F>(w, plan, tile, tile + 1, to.destination(), scratch.subspan(worker * each, each));
  });
  to.clear_padding();
}

namespace detail {

/// make_tiled() of a format, by what differs between formats.
[[nodiscard]] inline result<tiled_matrix> make_tiled(
    packed_rows w, executor_ref threads, std::string_view what, bool accepted,
    tile_plan (*plan_of)(std::size_t rows, std::size_t cols, bool one_scale) noexcept,
    void (*fill)(packed_rows w, executor_ref threads, std::span<float> scratch,
                 tiled_matrix& to) noexcept) noexcept {
  if (w.rows == 0 || w.cols == 0) return error{errc::shape, "the matrix is empty", what};
  if (!accepted)
    return error{errc::shape, "the shape is no whole number of blocks of its format", what};
  const tile_plan plan = plan_of(w.rows, w.cols, false);
  BITNET_TRY(auto matrix, tiled_matrix::make(plan, what));
  BITNET_TRY(auto scratch, aligned_buffer<float>::uninitialized(
                               tile_scratch(plan) * threads.concurrency(), what));
  fill(w, threads, scratch.span(), matrix);
  return matrix;
}

}  // namespace detail

/// Repacks a whole matrix on the heap. Errors, all naming `what`: errc::shape for an empty matrix
/// or one that F cannot hold, errc::out_of_memory.
template <tileable_format F>
[[nodiscard]] result<tiled_matrix> make_tiled(packed_rows w, executor_ref threads,
                                              std::string_view what = F::name) noexcept {
  return detail::make_tiled(w, threads, what, accepts_shape<F>(w.rows, w.cols), &plan_tiles<F>,
                            &fill_tiles<F>);
}

}  // namespace quant
BITNET_NAMESPACE_END
