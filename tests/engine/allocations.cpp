// SPDX-License-Identifier: Apache-2.0
// The operator new and the malloc that count. A file of their own: where they are seen, they are
// inlined.
#include "engine/allocations.hpp"

#include <cerrno>
#include <cstdlib>
#include <new>

// glibc lets a program have a malloc of its own; sanitizers have theirs already.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_MALLOC 0
#endif
#endif
#if !defined(OWN_MALLOC) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 1
#elif !defined(OWN_MALLOC)
#define OWN_MALLOC 0
#endif

const bool testing::allocations::counts_malloc = OWN_MALLOC == 1;

namespace {
using testing::allocations;

void count(std::size_t size) noexcept {
  ++allocations::count;
  for (std::size_t before = allocations::largest; before < size && !allocations::hosts_own;)
    if (allocations::largest.compare_exchange_weak(before, size)) break;
}

void* counted(std::size_t size, std::size_t alignment) noexcept {
  if (OWN_MALLOC == 0) count(size);  // else it is when it comes to malloc's kind
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

#if OWN_MALLOC
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* p, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
  count(size);
  return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) noexcept {
  count(n * size);
  return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t size) noexcept {
  count(size);
  return __libc_realloc(p, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  count(size);
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return memalign(alignment, size);
}
int posix_memalign(void** p, std::size_t alignment, std::size_t size) noexcept {
  *p = memalign(alignment, size);
  return *p == nullptr ? ENOMEM : 0;
}
}  // extern "C"
#endif

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
