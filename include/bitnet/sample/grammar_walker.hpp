// SPDX-License-Identifier: Apache-2.0
// Follows a text through a grammar: all the ways to read it at once, with room that is fixed.
#pragma once

#include <bitnet/sample/grammar_depths.hpp>
#include <bitnet/sample/grammar_type.hpp>
#include <bitnet/sample/parse_stacks.hpp>
#include <bitnet/sample/token_trie.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// Where a text is in a grammar (see byte_language). Refers to the grammar. Allocates in make only.
class grammar::walker {
 public:
  /// errc::invalid_argument if the vocabulary cannot spell any text of the grammar.
  [[nodiscard]] static result<walker> make(const grammar& of, const token_trie& vocabulary) {
    walker w{of, vocabulary};
    w.reset();
    if (!w.may_stop(0))
      return error{errc::invalid_argument,
                   "the vocabulary has no tokens for any text that the grammar allows", "grammar"};
    return w;
  }

  void reset() noexcept {
    stacks_.release(parse_stacks::bottom);
    begin(0, 0);
    enter(g_->start_, parse_stacks::empty);
    finish(0);
    make_key();
    ++epoch_;
  }

  bool step(std::size_t depth, std::uint8_t byte) noexcept {
    const position from = path_[depth];
    stacks_.release(from.stacks);
    begin(depth + 1, from.end);
    for (std::size_t i = from.begin; i < from.end; ++i) {
      const parse p = parses_[i];
      ++work_;
      for (const byte_arc& a : g_->arcs(p.state)) {
        if (byte < a.low) break;
        if (byte > a.high) continue;
        if (!g_->inside_[a.to]) {
          enter(a.to, p.stack);
        } else if (fits(p.stack, depths_.of_walk(a.to))) {
          add({a.to, p.stack});
        }
      }
    }
    finish(depth + 1);
    const position& to = path_[depth + 1];
    return to.complete || to.begin != to.end;
  }

  [[nodiscard]] bool complete(std::size_t depth) const noexcept { return path_[depth].complete; }
  [[nodiscard]] bool extendable(std::size_t depth) const noexcept {
    for (std::size_t i = path_[depth].begin; i < path_[depth].end; ++i)
      if (fits(parses_[i].stack, depths_.of_stop(parses_[i].state))) return true;
    return false;
  }
  [[nodiscard]] bool may_stop(std::size_t depth) const noexcept {
    return complete(depth) || extendable(depth);
  }

  void commit(std::size_t depth) noexcept {
    position p = path_[depth];
    stacks_.release(p.stacks);
    std::size_t count = 0;
    for (std::size_t i = p.begin; i < p.end; ++i)  // what no token can go on with is forgotten
      if (fits(parses_[i].stack, depths_.of_stop(parses_[i].state))) parses_[count++] = parses_[i];
    if (stacks_.crowded()) {
      const auto kept = std::span{parses_}.first(count);
      count = stacks_.collect(kept, [](parse& q) -> std::uint32_t& { return q.stack; });
      ++epoch_;
    }
    path_[0] = {0, count, stacks_.mark(), p.complete};
    make_key();
  }

  [[nodiscard]] std::span<const std::uint64_t> key() const noexcept { return key_; }
  [[nodiscard]] std::uint32_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] std::uint64_t work() const noexcept { return work_; }

 private:
  /// One way to read the text so far: the state that reads next, and the calls around it.
  struct parse {
    std::uint32_t state;
    std::uint32_t stack;
  };
  /// All of them after some bytes of a token: [begin, end) of parses_.
  struct position {
    std::size_t begin;
    std::size_t end;
    std::size_t stacks;  // mark of stacks_
    bool complete;       // and one that ends here
  };
  static constexpr std::size_t room = 8192;       // for parses, of all bytes of a token together
  static constexpr std::size_t table_size = 512;  // of the table that finds a parse again
  static_assert(table_size >= 2 * max_parses);

  walker(const grammar& of, const token_trie& vocabulary)
      : g_{&of}, depths_{of, &vocabulary}, stacks_{16384}, parses_(room), seen_(table_size) {
    key_.reserve(max_parses + 1);
  }

  [[nodiscard]] bool fits(std::uint32_t stack, std::uint16_t need) const noexcept {
    return stacks_.depth(stack) + need <= max_depth;
  }

  void begin(std::size_t depth, std::size_t at) noexcept {
    path_[depth] = {at, at, 0, false};
    now_ = &path_[depth];
    if (++stamp_ == 0) {  // the table's entries are told apart by the stamp, until it wraps
      seen_.assign(table_size, {});
      stamp_ = 1;
    }
  }
  void finish(std::size_t depth) noexcept { path_[depth].stacks = stacks_.mark(); }

  /// Adds what follows once a byte or the start has led to state `s`.
  void enter(std::uint32_t s, std::uint32_t stack) noexcept {
    for (;;) {
      for (std::size_t i = g_->first_beginning_[s]; i < g_->first_beginning_[s + 1]; ++i) {
        const beginning& b = g_->beginnings_[i];
        work_ += b.count + 1;
        if (!fits(stack, depths_.of_beginning(i))) continue;
        std::uint32_t top = stack;
        bool pushed = true;
        for (const std::uint32_t c : g_->calls(b)) pushed = pushed && stacks_.push(top, c);
        if (pushed) add({b.state, top});
      }
      if (!g_->ends_[s]) return;
      if (stack == parse_stacks::empty) {
        now_->complete = true;
        return;
      }
      s = stacks_.top(stack);
      stack = stacks_.rest(stack);
    }
  }

  void add(parse p) noexcept {
    if (now_->end - now_->begin == max_parses || now_->end == room) return;
    if (now_->begin == now_->end) {  // the first one is not in the table: often it is alone
      parses_[now_->end++] = p;
      return;
    }
    const parse& first = parses_[now_->begin];
    if (first.state == p.state && first.stack == p.stack) return;
    std::size_t slot = (p.state * 0x9E3779B1U ^ p.stack * 0x85EBCA6BU) >> 16U & (table_size - 1);
    for (; seen_[slot].stamp == stamp_; slot = (slot + 1) & (table_size - 1)) {
      const parse& q = parses_[seen_[slot].index];
      if (q.state == p.state && q.stack == p.stack) return;
    }
    seen_[slot] = {stamp_, static_cast<std::uint32_t>(now_->end)};
    parses_[now_->end++] = p;
  }

  void make_key() noexcept {
    key_.clear();
    key_.push_back(path_[0].complete ? 1 : 0);
    for (std::size_t i = path_[0].begin; i < path_[0].end; ++i)
      key_.push_back(std::uint64_t{parses_[i].state} << 32U | parses_[i].stack);
  }

  struct entry {
    std::uint32_t stamp = 0;
    std::uint32_t index = 0;
  };

  const grammar* g_;
  depths depths_;
  parse_stacks stacks_;
  std::vector<parse> parses_;
  std::array<position, token_trie::max_piece + 1> path_{};  // by depth into a token
  position* now_ = nullptr;                                 // the one that is being made
  std::vector<entry> seen_;
  std::uint32_t stamp_ = 0;
  std::uint32_t epoch_ = 0;
  std::uint64_t work_ = 0;
  std::vector<std::uint64_t> key_;
};

}  // namespace sample
BITNET_NAMESPACE_END
