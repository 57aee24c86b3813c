// SPDX-License-Identifier: Apache-2.0
// How work reaches threads: the concept a host's job system fulfils, and the serial executor.
#pragma once

#include <bitnet/core/function_ref.hpp>

#include <concepts>
#include <cstddef>

BITNET_NAMESPACE_BEGIN

/// One piece of a parallel loop: `task(index, worker)`. Indices may run in any order and on any
/// thread; `worker` is below concurrency() and no two pieces with the same worker run at once, so
/// it may select scratch memory.
using parallel_task = function_ref<void(std::size_t index, std::size_t worker)>;

/// Runs loops. `parallel_for(n, task)` calls task(i, w) once for each i in [0, n) and returns when
/// all calls have returned; it is called by one thread at a time and never from inside a task.
/// `concurrency()` is the number of workers, at least 1, and never changes.
template <class E>
concept executor = requires(E& e, std::size_t n, parallel_task task) {
  { e.concurrency() } -> std::convertible_to<std::size_t>;
  e.parallel_for(n, task);
};

/// Runs every loop on the calling thread and makes no thread.
struct serial_executor {
  [[nodiscard]] static constexpr std::size_t concurrency() noexcept { return 1; }
  static void parallel_for(std::size_t n, parallel_task task) {
    for (std::size_t i = 0; i < n; ++i) task(i, 0);
  }
};
static_assert(executor<serial_executor>);

/// A borrowed executor of any type, so that one instantiation serves all of them.
class executor_ref {
 public:
  template <executor E>
    requires(!std::same_as<E, executor_ref>)
  executor_ref(E& e)
  noexcept  // NOLINT(google-explicit-constructor)
      : object_{&e},
        concurrency_{e.concurrency()},
        run_{[](void* object, std::size_t n, parallel_task task) {
          static_cast<E*>(object)->parallel_for(n, task);
        }} {}

  [[nodiscard]] std::size_t concurrency() const noexcept { return concurrency_; }
  void parallel_for(std::size_t n, parallel_task task) const { run_(object_, n, task); }

 private:
  void* object_;
  std::size_t concurrency_;
  void (*run_)(void*, std::size_t, parallel_task);
};

BITNET_NAMESPACE_END
