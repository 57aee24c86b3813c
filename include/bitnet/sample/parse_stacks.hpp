// SPDX-License-Identifier: Apache-2.0
// Stacks that share what they have in common: equal stacks are the same number.
#pragma once

#include <bitnet/config.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// Immutable stacks of states in a pool of fixed size, each one node on top of another stack,
/// found again by hash. Pushes can be undone in reverse order; what is no longer used is collected.
class parse_stacks {
 public:
  static constexpr std::uint32_t empty = 0;
  static constexpr std::size_t bottom = 1;  ///< mark of a pool without stacks: node 0 is empty

  explicit parse_stacks(std::size_t capacity)
      : nodes_(capacity), slots_(std::bit_ceil(2 * capacity), empty), moved_(capacity) {}

  [[nodiscard]] std::uint32_t top(std::uint32_t stack) const noexcept {
    return nodes_[stack].state;
  }
  [[nodiscard]] std::uint32_t rest(std::uint32_t stack) const noexcept {
    return nodes_[stack].rest;
  }
  [[nodiscard]] std::size_t depth(std::uint32_t stack) const noexcept {
    return nodes_[stack].depth;
  }

  /// Puts a state on top; false and unchanged if the pool is full.
  [[nodiscard]] bool push(std::uint32_t& stack, std::uint32_t state) noexcept {
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = (stack * 0x9E3779B1U ^ state * 0x85EBCA6BU) >> 8U & mask;
    for (; slots_[slot] != empty; slot = (slot + 1) & mask) {
      const node& n = nodes_[slots_[slot]];
      if (n.rest == stack && n.state == state) {
        stack = slots_[slot];
        return true;
      }
    }
    if (size_ == nodes_.size()) return false;
    nodes_[size_] = {stack, state, nodes_[stack].depth + 1, static_cast<std::uint32_t>(slot)};
    slots_[slot] = static_cast<std::uint32_t>(size_);
    stack = static_cast<std::uint32_t>(size_++);
    return true;
  }

  /// Position to return to: everything pushed since then is given back. Later entries of the table
  /// go first, so that earlier ones are found as if they had never been.
  [[nodiscard]] std::size_t mark() const noexcept { return size_; }
  void release(std::size_t mark) noexcept {
    while (size_ > mark) slots_[nodes_[--size_].slot] = empty;
  }

  /// Whether half of the pool is used.
  [[nodiscard]] bool crowded() const noexcept { return size_ > nodes_.size() / 2; }

  /// Keeps the stacks of as many users as there is room for in half the pool, the first ones, and
  /// renumbers them: stack_of(user) is a reference. Returns how many users are left.
  template <class User, class StackOf>
  [[nodiscard]] std::size_t collect(std::span<User> users, StackOf stack_of) noexcept {
    std::fill(moved_.begin(), moved_.end(), empty);
    std::size_t kept = 0;
    std::size_t count = bottom;
    for (; kept < users.size(); ++kept) {
      std::uint32_t s = stack_of(users[kept]);
      if (count + depth(s) > nodes_.size() / 2) break;
      for (; s != empty && moved_[s] == empty; s = rest(s)) {
        moved_[s] = 1;
        ++count;
      }
    }
    // A stack lies behind what it rests on, so moving in order never overwrites what is needed.
    const std::size_t end = size_;
    std::fill(slots_.begin(), slots_.end(), empty);
    size_ = bottom;
    for (std::size_t i = bottom; i < end; ++i) {
      if (moved_[i] == empty) continue;
      std::uint32_t stack = moved_[nodes_[i].rest];
      (void)push(stack, nodes_[i].state);
      moved_[i] = stack;
    }
    for (User& u : users.first(kept)) stack_of(u) = moved_[stack_of(u)];
    return kept;
  }

 private:
  struct node {
    std::uint32_t rest;
    std::uint32_t state;
    std::uint32_t depth;
    std::uint32_t slot;  // in the table
  };

  std::vector<node> nodes_;
  std::vector<std::uint32_t> slots_;
  std::vector<std::uint32_t> moved_;
  std::size_t size_ = bottom;
};

}  // namespace sample
BITNET_NAMESPACE_END
