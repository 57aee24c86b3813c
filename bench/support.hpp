// SPDX-License-Identifier: Apache-2.0
// What the benchmarks share: filled memory, instruction sets to go through, and the counters, of
// which `of_limit` is the one that matters.
#pragma once

#include "limits.hpp"

#include <bitnet/core/thread_pool.hpp>
#include <bitnet/isa/runnable.hpp>
#include <bitnet/kernels/kernels.hpp>

#include <benchmark/benchmark.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace bench {

/// Sizes of data: larger than caches, and about what the second cache holds.
inline constexpr std::size_t large_bytes = std::size_t{160} << 20U;
inline constexpr std::size_t small_bytes = std::size_t{96} << 10U;

/// The value of a result; ends the program with the error otherwise.
template <class T>
[[nodiscard]] T value_of(bitnet::result<T> r) {
  if (r) return *std::move(r);
  std::fprintf(stderr, "error: %s\n", to_string(r.error()).c_str());
  std::exit(1);
}

/// `n` values of arbitrary bits.
template <class T>
[[nodiscard]] bitnet::aligned_buffer<T> filled(std::size_t n) {
  auto buffer = value_of(bitnet::aligned_buffer<T>::uninitialized(n, "benchmark"));
  auto* bytes = reinterpret_cast<unsigned char*>(buffer.data());
  std::uint32_t state = 1;
  for (std::size_t i = 0; i < n * sizeof(T); ++i) {
    state = state * 1664525U + 1013904223U;
    bytes[i] = static_cast<unsigned char>(state >> 24U);
  }
  return buffer;
}

/// One thread for each processor, for all benchmarks of a program.
[[nodiscard]] inline bitnet::thread_pool& all_threads() {
  static bitnet::thread_pool pool = value_of(bitnet::thread_pool::make());
  return pool;
}

/// What limits arithmetic: products of bytes, of pairs of 16-bit integers, or of floats.
enum class numbers { bytes, pairs, floats };

/// What one iteration does.
struct work {
  double bytes = 0;     ///< read; when loading, also written
  double products = 0;  ///< multiply-adds
  numbers of = numbers::bytes;
  double footprint = 0;  ///< bytes of all data that iterations go through; 0: `bytes`
};

namespace detail {

enum class limit_kind { reading, bytes, pairs, floats };

inline double measure(bitnet::executor_ref threads, std::string_view isa, limit_kind kind,
                      std::size_t footprint, double seconds) {
  static const auto block =
      value_of(bitnet::aligned_buffer<std::byte>::make(limits::memory_bytes, "read test"));
  const auto base =
      threads.concurrency() == 1 ? limits::time_base::processor : limits::time_base::wall;
  switch (kind) {
    case limit_kind::bytes:
      return limits::dot_product_peak(threads, isa, seconds, base);
    case limit_kind::pairs:  // by instructions of the same speed, on numbers of twice the size
      return limits::dot_product_peak(threads, isa, seconds, base) / 2;
    case limit_kind::floats:
      return limits::fma_peak(threads, isa, seconds, base);
    case limit_kind::reading:
      break;
  }
  return limits::read_speed(threads, isa, block.span().first(footprint), seconds, base);
}

/// The best that was seen so far of a limit. Each call measures again for a moment, since speeds of
/// a shared machine change while the benchmarks run.
inline double limit(bitnet::executor_ref threads, std::string_view isa, limit_kind kind,
                    std::size_t footprint) {
  static std::map<std::tuple<std::size_t, std::string_view, limit_kind, std::size_t>, double> seen;
  const auto [best, first] = seen.try_emplace({threads.concurrency(), isa, kind, footprint}, 0.0);
  best->second = std::max(best->second, measure(threads, isa, kind, footprint, first ? 0.2 : 0.02));
  return best->second;
}

/// The block whose reading is the limit for data of that size: one of memory, or one that lies in
/// the same cache.
inline std::size_t block_of(double footprint) {
  const auto bytes = static_cast<std::size_t>(footprint);
  if (bytes >= large_bytes / 4) return limits::memory_bytes;
  constexpr std::size_t fine = std::size_t{1} << 20U;
  constexpr std::size_t unit = 2048;
  return bytes > fine ? std::bit_ceil(bytes)
                      : std::max<std::size_t>(bitnet::round_up(bytes, unit), 4 * unit);
}

inline std::string with_unit(double rate, const char* unit) {
  char text[64];
  std::snprintf(text, sizeof text, "of %.*f %s", rate < 100e9 ? 1 : 0, rate * 1e-9, unit);
  return text;
}

}  // namespace detail

/// Sets the counters: GB/s and GMAC/s, and `of_limit`, the time that the work would take at the
/// machine's limits over the time it took. Reading and multiplying go on at once, so the longer of
/// the two counts; the label says which that is.
inline void report(benchmark::State& state, bitnet::executor_ref threads, std::string_view isa,
                   const work& w) {
  const std::size_t block = detail::block_of(std::max(w.footprint, w.bytes));
  const double reading =
      w.bytes > 0 ? detail::limit(threads, isa, detail::limit_kind::reading, block) : 1.0;
  struct arithmetic {
    detail::limit_kind kind;
    const char* unit;
  };
  const arithmetic a =
      w.of == numbers::bytes   ? arithmetic{detail::limit_kind::bytes, "GMAC/s of bytes"}
      : w.of == numbers::pairs ? arithmetic{detail::limit_kind::pairs, "GMAC/s of int16"}
                               : arithmetic{detail::limit_kind::floats, "GMAC/s of floats"};
  const double peak = w.products > 0 ? detail::limit(threads, isa, a.kind, 0) : 1.0;
  const bool by_reading = w.bytes / reading >= w.products / peak;
  const double ideal = std::max(w.bytes / reading, w.products / peak);
  const char* const place = block == limits::memory_bytes ? "GB/s of memory" : "GB/s of cache";
  state.SetLabel(by_reading ? detail::with_unit(reading, place) : detail::with_unit(peak, a.unit));
  const double runs = static_cast<double>(state.iterations());
  using benchmark::Counter;
  if (w.bytes > 0) state.counters["GB/s"] = Counter{w.bytes * runs * 1e-9, Counter::kIsRate};
  if (w.products > 0)
    state.counters["GMAC/s"] = Counter{w.products * runs * 1e-9, Counter::kIsRate};
  state.counters["of_limit"] = Counter{ideal * runs, Counter::kIsRate};
}

/// The same for the calling thread alone.
inline void report(benchmark::State& state, std::string_view isa, const work& w) {
  bitnet::serial_executor here;
  report(state, here, isa, w);
}

/// add(kernel table) for each instruction set that this machine runs.
template <class Add>
void for_each_isa(Add add) {
  for (const std::string_view name : bitnet::isa::runnable_names())
    add(*bitnet::kernels::table_for(name));
}

/// Registers a benchmark that runs on the calling thread, in processor time.
template <class Run>
benchmark::internal::Benchmark* add(const std::string& name, Run run) {
  return benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMicrosecond);
}

/// Runs what `register_all` registers.
inline int main(int argc, char** argv, void (*register_all)()) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace bench
