// SPDX-License-Identifier: Apache-2.0
// Parallel loops of small pieces with and without a thread that keeps one processor busy: the pool
// against a spin barrier of the usual kind (equal shares, spin until all are done).
//   pool_bench [THREADS] [SECONDS]
#include <bitnet/core/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::size_t pieces_per_worker = 8;
constexpr double piece_us = 50.0;

/// Arithmetic that no compiler removes; about 1 ns a step.
void work(std::uint64_t steps) {
  static std::atomic<std::uint64_t> sink{0};
  std::uint64_t x = steps | 1U;
  for (std::uint64_t i = 0; i < steps; ++i) x = x * 6364136223846793005U + 1442695040888963407U;
  if (x == 0) sink.fetch_add(1, std::memory_order_relaxed);
}

/// Steps of `work` that take piece_us on a processor of one's own: the best of many tries.
std::uint64_t steps_of_a_piece() {
  constexpr std::uint64_t tried = 50000;
  double best = 1e9;
  for (int i = 0; i < 200; ++i) {
    const auto start = clock_type::now();
    work(tried);
    const std::chrono::duration<double, std::micro> took = clock_type::now() - start;
    best = std::min(best, took.count());
  }
  return static_cast<std::uint64_t>(static_cast<double>(tried) * piece_us / best);
}

/// The usual kind: each thread runs its share and spins until all have run theirs.
class spin_barrier {
 public:
  explicit spin_barrier(std::size_t threads) : threads_{threads} {
    for (std::size_t w = 1; w < threads; ++w) others_.emplace_back([this, w] { serve(w); });
  }
  spin_barrier(const spin_barrier&) = delete;
  spin_barrier& operator=(const spin_barrier&) = delete;
  ~spin_barrier() {
    task_ = nullptr;
    round_.fetch_add(1, std::memory_order_release);
    for (std::thread& t : others_) t.join();
  }
  [[nodiscard]] std::size_t concurrency() const { return threads_; }

  void parallel_for(std::size_t n, bitnet::parallel_task task) {
    task_ = &task;
    n_ = n;
    left_.store(threads_ - 1, std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    run_share(0);
    while (left_.load(std::memory_order_acquire) != 0) bitnet::cpu_pause();
  }

 private:
  void run_share(std::size_t w) {
    for (std::size_t i = n_ * w / threads_; i < n_ * (w + 1) / threads_; ++i) (*task_)(i, w);
  }
  void serve(std::size_t w) {
    for (std::uint32_t seen = 0;;) {
      while (round_.load(std::memory_order_acquire) == seen) bitnet::cpu_pause();
      ++seen;
      if (task_ == nullptr) return;
      run_share(w);
      left_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::size_t threads_;
  const bitnet::parallel_task* task_ = nullptr;
  std::size_t n_ = 0;
  alignas(64) std::atomic<std::uint32_t> round_{0};
  alignas(64) std::atomic<std::size_t> left_{0};
  std::vector<std::thread> others_;
};

/// A thread that takes what it gets of one processor.
class rival {
 public:
  explicit rival(std::uint32_t processor)
      : thread_{[this, processor] {
          const auto placed = bitnet::place_this_thread({.processor = processor});
          if (!placed) std::fprintf(stderr, "rival: %s\n", to_string(placed.error()).c_str());
          while (!stop_.load(std::memory_order_relaxed)) bitnet::cpu_pause();
        }} {}
  rival(const rival&) = delete;
  rival& operator=(const rival&) = delete;
  ~rival() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct speed {
  double pieces_per_s = 0.0;
  double p99_ms = 0.0;  ///< of one loop
};

speed measure(bitnet::executor_ref threads, std::uint64_t steps, double seconds) {
  const std::size_t n = pieces_per_worker * threads.concurrency();
  std::vector<double> loops_ms;
  const auto start = clock_type::now();
  std::chrono::duration<double> total{};
  while (total.count() < seconds) {
    const auto before = clock_type::now();
    threads.parallel_for(n, [&](std::size_t, std::size_t) { work(steps); });
    const auto now = clock_type::now();
    loops_ms.push_back(std::chrono::duration<double, std::milli>(now - before).count());
    total = now - start;
  }
  const auto p99 = loops_ms.begin() + static_cast<std::ptrdiff_t>(loops_ms.size() * 99 / 100);
  std::nth_element(loops_ms.begin(), p99, loops_ms.end());
  return {static_cast<double>(n * loops_ms.size()) / total.count(), *p99};
}

/// Median of several turns by throughput; the kinds of loop take turns, so that all see the same
/// machine.
speed median(std::vector<speed> turns) {
  const auto middle = turns.begin() + static_cast<std::ptrdiff_t>(turns.size() / 2);
  std::nth_element(turns.begin(), middle, turns.end(),
                   [](const speed& a, const speed& b) { return a.pieces_per_s < b.pieces_per_s; });
  return *middle;
}

struct kind {
  const char* name;
  bool spins, pinned;
};

speed run(const kind& k, std::size_t threads, std::uint64_t steps, double seconds) {
  if (k.spins) {
    spin_barrier barrier{threads};
    return measure(barrier, steps, seconds);
  }
  std::vector<std::uint32_t> list;
  for (std::uint32_t w = 0; w < threads; ++w) list.push_back(w);
  bitnet::thread_pool_options options{.threads = threads};
  if (k.pinned) options.affinity = list;
  auto pool = bitnet::thread_pool::make(options);
  if (!pool) {
    std::fprintf(stderr, "error: %s\n", to_string(pool.error()).c_str());
    std::exit(1);
  }
  return measure(*pool, steps, seconds);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t threads = argc > 1 ? std::strtoul(argv[1], nullptr, 10)
                                       : std::max<std::size_t>(2, bitnet::hardware_threads());
  const double seconds = argc > 2 ? std::strtod(argv[2], nullptr) : 0.5;
  if (threads < 2 || threads > bitnet::thread_pool::max_threads || !(seconds > 0.0)) {
    std::fprintf(stderr, "usage: pool_bench [THREADS, 2 to 1024] [SECONDS of each turn]\n");
    return 2;
  }
  constexpr kind kinds[] = {
      {"pool", false, false}, {"pool, workers pinned", false, true}, {"spin barrier", true, false}};
  constexpr int turns = 5;
  const std::uint64_t steps = steps_of_a_piece();
  std::vector<speed> seen[2][3];
  for (int turn = 0; turn < turns; ++turn) {
    for (std::size_t busy = 0; busy < 2; ++busy) {
      std::optional<rival> other;
      if (busy == 1) other.emplace(static_cast<std::uint32_t>(threads - 1));
      for (std::size_t k = 0; k < 3; ++k)
        seen[busy][k].push_back(run(kinds[k], threads, steps, seconds));
    }
  }
  std::printf("%zu threads, loops of %zu pieces of %.0f us, median of %d turns of %g s\n", threads,
              pieces_per_worker * threads, piece_us, turns, seconds);
  std::printf("%-22s %12s %12s %7s %12s %12s\n", "", "pieces/s", "with rival", "kept",
              "p99 loop ms", "with rival");
  double contested[3] = {};
  for (std::size_t k = 0; k < 3; ++k) {
    const speed alone = median(seen[0][k]);
    const speed beside = median(seen[1][k]);
    contested[k] = beside.pieces_per_s;
    std::printf("%-22s %12.0f %12.0f %6.0f%% %12.2f %12.2f\n", kinds[k].name, alone.pieces_per_s,
                beside.pieces_per_s, 100.0 * beside.pieces_per_s / alone.pieces_per_s, alone.p99_ms,
                beside.p99_ms);
  }
  std::printf("with rival: pool %.2f times, pinned pool %.2f times the spin barrier\n",
              contested[0] / contested[2], contested[1] / contested[2]);
}
