// SPDX-License-Identifier: Apache-2.0
// Owned aligned memory, and an arena that hands out pieces of one block without further allocation.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/core/huge_pages.hpp>
#include <bitnet/core/memory_source.hpp>
#include <bitnet/core/result.hpp>

#include <cstddef>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

BITNET_NAMESPACE_BEGIN

/// Owned, cache-line aligned array of trivial values, on the heap or in the host's memory.
/// Move-only.
template <class T>
class aligned_buffer {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= cache_line);

 public:
  aligned_buffer() noexcept = default;
  aligned_buffer(aligned_buffer&& other) noexcept
      : data_{std::exchange(other.data_, nullptr)},
        size_{std::exchange(other.size_, 0)},
        source_{other.source_} {}
  aligned_buffer& operator=(aligned_buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(source_, other.source_);
    return *this;
  }
  aligned_buffer(const aligned_buffer&) = delete;
  aligned_buffer& operator=(const aligned_buffer&) = delete;
  ~aligned_buffer() {
    if (data_ != nullptr) release();
  }

  /// `size` zeros; errc::out_of_memory when the source refuses. `what` names the purpose.
  [[nodiscard]] static result<aligned_buffer> make(std::size_t size, std::string_view what,
                                                   memory_source source = {}) noexcept {
    auto buffer = uninitialized(size, what, false, source);
    if (buffer && size != 0)
      std::memset(static_cast<void*>(buffer->data()), 0, buffer->size() * sizeof(T));
    return buffer;
  }

  /// The same without touching the memory, so that the threads that fill it touch it first. On the
  /// heap, what is as large as a huge page lies on such pages where the system has them; ask with
  /// `dense` only for memory that will be used whole, since each touch of a huge page takes all of
  /// it.
  [[nodiscard]] static result<aligned_buffer> uninitialized(std::size_t size, std::string_view what,
                                                            bool dense = false,
                                                            memory_source source = {}) noexcept {
    aligned_buffer buffer;
    if (size == 0) return buffer;
    if (size > (std::numeric_limits<std::size_t>::max() - huge_page) / sizeof(T))
      return error{errc::out_of_memory, "the size does not fit in memory", what};
    const std::size_t bytes = bytes_of(size);
    void* memory = source.allocate(bytes, alignment(source, size));
    if (memory == nullptr)
      return error{errc::out_of_memory, "the allocator returned no memory", what};
    if (dense && source.is_heap()) ask_for_huge_pages(memory, bytes);
    buffer.data_ = static_cast<T*>(memory);
    buffer.size_ = size;
    buffer.source_ = source;
    return buffer;
  }

  /// Bytes that `size` values take of a source.
  [[nodiscard]] static constexpr std::size_t bytes_of(std::size_t size) noexcept {
    return round_up(size * sizeof(T), cache_line);
  }

  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] const T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<T> span() noexcept { return {data_, size_}; }
  [[nodiscard]] std::span<const T> span() const noexcept { return {data_, size_}; }
  [[nodiscard]] T& operator[](std::size_t i) noexcept { return data_[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  /// A call, so that destroying what owns many buffers is short.
  BITNET_NOINLINE void release() noexcept {
    source_.release(data_, bytes_of(size_), alignment(source_, size_));
  }
  [[nodiscard]] static std::size_t alignment(memory_source source, std::size_t size) noexcept {
    return source.is_heap() && bytes_of(size) >= huge_page ? huge_page : cache_line;
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  memory_source source_;
};

/// Hands out cache-line aligned pieces of a block of memory, last in, first out. It owns nothing:
/// the block may be static, on the heap or the host's. Not thread safe; one arena, one session.
class arena {
 public:
  arena() noexcept = default;
  explicit arena(std::span<std::byte> block) noexcept : base_{block.data()}, size_{block.size()} {}

  /// An arena without memory that hands out pieces nobody may touch: after a dry run, peak() is
  /// the size that the real one needs.
  [[nodiscard]] static arena measure() noexcept {
    arena a;
    a.base_ = reinterpret_cast<std::byte*>(cache_line);
    a.size_ = std::numeric_limits<std::size_t>::max() / 4;
    a.measuring_ = true;
    return a;
  }
  [[nodiscard]] bool measuring() const noexcept { return measuring_; }
  /// Whether a piece was refused; then peak() says too little.
  [[nodiscard]] bool exhausted() const noexcept { return exhausted_; }

  /// `count` uninitialised values, or an empty span if the block is used up.
  template <class T>
  [[nodiscard]] std::span<T> take(std::size_t count) noexcept {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= cache_line);
    const auto address = reinterpret_cast<std::uintptr_t>(base_) + used_;
    const std::size_t start = used_ + (round_up(address, cache_line) - address);
    if (start > size_ || count > (size_ - start) / sizeof(T)) {
      exhausted_ = true;
      return {};
    }
    used_ = start + count * sizeof(T);
    if (used_ > peak_) peak_ = used_;
    return {reinterpret_cast<T*>(base_ + start), count};
  }

  /// The arena as a memory_provider, for weights as well as for steps: memory released in the
  /// opposite order of its allocation can be used again, and other memory not before the arena is.
  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
    return alignment <= cache_line ? take<std::byte>(bytes).data() : nullptr;
  }
  void release(void* p, std::size_t bytes, std::size_t) noexcept {
    const auto* const first = static_cast<std::byte*>(p);
    if (first + bytes == base_ + used_) used_ = static_cast<std::size_t>(first - base_);
  }

  /// Position to return to with `release`; everything taken since then is given back.
  [[nodiscard]] std::size_t mark() const noexcept { return used_; }
  void release(std::size_t mark) noexcept { used_ = mark; }

  [[nodiscard]] std::size_t used() const noexcept { return used_; }
  [[nodiscard]] std::size_t peak() const noexcept { return peak_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return size_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
  bool measuring_ = false;
  bool exhausted_ = false;
};

BITNET_NAMESPACE_END
