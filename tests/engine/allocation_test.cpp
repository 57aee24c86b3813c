// SPDX-License-Identifier: Apache-2.0
// A session allocates when it is made and never again: every operator new is counted.
#include "engine/support.hpp"

#include "doctest.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::size_t> allocations{0};

void* counted(std::size_t size, std::size_t alignment) noexcept {
  ++allocations;
  const std::size_t whole = (size + alignment - 1) / alignment * alignment;
  return std::aligned_alloc(alignment, whole == 0 ? alignment : whole);
}
}  // namespace

std::size_t testing::allocation_count() noexcept { return allocations; }

// The forms that the others forward to, and the aligned ones.
void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t a) {
  return counted(size, static_cast<std::size_t>(a));
}
void* operator new(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return counted(size, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

TEST_CASE("feeding and scoring allocate nothing") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    bitnet::open_options options;
    options.threads = 2;
    const std::size_t before_open = allocations;
    const auto model = bitnet::open(m.path + ".gguf", options);
    REQUIRE(model);
    CHECK(allocations > before_open);  // the count counts
    auto s = bitnet::session<bitnet::dynamic_model>::make(*model, model->threads(),
                                                          {.context = 64, .batch = 16});
    REQUIRE(s);
    const auto tokens = m.tokens();
    float sum = 0.0F;
    const std::size_t before = allocations;
    const bool fed = static_cast<bool>(s->feed(std::span{tokens}.first(21)));
    const bool scored = static_cast<bool>(
        s->score(std::span{tokens}.subspan(21),
                 [&](std::size_t, std::span<const float> row) { sum += row[0]; }));
    const std::size_t after = allocations;
    CHECK(fed);
    CHECK(scored);
    CHECK(std::isfinite(sum));
    CHECK(after == before);
  }
}
