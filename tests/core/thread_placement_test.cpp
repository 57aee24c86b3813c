// SPDX-License-Identifier: Apache-2.0
// Where a pool's threads run and how urgently, errors that name what is wrong, and what idling and
// waiting cost.
#include <bitnet/core/thread_pool.hpp>

#include "doctest.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <ctime>
#endif

namespace {

using bitnet::errc;
using bitnet::thread_pool;
using bitnet::thread_priority;
using std::chrono::milliseconds;

/// Runs a loop in which every worker runs look(worker) at least once.
template <class Look>
void on_each_worker(thread_pool& pool, Look look) {
  std::atomic<std::size_t> here{0};
  std::vector<char> seen(pool.concurrency(), 0);
  pool.parallel_for(pool.concurrency(), [&](std::size_t, std::size_t w) {
    if (seen[w]++ == 0) {
      look(w);
      ++here;
    }
    // Nobody leaves, so nobody takes a second index, until everybody has come.
    for (int i = 0; i < 10000 && here < pool.concurrency(); ++i)
      std::this_thread::sleep_for(milliseconds{1});
  });
  REQUIRE(here == pool.concurrency());
}

/// The error with which a pool is refused.
std::string refusal(const bitnet::thread_pool_options& options, errc code) {
  const auto pool = thread_pool::make(options);
  REQUIRE(!pool);
  CHECK(pool.error().code() == code);
  return std::string{pool.error().what()};
}

}  // namespace

TEST_CASE("lists of processors that fit no pool are refused by name") {
  const std::array<std::uint32_t, 2> two{0, 0};
  const std::span<const std::uint32_t> none;
  CHECK(refusal({.affinity = none}, errc::invalid_argument) == "affinity");
  CHECK(refusal({.threads = 2, .affinity = none}, errc::invalid_argument) == "affinity");
  CHECK(refusal({.threads = 3, .affinity = two}, errc::invalid_argument) == "affinity");
  CHECK(refusal({.threads = 1, .affinity = two}, errc::invalid_argument) == "affinity");
  const std::vector<std::uint32_t> many(thread_pool::max_threads + 1, 0);
  CHECK(refusal({.affinity = many}, errc::invalid_argument) == "threads");
  const auto absurd = static_cast<thread_priority>(7);
  CHECK(refusal({.threads = 2, .priority = absurd}, errc::invalid_argument) == "priority");
}

#if defined(__linux__) || defined(_WIN32)

TEST_CASE("a processor that does not exist is refused by number") {
  for (const std::uint32_t number : {8191U, 8192U, 100000U, 0xffffffffU}) {
    const std::string name = "processor " + std::to_string(number);
    const std::array<std::uint32_t, 3> workers{0, 0, number};
    CHECK(refusal({.affinity = workers}, errc::invalid_argument) == name);
    const std::array<std::uint32_t, 2> caller{number, 0};
    if (bitnet::place_this_thread({.processor = 0}))
      CHECK(refusal({.affinity = caller, .place_caller = true}, errc::invalid_argument) == name);
  }
}

#endif
#if defined(__linux__)

namespace {

/// Processors that this process may use.
std::vector<std::uint32_t> allowed_processors() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  std::vector<std::uint32_t> numbers;
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return numbers;
  for (std::uint32_t i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &mask)) numbers.push_back(i);
  return numbers;
}

/// The only processor that the calling thread may use, or -1.
int bound_to() {
  const auto numbers = allowed_processors();
  return numbers.size() == 1 ? static_cast<int>(numbers[0]) : -1;
}

double cpu_ms(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

/// Runs `test` on a thread of its own, whose placement ends with it.
template <class Test>
void apart(Test test) {
  std::thread{test}.join();
}

}  // namespace

TEST_CASE("workers run where they are told, and the caller where it likes") {
  apart([] {
    const auto allowed = allowed_processors();
    REQUIRE(!allowed.empty());
    std::vector<std::uint32_t> list;
    for (std::size_t w = 0; w < 5; ++w) list.push_back(allowed[w * 3 % allowed.size()]);
    const auto wanted = list;
    auto pool = thread_pool::make({.affinity = list});
    list.assign(list.size(), 12345);  // make has read it
    REQUIRE(pool);
    REQUIRE(pool->concurrency() == wanted.size());
    std::vector<int> runs_on(wanted.size(), -2), bound(wanted.size(), -2);
    for (int round = 0; round < 20; ++round) {
      on_each_worker(*pool, [&](std::size_t w) {
        runs_on[w] = sched_getcpu();
        bound[w] = bound_to();
      });
      for (std::size_t w = 1; w < wanted.size(); ++w) {
        REQUIRE(runs_on[w] == static_cast<int>(wanted[w]));
        REQUIRE(bound[w] == static_cast<int>(wanted[w]));
      }
      REQUIRE(allowed_processors() == allowed);
    }
  });
}

TEST_CASE("the caller is placed when that is asked for") {
  apart([] {
    const std::uint32_t last = allowed_processors().back();
    const std::array<std::uint32_t, 2> list{last, last};
    auto pool = thread_pool::make({.affinity = list, .place_caller = true});
    REQUIRE(pool);
    CHECK(sched_getcpu() == static_cast<int>(last));
    CHECK(bound_to() == static_cast<int>(last));
  });
}

TEST_CASE("background is ten steps nicer, for the workers alone unless asked") {
  apart([] {
    const int before = getpriority(PRIO_PROCESS, 0);
    const int nicer = std::min(before + 10, 19);
    for (const bool caller : {false, true}) {
      auto pool = thread_pool::make(
          {.threads = 3, .priority = thread_priority::background, .place_caller = caller});
      REQUIRE(pool);
      std::array<int, 3> nice{};
      on_each_worker(*pool, [&](std::size_t w) { nice[w] = getpriority(PRIO_PROCESS, 0); });
      CHECK(nice == std::array<int, 3>{caller ? nicer : before, nicer, nicer});
    }
  });
}

TEST_CASE("an idle pool spins for its bound and then costs nothing") {
  for (const std::uint32_t spin_us : {0U, 50U, 20000U}) {
    constexpr std::size_t threads = 4;
    auto pool = thread_pool::make({.threads = threads, .spin_us = spin_us});
    REQUIRE(pool);
    on_each_worker(*pool, [](std::size_t) {});
    const double before = cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
    std::this_thread::sleep_for(milliseconds{200});
    const double used = cpu_ms(CLOCK_PROCESS_CPUTIME_ID) - before;
    CAPTURE(spin_us);
    CHECK(used < (threads - 1) * spin_us * 1e-3 + 10.0);  // ms; spinning on would take 200 or more
  }
}

TEST_CASE("a caller that waits for the last index sleeps") {
  auto pool = thread_pool::make({.threads = 2});
  REQUIRE(pool);
  std::atomic<bool> started{false};
  const double before = cpu_ms(CLOCK_THREAD_CPUTIME_ID);
  pool->parallel_for(2, [&](std::size_t, std::size_t w) {
    if (w == 0) {
      while (!started) std::this_thread::sleep_for(milliseconds{1});
    } else if (!started.exchange(true)) {
      std::this_thread::sleep_for(milliseconds{200});
    }
  });
  CHECK(started);
  CHECK(cpu_ms(CLOCK_THREAD_CPUTIME_ID) - before < 20.0);
}

TEST_CASE("loops complete beside a busy thread on the workers' only processor") {
  apart([] {
    const std::uint32_t first = allowed_processors().front();
    std::atomic<bool> stop{false};
    std::thread rival{[&] {
      if (bitnet::place_this_thread({.processor = first}))
        while (!stop.load(std::memory_order_relaxed)) bitnet::cpu_pause();
    }};
    const std::array<std::uint32_t, 3> list{first, first, first};
    auto pool = thread_pool::make({.affinity = list, .priority = thread_priority::background});
    REQUIRE(pool);
    for (int round = 0; round < 200; ++round) {
      std::array<std::atomic<int>, 64> hits{};
      pool->parallel_for(hits.size(), [&](std::size_t i, std::size_t) { ++hits[i]; });
      for (const auto& h : hits) REQUIRE(h == 1);
    }
    stop = true;
    rival.join();
  });
}

#endif
