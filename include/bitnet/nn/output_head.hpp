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

  /// A row to compute exactly, for all states from the first to the last that want it: one is read
  /// once, and multiplied with few of them where they want different ones.
  struct candidate {
    std::uint32_t row;
    std::uint32_t first, last;  ///< states [first, last)
  };

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
    bool bounded;     ///< there is one
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
    const std::span<candidate> rows{c.template take<candidate>(room), room};
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
      known[r] = {rough[r],
                  lower[r],
                  upper[r],
                  head_screen::bound(head_screen::length(x, state.cols),
                                     head_screen::length(d, state.cols), state.cols),
                  nobody.logit,
                  false};
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
    c.each_row(state.rows, [&](std::size_t r) { find_threshold(known[r], exact[r], out.cols); });
    c.once([&] {
      list.found = false;
      list.bounded = find_sure(known, rows, list);
    });
    if (c.skipping() || !list.bounded) return;
    compute(c, in, rows.first(list.sure), exact, out);
    c.once([&] {
      for (std::size_t r = 0; r < state.rows; ++r)
        if (const scored_token& last = out[r].back(); last.id >= 0)
          known[r].threshold = std::max(known[r].threshold, last.logit);
      list.found = find_others(known, rows, list);
      // What was offered is offered again by whoever computes all scores instead.
      for (std::size_t r = 0; r < out.rows && !list.found; ++r)
        std::fill(out[r].begin(), out[r].end(), nobody);
    });
    if (c.skipping() || !list.found) return;
    compute(c, in, rows.subspan(list.sure, list.count - list.sure), exact, out);
  }

  /// Exact scores of the listed rows, and what is better for it in `out`.
  template <class C>
  void compute(C& c, const detail::layer_input& in, std::span<const candidate> rows,
               activations exact, matrix_view<scored_token> out) const {
    const weight_matrix& w = full.weight;
    c.pieces(rows.size(), [&](std::size_t first, std::size_t last, std::size_t) {
      if (w.storage == weight_storage::tiled) {
        multiply_tiles(c, in, rows, first, last, exact);
      } else {
        multiply_each(c, in, rows.subspan(first, last - first), exact);
      }
    });
    c.each_row(out.rows, [&](std::size_t r) {
      for (const candidate& k : rows)
        if (k.first <= r && r < k.last)
          offer(out[r], {exact.row(r)[k.row], static_cast<token>(k.row)});
    });
  }

  /// Tiles of rows [first, last) of the list times all states. A tile of several rows is for
  /// whoever has the first of them: nobody else may write where its scores go.
  template <class C>
  void multiply_tiles(const C& c, const detail::layer_input& in, std::span<const candidate> rows,
                      std::size_t first, std::size_t last, activations exact) const {
    const auto tile_of = [&](std::size_t i) { return rows[i].row / quant::tile_rows; };
    for (std::size_t i = first; i < last; ++i) {
      if (i > 0 && tile_of(i) == tile_of(i - 1)) continue;
      const std::size_t row = tile_of(i) * quant::tile_rows;
      const std::size_t end = std::min(row + quant::tile_rows, full.weight.rows);
      detail::multiply_rows(c, full, in, exact, row, end, {});
    }
  }

  /// The listed rows of a float matrix times the states that want them. They lie apart, so that
  /// nobody but the list sees them coming.
  template <class C>
  void multiply_each(const C& c, const detail::layer_input& in, std::span<const candidate> rows,
                     activations exact) const {
    const weight_matrix& w = full.weight;
    constexpr std::size_t ahead = 2;
    const auto prefetch = [&](std::size_t i) {
      const std::size_t bytes = detail::row_bytes(w);
      if (i < rows.size()) c.kernels().prefetch_row(w.bytes.data + rows[i].row * bytes, bytes);
    };
    for (std::size_t i = 0; i < ahead; ++i) prefetch(i);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto [row, first, last] = rows[i];
      prefetch(i + ahead);
      detail::layer_input some;
      some.exact = in.exact.slice(first, last - first);
      detail::multiply_rows(c, full, some, exact.slice(first, last - first), row, row + 1, {});
    }
  }

  /// Lists, in order and from rows[list.sure] on, the rows that some state has `wanted` and that
  /// are not before it: `may` says of 16 rows that one of them may be. False if there is no room.
  template <class May, class Wanted>
  [[nodiscard]] bool collect(std::span<const known_scores> known, std::span<candidate> rows,
                             shortlist& list, May may, Wanted wanted) const noexcept {
    std::size_t next_sure = 0;
    list.count = list.sure;
    for (std::size_t tile = 0; tile < known[0].lower.size(); ++tile) {
      if (std::none_of(known.begin(), known.end(), [&](auto& k) { return may(k, tile); })) continue;
      const std::size_t from = tile * quant::tile_rows;
      const std::size_t n = std::min(quant::tile_rows, full.weight.rows - from);
      candidate found[quant::tile_rows] = {};
      for (std::size_t s = 0; s < known.size(); ++s) {
        if (!may(known[s], tile)) continue;
        for (std::size_t i = 0; i < n; ++i) {
          if (!wanted(known[s], from + i)) continue;
          if (found[i].last == 0) found[i].first = static_cast<std::uint32_t>(s);
          found[i].last = static_cast<std::uint32_t>(s + 1);
        }
      }
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t row = from + i;
        while (next_sure < list.sure && rows[next_sure].row < row) ++next_sure;
        const bool listed = next_sure < list.sure && rows[next_sure].row == row;
        if (found[i].last == 0 || listed) continue;
        if (list.count == rows.size()) return false;
        rows[list.count++] = {static_cast<std::uint32_t>(row), found[i].first, found[i].last};
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

  /// A threshold that `best` rows are sure to reach, if the state can be bounded. `spare` has room
  /// for `best` numbers.
  static void find_threshold(known_scores& state, std::span<float> spare,
                             std::size_t best) noexcept {
    const std::span<const float> lower = state.lower;
    // A screen from a file may hold anything; NaN would put sorting out of order.
    state.bounded = state.factors.of_error < 1e15F && state.factors.of_magnitude < 1e15F &&
                    best <= lower.size() &&
                    std::none_of(lower.begin(), lower.end(), [](float x) { return std::isnan(x); });
    if (!state.bounded) return;
    // The k-th largest of the bounds on 16 rows is at most that of the rows', so none is lost.
    const auto end = spare.begin() + static_cast<std::ptrdiff_t>(best);
    std::partial_sort_copy(lower.begin(), lower.end(), spare.begin(), end, std::greater<>{});
    state.threshold = *(end - 1);
  }

  /// Lists rows that are sure to reach the threshold of a state, for all of them.
  [[nodiscard]] bool find_sure(std::span<const known_scores> known, std::span<candidate> rows,
                               shortlist& list) const noexcept {
    list.sure = 0;
    if (!std::all_of(known.begin(), known.end(), [](auto& k) { return k.bounded; })) return false;
    const bool fits = collect(
        known, rows, list,
        [](const known_scores& k, std::size_t tile) { return k.lower[tile] >= k.threshold; },
        [&](const known_scores& k, std::size_t i) {
          // A little less than the margin, which the threshold rounds in another way.
          return k.rough[i] - 0.999F * margin(k, i) >= k.threshold;
        });
    list.sure = list.count;
    for (candidate& k : rows.first(list.sure)) {
      k.first = 0;
      k.last = static_cast<std::uint32_t>(known.size());
    }
    return fits;
  }

  /// Lists, behind those that are sure, all others that may reach the threshold of a state.
  [[nodiscard]] bool find_others(std::span<const known_scores> known, std::span<candidate> rows,
                                 shortlist& list) const noexcept {
    return collect(
        known, rows, list,
        [](const known_scores& k, std::size_t tile) { return k.upper[tile] >= k.threshold; },
        [&](const known_scores& k, std::size_t i) {
          return !(k.rough[i] + margin(k, i) < k.threshold);
        });
  }
};

}  // namespace nn
BITNET_NAMESPACE_END
