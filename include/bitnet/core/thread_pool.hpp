// SPDX-License-Identifier: Apache-2.0
// A pool of threads that shares out loops: quick when hot, asleep when idle, patient with nobody.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/executor.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/core/native_thread.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/core/sleepers.hpp>
#include <bitnet/core/thread_placement.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <utility>

BITNET_NAMESPACE_BEGIN

/// How a thread_pool is built.
struct thread_pool_options {
  /// Workers, the caller included; 0 = one per entry of `affinity`, or else per hardware thread.
  std::size_t threads = 0;
  std::uint32_t spin_us = 50;  ///< microseconds to spin before sleeping; 0 = sleep at once

  /// One processor for each worker, read by `make` alone: worker w runs on the w-th and nowhere
  /// else. Processors may be listed twice. The caller is worker 0: see `place_caller`.
  std::optional<std::span<const std::uint32_t>> affinity{};
  thread_priority priority = thread_priority::normal;  ///< of the workers
  /// Whether the thread that calls `make` gets affinity[0] and the priority too, for good. Without
  /// it that thread is left as it is.
  bool place_caller = false;
};

/// Threads that run loops together with the caller, who is worker 0: an `executor`.
///
/// Each worker starts with a contiguous share of the indices, so that it meets the same memory
/// from loop to loop, and takes single indices of other shares when its own is used up. A thread
/// that sleeps or has lost its core therefore delays a loop by the one index it is running at
/// most. Idle workers, and a caller waiting for the last index, spin for `spin_us` and then sleep.
///
/// While one thread's loop runs, a loop of another thread, or one inside a task, runs on the thread
/// that calls it: right, but alone. Tasks must not
/// throw: an exception that leaves a task ends the program. What tasks wrote is visible to the
/// caller when parallel_for returns. Destruction joins the threads. Threads take their
/// floating-point environment from the system, commonly that of the thread that called `make`.
class thread_pool {
 public:
  static constexpr std::size_t max_threads = 1024;

  /// errc::invalid_argument for more than max_threads, for an `affinity` that is empty or of
  /// another length than `threads`; errc::out_of_memory, also if the system starts no more threads;
  /// the errors of place_this_thread. Returns once every worker has its place.
  [[nodiscard]] static result<thread_pool> make(const thread_pool_options& options = {}) noexcept {
    BITNET_TRY(const std::size_t threads, count_threads(options));
    std::unique_ptr<shared> state{new (std::nothrow) shared};
    if (state == nullptr) return out_of_memory();
    state->workers.reset(new (std::nothrow) worker[threads]);
    if (state->workers == nullptr) return out_of_memory();
    state->concurrency = threads;
    state->spin = std::chrono::microseconds{options.spin_us};
    for (std::size_t w = 1; w < threads; ++w) {
      worker& self = state->workers[w];
      self.pool = state.get();
      self.index = w;
      self.place = place_of(options, w);
      BITNET_TRY(self.thread, native_thread::start<&worker::main>(&self));
    }
    for (std::size_t w = 1; w < threads; ++w) {
      worker& self = state->workers[w];
      while (!self.placed.load(std::memory_order_acquire)) self.maker.wait(self.placed, false);
      BITNET_CHECK(self.placing);
    }
    if (options.place_caller) BITNET_CHECK(place_this_thread(place_of(options, 0)));
    return thread_pool{std::move(state)};
  }

  /// Number of workers, the caller included. Not for a pool that was moved from.
  [[nodiscard]] std::size_t concurrency() const noexcept { return state_->concurrency; }

  /// Calls task(i, worker) once for each i in [0, n); see `executor`.
  void parallel_for(std::size_t n, parallel_task task) noexcept { state_->run(n, task); }

 private:
  struct shared;

  /// A worker's share of the loop, on a line of its own, and its thread.
  struct alignas(cache_line) worker {
    std::atomic<std::size_t> next{0};  // first index of the share that nobody has taken
    std::size_t end = 0;
    std::size_t index = 0;
    shared* pool = nullptr;
    thread_placement place;
    status placing;  // how it went; to be read once `placed`
    std::atomic<bool> placed{false};
    sleepers maker;        // until placed
    native_thread thread;  // last, so that it is joined before anything that it uses goes

    static void main(void* self) noexcept {
      auto* const w = static_cast<worker*>(self);
      w->placing = place_this_thread(w->place);
      w->placed.store(true, std::memory_order_release);
      w->maker.wake_one(w->placed);
      w->pool->serve(w->index);
    }
  };

  // A loop is open or closed. `gate` holds an open bit and the number of threads inside. A thread
  // enters by adding itself while the bit is set; the caller clears the bit once no index is left
  // and waits for the threads inside, never for those that have not come. The loop's plain fields
  // change only while the gate is zero, so no late thread can see half of a new loop. `epoch` is
  // what sleepers watch; it may be stale by any amount without harm.
  struct shared {
    static constexpr std::uint32_t open = 1U << 31;

    alignas(cache_line) std::atomic<std::uint32_t> epoch{0};
    alignas(cache_line) std::atomic<std::uint32_t> gate{0};
    alignas(cache_line) const parallel_task* task = nullptr;
    sleepers idle;    // until epoch changes
    sleepers caller;  // until gate does
    std::atomic<bool> stop{false};
    std::atomic_flag busy;  // a loop is running; clear from the start in C++20
    std::size_t concurrency = 1;
    std::chrono::microseconds spin{0};
    std::unique_ptr<worker[]> workers;

    shared() noexcept = default;
    shared(const shared&) = delete;
    shared& operator=(const shared&) = delete;

    ~shared() {
      stop.store(true, std::memory_order_relaxed);
      announce();
      workers.reset();  // joins, while everything that the threads use is still here
    }

    void announce() noexcept {
      epoch.fetch_add(1, std::memory_order_release);
      idle.wake_all(epoch);
    }

    void run(std::size_t n, const parallel_task& body) noexcept {
      if (concurrency == 1 || n <= 1) {
        for (std::size_t i = 0; i < n; ++i) body(i, 0);
        return;
      }
      if (busy.test_and_set(std::memory_order_acquire)) {  // another caller has the threads
        for (std::size_t i = 0; i < n; ++i) body(i, 0);
        return;
      }
      run_shared(n, body);
      busy.clear(std::memory_order_release);
    }

    void run_shared(std::size_t n, const parallel_task& body) noexcept {
      task = &body;
      const std::size_t share = n / concurrency;
      const std::size_t longer = n % concurrency;  // the first shares have one index more
      std::size_t begin = 0;
      for (std::size_t w = 0; w < concurrency; ++w) {
        workers[w].next.store(begin, std::memory_order_relaxed);
        begin += share + (w < longer ? 1 : 0);
        workers[w].end = begin;
      }
      gate.store(open, std::memory_order_release);
      announce();
      take_indices(0);
      std::uint32_t inside = gate.fetch_and(~open, std::memory_order_acq_rel) & ~open;
      if (inside == 0) return;
      const auto left = [&]() noexcept {
        inside = gate.load(std::memory_order_acquire);
        return inside == 0;
      };
      if (spin_until(left)) return;
      while (!left()) caller.wait(gate, inside);
    }

    /// Runs what is left of the loop, own share first.
    void take_indices(std::size_t self) noexcept {
      const parallel_task& body = *task;
      for (std::size_t k = 0; k < concurrency; ++k) {
        const std::size_t of = self + k < concurrency ? self + k : self + k - concurrency;
        worker& owner = workers[of];
        // The load keeps a used-up share's line unwritten, and the counter from running away.
        while (owner.next.load(std::memory_order_relaxed) < owner.end) {
          const std::size_t i = owner.next.fetch_add(1, std::memory_order_relaxed);
          if (i >= owner.end) break;
          body(i, self);
        }
      }
    }

    /// Life of a worker thread.
    void serve(std::size_t self) noexcept {
      std::uint32_t seen = 0;
      for (;;) {
        const auto announced = [&]() noexcept {
          return epoch.load(std::memory_order_acquire) != seen;
        };
        if (!spin_until(announced))
          while (!announced()) idle.wait(epoch, seen);
        seen = epoch.load(std::memory_order_acquire);
        if (stop.load(std::memory_order_relaxed)) return;
        std::uint32_t state = gate.load(std::memory_order_relaxed);
        while ((state & open) != 0) {
          if (!gate.compare_exchange_weak(state, state + 1, std::memory_order_acquire,
                                          std::memory_order_relaxed))
            continue;
          take_indices(self);
          // Before the subtraction 1 means: closed, and this thread is the last one inside.
          if (gate.fetch_sub(1, std::memory_order_acq_rel) == 1) caller.wake_one(gate);
          break;
        }
      }
    }

    /// Spins until done() or until the time is used up; says which.
    template <class Done>
    [[nodiscard]] bool spin_until(const Done& done) const noexcept {
      if (done()) return true;
      if (spin.count() == 0) return false;
      const auto end = std::chrono::steady_clock::now() + spin;
      do {
        for (int i = 0; i < 16; ++i) {  // reading the clock costs about as much as this
          cpu_pause();
          if (done()) return true;
        }
      } while (std::chrono::steady_clock::now() < end);
      return false;
    }
  };

  explicit thread_pool(std::unique_ptr<shared> state) noexcept : state_{std::move(state)} {}

  static result<std::size_t> count_threads(const thread_pool_options& options) noexcept {
    std::size_t threads = options.threads;
    if (options.affinity) {
      const std::size_t listed = options.affinity->size();
      if (listed == 0)
        return error{errc::invalid_argument, "an empty list of processors; leave it out",
                     "affinity"};
      if (threads == 0) threads = listed;
      if (threads != listed)
        return error{errc::invalid_argument, "list one processor for each of `threads`",
                     "affinity"};
    }
    if (threads == 0) threads = std::min(hardware_threads(), max_threads);
    if (threads > max_threads)
      return error{errc::invalid_argument, "a pool has at most 1024 threads", "threads"};
    return threads;
  }

  static thread_placement place_of(const thread_pool_options& options, std::size_t w) noexcept {
    thread_placement place{.processor = std::nullopt, .priority = options.priority};
    if (options.affinity) place.processor = (*options.affinity)[w];
    return place;
  }

  static error out_of_memory() noexcept {
    return {errc::out_of_memory, "the allocator returned no memory", "thread pool"};
  }

  std::unique_ptr<shared> state_;
};
static_assert(executor<thread_pool>);

BITNET_NAMESPACE_END
