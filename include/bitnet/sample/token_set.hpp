// SPDX-License-Identifier: Apache-2.0
// A set of tokens of one vocabulary: a bit for each.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/checked.hpp>
#include <bitnet/core/token.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// Which tokens of a vocabulary may come next. Allocates when it is made only.
class token_set {
 public:
  token_set() = default;
  /// No token of `vocab`.
  explicit token_set(std::size_t vocab) : words_(ceil_div(vocab, 64)), vocab_{vocab} {}

  /// Tokens that could be members: 0 .. vocab() - 1.
  [[nodiscard]] std::size_t vocab() const noexcept { return vocab_; }
  [[nodiscard]] bool contains(token id) const noexcept {
    return valid(id) && (words_[word(id)] >> bit(id) & 1U) != 0;
  }
  /// Ids outside the vocabulary are ignored.
  void insert(token id) noexcept {
    if (valid(id)) words_[word(id)] |= std::uint64_t{1} << bit(id);
  }
  void clear() noexcept { std::fill(words_.begin(), words_.end(), std::uint64_t{0}); }
  [[nodiscard]] std::size_t count() const noexcept {
    std::size_t n = 0;
    for (const std::uint64_t w : words_) n += static_cast<std::size_t>(std::popcount(w));
    return n;
  }
  /// The member with the lowest id; -1 if there is none.
  [[nodiscard]] token first() const noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i)
      if (words_[i] != 0)
        return static_cast<token>(i * 64 + static_cast<std::size_t>(std::countr_zero(words_[i])));
    return -1;
  }
  /// Bit t % 64 of word t / 64 says whether t is a member; bits past the vocabulary are 0.
  [[nodiscard]] std::span<const std::uint64_t> words() const noexcept { return words_; }

 private:
  [[nodiscard]] bool valid(token id) const noexcept {
    return id >= 0 && static_cast<std::size_t>(id) < vocab_;
  }
  static std::size_t word(token id) noexcept { return static_cast<std::size_t>(id) / 64; }
  static unsigned bit(token id) noexcept { return static_cast<unsigned>(id) % 64U; }

  std::vector<std::uint64_t> words_;
  std::size_t vocab_ = 0;
};

}  // namespace sample
BITNET_NAMESPACE_END
