// SPDX-License-Identifier: Apache-2.0
// Pages of keys and values that the sessions of one model share out among themselves.
#pragma once

#include <bitnet/core/memory.hpp>
#include <bitnet/nn/kv_cache.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// A fixed number of pages, each with room for quant::kv_chunk positions of one model, counted by
/// the sessions that use them. Forked sessions share the pages of what they have in common. Any
/// number of threads may use a pool; nothing waits. It must not move while sessions use it, and
/// outlive them.
class kv_pool {
 public:
  /// Bytes for so many pages, or nothing if the number does not fit.
  [[nodiscard]] static std::optional<std::size_t> bytes(const hparams& h, kv_type type,
                                                        std::size_t pages) noexcept {
    const auto page = kv_cache::bytes(h, quant::kv_chunk, type);
    const auto all = page ? checked_mul(*page, pages) : std::nullopt;
    const auto counts = checked_mul(pages, sizeof(count));
    const auto sum = all && counts ? checked_add(*all, *counts) : std::nullopt;
    return to_size(sum ? checked_add(*sum, 2 * cache_line) : sum);
  }

  /// Allocates the pages. errc::out_of_memory; errc::invalid_argument for none or over 2^24.
  [[nodiscard]] static result<kv_pool> make(const hparams& h, kv_type type,
                                            std::size_t pages) noexcept {
    const auto need = bytes(h, type, pages);
    if (!need) return error{errc::out_of_memory, "the pages do not fit in memory", "pages"};
    BITNET_TRY(auto memory,
               aligned_buffer<std::byte>::uninitialized(*need, "pages of a KV pool", true));
    BITNET_TRY(auto pool, make(h, type, pages, memory.span()));
    pool.memory_ = std::move(memory);
    return pool;
  }

  /// The same in the caller's memory, at least bytes(h, type, pages), which must outlive the pool.
  [[nodiscard]] static result<kv_pool> make(const hparams& h, kv_type type, std::size_t pages,
                                            std::span<std::byte> memory) noexcept {
    if (pages == 0 || pages > (std::size_t{1} << 24))
      return error{errc::invalid_argument, "a pool has 1 to 2^24 pages", "pages"};
    const auto need = bytes(h, type, pages);
    if (!need || *need > memory.size())
      return error{errc::out_of_memory, "the memory is smaller than kv_pool::bytes", "pages"};
    kv_pool pool;
    pool.page_bytes_ = kv_cache::bytes(h, quant::kv_chunk, type).value_or(0);
    pool.type_ = type;
    arena all{memory};
    pool.pages_ = all.take<std::byte>(pages * pool.page_bytes_);
    const auto counts = all.take<std::byte>(pages * sizeof(count));
    pool.counts_ = {reinterpret_cast<count*>(counts.data()), pages};
    for (count& c : pool.counts_) std::construct_at(&c, 0U);
    return pool;
  }

  [[nodiscard]] std::size_t size() const noexcept { return counts_.size(); }
  [[nodiscard]] kv_type type() const noexcept { return type_; }
  /// Whether its pages fit a model of that shape.
  [[nodiscard]] bool serves(const hparams& h) const noexcept {
    return kv_cache::bytes(h, quant::kv_chunk, type_) == page_bytes_;
  }
  /// Pages that no session holds at this moment.
  [[nodiscard]] std::size_t available() const noexcept {
    std::size_t n = 0;
    for (const count& c : counts_)
      if (c.load(std::memory_order_relaxed) == 0) ++n;
    return n;
  }

  /// A page for the caller alone, its contents undefined, or null if all are held.
  [[nodiscard]] std::byte* acquire() noexcept {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      std::uint32_t free = 0;
      if (counts_[i].load(std::memory_order_relaxed) == 0 &&
          counts_[i].compare_exchange_strong(free, 1, std::memory_order_acquire))
        return pages_.data() + i * page_bytes_;
    }
    return nullptr;
  }
  /// One holder more, by somebody who holds it.
  void retain(const std::byte* page) noexcept { of(page).fetch_add(1, std::memory_order_relaxed); }
  /// One holder less.
  void release(const std::byte* page) noexcept { of(page).fetch_sub(1, std::memory_order_release); }
  /// Whether a page of the caller has other holders; once it has none it gets none, unless by the
  /// caller.
  [[nodiscard]] bool shared(const std::byte* page) const noexcept {
    return of(page).load(std::memory_order_acquire) > 1;
  }

 private:
  using count = std::atomic<std::uint32_t>;
  static_assert(std::is_trivially_destructible_v<count>);

  kv_pool() noexcept = default;
  [[nodiscard]] count& of(const std::byte* page) const noexcept {
    return counts_[static_cast<std::size_t>(page - pages_.data()) / page_bytes_];
  }

  aligned_buffer<std::byte> memory_;  // if it is the pool's own
  std::span<std::byte> pages_;
  std::span<count> counts_;
  std::size_t page_bytes_ = 0;
  kv_type type_ = kv_type::f16;
};

}  // namespace nn
BITNET_NAMESPACE_END
