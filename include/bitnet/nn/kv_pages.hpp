// SPDX-License-Identifier: Apache-2.0
// The pages that one session holds: private ones in its own memory, or shared ones of a pool.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/nn/kv_cache.hpp>
#include <bitnet/nn/kv_pool.hpp>
#include <bitnet/quant/kv_copy.hpp>

#include <algorithm>
#include <span>
#include <utility>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// Copies keys and values of positions [first, last), of one chunk or more, between two caches.
inline void copy_positions(const kv_cache& from, const kv_cache& to, std::size_t first,
                           std::size_t last) noexcept {
  for (std::size_t chunk = first / quant::kv_chunk; chunk * quant::kv_chunk < last; ++chunk)
    for (std::size_t i = 0; i < from.heads(); ++i)
      quant::copy_kv(from.head(0, i), to.head(0, i), chunk,
                     std::min(last - chunk * quant::kv_chunk, quant::kv_chunk));
}

/// Holds every page that its session may need. Pages behind `position` of the session are its
/// alone; those before may be shared with sessions that were forked, and are never written.
/// Move-only. Used by its session's thread.
class kv_pages {
 public:
  kv_pages() noexcept = default;
  kv_pages(kv_pages&& other) noexcept { swap(other); }
  kv_pages& operator=(kv_pages&& other) noexcept {
    swap(other);
    return *this;
  }
  kv_pages(const kv_pages&) = delete;
  kv_pages& operator=(const kv_pages&) = delete;
  ~kv_pages() {
    if (pool_ == nullptr) return;
    for (std::byte* page : table_)
      if (page != nullptr) pool_->release(page);
  }

  /// Private pages in `memory`: bytes(h, capacity, type), aligned to a cache line. `table` has
  /// kv_cache::page_count(capacity) places; both outlive this.
  kv_pages(const hparams& h, std::size_t capacity, kv_type type, std::span<std::byte*> table,
           std::span<std::byte> memory) noexcept
      : table_{table}, cache_{h, capacity, type, table, memory} {}

  /// Pages of a pool, none of them held yet: see reserve().
  kv_pages(const hparams& h, std::size_t capacity, std::span<std::byte*> table,
           kv_pool& pool) noexcept
      : table_{table}, cache_{h, capacity, pool.type(), table.data(), false}, pool_{&pool} {
    std::fill(table.begin(), table.end(), nullptr);
  }

  [[nodiscard]] const kv_cache& cache() const noexcept { return cache_; }

  /// Takes the pages that are missing from the pool. errc::out_of_memory leaves those it got.
  [[nodiscard]] status reserve() noexcept {
    for (std::byte*& page : table_)
      if (page == nullptr && (page = pool_->acquire()) == nullptr) return short_of_pages();
    return {};
  }

  /// Takes over the first `positions` of another session: whole pages of the same pool are shared,
  /// the rest is copied.
  [[nodiscard]] status copy_from(const kv_pages& other, std::size_t positions) noexcept {
    std::size_t shared = 0;
    if (pool_ != nullptr) {
      for (; (shared + 1) * quant::kv_chunk <= positions; ++shared) {
        table_[shared] = other.table_[shared];
        pool_->retain(table_[shared]);
      }
      BITNET_CHECK(reserve());
    }
    copy_positions(other.cache_, cache_, shared * quant::kv_chunk, positions);
    return {};
  }

  /// Makes what lies at and behind `position` this session's alone, so that it may be written.
  /// errc::out_of_memory if the pool is short of pages; then nothing has changed.
  [[nodiscard]] status unshare(std::size_t position) noexcept {
    if (pool_ == nullptr) return {};
    const std::size_t first = position / quant::kv_chunk;
    std::size_t need = 0;
    for (std::size_t i = first; i < table_.size(); ++i)
      if (pool_->shared(table_[i])) ++need;
    // Others take pages too, so all are taken before one is given up: the list of the new ones is
    // threaded through the pages themselves.
    std::byte* fresh = nullptr;
    for (; need != 0; --need) {
      std::byte* page = pool_->acquire();
      if (page == nullptr) {
        while (fresh != nullptr) pool_->release(std::exchange(fresh, next_of(fresh)));
        return short_of_pages();
      }
      std::memcpy(page, &fresh, sizeof fresh);
      fresh = page;
    }
    for (std::size_t i = first; i < table_.size() && fresh != nullptr; ++i) {
      if (!pool_->shared(table_[i])) continue;
      std::byte* const old = std::exchange(table_[i], std::exchange(fresh, next_of(fresh)));
      if (i == first) copy_page(old, table_[i], position % quant::kv_chunk);
      pool_->release(old);
    }
    // A page that others gave up meanwhile needed no copy.
    while (fresh != nullptr) pool_->release(std::exchange(fresh, next_of(fresh)));
    return {};
  }

 private:
  static error short_of_pages() noexcept {
    return {errc::out_of_memory, "the pool has no page left for this session", "pool"};
  }
  [[nodiscard]] static std::byte* next_of(const std::byte* page) noexcept {
    std::byte* next = nullptr;
    std::memcpy(&next, page, sizeof next);
    return next;
  }
  /// The first positions of a pool's page to another one.
  void copy_page(std::byte* from, std::byte* to, std::size_t positions) const noexcept {
    for (std::size_t i = 0; i < cache_.heads(); ++i) {
      quant::kv_head source = cache_.head(0, i), target = source;
      source.capacity = target.capacity = quant::kv_chunk;  // a page is a cache of one chunk
      source.pages = &from;
      target.pages = &to;
      quant::copy_kv(source, target, 0, positions);
    }
  }
  void swap(kv_pages& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(cache_, other.cache_);
    std::swap(pool_, other.pool_);
  }

  std::span<std::byte*> table_;
  kv_cache cache_;
  kv_pool* pool_ = nullptr;  // null: the pages are private
};

}  // namespace nn
BITNET_NAMESPACE_END
