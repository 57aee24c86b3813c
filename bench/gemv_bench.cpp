// SPDX-License-Identifier: Apache-2.0
// Kernel speed as a share of the machine's limits: bytes read in decoding, products in prefill.
//
// Counters: GB/s of weights read, GMAC/s of multiply-adds, and `of_limit`, the share of the read
// speed measured in this process by adding up the same number of bytes with the widest loads that
// plain code gets. Run one instruction set with --benchmark_filter=avx2.
#include <bitnet/kernels/kernels.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

namespace {

using namespace bitnet;
using kernels::kernel_table;
using quant::encoding;

constexpr std::size_t large_bytes = std::size_t{160} << 20;
constexpr std::size_t small_bytes = std::size_t{96} << 10;

template <class T>
aligned_buffer<T> filled(std::size_t n) {
  auto made = aligned_buffer<T>::make(n, "benchmark");
  if (!made) return {};
  auto buffer = *std::move(made);
  auto* bytes = reinterpret_cast<unsigned char*>(buffer.data());
  std::uint32_t state = 1;
  for (std::size_t i = 0; i < n * sizeof(T); ++i) {
    state = state * 1664525U + 1013904223U;
    bytes[i] = static_cast<unsigned char>(state >> 24);
  }
  return buffer;
}

#if BITNET_ARCH_X86_64
BITNET_REGION_BEGIN_AVX2
std::uint64_t add_up(const std::uint8_t* p, std::size_t bytes) {
  __m256i sum[4] = {};
  for (std::size_t i = 0; i < bytes; i += 128)
    for (std::size_t k = 0; k < 4; ++k)
      sum[k] = _mm256_add_epi64(
          sum[k], _mm256_load_si256(reinterpret_cast<const __m256i*>(p + i + 32 * k)));
  std::uint64_t out[4];
  _mm256_storeu_si256(
      reinterpret_cast<__m256i*>(out),
      _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3])));
  return out[0] + out[1] + out[2] + out[3];
}
BITNET_REGION_END
#else
std::uint64_t add_up(const std::uint8_t* p, std::size_t bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes; ++i) sum += p[i];
  return sum;
}
#endif

/// Bytes a second of reading `bytes` again and again; the best of several rounds. In processor
/// time, as the counters are, so that a busy machine disturbs both alike.
double read_limit(std::size_t bytes) {
  const auto data = filled<std::uint8_t>(round_up(bytes, 128));
  double best = 0;
  for (int round = 0; round < 7; ++round) {
    const std::size_t repeats = std::max<std::size_t>(1, large_bytes / data.size());
    const std::clock_t start = std::clock();
    for (std::size_t i = 0; i < repeats; ++i)
      benchmark::DoNotOptimize(add_up(data.data(), data.size()));
    const double time = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    best = std::max(best, static_cast<double>(repeats * data.size()) / time);
  }
  return best;
}

void report(benchmark::State& state, std::size_t bytes, std::size_t products) {
  static const double large_limit = read_limit(large_bytes);
  static const double small_limit = read_limit(small_bytes);
  const double runs = static_cast<double>(state.iterations());
  const double limit = bytes >= large_bytes / 2 ? large_limit : small_limit;
  using benchmark::Counter;
  state.counters["GB/s"] = Counter{static_cast<double>(bytes) * runs * 1e-9, Counter::kIsRate};
  state.counters["GMAC/s"] = Counter{static_cast<double>(products) * runs * 1e-9, Counter::kIsRate};
  state.counters["of_limit"] = Counter{static_cast<double>(bytes) * runs / limit, Counter::kIsRate};
}

void tiled(benchmark::State& state, const kernel_table& k, encoding e, std::size_t group,
           bool blocks, std::size_t tokens, std::size_t bytes) {
  constexpr std::size_t cols = 2560;
  quant::tiled_view w;
  w.cols = cols;
  w.group = group == 0 ? cols : group;
  w.codes = e;
  const std::size_t tile_bytes = w.lines_per_tile() * quant::line_bytes;
  w.rows = bytes / tile_bytes * quant::tile_rows;
  const auto lines = filled<std::uint8_t>(w.tiles() * tile_bytes);
  std::vector<f16> scales(w.tiles() * w.groups() * quant::tile_rows, to_f16(0.5F));
  w.lines = lines.data();
  w.scales_f16 = scales.data();
  std::vector<float> x(cols), y(tokens * w.rows);
  for (std::size_t i = 0; i < cols; ++i) x[i] = static_cast<float>(i % 97) - 48.0F;
  quant::quantized_rows q;
  q.rows = tokens;
  q.cols = cols;
  q.block = blocks ? quant::activation_block : q.padded();
  std::vector<std::int8_t> values(tokens * q.padded());
  std::vector<float> q_scales(tokens * q.blocks());
  std::vector<std::int32_t> prefix(tokens * q.prefixes());
  q.values = values.data();
  q.scales = q_scales.data();
  q.prefix = prefix.data();
  for (std::size_t t = 0; t < tokens; ++t) k.quantize(x.data(), q, t);
  for ([[maybe_unused]] auto _ : state) {
    k.gemm_tiled(w, q, {y.data(), tokens, w.rows}, 0, w.tiles());
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  report(state, lines.size() + scales.size() * sizeof(f16), w.rows * cols * tokens);
}

void dense_f16(benchmark::State& state, const kernel_table& k, std::size_t tokens,
               std::size_t bytes) {
  constexpr std::size_t cols = 2560;
  const std::size_t rows = bytes / (cols * sizeof(f16));
  auto w = filled<f16>(rows * cols);
  for (f16& h : w.span()) h.bits &= 0xbfffU;  // finite, at most 2
  std::vector<float> x(tokens * cols, 0.01F), y(tokens * rows);
  for ([[maybe_unused]] auto _ : state) {
    k.gemm_f16({reinterpret_cast<const std::byte*>(w.data()), rows, cols}, {x.data(), tokens, cols},
               {y.data(), tokens, rows}, 0, rows);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  report(state, w.size() * sizeof(f16), rows * cols * tokens);
}

void norm(benchmark::State& state, const kernel_table& k) {
  constexpr std::size_t n = 2560;
  std::vector<float> x(n, 0.5F), w(n, 1.0F), y(n);
  for ([[maybe_unused]] auto _ : state) {
    k.rms_norm(x.data(), w.data(), 1e-5F, y.data(), n);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  report(state, 2 * n * sizeof(float), 2 * n);
}

void silu(benchmark::State& state, const kernel_table& k) {
  constexpr std::size_t n = 6912;
  std::vector<float> x(n, 0.5F), w(n, 1.0F), y(n);
  for ([[maybe_unused]] auto _ : state) {
    k.silu_mul(x.data(), w.data(), y.data(), n);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  report(state, 2 * n * sizeof(float), n);
}

/// One KV head of 128 with 4 query heads, as in the 2B model, over 1024 positions.
void attention(benchmark::State& state, const kernel_table& k) {
  constexpr std::size_t dim = 128, heads = 4, positions = 1024;
  auto keys = filled<f16>(positions * dim), values = filled<f16>(positions * dim);
  for (f16& h : keys.span()) h.bits &= 0xbfffU;
  for (f16& h : values.span()) h.bits &= 0xbfffU;
  std::vector<float> q(heads * dim, 0.01F), out(heads * dim), scores(heads * positions);
  for ([[maybe_unused]] auto _ : state) {
    k.attend_f16({q.data(), keys.data(), values.data(), out.data(), scores.data(), heads, dim, dim,
                  positions, 0.1F});
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  report(state, 2 * positions * dim * sizeof(f16), 2 * heads * positions * dim);
}

void add_all(const kernel_table& k) {
  const auto name = [&](std::string what) { return std::string{k.isa} + "/" + what; };
  const auto add = [&](std::string what, auto run) {
    benchmark::RegisterBenchmark(name(what).c_str(), run)->Unit(benchmark::kMicrosecond);
  };
  struct layout {
    const char* name;
    encoding codes;
    std::size_t group;
    bool blocks;
  };
  for (const layout& l : {layout{"ternary2_row", encoding::ternary2, 0, false},
                          layout{"ternary2_g128", encoding::ternary2, 128, false},
                          layout{"ternary2_g128_q32", encoding::ternary2, 128, true},
                          layout{"binary_g128_q32", encoding::binary, 128, true},
                          layout{"int8_g32_q32", encoding::int8, 32, true}}) {
    const std::string base = std::string{"gemm_tiled/"} + l.name;
    const auto run = [&](std::size_t tokens, std::size_t bytes) {
      return [&k, l, tokens, bytes](benchmark::State& s) {
        tiled(s, k, l.codes, l.group, l.blocks, tokens, bytes);
      };
    };
    add(base + "/decode_memory", run(1, large_bytes));
    add(base + "/decode_cache", run(1, small_bytes));
    add(base + "/prefill_64", run(64, std::size_t{1} << 20));
  }
  for (const std::size_t tokens : {1U, 16U})
    add("gemm_f16/memory/tokens_" + std::to_string(tokens),
        [&k, tokens](benchmark::State& s) { dense_f16(s, k, tokens, large_bytes); });
  add("gemm_f16/cache/tokens_16", [&k](benchmark::State& s) { dense_f16(s, k, 16, small_bytes); });
  add("rms_norm", [&k](benchmark::State& s) { norm(s, k); });
  add("silu_mul", [&k](benchmark::State& s) { silu(s, k); });
  add("attend_f16", [&k](benchmark::State& s) { attention(s, k); });
}

}  // namespace

int main(int argc, char** argv) {
  const isa::cpu_features features = isa::detect();
  isa::for_each(isa::compiled{}, [&]<class I>(I tag) {
    if (isa::runs(tag, features)) add_all(kernels::table_of<I>);
  });
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("read_limit_memory",
                              std::to_string(read_limit(large_bytes) * 1e-9) + " GB/s");
  benchmark::AddCustomContext("read_limit_cache",
                              std::to_string(read_limit(small_bytes) * 1e-9) + " GB/s");
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
