// SPDX-License-Identifier: Apache-2.0
// An int8 copy of an output head, with what is needed to bound what the copy loses.
//
// Let w be a row of the head, v its copy, x the state and u its int8 form. By Cauchy and Schwarz
//   |w.x - v.u| = |(w - v).x + v.(x - u)| <= |w - v| |x| + |v| |x - u|.
// Here |w - v| and |v| are kept for each row, |x| and |x - u| are computed for each state. Both
// sides are computed in floats, in sums of at most n / 16 + 32 terms one after another, each with a
// relative rounding error of 2^-24; `rounding` bounds that with a factor of two to spare. So a row
// whose upper bound lies below the k-th lower bound cannot be among the k best.
//
// The scores of a head in tiles are not w.x but those of x in two planes of int8, which differ from
// x by at most half a step of the second plane: 0.03 |x - u| covers it, since in each 32 values
// that step is at most the largest of x - u over 127.
#pragma once

#include <bitnet/core/executor.hpp>
#include <bitnet/core/function_ref.hpp>
#include <bitnet/kernels/kernels.hpp>
#include <bitnet/nn/weights.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// The copy, in memory of its own or in a file's. Binary and ternary heads need none: they are
/// their own copy, to be multiplied with one plane of the state instead of two. Move-only.
struct head_screen {
  /// Encoding int8, one scale for each `group` columns; without rows if the head is its own copy.
  quant::tiled_matrix tiles;
  std::span<const float> error;      ///< [rows], at least |w - v|
  std::span<const float> magnitude;  ///< [rows], at least |v|
  aligned_buffer<float> norms;       ///< holds both, if they are the screen's own
  static constexpr std::size_t group = 128;

  /// What the copy of a rows x cols matrix needs.
  [[nodiscard]] static constexpr quant::tile_plan plan(std::size_t rows,
                                                       std::size_t cols) noexcept {
    return quant::plan_tiles(rows, cols, quant::encoding::int8, group, true);
  }
  /// Memory for the screen of a rows x cols matrix; errc::out_of_memory names `what`.
  [[nodiscard]] static result<head_screen> make(std::size_t rows, std::size_t cols,
                                                std::string_view what,
                                                memory_source memory = {}) noexcept {
    BITNET_TRY(auto s, make_bounds(rows, what, memory));
    BITNET_TRY(s.tiles, quant::tiled_matrix::make(plan(rows, cols), what, memory));
    return s;
  }
  /// The same for a head of `rows` rows that is its own copy.
  [[nodiscard]] static result<head_screen> make_bounds(std::size_t rows, std::string_view what,
                                                       memory_source memory = {}) noexcept {
    head_screen s;
    BITNET_TRY(s.norms, aligned_buffer<float>::uninitialized(2 * rows, what, false, memory));
    s.error = std::span<const float>{s.norms.span()}.first(rows);
    s.magnitude = std::span<const float>{s.norms.span()}.last(rows);
    return s;
  }

  [[nodiscard]] bool empty() const noexcept { return error.empty(); }
  /// Whether every length is one that scores can be bounded with.
  [[nodiscard]] bool can_bound() const noexcept {
    const auto usable = [](float length) { return length < 1e15F; };  // false for NaN
    return std::all_of(error.begin(), error.end(), usable) &&
           std::all_of(magnitude.begin(), magnitude.end(), usable);
  }
  /// Whether the bounds are about the tiles of the head itself.
  [[nodiscard]] bool of_head_itself() const noexcept { return tiles.plan().rows == 0; }
  /// The copy of a head of such tiles.
  [[nodiscard]] quant::tiled_view copy_of(const quant::tiled_matrix& head) const noexcept {
    return of_head_itself() ? head.view() : tiles.view();
  }
  /// Bytes beside the head's own.
  [[nodiscard]] std::size_t bytes() const noexcept {
    return tiles.bytes() + (error.size() + magnitude.size()) * sizeof(float);
  }

  /// Bound on the relative error of a sum of n products, as kernels compute it.
  [[nodiscard]] static constexpr float rounding(std::size_t n) noexcept {
    return static_cast<float>(n / 16 + n / 32 + 32) * 0x1p-23F;
  }
  /// Lengths below this are taken for this, which covers what underflow may lose.
  static constexpr float least = 1e-15F;

  /// At least the length of a vector of n values whose computed sum of squares this is.
  [[nodiscard]] static float length(float squares, std::size_t n) noexcept {
    const float computed = std::sqrt(squares) * (1.0F + 2.0F * rounding(n));
    return computed < least ? least : computed;  // NaN stays NaN
  }

  /// The factors of |w - v| and |v| in the bound for one state.
  struct factors {
    float of_error;
    float of_magnitude;
  };
  /// From at least |x| and |x - u|; both sums have terms of at most |w| |x| and |v| |u| together.
  [[nodiscard]] static factors bound(float x, float lost, std::size_t n) noexcept {
    const float sums = rounding(n) * (2.0F * x + lost) + 0.03F * lost;
    return {(x + sums) * 1.0001F, (lost + sums) * 1.0001F};
  }
};

namespace detail {

[[nodiscard]] constexpr bool is_float(weight_storage s) noexcept {
  return s == weight_storage::f32 || s == weight_storage::f16 || s == weight_storage::bf16;
}

/// Bytes of a row of a float matrix.
[[nodiscard]] inline std::size_t row_bytes(const weight_matrix& w) noexcept {
  return w.cols * (w.storage == weight_storage::f32 ? sizeof(float) : sizeof(f16));
}

/// Columns [first, first + n) of a row of a float matrix in any of its storages.
inline void widen(const kernels::kernel_table& k, const weight_matrix& w, std::size_t row,
                  std::size_t first, std::size_t n, float* out) noexcept {
  const std::byte* bytes = w.bytes.data + row * row_bytes(w) + first * (row_bytes(w) / w.cols);
  if (w.storage == weight_storage::f16) {
    k.widen_f16(bytes, out, n);
  } else if (w.storage == weight_storage::bf16) {
    k.widen_bf16(bytes, out, n);
  } else {
    std::memcpy(out, bytes, n * sizeof(float));
  }
}

}  // namespace detail

/// Floats of scratch memory that each worker needs to fill the screen of such a matrix.
[[nodiscard]] inline std::size_t screen_scratch(const weight_matrix& w) noexcept {
  return detail::is_float(w.storage) ? 0 : quant::tile_rows * round_up(w.cols, 16);
}

/// Fills the screen, made for its shape, of a matrix of floats or, with storage `decoded`, of any
/// format. `scratch` has screen_scratch floats for each worker; `done` is told, on any thread,
/// which bytes of a float matrix have been read and are not needed any more. False if weights are
/// infinite or NaN or too large to bound: such a screen is of no use.
[[nodiscard]] inline bool fill_head_screen(const kernels::kernel_table& k, executor_ref threads,
                                           const weight_matrix& w, std::span<float> scratch,
                                           function_ref<void(std::span<const std::byte>)> done,
                                           head_screen& s) noexcept {
  const quant::tile_plan& plan = s.tiles.plan();
  const std::size_t groups = ceil_div(w.cols, plan.group);
  const std::size_t per_line = quant::columns_per_line(plan.codes);
  const std::size_t lines = ceil_div(w.cols, per_line);
  const bool is_float = detail::is_float(w.storage);
  const std::size_t each = screen_scratch(w);
  float* const error = s.norms.data();
  float* const magnitude = error + w.rows;
  const quant::tile_destination to = s.tiles.destination();
  // Group by group, so that the 16 rows of a tile meet in the first cache level.
  const auto pack = [&](std::size_t tile, float* whole) {
    constexpr std::size_t group = head_screen::group;
    float values[group], lost[quant::tile_rows] = {}, kept[quant::tile_rows] = {};
    std::int8_t codes[quant::tile_rows][group];
    const std::size_t first_row = tile * quant::tile_rows;
    const std::size_t rows = std::min(quant::tile_rows, w.rows - first_row);
    std::uint8_t* line = to.lines + tile * lines * quant::line_bytes;
    for (std::size_t r = 0; r < rows && !is_float; ++r)
      w.decode(w.bytes, first_row + r, {whole + r * w.cols, w.cols});
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t n = std::min(group, w.cols - g * group);
      f16* const scales = to.scales_f16 + (tile * groups + g) * quant::tile_rows;
      std::memset(codes, 0, sizeof codes);  // also what pads rows and columns
      std::fill_n(scales, quant::tile_rows, f16{0});
      for (std::size_t r = 0; r < rows; ++r) {
        float more_lost = 0.0F, more_kept = 0.0F;
        if (is_float) {
          detail::widen(k, w, first_row + r, g * group, n, values);
        } else {
          std::copy_n(whole + r * w.cols + g * group, n, values);
        }
        k.copy_row(values, n, group, codes[r], scales + r, more_lost, more_kept);
        lost[r] += more_lost;
        kept[r] += more_kept;
      }
      for (std::size_t c = 0; c < n; c += per_line, line += quant::line_bytes)
        for (std::size_t r = 0; r < quant::tile_rows; ++r) {
          std::uint32_t four;
          std::memcpy(&four, codes[r] + c, sizeof four);
          four ^= 0x80808080U;  // tile codes are 128 more than their values
          std::memcpy(line + 4 * r, &four, sizeof four);
        }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      error[first_row + r] = head_screen::length(lost[r], w.cols);
      magnitude[first_row + r] = head_screen::length(kept[r], w.cols);
    }
  };
  constexpr std::size_t run = 32;  // tiles; some megabytes of the matrix
  threads.parallel_for(ceil_div(plan.tiles(), run), [&](std::size_t i, std::size_t worker) {
    const std::size_t first = i * run, last = std::min(first + run, plan.tiles());
    for (std::size_t tile = first; tile < last; ++tile)
      pack(tile, is_float ? nullptr : scratch.data() + worker * each);
    if (!is_float) return;
    const std::size_t row = detail::row_bytes(w);
    const std::size_t end = std::min(last * quant::tile_rows, w.rows);
    done({w.bytes.data + first * quant::tile_rows * row, (end - first * quant::tile_rows) * row});
  });
  s.tiles.clear_padding();
  return s.can_bound();
}

/// Fills the bounds, made for its rows, of a head of tiles without mins that is its own copy. False
/// if its scales are infinite or NaN or too large to bound.
[[nodiscard]] inline bool fill_own_bounds(executor_ref threads, const quant::tiled_matrix& head,
                                          head_screen& s) noexcept {
  const quant::tiled_view w = head.view();
  const std::size_t groups = w.groups();
  const auto largest = w.codes == quant::encoding::binary ? 1.0F : 2.0F;  // of a weight per scale
  float* const error = s.norms.data();
  float* const magnitude = error + w.rows;
  constexpr std::size_t run = 1024;  // rows
  threads.parallel_for(ceil_div(w.rows, run), [&](std::size_t i, std::size_t) {
    for (std::size_t r = i * run; r < std::min((i + 1) * run, w.rows); ++r) {
      float squares = 0.0F;
      for (std::size_t g = 0; g < groups; ++g) {
        const std::size_t n = std::min(w.group, w.cols - g * w.group);
        const float size = quant::scale_at(w, r, g) * largest;
        squares += size * size * static_cast<float>(n);
      }
      error[r] = 0.0F;
      magnitude[r] = head_screen::length(squares, w.cols);
    }
  });
  return s.can_bound();
}

/// Memory and contents at once, on the heap; empty if it is of no use. errc::out_of_memory names
/// `what`.
[[nodiscard]] inline result<head_screen> make_head_screen(
    const kernels::kernel_table& k, executor_ref threads, const weight_matrix& w,
    std::string_view what, function_ref<void(std::span<const std::byte>)> done) noexcept {
  BITNET_TRY(auto screen, head_screen::make(w.rows, w.cols, what));
  BITNET_TRY(auto scratch,
             aligned_buffer<float>::uninitialized(screen_scratch(w) * threads.concurrency(), what));
  if (fill_head_screen(k, threads, w, scratch.span(), done, screen)) return screen;
  return head_screen{};
}

}  // namespace nn
BITNET_NAMESPACE_END
