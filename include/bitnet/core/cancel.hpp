// SPDX-License-Identifier: Apache-2.0
// A flag by which any thread asks work of another one to stop.
#pragma once

#include <bitnet/config.hpp>

#include <atomic>

BITNET_NAMESPACE_BEGIN

/// Set by any thread, at any time; what heeds it stops soon after, gives errc::cancelled, and
/// leaves things as they were. It stays set until it is reset, and must outlive what heeds it.
class cancel_token {
 public:
  void cancel() noexcept { flag_.store(true, std::memory_order_relaxed); }
  void reset() noexcept { flag_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool cancelled() const noexcept { return flag_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> flag_{false};
};

BITNET_NAMESPACE_END
