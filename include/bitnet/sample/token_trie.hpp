// SPDX-License-Identifier: Apache-2.0
// The pieces of a vocabulary as a trie over bytes, so that a constraint meets each beginning once.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/function_ref.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/core/token.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// Every token that stands for text, by its bytes. Immutable after make: any number of threads and
/// constraints may share one. Nodes are in preorder, so a walk is one loop over an array: go to the
/// next node to descend, to `next` to skip what begins like this one.
class token_trie {
 public:
  /// Longer pieces are never offered by a constraint.
  static constexpr std::size_t max_piece = 255;

  /// The text that ends with `byte`, `depth` bytes long.
  struct node {
    std::uint32_t next;         ///< the first node that does not begin with this one's text
    std::uint32_t first_token;  ///< in tokens(): those of a node end where the next one's begin
    std::uint8_t byte;
    std::uint8_t depth;
  };

  /// `piece` gives the bytes of each token 0 .. vocab - 1, empty for one that stands for no text
  /// (it is never allowed); `ends` says which ones end a text. errc::invalid_argument for a
  /// vocabulary of 0 or over 2^23 tokens.
  [[nodiscard]] static result<token_trie> make(std::size_t vocab,
                                               function_ref<std::string_view(token)> piece,
                                               function_ref<bool(token)> ends) {
    if (vocab == 0 || vocab > std::size_t{1} << 23)
      return error{errc::invalid_argument, "a vocabulary has 1 to 2^23 tokens", "vocab"};
    token_trie t;
    std::vector<token> order;
    t.starts_.reserve(vocab + 1);
    for (std::size_t i = 0; i < vocab; ++i) {
      const auto id = static_cast<token>(i);
      t.starts_.push_back(t.bytes_.size());
      if (ends(id)) {
        t.ends_.push_back(id);
        continue;
      }
      const std::string_view text = piece(id);
      if (text.empty() || text.size() > max_piece) continue;
      t.bytes_.append(text);
      order.push_back(id);
    }
    t.starts_.push_back(t.bytes_.size());
    std::sort(order.begin(), order.end(), [&](token a, token b) {
      const int c = t.piece(a).compare(t.piece(b));
      return c != 0 ? c < 0 : a < b;
    });
    t.build(order);
    return t;
  }

  [[nodiscard]] std::size_t vocab() const noexcept { return starts_.size() - 1; }
  /// Bytes of a token that can be offered; empty for any other.
  [[nodiscard]] std::string_view piece(token id) const noexcept {
    if (id < 0 || static_cast<std::size_t>(id) >= vocab()) return {};
    const auto i = static_cast<std::size_t>(id);
    return std::string_view{bytes_}.substr(starts_[i], starts_[i + 1] - starts_[i]);
  }
  /// Tokens that end a text.
  [[nodiscard]] std::span<const token> ends() const noexcept { return ends_; }
  [[nodiscard]] bool is_end(token id) const noexcept {
    return std::binary_search(ends_.begin(), ends_.end(), id);
  }

  [[nodiscard]] std::span<const node> nodes() const noexcept {
    return std::span{nodes_}.first(nodes_.size() - 1);
  }
  /// Tokens whose whole piece is the text of node i.
  [[nodiscard]] std::span<const token> tokens(std::size_t i) const noexcept {
    return std::span{tokens_}.subspan(nodes_[i].first_token,
                                      nodes_[i + 1].first_token - nodes_[i].first_token);
  }
  /// Whether some token is exactly this byte.
  [[nodiscard]] bool has_byte(std::uint8_t byte) const noexcept { return single_[byte]; }

 private:
  void build(std::span<const token> order) {
    std::array<std::uint32_t, max_piece> path{};  // nodes that spell the previous piece
    std::string_view before;
    const auto close = [&](std::size_t depth) {
      for (std::size_t d = before.size(); d > depth; --d)
        nodes_[path[d - 1]].next = static_cast<std::uint32_t>(nodes_.size());
    };
    tokens_.reserve(order.size());
    for (const token id : order) {
      const std::string_view text = piece(id);
      const auto common = static_cast<std::size_t>(
          std::mismatch(before.begin(), before.end(), text.begin(), text.end()).first -
          before.begin());
      close(common);
      for (std::size_t d = common; d < text.size(); ++d) {
        path[d] = static_cast<std::uint32_t>(nodes_.size());
        nodes_.push_back({0, static_cast<std::uint32_t>(tokens_.size()),
                          static_cast<std::uint8_t>(text[d]), static_cast<std::uint8_t>(d + 1)});
      }
      tokens_.push_back(id);
      if (text.size() == 1) single_[static_cast<std::uint8_t>(text[0])] = true;
      before = text;
    }
    close(0);
    nodes_.push_back({0, static_cast<std::uint32_t>(tokens_.size()), 0, 0});  // ends the last list
  }

  std::string bytes_;
  std::vector<std::size_t> starts_;  // of token i in bytes_, and the end of the last
  std::vector<node> nodes_;
  std::vector<token> tokens_;  // in the order of the nodes
  std::vector<token> ends_;    // ascending
  std::array<bool, 256> single_{};
};

}  // namespace sample
BITNET_NAMESPACE_END
