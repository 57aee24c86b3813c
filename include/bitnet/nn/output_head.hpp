// SPDX-License-Identifier: Apache-2.0
// The output head: scores of every token, or only the best ones at half the cost.
#pragma once

#include <bitnet/nn/head_screen.hpp>
#include <bitnet/nn/linear.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// A matrix of [vocab][dim] and its screen, unless that would not help.
struct output_head {
  linear<> full;
  head_screen screen;

  /// Scores of every token for each row of `state`, [rows][vocab] in scratch.
  template <class C>
  [[nodiscard]] activations logits(C& c, activations state) const {
    return full(c, state);
  }

  /// The `count` best tokens of each row, best first: the same tokens and bits as by sorting
  /// logits(). `out` is [rows][count]; what is missing (logits of NaN or -infinity) has id -1.
  template <class C>
  void best(C& c, activations state, matrix_view<scored_token> out) const {
    c.once([&] {
      for (std::size_t r = 0; r < out.rows; ++r) std::fill(out[r].begin(), out[r].end(), nobody);
    });
    // In memory that what follows leaves alone: a step that goes on later does not decide again.
    auto* const choice = c.template take<shortlist>(1);
    if (!screen.empty()) {
      screened(c, state, out, *choice);
      if (c.skipping() ? !c.measuring() : choice->found) return;
    }
    const auto scope = c.scope();
    const auto scores = logits(c, state);
    c.each_row(scores.rows, [&](std::size_t r) {
      for (std::size_t i = 0; i < scores.cols; ++i)
        offer(out[r], {scores.row(r)[i], static_cast<token>(i)});
    });
  }

 private:
  static constexpr scored_token nobody{-std::numeric_limits<float>::infinity(), -1};

  /// Keeps a list of the best ones sorted. NaN and -infinity are never among them.
  static void offer(std::span<scored_token> best, scored_token s) noexcept {
    scored_token& last = best.back();
    const bool usable = s.logit > nobody.logit;
    if (!usable || (last.id >= 0 && !better(s, last))) return;
    std::size_t at = best.size() - 1;
    for (; at > 0 && (best[at - 1].id < 0 || better(s, best[at - 1])); --at)
      best[at] = best[at - 1];
    best[at] = s;
  }

  /// The rows that may matter. None are found if the state cannot be bounded or if they are many.
  struct shortlist {
    std::size_t count;
    bool found;
  };

  /// The same by the screen: scores from the copy, then exact ones of the rows that may matter.
  template <class C>
  void screened(C& c, activations state, matrix_view<scored_token> out, shortlist& list) const {
    const auto scope = c.scope();
    const weight_matrix& w = full.weight;
    const quant::tiled_view copy = screen.copy_of(w.tiles);
    const std::size_t tiles = ceil_div(w.rows, quant::tile_rows);
    const std::size_t room = w.rows / 8;  // reading more rows would cost more than is gained
    auto rough = c.make(state.rows, w.rows);
    // Only the rows that matter are computed.
    auto exact = c.make(state.rows * detail::planes(w), w.rows);
    auto lower = c.make(state.rows, tiles), upper = c.make(state.rows, tiles);
    auto lost = c.make(state.rows, state.cols);
    auto* const factors = c.template take<head_screen::factors>(state.rows);
    auto* const ids = c.template take<std::size_t>(room);
    const auto in = detail::prepare(c, state, full);
    auto q = in.two_planes;  // the first plane is what a single one would be
    q.rows = state.rows;
    if (w.storage != weight_storage::tiled)
      q = detail::quantize(c, state, quant::activation_kind::per_block);
    c.each_row(state.rows, [&](std::size_t r) {
      float x = 0.0F, d = 0.0F;
      c.kernels().sum_squares(state.row(r), state.cols, x);
      kernels::rounding_error(state.row(r), q, r, lost.row(r));
      c.kernels().sum_squares(lost.row(r), state.cols, d);
      factors[r] = head_screen::bound(head_screen::length(x, state.cols),
                                      head_screen::length(d, state.cols), state.cols);
    });
    c.pieces(tiles, [&](std::size_t first, std::size_t last, std::size_t) {
      c.kernels().gemm_tiled(copy, q, rough, first, last);
      const std::size_t row = first * quant::tile_rows;
      const std::size_t end = std::min(last * quant::tile_rows, w.rows);
      for (std::size_t r = 0; r < state.rows; ++r)
        c.kernels().score_bounds({rough.row(r) + row, screen.error.data() + row,
                                  screen.magnitude.data() + row, factors[r].of_error,
                                  factors[r].of_magnitude, lower.row(r) + first,
                                  upper.row(r) + first, end - row});
    });
    c.once([&] {
      list.count = 0;
      list.found = select(state.rows, out.cols, rough, lower, upper, factors, {ids, room}, list);
    });
    if (c.skipping() || !list.found) return;
    const std::size_t unit = w.storage == weight_storage::tiled ? quant::tile_rows : 1;
    c.pieces(list.count, [&](std::size_t first, std::size_t last, std::size_t) {
      for (std::size_t i = first; i < last; ++i) {
        const std::size_t row = ids[i] / unit * unit;
        if (i != 0 && ids[i - 1] / unit * unit == row) continue;  // with the one before it
        detail::multiply_rows(c, full, in, exact, row, std::min(row + unit, w.rows), {});
      }
    });
    c.each_row(state.rows, [&](std::size_t r) {
      for (std::size_t i = 0; i < list.count; ++i)
        offer(out[r], {exact.row(r)[ids[i]], static_cast<token>(ids[i])});
    });
  }

  /// The ids of rows that may be among the `best` best of one of `states` states, in order.
  [[nodiscard]] bool select(std::size_t states, std::size_t best, activations rough,
                            activations lower, activations upper,
                            const head_screen::factors* factors, std::span<std::size_t> ids,
                            shortlist& list) const noexcept {
    const weight_matrix& w = full.weight;
    const std::size_t tiles = lower.cols;
    std::size_t count = 0;
    for (std::size_t r = 0; r < states; ++r) {
      const auto f = factors[r];
      if (!(f.of_error < 1e15F && f.of_magnitude < 1e15F)) return false;
      // The k-th largest of the tiles' bounds is at most that of the rows', so none is lost.
      const std::size_t k = std::min(best, tiles) - 1;
      const auto sorted = lower[r];
      // A screen from a file may hold anything; NaN would put sorting out of order.
      if (std::any_of(sorted.begin(), sorted.end(), [](float x) { return std::isnan(x); }))
        return false;
      std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(k),
                       sorted.end(), std::greater<>{});
      const float threshold = best > tiles ? nobody.logit : sorted[k];
      for (std::size_t tile = 0; tile < tiles; ++tile) {
        if (!(upper.row(r)[tile] >= threshold)) continue;
        const std::size_t end = std::min((tile + 1) * quant::tile_rows, w.rows);
        for (std::size_t i = tile * quant::tile_rows; i < end; ++i) {
          const float bound = screen.error[i] * f.of_error + screen.magnitude[i] * f.of_magnitude;
          if (rough.row(r)[i] + bound * 1.0001F < threshold) continue;
          if (count == ids.size()) return false;
          ids[count++] = i;
        }
      }
    }
    std::sort(ids.data(), ids.data() + count);  // of several states: each once, as in memory
    list.count = static_cast<std::size_t>(std::unique(ids.data(), ids.data() + count) - ids.data());
    return true;
  }
};

}  // namespace nn
BITNET_NAMESPACE_END
