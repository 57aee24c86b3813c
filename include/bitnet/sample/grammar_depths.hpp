// SPDX-License-Identifier: Apache-2.0
// How deep a text must still go to be completed, so that constrained decoding never gets stuck.
#pragma once

#include <bitnet/sample/grammar_type.hpp>
#include <bitnet/sample/token_trie.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// For each state the least number of calls that must be open at once, beyond those that are, on
/// some way to the end of its rule that the tokens of a vocabulary can spell byte by byte or
/// character by character; `never` if there is none within max_depth. A walk that keeps to
/// beginnings whose need fits can always go on to a whole text.
class grammar::depths {
 public:
  static constexpr std::uint16_t never = 0xFFFF;

  /// Without a vocabulary every byte can be spelled.
  depths(const grammar& g, const token_trie* vocabulary) : g_{&g} {
    rest_.resize(g.size(), never);
    stop_.resize(g.size(), never);
    walk_.resize(g.size(), never);
    beginning_.resize(g.beginnings_.size(), never);
    link(vocabulary);
    solve();
    for (std::uint32_t s = 0; s < g.size(); ++s) {
      for (std::size_t b = g.first_beginning_[s]; b < g.first_beginning_[s + 1]; ++b)
        beginning_[b] = need_of(g.beginnings_[b]);
      walk_[s] = g.inside_[s] ? walk_of(s) : stop_[s];
    }
  }

  /// From a state where nothing has been read yet: a target of an arc or the start of a rule.
  [[nodiscard]] std::uint16_t of_rest(std::uint32_t s) const noexcept { return rest_[s]; }
  /// From a state that reads, if a token ends here.
  [[nodiscard]] std::uint16_t of_stop(std::uint32_t s) const noexcept { return stop_[s]; }
  /// The same if a token may go on, at least to the end of a character.
  [[nodiscard]] std::uint16_t of_walk(std::uint32_t s) const noexcept { return walk_[s]; }
  /// From a state that has this beginning, through it.
  [[nodiscard]] std::uint16_t of_beginning(std::size_t b) const noexcept { return beginning_[b]; }

 private:
  // Knuth, "A generalization of Dijkstra's algorithm" (1977): values become final in rising order.
  // Items are numbered 2 s for rest_[s] and 2 s + 1 for stop_[s].
  struct users {
    std::vector<std::vector<std::uint32_t>> steps;       // by item: states whose byte leads there
    std::vector<std::vector<std::uint32_t>> beginnings;  // by item: beginnings that go through it
    std::vector<std::uint32_t> owner;                    // by beginning: its state
  };

  void link(const token_trie* vocabulary) {
    const grammar& g = *g_;
    to_.steps.resize(2 * g.size());
    to_.beginnings.resize(2 * g.size());
    to_.owner.resize(g.beginnings_.size());
    bool all_bytes = true;
    for (unsigned b = 0; vocabulary != nullptr && b < 256; ++b)
      all_bytes = all_bytes && vocabulary->has_byte(static_cast<std::uint8_t>(b));
    for (std::uint32_t s = 0; s < g.size(); ++s) {
      std::array<byte_arc, 4> path{};
      if (all_bytes) {
        for (const byte_arc& a : g.arcs(s)) add_step(s, a.to);
      } else {
        find_steps(*vocabulary, s, s, path, 0);
      }
      for (std::size_t i = g.first_beginning_[s]; i < g.first_beginning_[s + 1]; ++i) {
        const beginning& b = g.beginnings_[i];
        const auto index = static_cast<std::uint32_t>(i);
        to_.owner[i] = s;
        to_.beginnings[2 * std::size_t{b.state} + 1].push_back(index);
        for (const std::uint32_t c : g.calls(b))
          to_.beginnings[2 * std::size_t{c}].push_back(index);
      }
    }
  }

  void add_step(std::uint32_t from, std::uint32_t to) {
    to_.steps[2 * std::size_t{to} + (g_->inside_[to] ? 1 : 0)].push_back(from);
  }

  /// Steps from `from` by tokens that end in the same character, or with it.
  void find_steps(const token_trie& vocabulary, std::uint32_t from, std::uint32_t at,
                  std::array<byte_arc, 4>& path, std::size_t size) {
    for (const byte_arc& a : g_->arcs(at)) {
      path[size] = a;
      const auto nodes = vocabulary.nodes();
      if (spells(vocabulary, 0, nodes.size(), std::span{path}.first(size + 1)))
        add_step(from, a.to);
      if (g_->inside_[a.to] && size + 1 < path.size())
        find_steps(vocabulary, from, a.to, path, size + 1);
    }
  }

  /// Whether a token among the nodes [first, end) has bytes in these ranges.
  [[nodiscard]] static bool spells(const token_trie& vocabulary, std::size_t first, std::size_t end,
                                   std::span<const byte_arc> ranges) noexcept {
    const auto nodes = vocabulary.nodes();
    for (std::size_t i = first; i < end; i = nodes[i].next) {
      if (nodes[i].byte < ranges[0].low || nodes[i].byte > ranges[0].high) continue;
      if (ranges.size() == 1 ? !vocabulary.tokens(i).empty()
                             : spells(vocabulary, i + 1, nodes[i].next, ranges.subspan(1)))
        return true;
    }
    return false;
  }

  void solve() {
    const grammar& g = *g_;
    std::array<std::vector<std::uint32_t>, max_depth + 1> queue;
    std::vector<bool> final_item(2 * g.size());
    std::vector<std::uint32_t> open(g.beginnings_.size());  // inputs that are not final yet
    for (std::size_t b = 0; b < open.size(); ++b) open[b] = g.beginnings_[b].count + 1;
    for (std::uint32_t s = 0; s < g.size(); ++s)
      if (g.ends_[s]) queue[0].push_back(2 * s);
    for (std::size_t depth = 0; depth <= max_depth; ++depth) {
      for (std::size_t i = 0; i < queue[depth].size(); ++i) {  // grows meanwhile
        const std::uint32_t item = queue[depth][i];
        if (final_item[item]) continue;
        final_item[item] = true;
        (item % 2 == 0 ? rest_ : stop_)[item / 2] = static_cast<std::uint16_t>(depth);
        for (const std::uint32_t s : to_.steps[item]) queue[depth].push_back(2 * s + 1);
        for (const std::uint32_t b : to_.beginnings[item]) {
          if (--open[b] != 0) continue;
          const std::size_t need = need_of(g.beginnings_[b]);
          if (need <= max_depth) queue[need].push_back(2 * to_.owner[b]);
        }
      }
    }
  }

  [[nodiscard]] std::uint16_t need_of(const beginning& b) const noexcept {
    std::size_t need = std::size_t{b.count} + stop_[b.state];
    for (std::size_t i = 0; i < b.count; ++i)
      need = std::max(need, i + rest_[g_->calls_[b.calls + i]]);
    return need <= max_depth ? static_cast<std::uint16_t>(need) : never;
  }

  [[nodiscard]] std::uint16_t walk_of(std::uint32_t s) const noexcept {
    std::uint16_t best = never;
    for (const byte_arc& a : g_->arcs(s))
      best = std::min(best, g_->inside_[a.to] ? walk_of(a.to) : rest_[a.to]);
    return best;
  }

  const grammar* g_;
  users to_;
  std::vector<std::uint16_t> rest_, stop_, walk_;  // by state
  std::vector<std::uint16_t> beginning_;
};

}  // namespace sample
BITNET_NAMESPACE_END
