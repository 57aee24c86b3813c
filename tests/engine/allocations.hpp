// SPDX-License-Identifier: Apache-2.0
// Counts of operator new and malloc, which allocations.cpp replaces for all of test_engine.
#pragma once

#include <atomic>
#include <cstddef>

namespace testing {

struct allocations {
  static inline std::atomic<std::size_t> count{0};
  static const bool counts_malloc;  ///< operator new alone where the platform lets it be
  static inline std::atomic<std::size_t> largest{0};  ///< since somebody set it to 0
  /// Whether a call is the host's own (host_memory), which `largest` leaves out.
  static inline std::atomic<bool> hosts_own{false};
};

}  // namespace testing
