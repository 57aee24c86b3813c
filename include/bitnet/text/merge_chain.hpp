// SPDX-License-Identifier: Apache-2.0
// Repeated merging of the best neighbouring pair, the loop that BPE and SentencePiece share.
#pragma once

#include <bitnet/config.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

/// A piece of the text being merged: bytes [start, start + size), known to the merge rule as `id`.
struct symbol {
  std::uint32_t start = 0;
  std::uint32_t size = 0;
  std::uint32_t id = 0;
};

/// What a merge rule says about two neighbours: lower `order` merges earlier, `never` does not.
struct joined {
  static constexpr std::uint32_t never = ~std::uint32_t{0};
  std::uint32_t order = never;
  std::uint32_t id = 0;
};

/// Merges the pair of lowest order, the leftmost of equals, until none is left. Holds the buffers,
/// so that one object serves many words. Not thread safe.
class merge_chain {
 public:
  [[nodiscard]] std::vector<symbol>& symbols() noexcept { return symbols_; }

  /// Merges symbols() in place. `join(left, right)` gives a `joined`. n log n in their number.
  template <class Join>
  void merge(const Join& join) {
    if (symbols_.size() <= short_word) {
      merge_short(join);
    } else {
      merge_long(join);
    }
  }

 private:
  /// Up to this many symbols a scan beats a heap.
  static constexpr std::size_t short_word = 32;
  static constexpr std::uint32_t end = ~std::uint32_t{0};

  /// A merge that was possible when it was noted. Stale when a neighbour has changed since, which
  /// shows in the size: symbols only grow.
  struct candidate {
    std::uint64_t order;  ///< order << 32 | left, so that the leftmost of equals comes first
    std::uint32_t right;
    std::uint32_t size;
    std::uint32_t id;

    [[nodiscard]] bool operator<(const candidate& other) const noexcept {
      return order > other.order;  // std heaps keep the greatest on top
    }
  };
  struct link {
    std::uint32_t previous;
    std::uint32_t next;
  };

  template <class Join>
  void merge_short(const Join& join) {
    joined pairs[short_word];
    std::size_t count = symbols_.size();
    if (count < 2) return;
    for (std::size_t i = 0; i + 1 < count; ++i) pairs[i] = join(symbols_[i], symbols_[i + 1]);
    for (;;) {
      std::size_t best = 0;
      for (std::size_t i = 1; i + 1 < count; ++i)
        if (pairs[i].order < pairs[best].order) best = i;
      if (pairs[best].order == joined::never) break;
      symbols_[best].size += symbols_[best + 1].size;
      symbols_[best].id = pairs[best].id;
      --count;
      for (std::size_t i = best + 1; i < count; ++i) symbols_[i] = symbols_[i + 1];
      for (std::size_t i = best; i + 1 < count; ++i) pairs[i] = pairs[i + 1];
      if (best > 0) pairs[best - 1] = join(symbols_[best - 1], symbols_[best]);
      if (count < 2) break;
      if (best + 1 < count) pairs[best] = join(symbols_[best], symbols_[best + 1]);
    }
    symbols_.resize(count);
  }

  template <class Join>
  void merge_long(const Join& join) {
    const auto count = static_cast<std::uint32_t>(symbols_.size());
    links_.resize(count);
    heap_.clear();
    const auto note = [&](std::uint32_t left, std::uint32_t right) {
      if (left == end || right == end) return false;
      const joined j = join(symbols_[left], symbols_[right]);
      if (j.order == joined::never) return false;
      heap_.push_back({std::uint64_t{j.order} << 32 | left, right,
                       symbols_[left].size + symbols_[right].size, j.id});
      return true;
    };
    for (std::uint32_t i = 0; i < count; ++i) {
      links_[i] = {i == 0 ? end : i - 1, i + 1 == count ? end : i + 1};
      if (i > 0) (void)note(i - 1, i);
    }
    std::make_heap(heap_.begin(), heap_.end());
    while (!heap_.empty()) {
      const candidate best = heap_.front();
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.pop_back();
      const auto left = static_cast<std::uint32_t>(best.order & 0xFFFFFFFFU);
      symbol& a = symbols_[left];
      symbol& b = symbols_[best.right];
      if (a.size == 0 || b.size == 0 || a.size + b.size != best.size) continue;
      a.size = best.size;
      a.id = best.id;
      b.size = 0;
      const std::uint32_t next = links_[best.right].next;
      links_[left].next = next;
      if (next != end) links_[next].previous = left;
      if (note(links_[left].previous, left)) std::push_heap(heap_.begin(), heap_.end());
      if (note(left, next)) std::push_heap(heap_.begin(), heap_.end());
    }
    std::erase_if(symbols_, [](const symbol& s) { return s.size == 0; });
  }

  std::vector<symbol> symbols_;
  std::vector<link> links_;
  std::vector<candidate> heap_;
};

}  // namespace text
BITNET_NAMESPACE_END
