// SPDX-License-Identifier: Apache-2.0
// Thread pool: every index once, workers never shared, creation and destruction, executor_ref.
#include <bitnet/core/thread_pool.hpp>

#include "doctest.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

namespace {

bool runs_each_once(bitnet::executor_ref pool, std::size_t n) {
  std::vector<int> hits(n, 0);
  const auto busy = std::make_unique<std::atomic<int>[]>(pool.concurrency());
  std::atomic<bool> shared_worker{false};
  pool.parallel_for(n, [&](std::size_t i, std::size_t w) {
    if (w >= pool.concurrency() || busy[w].fetch_add(1) != 0) shared_worker = true;
    ++hits[i];
    busy[w].fetch_sub(1);
  });
  for (const int h : hits)
    if (h != 1) return false;
  return !shared_worker;
}

/// Whether done() becomes true within ten seconds.
template <class Done>
bool eventually(Done done) {
  for (int i = 0; i < 10000 && !done(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  return done();
}

}  // namespace

TEST_CASE("a pool runs each index once, hot and from sleep") {
  for (const std::size_t threads : {1U, 2U, 3U, 8U}) {
    for (const std::uint32_t spin : {0U, 50U}) {
      auto pool = bitnet::thread_pool::make({.threads = threads, .spin_us = spin});
      REQUIRE(pool);
      CHECK(pool->concurrency() == threads);
      for (int round = 0; round < 50; ++round)
        for (const std::size_t n : {0U, 1U, 2U, 7U, 64U, 1000U}) REQUIRE(runs_each_once(*pool, n));
    }
  }
}

TEST_CASE("a pool can be made, moved and destroyed again and again") {
  for (int i = 0; i < 100; ++i) {
    auto pool = bitnet::thread_pool::make({.threads = 4});
    REQUIRE(pool);
    bitnet::thread_pool moved = *std::move(pool);
    if (i % 2 == 0) REQUIRE(runs_each_once(moved, 10));
  }
}

TEST_CASE("zero threads means the hardware's, and absurd counts are refused") {
  auto pool = bitnet::thread_pool::make();
  REQUIRE(pool);
  CHECK(pool->concurrency() == bitnet::hardware_threads());
  auto refused = bitnet::thread_pool::make({.threads = 100000});
  REQUIRE(!refused);
  CHECK(refused.error().what() == "threads");
}

TEST_CASE("an index that hangs holds up no other") {
  for (const std::uint32_t spin : {0U, 50U}) {
    auto pool = bitnet::thread_pool::make({.threads = 3, .spin_us = spin});
    REQUIRE(pool);
    constexpr std::size_t n = 300;
    std::atomic<std::size_t> done{0};
    std::atomic<bool> hung{false}, others_done{false};
    pool->parallel_for(n, [&](std::size_t, std::size_t) {
      if (!hung.exchange(true))  // as a thread does that has lost its core
        others_done = eventually([&] { return done.load() == n - 1; });
      ++done;
    });
    CHECK(done == n);
    CHECK(others_done);
  }
}

TEST_CASE("executor_ref passes loops on") {
  bitnet::serial_executor serial;
  CHECK(bitnet::executor_ref{serial}.concurrency() == 1);
  CHECK(runs_each_once(serial, 5));
}
