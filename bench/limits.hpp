// SPDX-License-Identifier: Apache-2.0
// What the machine can do at best: reading memory, dot products of bytes, multiply-adds of floats.
//
// Everything fast is measured as a share of these, in the same process. Loops do nothing else, use
// the vectors of the instruction set in question, and the best pass counts: in the others somebody
// else had the machine.
#pragma once

#include <bitnet/core/executor.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/isa/region.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <span>
#include <string_view>

namespace limits {

/// How time is taken. Processor time is fairer to one thread on a busy machine; it counts all
/// threads of the process, so it is for loops on the calling thread alone.
enum class time_base { wall, processor };

/// Bytes of a block that no cache holds.
inline constexpr std::size_t memory_bytes = std::size_t{384} << 20U;

namespace detail {

/// Chains of sums in flight: enough to hide the latency of an instruction that two units serve.
inline constexpr std::size_t chains = 12;

/// Sums a block of a multiple of 2 KiB.
using read_loop = std::uint64_t (*)(const std::byte* data, std::size_t bytes);
/// `steps` times one instruction for each chain.
using arithmetic_loop = std::int32_t (*)(std::size_t steps);

inline std::uint64_t read_plain(const std::byte* data, std::size_t bytes) {
  std::array<std::uint64_t, 8> sums{};
  for (const std::byte* end = data + bytes; data != end; data += 64) {
    std::array<std::uint64_t, 8> line;
    std::memcpy(line.data(), data, sizeof line);
    for (std::size_t k = 0; k < 8; ++k) sums[k] += line[k];
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t s : sums) sum += s;
  return sum;
}

/// What plain C++ reaches: numbers of the first cache, combined as the compiler likes.
template <class T, class Sum>
std::int32_t multiply_plain(std::size_t steps) {
  std::array<T, 2048> x;
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i * 37 % 127);
  std::array<Sum, 64> sums{};
  for (std::size_t s = 0; s < steps; ++s)
    for (std::size_t i = 0; i < 1024; ++i)
      sums[i % 64] += static_cast<Sum>(x[i + s % 16]) * static_cast<Sum>(x[i + 1000]);
  Sum total{};
  for (const Sum s : sums) total += s;
  return total > Sum{} ? 1 : 0;
}

#if BITNET_ARCH_X86_64

// Without a dot product of four bytes, kernels add pairs in 16 bits and widen the sums now and
// then: with ternary weights seldom enough that the limit is that of the pairs. Here sums may wrap.
BITNET_REGION_BEGIN_AVX2
namespace avx2 {
struct dots {
  using vector = __m256i;
  using floats = __m256;
  static vector load(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static vector ones() { return _mm256_set1_epi8(1); }
  static floats halves() { return _mm256_set1_ps(0.5F); }
  static vector add(vector x, vector y) { return _mm256_add_epi64(x, y); }
  static vector multiply(vector sum, vector a, vector b) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b));
  }
  static floats fuse(floats sum, floats a, floats b) { return _mm256_fmadd_ps(a, b, sum); }
};
#include "limits_loops.inc"
}  // namespace avx2
BITNET_REGION_END

BITNET_REGION_BEGIN_AVX_VNNI
namespace avx_vnni {
struct dots : avx2::dots {
  static vector multiply(vector sum, vector a, vector b) {
    return _mm256_dpbusd_avx_epi32(sum, a, b);
  }
};
#include "limits_loops.inc"
}  // namespace avx_vnni
BITNET_REGION_END

BITNET_REGION_BEGIN_AVX512
namespace avx512 {
struct dots {
  using vector = __m512i;
  using floats = __m512;
  static vector load(const std::byte* p) { return _mm512_loadu_si512(p); }
  static vector ones() { return _mm512_set1_epi8(1); }
  static floats halves() { return _mm512_set1_ps(0.5F); }
  static vector add(vector x, vector y) { return _mm512_add_epi64(x, y); }
  static vector multiply(vector sum, vector a, vector b) {
    return _mm512_add_epi16(sum, _mm512_maddubs_epi16(a, b));
  }
  static floats fuse(floats sum, floats a, floats b) { return _mm512_fmadd_ps(a, b, sum); }
};
#include "limits_loops.inc"
}  // namespace avx512
BITNET_REGION_END

BITNET_REGION_BEGIN_AVX512_VNNI
namespace avx512_vnni {
struct dots : avx512::dots {
  static vector multiply(vector sum, vector a, vector b) { return _mm512_dpbusd_epi32(sum, a, b); }
};
#include "limits_loops.inc"
}  // namespace avx512_vnni
BITNET_REGION_END

#endif

/// The loops of an instruction set, and the multiply-adds of a step of each.
struct loops {
  std::string_view isa;
  read_loop read;          ///< from one place
  read_loop read_streams;  ///< from eight places at once
  arithmetic_loop multiply;
  double products;
  arithmetic_loop fuse;
  double fused;
};

[[nodiscard]] inline const loops& loops_of(std::string_view isa) {
  static constexpr loops all[] = {
    {"scalar", read_plain, read_plain, multiply_plain<std::int8_t, std::int32_t>, 1024,
     multiply_plain<float, float>, 1024},
#if BITNET_ARCH_X86_64
    {"avx2", avx2::read<1>, avx2::read<8>, avx2::multiply, chains * 32, avx2::fuse, chains * 8},
    {"avx_vnni", avx_vnni::read<1>, avx_vnni::read<8>, avx_vnni::multiply, chains * 32,
     avx_vnni::fuse, chains * 8},
    {"avx512", avx512::read<1>, avx512::read<8>, avx512::multiply, chains * 64, avx512::fuse,
     chains * 16},
    {"avx512_vnni", avx512_vnni::read<1>, avx512_vnni::read<8>, avx512_vnni::multiply, chains * 64,
     avx512_vnni::fuse, chains * 16},
    {"avx512_vbmi", avx512_vnni::read<1>, avx512_vnni::read<8>, avx512_vnni::multiply, chains * 64,
     avx512_vnni::fuse, chains * 16},
#endif
  };
  for (const loops& l : all)
    if (l.isa == isa) return l;
  return all[0];
}

/// What keeps results of the loops in use.
inline std::atomic<std::uint64_t> result_sink{0};

/// Work of a pass over its time, for the best of the passes that about `seconds` hold.
template <class Pass>
[[nodiscard]] double best_rate(double work, double seconds, time_base base, Pass pass) {
  using clock = std::chrono::steady_clock;
  const auto now = [&] {
    return base == time_base::processor
               ? static_cast<double>(std::clock()) / CLOCKS_PER_SEC
               : std::chrono::duration<double>(clock::now().time_since_epoch()).count();
  };
  double best = 0.0;
  const double start = now();
  for (double before = start; before - start < seconds || best == 0.0;) {
    pass();
    const double after = now();
    if (after > before) best = std::max(best, work / (after - before));
    before = after;
  }
  return best;
}

[[nodiscard]] inline double arithmetic_peak(bitnet::executor_ref threads, arithmetic_loop loop,
                                            double work_of_step, double seconds, time_base base) {
  constexpr std::size_t steps = 20000;
  const std::size_t pieces = threads.concurrency() * (threads.concurrency() == 1 ? 4 : 16);
  const auto pass = [&] {
    threads.parallel_for(pieces, [&](std::size_t, std::size_t) {
      result_sink += static_cast<std::uint32_t>(loop(steps));
    });
  };
  return best_rate(static_cast<double>(pieces * steps) * work_of_step, seconds, base, pass);
}

}  // namespace detail

/// Bytes a second that all threads together read from the block, again and again: from memory if
/// it is larger than any cache, from a cache if it fits there. Memory is read from one place at a
/// time and from eight, since on some machines one core reads a quarter more the second way; the
/// better one counts.
[[nodiscard]] inline double read_speed(bitnet::executor_ref threads, std::string_view isa,
                                       std::span<const std::byte> block, double seconds,
                                       time_base base = time_base::wall) {
  constexpr std::size_t largest_piece = std::size_t{1} << 20U;
  constexpr std::size_t unit = 8 * 256;
  const std::size_t share = block.size() / threads.concurrency() / unit * unit;
  const std::size_t piece = std::clamp(share, unit, largest_piece);
  const std::size_t pieces = block.size() / piece;
  if (pieces == 0) return 0.0;
  const std::size_t repeats = std::max<std::size_t>(1, (std::size_t{32} << 20U) / block.size());
  const bool cached = pieces <= threads.concurrency();  // each thread stays with its own piece
  const detail::loops& loops = detail::loops_of(isa);
  bool streams = false;
  const auto pass = [&] {
    streams = !cached && !streams;
    const detail::read_loop read = streams ? loops.read_streams : loops.read;
    for (std::size_t r = 0; r < (cached ? 1 : repeats); ++r)
      threads.parallel_for(pieces, [&](std::size_t i, std::size_t) {
        for (std::size_t again = 0; again < (cached ? repeats : 1); ++again)
          detail::result_sink += read(block.data() + i * piece, piece);
      });
  };
  return detail::best_rate(static_cast<double>(pieces * piece * repeats), seconds, base, pass);
}

/// The same from a block of memory_bytes of its own; 0 if there is no such memory.
[[nodiscard]] inline double memory_read_speed(bitnet::executor_ref threads, std::string_view isa,
                                              double seconds, time_base base = time_base::wall) {
  const auto block = bitnet::aligned_buffer<std::byte>::make(memory_bytes, "read test");
  return block ? read_speed(threads, isa, block->span(), seconds, base) : 0.0;
}

/// Int8 multiply-adds a second of all threads together by the dot-product instructions of that
/// instruction set, with operands in registers.
[[nodiscard]] inline double dot_product_peak(bitnet::executor_ref threads, std::string_view isa,
                                             double seconds, time_base base = time_base::wall) {
  const detail::loops& l = detail::loops_of(isa);
  return detail::arithmetic_peak(threads, l.multiply, l.products, seconds, base);
}

/// Float multiply-adds a second of all threads together, fused, with operands in registers.
[[nodiscard]] inline double fma_peak(bitnet::executor_ref threads, std::string_view isa,
                                     double seconds, time_base base = time_base::wall) {
  const detail::loops& l = detail::loops_of(isa);
  return detail::arithmetic_peak(threads, l.fuse, l.fused, seconds, base);
}

}  // namespace limits
