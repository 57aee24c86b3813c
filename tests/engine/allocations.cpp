// SPDX-License-Identifier: Apache-2.0
// The operator new that counts. A file of its own: where it is seen, it is inlined.
#include "engine/allocations.hpp"

#include <cstdlib>
#include <new>

namespace {
using testing::allocations;

void* counted(std::size_t size, std::size_t alignment) noexcept {
  ++allocations::count;
  for (std::size_t before = allocations::largest; before < size && !allocations::hosts_own;)
    if (allocations::largest.compare_exchange_weak(before, size)) break;
  const std::size_t whole = (size + alignment - 1) / alignment * alignment;
#if defined(_WIN32)
  return _aligned_malloc(whole == 0 ? alignment : whole, alignment);
#else
  return std::aligned_alloc(alignment, whole == 0 ? alignment : whole);
#endif
}

// Not inline: GCC would see free() for what it takes to come from its own operator new.
#if defined(__GNUC__)
__attribute__((noinline))
#endif
void release(void* p) noexcept {
#if defined(_WIN32)
  _aligned_free(p);
#else
  std::free(p);
#endif
}
}  // namespace

// The forms that the others forward to, and the aligned ones.
void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t a) {
  return counted(size, static_cast<std::size_t>(a));
}
void* operator new(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return counted(size, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { release(p); }
