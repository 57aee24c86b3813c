// SPDX-License-Identifier: Apache-2.0
// Where large blocks of memory come from: the heap, or whatever the host lends.
#pragma once

#include <bitnet/config.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>

BITNET_NAMESPACE_BEGIN

/// Alignment of every block that kernels read: one cache line, the width of the widest vector.
inline constexpr std::size_t cache_line = 64;

/// Memory of the host. `allocate(bytes, alignment)` gives uninitialised memory or null, and
/// `release(p, bytes, alignment)` takes it back with the same numbers; neither may throw. `bytes`
/// is above 0 and a multiple of `alignment`, which is cache_line.
template <class M>
concept memory_provider = requires(M& m, std::size_t n, void* p) {
  { m.allocate(n, n) } -> std::same_as<void*>;
  m.release(p, n, n);
};

/// A borrowed provider of any type, or the heap. What is allocated refers to the provider, which
/// must outlive it.
class memory_source {
 public:
  /// The heap.
  memory_source() noexcept = default;
  template <memory_provider M>
    requires(!std::same_as<M, memory_source>)
  memory_source(M& m)
  noexcept  // NOLINT(google-explicit-constructor)
      : object_{&m}, calls_{&calls_of<M>} {}

  /// Blocks that nobody may touch, for dry runs.
  [[nodiscard]] static memory_source untouchable() noexcept {
    memory_source s;
    s.calls_ = &no_memory;
    return s;
  }

  [[nodiscard]] bool is_heap() const noexcept { return calls_ == nullptr; }

  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment) const noexcept {
    if (calls_ != nullptr) return calls_->allocate(object_, bytes, alignment);
    return ::operator new (bytes, std::align_val_t{alignment}, std::nothrow);
  }
  void release(void* p, std::size_t bytes, std::size_t alignment) const noexcept {
    if (calls_ != nullptr) {
      calls_->release(object_, p, bytes, alignment);
    } else {
      ::operator delete (p, std::align_val_t{alignment});
    }
  }

 private:
  struct calls {
    void* (*allocate)(void* object, std::size_t bytes, std::size_t alignment) noexcept;
    void (*release)(void* object, void* p, std::size_t bytes, std::size_t alignment) noexcept;
  };
  template <class M>
  static constexpr calls calls_of{
      [](void* object, std::size_t bytes, std::size_t alignment) noexcept -> void* {
        return static_cast<M*>(object)->allocate(bytes, alignment);
      },
      [](void* object, void* p, std::size_t bytes, std::size_t alignment) noexcept {
        static_cast<M*>(object)->release(p, bytes, alignment);
      }};
  static constexpr calls no_memory{[](void*, std::size_t, std::size_t alignment) noexcept {
                                     return reinterpret_cast<void*>(alignment);
                                   },
                                   [](void*, void*, std::size_t, std::size_t) noexcept {}};

  void* object_ = nullptr;
  const calls* calls_ = nullptr;  // null: the heap
};

/// A provider that passes everything on and counts it. Not thread safe.
class memory_meter {
 public:
  explicit memory_meter(memory_source from = {}) noexcept : from_{from} {}

  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
    void* p = from_.allocate(bytes, alignment);
    if (p != nullptr) add(bytes);
    return p;
  }
  void release(void* p, std::size_t bytes, std::size_t alignment) noexcept {
    from_.release(p, bytes, alignment);
    subtract(bytes);
  }
  /// Counts bytes that come from and go elsewhere.
  void add(std::uint64_t bytes) noexcept {
    now_ += bytes;
    peak_ = std::max(peak_, now_);
  }
  void subtract(std::uint64_t bytes) noexcept { now_ -= bytes; }

  /// Bytes allocated and not released, and the most there ever were.
  [[nodiscard]] std::uint64_t now() const noexcept { return now_; }
  [[nodiscard]] std::uint64_t peak() const noexcept { return peak_; }

 private:
  memory_source from_;
  std::uint64_t now_ = 0;
  std::uint64_t peak_ = 0;
};

BITNET_NAMESPACE_END
