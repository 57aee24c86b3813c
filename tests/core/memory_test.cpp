// SPDX-License-Identifier: Apache-2.0
// Errors, results, aligned memory, arenas, function references and views.
#include <bitnet/core/function_ref.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/core/view.hpp>

#include "doctest.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

namespace {
bitnet::result<int> half_of(int x) {
  if (x % 2 != 0) return bitnet::error{bitnet::errc::malformed, "odd", "x\n", 12};
  return x / 2;
}
bitnet::result<int> quarter_of(int x) {
  BITNET_TRY(const int h, half_of(x));
  return half_of(h);
}
}  // namespace

TEST_CASE("results carry values or errors, and BITNET_TRY passes errors on") {
  CHECK(*quarter_of(8) == 2);
  const auto bad = quarter_of(6);
  REQUIRE(!bad);
  CHECK(bitnet::to_string(bad.error()) == "malformed: 'x?' at byte 12: odd");
  CHECK(bitnet::error{bitnet::errc::io, "", std::string(200, 'a')}.what().size() == 95);
  bitnet::result<std::unique_ptr<int>> a{std::make_unique<int>(3)};
  bitnet::result<std::unique_ptr<int>> b{bitnet::error{bitnet::errc::io, "gone"}};
  b = std::move(a);
  REQUIRE(b);
  CHECK(**b == 3);
}

TEST_CASE("aligned buffers are aligned, zeroed, movable, and refuse what cannot be") {
  auto made = bitnet::aligned_buffer<float>::make(100, "x");
  REQUIRE(made);
  CHECK(reinterpret_cast<std::uintptr_t>(made->data()) % bitnet::cache_line == 0);
  for (const float x : made->span()) CHECK(x == 0.0F);
  const auto moved = *std::move(made);
  CHECK(moved.size() == 100);
  const auto huge =
      bitnet::aligned_buffer<float>::make(std::numeric_limits<std::size_t>::max() / 2, "big");
  REQUIRE(!huge);
  CHECK(huge.error().what() == "big");
}

TEST_CASE("an arena hands out aligned pieces until it is full, and takes them back") {
  std::array<std::byte, 1024> block{};
  bitnet::arena arena{block};
  const auto a = arena.take<float>(10);
  REQUIRE(a.size() == 10);
  CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % bitnet::cache_line == 0);
  const auto mark = arena.mark();
  const auto b = arena.take<std::uint8_t>(300);
  REQUIRE(b.size() == 300);
  CHECK(static_cast<void*>(b.data()) >= static_cast<void*>(a.data() + a.size()));
  CHECK(arena.take<float>(1000).empty());
  CHECK(arena.take<float>(std::numeric_limits<std::size_t>::max()).empty());
  const auto peak = arena.peak();
  arena.release(mark);
  CHECK(arena.used() == mark);
  CHECK(arena.peak() == peak);
  CHECK(arena.take<std::uint8_t>(300).data() == b.data());
}

TEST_CASE("buffers in a host's memory are asked for and given back with the same numbers") {
  struct host {
    alignas(64) std::array<std::byte, 4096> block{};
    std::size_t bytes = 0, given = 0, taken = 0;
    void* allocate(std::size_t n, std::size_t alignment) {
      CHECK(alignment == bitnet::cache_line);
      if (n > block.size()) return nullptr;
      bytes = n;
      ++given;
      return block.data();
    }
    void release(void* p, std::size_t n, std::size_t alignment) {
      CHECK(alignment == bitnet::cache_line);
      CHECK(p == block.data());
      CHECK(n == bytes);
      ++taken;
    }
  };
  host memory;
  using buffer = bitnet::aligned_buffer<float>;
  {
    auto a = buffer::make(100, "x", memory);
    REQUIRE(a);
    CHECK(memory.bytes == 448);
    CHECK(memory.bytes == buffer::bytes_of(100));
    buffer b = *std::move(a);
    buffer on_heap = *buffer::make(3, "y");
    std::swap(b, on_heap);
    CHECK(static_cast<void*>(on_heap.data()) == memory.block.data());
    CHECK(memory.taken == 0);
  }
  CHECK(memory.given == 1);
  CHECK(memory.taken == 1);
  const auto refused = buffer::make(2000, "too much", memory);
  REQUIRE(!refused);
  CHECK(refused.error().what() == "too much");
  CHECK(buffer::make(0, "nothing", memory));
  CHECK(memory.given == 1);

  bitnet::memory_meter meter{bitnet::memory_source::untouchable()};
  {
    const auto a = buffer::uninitialized(std::size_t{1} << 28, "dry", false, meter);
    REQUIRE(a);
    CHECK(meter.now() == std::uint64_t{1} << 30);
  }
  CHECK(meter.now() == 0);
  CHECK(meter.peak() == std::uint64_t{1} << 30);
}

TEST_CASE("an arena is a memory provider that takes back what was given last") {
  alignas(64) std::array<std::byte, 1024> block{};
  bitnet::arena arena{block};
  void* a = arena.allocate(128, 64);
  void* b = arena.allocate(64, 64);
  CHECK(a == block.data());
  CHECK(b == block.data() + 128);
  CHECK(arena.allocate(1024, 64) == nullptr);
  arena.release(a, 128, 64);  // not the last one
  CHECK(arena.used() == 192);
  arena.release(b, 64, 64);
  CHECK(arena.used() == 128);
  arena.release(a, 128, 64);
  CHECK(arena.used() == 0);
}

TEST_CASE("function_ref calls through, and matrix_view finds its rows") {
  int sum = 0;
  auto add = [&](int x) { return sum += x; };
  const bitnet::function_ref<int(int)> f{add};
  CHECK(f(3) == 3);
  CHECK(f(4) == 7);
  std::array<int, 12> data{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const bitnet::matrix_view<int> m{data.data(), 3, 2, 4};
  CHECK(m[1][1] == 5);
  CHECK(m[1].size() == 2);
  const bitnet::matrix_view<const int> tail = m.slice(1, 2);
  CHECK(tail.rows == 2);
  CHECK(tail[1][0] == 8);
}
