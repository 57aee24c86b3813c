// SPDX-License-Identifier: Apache-2.0
// Huge pages for weights: fewer page faults while they are loaded, fewer TLB misses while read.
#pragma once

#include <bitnet/config.hpp>

#include <cstddef>

#if defined(__linux__)
#include <sys/mman.h>
#endif

BITNET_NAMESPACE_BEGIN

/// The size of a huge page on most systems; larger blocks of memory are aligned to it.
inline constexpr std::size_t huge_page = std::size_t{1} << 21;

/// Asks the system for huge pages in the whole ones of [memory, memory + bytes), `memory` aligned
/// to one. A hint: nothing depends on the answer.
inline void ask_for_huge_pages([[maybe_unused]] void* memory,
                               [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const std::size_t whole = bytes / huge_page * huge_page;
  if (whole != 0) static_cast<void>(::madvise(memory, whole, MADV_HUGEPAGE));
#endif
}

BITNET_NAMESPACE_END
