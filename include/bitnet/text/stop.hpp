// SPDX-License-Identifier: Apache-2.0
// Ends a stream of text at the first of several stop strings, without showing any part of it.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/text/stream.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

/// Passes text on and holds back what may be the beginning of a stop string. The stream ends at the
/// stop string that is complete first; of several that end at the same byte, the longest. The
/// outcome does not depend on how the text is cut into pieces.
///
/// It is the automaton of Aho and Corasick ("Efficient string matching", 1975): linear in the
/// text, and the state says what is held back, so that pushing does not allocate.
class stop_matcher {
 public:
  /// Matches nothing.
  stop_matcher() { nodes_.emplace_back(); }

  /// errc::invalid_argument for an empty stop string or more than 1 MiB of them.
  [[nodiscard]] static result<stop_matcher> make(std::span<const std::string> stops) {
    stop_matcher m;
    for (const std::string& stop : stops) {
      if (stop.empty())
        return error{errc::invalid_argument, "a stop string must not be empty", "stop"};
      if (stop.size() > longest - m.patterns_.size())
        return error{errc::invalid_argument, "the stop strings are too long", "stop"};
      m.add(stop);
    }
    m.link();
    return m;
  }

  /// Passes on what cannot belong to a stop string any more. Returns false once a stop string is
  /// complete (see matched) or the sink has returned false: the rest of `text` is then dropped.
  bool push(std::string_view text, text_sink sink) {
    if (matched_) return false;
    const std::string_view held = held_text();
    std::size_t seen = held.size();  // bytes of held + text that the state covers
    for (const char c : text) {
      step(c);
      ++seen;
      if (nodes_[state_].match == 0) continue;
      matched_ = true;
      const std::size_t shown = seen - nodes_[state_].match;
      state_ = root;
      (void)show(held, text, shown, sink);
      return false;
    }
    return show(held, text, seen - nodes_[state_].depth, sink);
  }

  /// Ends the stream: what is held back was no stop string and is passed on.
  bool flush(text_sink sink) {
    const std::string_view held = held_text();
    state_ = root;
    return held.empty() || sink(held);
  }

  /// Whether a stop string has been met. Nothing more is passed on until `reset`.
  [[nodiscard]] bool matched() const noexcept { return matched_; }

  /// Starts over with the next stream.
  void reset() noexcept {
    state_ = root;
    matched_ = false;
  }

 private:
  static constexpr std::uint32_t root = 0;
  static constexpr std::size_t longest = std::size_t{1} << 20;

  /// The state of having read a beginning of a stop string: its first `depth` bytes.
  struct node {
    std::uint32_t first_child = 0;   ///< 0: none
    std::uint32_t next_sibling = 0;  ///< 0: none
    std::uint32_t fall_back = 0;     ///< the longest other beginning that this one ends with
    std::uint32_t depth = 0;
    std::uint32_t pattern = 0;  ///< where in patterns_ a string with this beginning starts
    std::uint32_t match = 0;    ///< size of the longest stop string that this one ends with, or 0
    char byte = 0;
  };

  [[nodiscard]] std::uint32_t child(std::uint32_t parent, char byte) const noexcept {
    std::uint32_t n = nodes_[parent].first_child;
    while (n != 0 && nodes_[n].byte != byte) n = nodes_[n].next_sibling;
    return n;
  }

  void add(std::string_view stop) {
    const auto pattern = static_cast<std::uint32_t>(patterns_.size());
    patterns_.append(stop);
    std::uint32_t at = root;
    for (const char c : stop) {
      std::uint32_t next = child(at, c);
      if (next == 0) {
        next = static_cast<std::uint32_t>(nodes_.size());
        node n;
        n.next_sibling = nodes_[at].first_child;
        n.depth = nodes_[at].depth + 1;
        n.pattern = pattern;
        n.byte = c;
        nodes_.push_back(n);
        nodes_[at].first_child = next;
      }
      at = next;
    }
    nodes_[at].match = static_cast<std::uint32_t>(stop.size());
  }

  /// Fills in `fall_back` and passes on `match`, nearest to the root first.
  void link() {
    std::vector<std::uint32_t> order{root};
    for (std::size_t i = 0; i < order.size(); ++i) {
      const std::uint32_t parent = order[i];
      for (std::uint32_t n = nodes_[parent].first_child; n != 0; n = nodes_[n].next_sibling) {
        std::uint32_t to = nodes_[parent].fall_back;
        if (parent != root) {
          while (to != root && child(to, nodes_[n].byte) == 0) to = nodes_[to].fall_back;
          to = child(to, nodes_[n].byte);
        }
        nodes_[n].fall_back = to;
        nodes_[n].match = std::max(nodes_[n].match, nodes_[to].match);
        order.push_back(n);
      }
    }
  }

  void step(char c) noexcept {
    std::uint32_t next = child(state_, c);
    while (next == 0 && state_ != root) {
      state_ = nodes_[state_].fall_back;
      next = child(state_, c);
    }
    state_ = next;
  }

  /// The bytes that are held back: the state spells them.
  [[nodiscard]] std::string_view held_text() const noexcept {
    return std::string_view{patterns_}.substr(nodes_[state_].pattern, nodes_[state_].depth);
  }

  /// Passes on the first `size` bytes of `held` and `text` together.
  static bool show(std::string_view held, std::string_view text, std::size_t size, text_sink sink) {
    const std::string_view first = held.substr(0, size);
    if (!first.empty() && !sink(first)) return false;
    const std::string_view rest = text.substr(0, size - first.size());
    return rest.empty() || sink(rest);
  }

  std::vector<node> nodes_;
  std::string patterns_;
  std::uint32_t state_ = root;
  bool matched_ = false;
};

}  // namespace text
BITNET_NAMESPACE_END
