// SPDX-License-Identifier: Apache-2.0
// A small job system, such as a game has: loops that its frames and the model both use.
#pragma once

#include <bitnet/core/executor.hpp>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

namespace game {

/// Runs loops on the calling thread and its workers: a bitnet executor (see core/executor.hpp).
/// Called by one thread at a time.
class job_system {
 public:
  explicit job_system(std::size_t threads) {
    for (std::size_t w = 1; w < threads; ++w) workers_.emplace_back([this, w] { serve(w); });
  }
  job_system(const job_system&) = delete;
  job_system& operator=(const job_system&) = delete;
  ~job_system() {
    {
      const std::lock_guard lock{mutex_};
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : workers_) t.join();
  }

  [[nodiscard]] std::size_t concurrency() const noexcept { return workers_.size() + 1; }

  void parallel_for(std::size_t n, bitnet::parallel_task task) {
    if (workers_.empty() || n < 2) {
      for (std::size_t i = 0; i < n; ++i) task(i, 0);
      return;
    }
    {
      const std::lock_guard lock{mutex_};
      task_ = &task;
      count_ = n;
      next_ = 0;
      inside_ = 0;
      ++loop_;
    }
    wake_.notify_all();
    take(0, task, n);
    std::unique_lock lock{mutex_};
    task_ = nullptr;  // who comes too late finds nothing
    idle_.wait(lock, [this] { return inside_ == 0; });
  }

 private:
  void take(std::size_t worker, const bitnet::parallel_task& task, std::size_t n) {
    for (std::size_t i = next_++; i < n; i = next_++) task(i, worker);
  }
  void serve(std::size_t worker) {
    std::unique_lock lock{mutex_};
    for (std::size_t seen = 0;;) {
      wake_.wait(lock, [&] { return stop_ || loop_ != seen; });
      if (stop_) return;
      seen = loop_;
      const bitnet::parallel_task* task = task_;
      if (task == nullptr) continue;
      const std::size_t n = count_;
      ++inside_;
      lock.unlock();
      take(worker, *task, n);
      lock.lock();
      if (--inside_ == 0) idle_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  const bitnet::parallel_task* task_ = nullptr;
  std::size_t count_ = 0;
  std::atomic<std::size_t> next_{0};
  std::size_t inside_ = 0;
  std::size_t loop_ = 0;
  bool stop_ = false;
  std::vector<std::thread> workers_;
};
static_assert(bitnet::executor<job_system>);

}  // namespace game
