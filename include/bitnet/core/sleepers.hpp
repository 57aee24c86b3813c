// SPDX-License-Identifier: Apache-2.0
// Threads that sleep until an atomic number changes.
#pragma once

#include <bitnet/config.hpp>

#include <atomic>

// Where libstdc++ has no futex (MinGW), a thread in atomic::wait looks at the number and then takes
// the lock that it sleeps under, and a notify that comes in between is lost: seen with GCC 12,
// whose waiting thread slept for good.
#if defined(__GLIBCXX__) && !defined(_GLIBCXX_HAVE_LINUX_FUTEX)
#define BITNET_ATOMIC_WAIT 0
#include <condition_variable>
#include <mutex>
#else
#define BITNET_ATOMIC_WAIT 1
#endif

BITNET_NAMESPACE_BEGIN

/// The threads that sleep because of one number. Whoever changes it wakes them afterwards.
class sleepers {
 public:
  /// Sleeps until the number is another one; may also return early.
  template <class T>
  void wait(const std::atomic<T>& number, T old) noexcept {
#if BITNET_ATOMIC_WAIT
    number.wait(old, std::memory_order_acquire);
#else
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return number.load(std::memory_order_acquire) != old; });
#endif
  }

  template <class T>
  void wake_one(std::atomic<T>& number) noexcept {
#if BITNET_ATOMIC_WAIT
    number.notify_one();
#else
    wake_all(number);
#endif
  }

  template <class T>
  void wake_all([[maybe_unused]] std::atomic<T>& number) noexcept {
#if BITNET_ATOMIC_WAIT
    number.notify_all();
#else
    { const std::lock_guard lock{mutex_}; }  // who has seen the old number sleeps by now
    changed_.notify_all();
#endif
  }

#if !BITNET_ATOMIC_WAIT
 private:
  std::mutex mutex_;
  std::condition_variable changed_;
#endif
};

BITNET_NAMESPACE_END
