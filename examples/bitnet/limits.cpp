// SPDX-License-Identifier: Apache-2.0
// Loops that do nothing but read memory, and nothing but multiply and add.
#include "limits.hpp"

#include "failure.hpp"
#include "terminal.hpp"

#include <bitnet/core/memory.hpp>
#include <bitnet/isa/region.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

namespace cli {
namespace {

/// Sums a block; `lines` are 64 bytes each and a multiple of 8.
using read_loop = std::uint64_t (*)(const std::byte* data, std::size_t lines);
/// Runs `steps` steps, a multiple of 4, on operands of 4 KiB.
using dot_loop = std::int32_t (*)(const std::int8_t* operands, std::size_t steps);

constexpr std::size_t operand_bytes = 4096;

std::uint64_t read_scalar(const std::byte* data, std::size_t lines) {
  std::array<std::uint64_t, 8> sums{};
  for (std::size_t i = 0; i < lines; ++i, data += 64) {
    std::array<std::uint64_t, 8> line;
    std::memcpy(line.data(), data, sizeof line);
    for (std::size_t k = 0; k < 8; ++k) sums[k] += line[k];
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t s : sums) sum += s;
  return sum;
}

std::int32_t dot_scalar(const std::int8_t* operands, std::size_t steps) {
  std::int32_t sum = 0;
  for (std::size_t s = 0; s < steps; ++s) {
    const std::int8_t* a = operands + s % 16;
    const std::int8_t* b = operands + 2048;
    for (std::size_t i = 0; i < 1024; ++i) sum += std::int32_t{a[i]} * b[i];
  }
  return sum;
}

#if BITNET_ARCH_X86_64

BITNET_REGION_BEGIN_AVX2
std::uint64_t read_avx2(const std::byte* data, std::size_t lines) {
  __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
  for (std::size_t i = 0; i < lines; i += 2, data += 128) {
    const auto* p = reinterpret_cast<const __m256i*>(data);
    s0 = _mm256_add_epi64(s0, _mm256_loadu_si256(p));
    s1 = _mm256_add_epi64(s1, _mm256_loadu_si256(p + 1));
    s2 = _mm256_add_epi64(s2, _mm256_loadu_si256(p + 2));
    s3 = _mm256_add_epi64(s3, _mm256_loadu_si256(p + 3));
  }
  alignas(32) std::uint64_t sums[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(sums),
                     _mm256_add_epi64(_mm256_add_epi64(s0, s1), _mm256_add_epi64(s2, s3)));
  return sums[0] + sums[1] + sums[2] + sums[3];
}
BITNET_REGION_END

BITNET_REGION_BEGIN_AVX512
std::uint64_t read_avx512(const std::byte* data, std::size_t lines) {
  __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
  for (std::size_t i = 0; i < lines; i += 4, data += 256) {
    s0 = _mm512_add_epi64(s0, _mm512_loadu_si512(data));
    s1 = _mm512_add_epi64(s1, _mm512_loadu_si512(data + 64));
    s2 = _mm512_add_epi64(s2, _mm512_loadu_si512(data + 128));
    s3 = _mm512_add_epi64(s3, _mm512_loadu_si512(data + 192));
  }
  alignas(64) std::uint64_t sums[8];
  _mm512_store_si512(sums, _mm512_add_epi64(_mm512_add_epi64(s0, s1), _mm512_add_epi64(s2, s3)));
  std::uint64_t sum = 0;
  for (const std::uint64_t s : sums) sum += s;
  return sum;
}
BITNET_REGION_END

// Twelve sums in flight hide the latency of dot products. Operands come from the first cache and
// differ from step to step, or a compiler would move products out of the loop; four steps a round
// make up for register moves that some compilers add. The loop is a macro since every instruction
// set needs it compiled in a region of its own.
#define CLI_TWELVE(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11)
#define CLI_ZERO(i) vector sum##i{};
#define CLI_DOT(i)                              \
  sum##i = step(sum##i, a, load(b + 64 * (i))); \
  BITNET_KEEP_ORDER(sum##i);
#define CLI_STEP(n)                         \
  a = load(operands + (s + (n)) % 16 * 64); \
  b = operands + 1024 + (s + (n)) % 8 * 64; \
  CLI_TWELVE(CLI_DOT)
#define CLI_FOLD(i) total = step(total, sum##i, sum##i);
#define CLI_DOT_LOOP                                                                      \
  [[nodiscard]] static std::int32_t run(const std::int8_t* operands, std::size_t steps) { \
    CLI_TWELVE(CLI_ZERO)                                                                  \
    for (std::size_t s = 0; s < steps; s += 4) {                                          \
      vector a;                                                                           \
      const std::int8_t* b;                                                               \
      CLI_STEP(0) CLI_STEP(1) CLI_STEP(2) CLI_STEP(3)                                     \
    }                                                                                     \
    vector total{};                                                                       \
    CLI_TWELVE(CLI_FOLD)                                                                  \
    std::int32_t result;                                                                  \
    std::memcpy(&result, &total, sizeof result);                                          \
    return result;                                                                        \
  }

// Without a dot product of four bytes, kernels add pairs in 16 bits and widen the sums now and
// then: with ternary weights seldom enough that the limit is that of the pairs. Here sums may wrap.
BITNET_REGION_BEGIN_AVX2
struct dot_avx2 {
  using vector = __m256i;
  static vector load(const std::int8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static vector step(vector sum, vector a, vector b) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b));
  }
  CLI_DOT_LOOP
};
BITNET_REGION_END

BITNET_REGION_BEGIN_AVX_VNNI
struct dot_avx_vnni {
  using vector = __m256i;
  static vector load(const std::int8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static vector step(vector sum, vector a, vector b) { return _mm256_dpbusd_avx_epi32(sum, a, b); }
  CLI_DOT_LOOP
};
BITNET_REGION_END

BITNET_REGION_BEGIN_AVX512
struct dot_avx512 {
  using vector = __m512i;
  static vector load(const std::int8_t* p) { return _mm512_loadu_si512(p); }
  static vector step(vector sum, vector a, vector b) {
    return _mm512_add_epi16(sum, _mm512_maddubs_epi16(a, b));
  }
  CLI_DOT_LOOP
};
BITNET_REGION_END

BITNET_REGION_BEGIN_AVX512_VNNI
struct dot_avx512_vnni {
  using vector = __m512i;
  static vector load(const std::int8_t* p) { return _mm512_loadu_si512(p); }
  static vector step(vector sum, vector a, vector b) { return _mm512_dpbusd_epi32(sum, a, b); }
  CLI_DOT_LOOP
};
BITNET_REGION_END

#endif

struct loops {
  std::string_view isa;
  read_loop read;
  dot_loop dot;
  double multiply_adds;  ///< a step of `dot`
};

constexpr loops all_loops[] = {
    {"scalar", read_scalar, dot_scalar, 1024},
#if BITNET_ARCH_X86_64
    {"avx2", read_avx2, dot_avx2::run, 12 * 32},
    {"avx_vnni", read_avx2, dot_avx_vnni::run, 12 * 32},
    {"avx512", read_avx512, dot_avx512::run, 12 * 64},
    {"avx512_vnni", read_avx512, dot_avx512_vnni::run, 12 * 64},
#endif
};

const loops& loops_of(std::string_view isa) {
  for (const loops& l : all_loops)
    if (l.isa == isa) return l;
  return all_loops[0];
}

/// What keeps results of the loops in use.
std::atomic<std::uint64_t> result_sink{0};

}  // namespace

double read_bandwidth(bitnet::executor_ref threads, std::string_view isa, double seconds) {
  constexpr std::size_t bytes = std::size_t{384} << 20U;
  constexpr std::size_t piece = std::size_t{1} << 20U;
  const auto block = check(bitnet::aligned_buffer<std::byte>::make(bytes, "bandwidth test"),
                           "cannot measure the memory");
  const read_loop read = loops_of(isa).read;
  double best = 0.0;
  const stopwatch watch;
  do {  // the best pass counts: the others had to share the machine
    const stopwatch pass;
    threads.parallel_for(bytes / piece, [&](std::size_t i, std::size_t) {
      result_sink += read(block.data() + i * piece, piece / 64);
    });
    best = std::max(best, static_cast<double>(bytes) / pass.seconds());
  } while (watch.seconds() < seconds);
  return best;
}

double dot_product_peak(bitnet::executor_ref threads, std::string_view isa, double seconds) {
  alignas(64) std::array<std::int8_t, operand_bytes> operands;
  for (std::size_t i = 0; i < operands.size(); ++i)
    operands[i] = static_cast<std::int8_t>(i * 37 % 127);
  const loops& l = loops_of(isa);
  constexpr std::size_t steps = 20000;
  const std::size_t pieces = threads.concurrency() * 16;
  double best = 0.0;
  const stopwatch watch;
  do {
    const stopwatch pass;
    threads.parallel_for(pieces, [&](std::size_t, std::size_t) {
      result_sink += static_cast<std::uint32_t>(l.dot(operands.data(), steps));
    });
    best = std::max(best, static_cast<double>(pieces * steps) * l.multiply_adds / pass.seconds());
  } while (watch.seconds() < seconds);
  return best;
}

}  // namespace cli
