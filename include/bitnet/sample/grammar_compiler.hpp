// SPDX-License-Identifier: Apache-2.0
// Definition of grammar::make: checks the states of a grammar and works out where bytes are read.
#pragma once

#include <bitnet/sample/grammar_depths.hpp>
#include <bitnet/sample/grammar_states.hpp>
#include <bitnet/sample/grammar_tree.hpp>
#include <bitnet/sample/grammar_type.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// Turns states into a grammar. Free arcs and calls disappear: for each state that a byte or a
/// call leads to, the list of `beginning`s says what they come to.
class grammar::compiler {
 public:
  compiler(const detail::grammar_tree& tree, const detail::grammar_states& states)
      : tree_{tree}, states_{states} {}

  [[nodiscard]] result<grammar> compile(std::uint32_t root) {
    find_empty_paths();
    BITNET_CHECK(refuse_left_recursion());
    find_tails();
    grammar g;
    g.inside_ = states_.inside;
    g.ends_.resize(states_.size());
    g.start_ = states_.rules[root].start;
    std::vector<bool> wanted(states_.size());
    wanted[g.start_] = true;
    for (const auto& a : states_.arcs)
      if (a.kind != arc_kind::free && !states_.inside[a.to]) wanted[a.to] = true;
    for (std::uint32_t s = 0; s < states_.size(); ++s) {
      g.first_arc_.push_back(static_cast<std::uint32_t>(g.arcs_.size()));
      for (const auto& a : states_.from(s))
        if (a.kind == arc_kind::byte) g.arcs_.push_back({a.to, a.low, a.high});
      std::sort(g.arcs_.begin() + static_cast<std::ptrdiff_t>(g.first_arc_.back()), g.arcs_.end(),
                [](const byte_arc& a, const byte_arc& b) {
                  return std::tie(a.low, a.high, a.to) < std::tie(b.low, b.high, b.to);
                });
      g.first_beginning_.push_back(static_cast<std::uint32_t>(g.beginnings_.size()));
      if (wanted[s]) BITNET_CHECK(find_beginnings(g, s));
    }
    g.first_arc_.push_back(static_cast<std::uint32_t>(g.arcs_.size()));
    g.first_beginning_.push_back(static_cast<std::uint32_t>(g.beginnings_.size()));
    return g;
  }

 private:
  using arc_kind = detail::grammar_states::arc_kind;
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  static constexpr std::size_t max_beginnings = std::size_t{1} << 18;
  static constexpr std::size_t max_calls = std::size_t{1} << 20;
  static constexpr std::size_t max_work = std::size_t{1} << 22;

  /// Which states a rule reaches without reading, and so which rules match the empty text.
  void find_empty_paths() {
    empty_.resize(states_.size());
    nullable_.resize(states_.rules.size());
    std::vector<std::vector<std::uint32_t>> waiting(states_.rules.size());
    std::vector<std::uint32_t> open;
    const auto reach = [&](std::uint32_t s) {
      if (empty_[s]) return;
      empty_[s] = true;
      open.push_back(s);
    };
    for (const auto& r : states_.rules) reach(r.start);
    while (!open.empty()) {
      const std::uint32_t s = open.back();
      open.pop_back();
      const std::uint32_t rule = states_.rule_of[s];
      if (s == states_.rules[rule].end) {
        nullable_[rule] = true;
        for (const std::uint32_t w : waiting[rule]) reach(w);
      }
      for (const auto& a : states_.from(s)) {
        if (a.kind == arc_kind::free || (a.kind == arc_kind::call && nullable_[a.rule])) {
          reach(a.to);
        } else if (a.kind == arc_kind::call) {
          waiting[a.rule].push_back(a.to);
        }
      }
    }
  }

  /// A rule that can call itself before anything is read would do so for ever.
  [[nodiscard]] status refuse_left_recursion() const {
    struct call {
      std::uint32_t rule;
      std::uint32_t at;
    };
    std::vector<std::vector<call>> calls(states_.rules.size());
    for (const auto& a : states_.arcs)
      if (a.kind == arc_kind::call && empty_[a.from])
        calls[states_.rule_of[a.from]].push_back({a.rule, a.at});
    struct visit {
      std::uint32_t rule;
      std::size_t next = 0;
    };
    enum : std::uint8_t { unseen, open, done };
    std::vector<std::uint8_t> state(calls.size(), unseen);
    std::vector<visit> path;
    for (std::uint32_t r = 0; r < calls.size(); ++r) {
      if (state[r] == unseen) path.push_back({r});
      while (!path.empty()) {
        visit& v = path.back();
        state[v.rule] = open;
        if (v.next == calls[v.rule].size()) {
          state[v.rule] = done;
          path.pop_back();
          continue;
        }
        const call c = calls[v.rule][v.next++];
        if (state[c.rule] == open)
          return tree_.fault(errc::malformed, c.at,
                             "left recursion: the rule can begin with itself; put what is read "
                             "first in front, or repeat with *",
                             tree_.rules[c.rule].name);
        if (state[c.rule] == unseen) path.push_back({c.rule});
      }
    }
    return {};
  }

  /// States from which there is nothing left to do but to end the rule: a call that goes on there
  /// need not be remembered, so lists written as recursion take no depth.
  void find_tails() {
    tail_.resize(states_.size());
    std::vector<std::uint32_t> left(states_.size());
    std::vector<std::vector<std::uint32_t>> before(states_.size());
    for (const auto& a : states_.arcs) {
      ++left[a.from];
      if (a.kind == arc_kind::free) before[a.to].push_back(a.from);
    }
    std::vector<std::uint32_t> open;
    for (const auto& r : states_.rules) open.push_back(r.end);
    while (!open.empty()) {
      const std::uint32_t s = open.back();
      open.pop_back();
      tail_[s] = true;
      for (const std::uint32_t b : before[s])
        if (--left[b] == 0) open.push_back(b);
    }
  }

  /// Calls that are open, the last one first.
  struct chain {
    std::uint32_t rest;
    std::uint32_t state;
    std::uint32_t length;
    std::uint32_t flat = none;  // where grammar::calls_ has them in order
  };

  std::uint32_t longer(std::uint32_t rest, std::uint32_t state) {
    const auto [place, added] =
        chain_of_.try_emplace({rest, state}, static_cast<std::uint32_t>(chains_.size()));
    if (added) chains_.push_back({rest, state, rest == none ? 1 : chains_[rest].length + 1});
    return place->second;
  }

  [[nodiscard]] status find_beginnings(grammar& g, std::uint32_t start) {
    using place = std::pair<std::uint32_t, std::uint32_t>;  // chain, state
    std::set<place> seen;
    std::vector<place> open;
    const auto reach = [&](std::uint32_t calls, std::uint32_t s) {
      if (seen.emplace(calls, s).second) open.emplace_back(calls, s);
    };
    const detail::grammar_tree::rule& rule = tree_.rules[states_.rule_of[start]];
    const std::size_t first = g.beginnings_.size();
    reach(none, start);
    // Depth first and in the order of the text, so that what is written first is followed first.
    while (!open.empty()) {
      const auto [calls, s] = open.back();
      open.pop_back();
      if (calls != none && chains_[calls].length > max_depth)
        return tree_.fault(errc::limit, rule.at, "more than 256 rules begin inside each other",
                           rule.name);
      if (++work_ > max_work) return too_large(rule);
      const auto arcs = states_.from(s);
      bool reads = false;
      for (std::size_t i = arcs.size(); i-- > 0;) {
        const auto& a = arcs[i];
        if (a.kind == arc_kind::byte) {
          reads = true;
        } else if (a.kind == arc_kind::free) {
          reach(calls, a.to);
        } else {
          reach(tail_[a.to] ? calls : longer(calls, a.to), states_.rules[a.rule].start);
        }
      }
      if (reads) BITNET_CHECK(add_beginning(g, first, calls, s));
      if (s != states_.rules[states_.rule_of[s]].end) continue;
      if (calls == none) {
        g.ends_[start] = true;
      } else {
        reach(chains_[calls].rest, chains_[calls].state);
      }
    }
    return {};
  }

  [[nodiscard]] status add_beginning(grammar& g, std::size_t first, std::uint32_t calls,
                                     std::uint32_t state) {
    const detail::grammar_tree::rule& rule = tree_.rules[states_.rule_of[state]];
    if (g.beginnings_.size() - first == max_parses)
      return tree_.fault(errc::limit, rule.at,
                         "more than 128 things may come next in this rule; literals that are "
                         "alternatives of one group count as one",
                         rule.name);
    beginning b{0, 0, state};
    if (calls != none) {
      chain& c = chains_[calls];
      b.count = c.length;
      if (c.flat == none) {
        c.flat = static_cast<std::uint32_t>(g.calls_.size());
        g.calls_.resize(g.calls_.size() + c.length);
        std::size_t at = g.calls_.size();
        for (std::uint32_t i = calls; i != none; i = chains_[i].rest)
          g.calls_[--at] = chains_[i].state;
      }
      b.calls = c.flat;
    }
    g.beginnings_.push_back(b);
    open_calls_ += b.count;
    if (g.beginnings_.size() > max_beginnings || open_calls_ > max_calls) return too_large(rule);
    return {};
  }

  [[nodiscard]] error too_large(const detail::grammar_tree::rule& rule) const {
    return tree_.fault(errc::limit, rule.at, "the grammar leaves too much open here", rule.name);
  }

  const detail::grammar_tree& tree_;
  const detail::grammar_states& states_;
  std::vector<bool> empty_;     // by state: its rule comes here without reading
  std::vector<bool> nullable_;  // by rule
  std::vector<bool> tail_;      // by state
  std::vector<chain> chains_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> chain_of_;
  std::size_t work_ = 0;
  std::size_t open_calls_ = 0;
};

inline result<grammar> grammar::make(std::string_view text) {
  BITNET_TRY(const auto tree, detail::grammar_reader::read(text));
  BITNET_TRY(const auto states, detail::grammar_state_builder::build(tree));
  std::uint32_t root = 0;
  while (tree.rules[root].name != "root") ++root;
  BITNET_TRY(auto g, compiler(tree, states).compile(root));
  if (depths(g, nullptr).of_rest(g.start_) > max_depth)
    return tree.fault(errc::malformed, tree.rules[root].at,
                      "no text matches root: what it needs never ends", "root");
  return g;
}

}  // namespace sample
BITNET_NAMESPACE_END
