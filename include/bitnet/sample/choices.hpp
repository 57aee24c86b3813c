// SPDX-License-Identifier: Apache-2.0
// A fixed set of allowed strings, as a language for constrained decoding.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/sample/token_trie.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// The strings that a text may be, and nothing else. Immutable after make; shared freely.
class choices {
 public:
  class walker;
  static constexpr std::size_t max_bytes = std::size_t{1} << 20;
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  /// errc::invalid_argument if there is no string or an empty one, errc::limit for more than 1 MiB
  /// of them. A string may be given twice; the first one counts.
  template <class Strings>
  [[nodiscard]] static result<choices> make(const Strings& strings) {
    std::vector<std::string_view> views;
    std::size_t bytes = 0;
    for (const auto& s : strings) {
      const std::string_view view{s};
      if (view.empty())
        return error{errc::invalid_argument, "an allowed string must not be empty", "choices"};
      if (view.size() > max_bytes - bytes)
        return error{errc::limit, "the allowed strings have more than 1 MiB", "choices"};
      bytes += view.size();
      views.push_back(view);
    }
    if (views.empty())
      return error{errc::invalid_argument, "there must be at least one allowed string", "choices"};
    choices c;
    c.build(views);
    return c;
  }

 private:
  /// A beginning of allowed strings; nodes are in preorder, the empty beginning first.
  struct node {
    std::uint32_t next;    // the first node that does not begin with this one
    std::uint32_t choice;  // the string that this is, or none
    std::uint8_t byte;
  };

  void build(std::span<const std::string_view> strings) {
    std::vector<std::uint32_t> order(strings.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return std::tie(strings[a], a) < std::tie(strings[b], b);
    });
    std::vector<std::uint32_t> path{0};
    nodes_.push_back({0, none, 0});
    std::string_view before;
    const auto close = [&](std::size_t depth) {
      for (; path.size() > depth + 1; path.pop_back())
        nodes_[path.back()].next = static_cast<std::uint32_t>(nodes_.size());
    };
    for (const std::uint32_t i : order) {
      const std::string_view text = strings[i];
      close(static_cast<std::size_t>(
          std::mismatch(before.begin(), before.end(), text.begin(), text.end()).first -
          before.begin()));
      for (std::size_t d = path.size() - 1; d < text.size(); ++d) {
        path.push_back(static_cast<std::uint32_t>(nodes_.size()));
        nodes_.push_back({0, none, static_cast<std::uint8_t>(text[d])});
      }
      if (nodes_[path.back()].choice == none) nodes_[path.back()].choice = i;
      before = text;
    }
    close(0);
    nodes_[0].next = static_cast<std::uint32_t>(nodes_.size());
  }

  [[nodiscard]] std::uint32_t child(std::uint32_t parent, std::uint8_t byte) const noexcept {
    for (std::uint32_t c = parent + 1; c < nodes_[parent].next; c = nodes_[c].next)
      if (nodes_[c].byte == byte) return c;
    return none;
  }

  std::vector<node> nodes_;
};

/// Where a text is among the allowed strings (see byte_language). Refers to the choices.
class choices::walker {
 public:
  /// errc::invalid_argument if the vocabulary cannot spell the strings.
  [[nodiscard]] static result<walker> make(const choices& of, const token_trie& vocabulary) {
    walker w{of};
    const std::size_t count = of.nodes_.size();
    bool prefix = false;    // some string is the beginning of another
    bool all_bytes = true;  // are tokens: then nothing has to be searched
    for (std::uint32_t n = 0; n < count; ++n) {
      prefix = prefix || (of.nodes_[n].choice != none && of.nodes_[n].next > n + 1);
      all_bytes = all_bytes && (n == 0 || vocabulary.has_byte(of.nodes_[n].byte));
    }
    if (prefix && vocabulary.ends().empty())
      return error{errc::invalid_argument,
                   "the vocabulary has no token that ends a text, so no allowed string may be the "
                   "beginning of another",
                   "choices"};
    w.alive_.resize(count, all_bytes);
    if (!all_bytes) BITNET_CHECK(w.search(vocabulary));
    return w;
  }

  void reset() noexcept { move_to(0); }
  bool step(std::size_t depth, std::uint8_t byte) noexcept {
    path_[depth + 1] = of_->child(path_[depth], byte);
    return path_[depth + 1] != none;
  }
  [[nodiscard]] bool complete(std::size_t depth) const noexcept {
    return of_->nodes_[path_[depth]].choice != none;
  }
  [[nodiscard]] bool extendable(std::size_t depth) const noexcept {
    return of_->nodes_[path_[depth]].next > path_[depth] + 1;
  }
  [[nodiscard]] bool may_stop(std::size_t depth) const noexcept { return alive_[path_[depth]]; }
  void commit(std::size_t depth) noexcept { move_to(path_[depth]); }
  [[nodiscard]] std::span<const std::uint64_t> key() const noexcept { return key_; }
  [[nodiscard]] std::uint32_t epoch() const noexcept { return 0; }
  [[nodiscard]] std::uint64_t work() const noexcept { return 0; }

  /// Index of the allowed string that the text is, in the order given to make; `none` if it is
  /// not complete.
  [[nodiscard]] std::uint32_t choice() const noexcept { return of_->nodes_[path_[0]].choice; }

 private:
  explicit walker(const choices& of) noexcept : of_{&of} {}

  void move_to(std::uint32_t node) noexcept {
    path_[0] = node;
    key_[0] = node;
  }

  /// Finds out which places tokens lead to and on from; an error if that leaves out a string.
  [[nodiscard]] status search(const token_trie& vocabulary) {
    const std::size_t count = alive_.size();
    std::vector<bool> reached(count);
    reached[0] = true;
    for (std::uint32_t n = 0; n < count; ++n)
      if (reached[n])
        visit(vocabulary, n, [&](std::uint32_t to) { return reached[to] = true, false; });
    for (std::size_t i = count; i-- > 0;) {
      const auto n = static_cast<std::uint32_t>(i);
      const bool whole = of_->nodes_[n].choice != none;
      if (whole && !reached[n])
        return error{errc::invalid_argument, "the vocabulary has no tokens for an allowed string",
                     "choices"};
      alive_[n] = whole || visit(vocabulary, n, [&](std::uint32_t to) { return bool{alive_[to]}; });
    }
    return {};
  }

  /// visit(m) for each place m that one token leads to from n, until it returns true; says whether
  /// it has.
  template <class Visit>
  bool visit(const token_trie& vocabulary, std::uint32_t n, Visit visit) noexcept {
    move_to(n);
    const auto nodes = vocabulary.nodes();
    bool found = false;
    for (std::size_t i = 0; i < nodes.size() && !found;) {
      const bool on = step(nodes[i].depth - 1U, nodes[i].byte);
      if (on && !vocabulary.tokens(i).empty()) found = visit(path_[nodes[i].depth]);
      i = on ? i + 1 : nodes[i].next;
    }
    reset();
    return found;
  }

  const choices* of_;
  std::vector<bool> alive_;  // by node: tokens can lead on from here to a whole string
  std::array<std::uint32_t, token_trie::max_piece + 1> path_{};  // by depth into a token
  std::array<std::uint64_t, 1> key_{};
};

}  // namespace sample
BITNET_NAMESPACE_END
