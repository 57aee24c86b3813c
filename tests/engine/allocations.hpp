// SPDX-License-Identifier: Apache-2.0
// Counts of operator new, and with glibc of malloc, which allocations.cpp replaces for all of
// test_engine.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>

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

namespace testing {

struct allocations {
  static inline std::atomic<std::size_t> count{0};
  static inline std::atomic<std::size_t> largest{0};  ///< since somebody set it to 0
  /// Whether a call is the host's own (host_memory), which `largest` leaves out.
  static inline std::atomic<bool> hosts_own{false};
};

}  // namespace testing
