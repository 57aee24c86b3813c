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

  /// Rows to compute exactly: first some that are sure to be good, whose exact scores tell what the
  /// others have to reach, then those that may reach it. None are found if the state cannot be
  /// bounded or if they are many.
  struct shortlist {
    std::size_t sure;   ///< of the first kind
    std::size_t count;  ///< of both
    bool bounded;       ///< the first kind is listed
    bool found;         ///< and the second
  };

  /// What is known of the scores of one row of the state.
  struct known_scores {
    std::span<const float> rough;         ///< [vocab]
    std::span<const float> lower, upper;  ///< bounds on the best of each 16
    head_screen::factors factors;
    float threshold;  ///< a score that as many rows as are asked for are sure to reach
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
    const std::span<known_scores> known{c.template take<known_scores>(state.rows), state.rows};
    auto* const ids = c.template take<std::size_t>(room);
    auto* const spare = c.template take<float>(tiles);
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
      known[r] = {rough[r], lower[r], upper[r],
                  head_screen::bound(head_screen::length(x, state.cols),
                                     head_screen::length(d, state.cols), state.cols),
                  nobody.logit};
    });
    c.pieces(tiles, [&](std::size_t first, std::size_t last, std::size_t) {
      c.kernels().gemm_tiled(copy, q, rough, first, last);
      const std::size_t row = first * quant::tile_rows;
      const std::size_t end = std::min(last * quant::tile_rows, w.rows);
      for (std::size_t r = 0; r < state.rows; ++r)
        c.kernels().score_bounds({rough.row(r) + row, screen.error.data() + row,
                                  screen.magnitude.data() + row, known[r].factors.of_error,
                                  known[r].factors.of_magnitude, lower.row(r) + first,
                                  upper.row(r) + first, end - row});
    });
    const auto compute = [&](std::size_t from, std::size_t to) {
      const std::size_t unit = w.storage == weight_storage::tiled ? quant::tile_rows : 1;
      c.pieces(to - from, [&](std::size_t first, std::size_t last, std::size_t) {
        for (std::size_t i = from + first; i < from + last; ++i) {
          const std::size_t row = ids[i] / unit * unit;
          if (i != from && ids[i - 1] / unit * unit == row) continue;  // with the one before it
          detail::multiply_rows(c, full, in, exact, row, std::min(row + unit, w.rows), {});
        }
      });
      c.each_row(state.rows, [&](std::size_t r) {
        for (std::size_t i = from; i < to; ++i)
          offer(out[r], {exact.row(r)[ids[i]], static_cast<token>(ids[i])});
      });
    };
    c.once([&] {
      list.found = false;
      list.bounded = find_sure(known, out.cols, {spare, tiles}, {ids, room}, list);
    });
    if (c.skipping() || !list.bounded) return;
    compute(0, list.sure);
    c.once([&] {
      for (std::size_t r = 0; r < state.rows; ++r)
        if (const scored_token& last = out[r].back(); last.id >= 0)
          known[r].threshold = std::max(known[r].threshold, last.logit);
      list.found = find_others(known, {ids, room}, list);
      // What was offered is offered again by whoever computes all scores instead.
      for (std::size_t r = 0; r < out.rows && !list.found; ++r)
        std::fill(out[r].begin(), out[r].end(), nobody);
    });
    if (c.skipping() || !list.found) return;
    compute(list.sure, list.count);
  }

  /// Lists, in order and from ids[list.sure] on, the rows that some state has `wanted`: `may` says
  /// of 16 rows that one of them may be. False if there is no room for them.
  template <class May, class Wanted>
  [[nodiscard]] bool collect(std::span<const known_scores> known, std::span<std::size_t> ids,
                             shortlist& list, May may, Wanted wanted) const noexcept {
    list.count = list.sure;
    for (std::size_t tile = 0; tile < known[0].lower.size(); ++tile) {
      if (std::none_of(known.begin(), known.end(), [&](auto& k) { return may(k, tile); })) continue;
      const std::size_t end = std::min((tile + 1) * quant::tile_rows, full.weight.rows);
      for (std::size_t i = tile * quant::tile_rows; i < end; ++i) {
        if (std::none_of(known.begin(), known.end(), [&](auto& k) { return wanted(k, i); }))
          continue;
        if (list.count == ids.size()) return false;
        ids[list.count++] = i;
      }
    }
    return true;
  }

  /// At least the distance of a rough score from the exact one.
  [[nodiscard]] float margin(const known_scores& k, std::size_t row) const noexcept {
    return (screen.error[row] * k.factors.of_error +
            screen.magnitude[row] * k.factors.of_magnitude) *
           1.0001F;
  }

  /// Lists rows that are sure to reach the threshold of a state, which becomes one that `best` rows
  /// do reach.
  [[nodiscard]] bool find_sure(std::span<known_scores> known, std::size_t best,
                               std::span<float> spare, std::span<std::size_t> ids,
                               shortlist& list) const noexcept {
    list.sure = 0;
    for (known_scores& state : known) {
      if (!(state.factors.of_error < 1e15F && state.factors.of_magnitude < 1e15F)) return false;
      // A screen from a file may hold anything; NaN would put sorting out of order.
      if (std::any_of(state.lower.begin(), state.lower.end(),
                      [](float x) { return std::isnan(x); }))
        return false;
      // The k-th largest of the bounds on 16 rows is at most that of the rows', so none is lost.
      if (best > spare.size()) return false;
      std::copy(state.lower.begin(), state.lower.end(), spare.begin());
      const auto kth = spare.begin() + static_cast<std::ptrdiff_t>(best - 1);
      std::nth_element(spare.begin(), kth, spare.end(), std::greater<>{});
      state.threshold = *kth;
    }
    const bool fits = collect(
        known, ids, list,
        [](const known_scores& k, std::size_t tile) { return k.lower[tile] >= k.threshold; },
        [&](const known_scores& k, std::size_t i) {
          // A little less than the margin, which the threshold rounds in another way.
          return k.rough[i] - 0.999F * margin(k, i) >= k.threshold;
        });
    list.sure = list.count;
    return fits;
  }

  /// Lists, behind those that are sure, all others that may reach the threshold of a state.
  [[nodiscard]] bool find_others(std::span<const known_scores> known, std::span<std::size_t> ids,
                                 shortlist& list) const noexcept {
    const std::size_t* next = ids.data();
    const std::size_t* const sure = next + list.sure;
    return collect(
        known, ids, list,
        [](const known_scores& k, std::size_t tile) { return k.upper[tile] >= k.threshold; },
        [&](const known_scores& k, std::size_t i) {
          next = std::lower_bound(next, sure, i);
          return (next == sure || *next != i) && !(k.rough[i] + margin(k, i) < k.threshold);
        });
  }
};

}  // namespace nn
BITNET_NAMESPACE_END
