// SPDX-License-Identifier: Apache-2.0
// What a session remembers: its tokens, their keys and values, and the state behind the last one.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/core/token.hpp>
#include <bitnet/nn/kv_pages.hpp>

#include <algorithm>
#include <span>
#include <utility>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// Tokens [0, position) with their keys and values, and what a step that has not ended yet puts
/// behind them: it becomes part of the sequence when it is accepted, or is forgotten. All memory is
/// the session's.
class sequence {
 public:
  /// Memory for everything but the pages. Both states have `dim` numbers.
  struct memory {
    std::span<token> tokens;
    std::span<float> state, next_state;
  };

  sequence() noexcept = default;
  sequence(const memory& own, nn::kv_pages pages) noexcept
      : tokens_{own.tokens},
        state_{own.state},
        next_state_{own.next_state},
        pages_{std::move(pages)} {}

  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return tokens_.size(); }
  [[nodiscard]] std::span<const token> tokens() const noexcept { return tokens_.first(position_); }
  [[nodiscard]] const nn::kv_cache& cache() const noexcept { return pages_.cache(); }
  [[nodiscard]] nn::kv_pages& pages() noexcept { return pages_; }

  /// Whether there is a state: not before the first token and not after a rewind.
  [[nodiscard]] bool ready() const noexcept { return ready_; }
  /// Of the last token, [dim]; that of a step that has not ended in `next_state`.
  [[nodiscard]] std::span<float> state() const noexcept { return state_; }
  [[nodiscard]] std::span<float> next_state() const noexcept { return next_state_; }

  /// Places of tokens behind the sequence.
  [[nodiscard]] std::span<token> next_tokens() const noexcept { return tokens_.subspan(position_); }
  /// `count` tokens and the next state, if there is one, belong to the sequence from now on.
  void accept(std::size_t count, bool ready = true) noexcept {
    position_ += count;
    std::swap(state_, next_state_);
    ready_ = ready;
  }

  /// Forgets all tokens from `position` on; see kv_pages::unshare.
  [[nodiscard]] status rewind(std::size_t position) noexcept {
    BITNET_CHECK(pages_.unshare(position));
    position_ = position;
    ready_ = false;
    return {};
  }

  /// Becomes equal to a sequence of the same model and capacity.
  [[nodiscard]] status copy_from(const sequence& other) noexcept {
    BITNET_CHECK(pages_.copy_from(other.pages_, other.position_));
    std::copy_n(other.tokens_.begin(), other.position_, tokens_.begin());
    std::copy(other.state_.begin(), other.state_.end(), state_.begin());
    position_ = other.position_;
    ready_ = other.ready_;
    return {};
  }

 private:
  std::span<token> tokens_;
  std::span<float> state_, next_state_;
  nn::kv_pages pages_;
  std::size_t position_ = 0;
  bool ready_ = false;
};

}  // namespace detail
BITNET_NAMESPACE_END
