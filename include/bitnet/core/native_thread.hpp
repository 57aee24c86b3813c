// SPDX-License-Identifier: Apache-2.0
// A thread of the operating system whose creation may fail, which std::thread reports by throwing.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/result.hpp>

#include <cstddef>
#include <thread>
#include <utility>

#if defined(_WIN32)
#if !defined(WIN32_LEAN_AND_MEAN)
#define WIN32_LEAN_AND_MEAN
#endif
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <process.h>
#include <windows.h>
#else
#include <pthread.h>
#include <signal.h>
#endif
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

BITNET_NAMESPACE_BEGIN

/// Tells the core that this is a spin loop: saves power and yields to a sibling hardware thread.
BITNET_INLINE void cpu_pause() noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
#if BITNET_ARCH_X86_64
  _mm_pause();
#else
  __yield();
#endif
#elif BITNET_ARCH_X86_64
  __builtin_ia32_pause();
#elif BITNET_ARCH_AARCH64
  asm volatile("isb" ::: "memory");  // `yield` is a no-op on most cores; isb waits some 10 ns
#endif
}

/// Hardware threads that the system offers, at least 1.
[[nodiscard]] inline std::size_t hardware_threads() noexcept {
#if defined(__EMSCRIPTEN__) && !defined(__EMSCRIPTEN_PTHREADS__)
  return 1;  // built without threads, whatever the machine has
#else
  const unsigned n = std::thread::hardware_concurrency();
  return n == 0 ? 1 : n;
#endif
}

/// Owns a running thread. Move-only; joined by `join` or at the latest on destruction.
class native_thread {
 public:
  native_thread() noexcept = default;
  native_thread(native_thread&& other) noexcept
      : handle_{other.handle_}, running_{std::exchange(other.running_, false)} {}
  native_thread& operator=(native_thread&& other) noexcept {
    join();
    handle_ = other.handle_;
    running_ = std::exchange(other.running_, false);
    return *this;
  }
  native_thread(const native_thread&) = delete;
  native_thread& operator=(const native_thread&) = delete;
  ~native_thread() { join(); }

  /// Runs Entry(argument) on a new thread. The thread takes no signals: those are the host's.
  /// errc::out_of_memory when the system refuses one more thread.
  template <auto Entry>
  [[nodiscard]] static result<native_thread> start(void* argument) noexcept {
    native_thread thread;
#if defined(_WIN32)
    const std::uintptr_t handle =
        _beginthreadex(nullptr, 0, &native_thread::enter<Entry>, argument, 0, nullptr);
    if (handle == 0) return refused();
    thread.handle_ = reinterpret_cast<HANDLE>(handle);
#else
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    const bool masked = pthread_sigmask(SIG_SETMASK, &all, &before) == 0;  // a thread inherits it
    const int failure =
        pthread_create(&thread.handle_, nullptr, &native_thread::enter<Entry>, argument);
    if (masked) pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (failure != 0) return refused();
#endif
    thread.running_ = true;
    return thread;
  }

  /// Waits for the thread to end. Does nothing if there is none.
  void join() noexcept {
    if (!std::exchange(running_, false)) return;
#if defined(_WIN32)
    WaitForSingleObject(handle_, INFINITE);
    CloseHandle(handle_);
#else
    pthread_join(handle_, nullptr);
#endif
  }

 private:
  static error refused() noexcept {
    return {errc::out_of_memory, "the system refused to start a thread; ask for fewer", "threads"};
  }

#if defined(_WIN32)
  template <auto Entry>
  static unsigned __stdcall enter(void* argument) noexcept {
    Entry(argument);
    return 0;
  }
  HANDLE handle_ = nullptr;
#else
  template <auto Entry>
  static void* enter(void* argument) noexcept {
    Entry(argument);
    return nullptr;
  }
  pthread_t handle_{};
#endif
  bool running_ = false;
};

BITNET_NAMESPACE_END
