// SPDX-License-Identifier: Apache-2.0
// From a grammar's tree to states: each rule becomes a small automaton that may call others.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/sample/code_points.hpp>
#include <bitnet/sample/grammar_tree.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {
namespace detail {

/// Recursive transition network (Woods, 1970): state machines over bytes whose arcs may also run
/// another machine and go on where it ends. Every state belongs to one rule.
struct grammar_states {
  enum class arc_kind : std::uint8_t { byte, free, call };
  struct arc {
    std::uint32_t from;
    std::uint32_t to;        // call: where to go on afterwards
    std::uint32_t rule = 0;  // call
    std::uint32_t at = 0;    // call: byte in the text
    arc_kind kind = arc_kind::free;
    std::uint8_t low = 0;  // byte
    std::uint8_t high = 0;
  };
  struct rule {
    std::uint32_t start;
    std::uint32_t end;
  };

  std::vector<arc> arcs;             // sorted by `from`
  std::vector<std::uint32_t> first;  // of state s in arcs, and the end of the last
  std::vector<bool> inside;          // a state in the middle of a character
  std::vector<rule> rules;
  std::vector<std::uint32_t> rule_of;

  [[nodiscard]] std::size_t size() const noexcept { return inside.size(); }
  [[nodiscard]] std::span<const arc> from(std::uint32_t s) const noexcept {
    return std::span{arcs}.subspan(first[s], first[s + 1] - first[s]);
  }
};

/// Builds them. No part ever leads back into the state where it was told to start, and a literal
/// follows bytes that another one has led from there: so alternatives that are literals make a
/// trie, and a thousand words are one state to begin with.
class grammar_state_builder {
 public:
  static constexpr std::size_t max_states = std::size_t{1} << 16;

  [[nodiscard]] static result<grammar_states> build(const grammar_tree& tree) {
    grammar_state_builder b{tree};
    for (std::uint32_t r = 0; r < tree.rules.size(); ++r) {
      b.rule_ = r;
      const std::uint32_t start = b.add_state();
      BITNET_TRY(const std::uint32_t end, b.part(tree.rules[r].body, start));
      if (b.out_.size() > max_states) return b.too_large(tree.rules[r].at);
      b.out_.rules.push_back({start, end});
    }
    b.sort();
    return std::move(b.out_);
  }

 private:
  using kind = grammar_tree::kind;
  using arc_kind = grammar_states::arc_kind;

  explicit grammar_state_builder(const grammar_tree& tree) noexcept : tree_{tree} {}

  [[nodiscard]] error too_large(std::uint32_t at) const {
    return tree_.fault(errc::limit, at,
                       "the grammar becomes too large here: more than 65536 states");
  }

  std::uint32_t add_state(bool inside = false) {
    out_.inside.push_back(inside);
    out_.rule_of.push_back(rule_);
    return static_cast<std::uint32_t>(out_.inside.size() - 1);
  }
  void free(std::uint32_t from, std::uint32_t to) { out_.arcs.push_back({from, to}); }
  void bytes(std::uint32_t from, std::uint32_t to, std::uint8_t low, std::uint8_t high) {
    out_.arcs.push_back({.from = from, .to = to, .kind = arc_kind::byte, .low = low, .high = high});
  }

  /// Builds a node of the tree from state `from` on; where it ends.
  result<std::uint32_t> part(std::uint32_t index, std::uint32_t from) {
    const grammar_tree::node& n = tree_.nodes[index];
    // Repetitions multiply, also those of nothing.
    if (out_.size() > max_states || ++work_ > 16 * max_states) return too_large(n.at);
    switch (n.what) {
      case kind::literal:
        return literal(n, from);
      case kind::set:
        return set(n, from);
      case kind::call: {
        const std::uint32_t end = add_state();
        out_.arcs.push_back(
            {.from = from, .to = end, .rule = n.first, .at = n.at, .kind = arc_kind::call});
        return end;
      }
      case kind::sequence: {
        for (std::uint32_t c = n.child; c != grammar_tree::none; c = tree_.nodes[c].sibling) {
          BITNET_TRY(from, part(c, from));
        }
        return from;
      }
      case kind::alternatives: {
        const std::uint32_t end = add_state();
        for (std::uint32_t c = n.child; c != grammar_tree::none; c = tree_.nodes[c].sibling) {
          BITNET_TRY(const std::uint32_t one, part(c, from));
          free(one, end);
        }
        return end;
      }
      case kind::repeat:
        return repeat(n, from);
    }
    return from;
  }

  result<std::uint32_t> repeat(const grammar_tree::node& n, std::uint32_t from) {
    for (std::uint32_t i = 0; i < n.first; ++i) {
      BITNET_TRY(from, part(n.child, from));
    }
    const std::uint32_t end = add_state();
    free(from, end);
    if (n.last == grammar_tree::unbounded) {
      BITNET_TRY(const std::uint32_t again, part(n.child, end));
      free(again, end);
      // What follows starts from a state that nothing leads back into.
      const std::uint32_t after = add_state();
      free(end, after);
      return after;
    }
    for (std::uint32_t i = n.first; i < n.last; ++i) {
      BITNET_TRY(from, part(n.child, from));
      free(from, end);
    }
    return end;
  }

  std::uint32_t literal(const grammar_tree::node& n, std::uint32_t from) {
    for (std::uint32_t i = n.first; i < n.last; ++i) {
      const auto byte = static_cast<std::uint8_t>(tree_.bytes[i]);
      const bool inside =
          i + 1 < n.last && (static_cast<std::uint8_t>(tree_.bytes[i + 1]) & 0xC0U) == 0x80U;
      const auto [place, added] = literals_.try_emplace({from, byte}, 0U);
      if (added) {
        place->second = add_state(inside);
        bytes(from, place->second, byte, byte);
      }
      from = place->second;
    }
    return from;
  }

  std::uint32_t set(const grammar_tree::node& n, std::uint32_t from) {
    const std::uint32_t end = add_state();
    // Characters that go on the same way share states: (ranges that follow) -> state.
    std::map<std::tuple<std::uint8_t, std::uint8_t, std::uint32_t>, std::uint32_t> tails;
    for (std::uint32_t i = n.first; i < n.last; ++i)
      split_utf8(tree_.ranges[i], [&](const utf8_ranges& r) {
        std::uint32_t to = end;
        for (std::size_t b = r.size; b-- > 1;) {
          const auto [place, added] = tails.try_emplace({r.low[b], r.high[b], to}, 0U);
          if (added) {
            place->second = add_state(true);
            bytes(place->second, to, r.low[b], r.high[b]);
          }
          to = place->second;
        }
        bytes(from, to, r.low[0], r.high[0]);
      });
    return end;
  }

  void sort() {
    out_.first.assign(out_.size() + 1, 0);
    for (const auto& a : out_.arcs) ++out_.first[a.from + 1];
    for (std::size_t s = 0; s < out_.size(); ++s) out_.first[s + 1] += out_.first[s];
    std::vector<grammar_states::arc> sorted(out_.arcs.size());
    std::vector<std::uint32_t> next(out_.first.begin(), out_.first.end() - 1);
    for (const auto& a : out_.arcs) sorted[next[a.from]++] = a;
    out_.arcs = std::move(sorted);
  }

  const grammar_tree& tree_;
  grammar_states out_;
  std::map<std::pair<std::uint32_t, std::uint8_t>, std::uint32_t> literals_;
  std::uint32_t rule_ = 0;
  std::size_t work_ = 0;
};

}  // namespace detail
}  // namespace sample
BITNET_NAMESPACE_END
