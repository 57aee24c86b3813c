// SPDX-License-Identifier: Apache-2.0
// The x86 intrinsics that the kernels use, emulated in plain C++ by SIMDe. Where SIMDe's own is
// missing or rounds twice (fused multiply-add), it is written here.
#pragma once

// clang-format off: the order of the includes matters
// Kernels compiled against the emulation must not share symbols with the native ones.
#include <bitnet/config.hpp>
#undef BITNET_ABI_ISA
#define BITNET_ABI_ISA emulated

#include <bitnet/core/half.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#endif
#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
// clang-format on

// What SIMDe 0.7.4 lacks, lane by lane.
namespace emulation {

/// f applied to N lanes of In giving N lanes of Out; R and A are register types of any size.
template <class R, class Out, class In, std::size_t N, class A, class F>
inline R lanes(const A& a, F f) {
  In in[N];
  Out out[N];
  std::memcpy(in, &a, sizeof in);
  for (std::size_t i = 0; i < N; ++i) out[i] = f(in[i]);
  R r{};
  std::memcpy(&r, out, sizeof out);
  return r;
}
template <std::size_t N, class R>
inline R fused(const R& a, const R& b, const R& c) {
  float x[N], y[N], z[N];
  std::memcpy(x, &a, sizeof x);
  std::memcpy(y, &b, sizeof y);
  std::memcpy(z, &c, sizeof z);
  for (std::size_t i = 0; i < N; ++i) x[i] = std::fma(x[i], y[i], z[i]);
  R r;
  std::memcpy(&r, x, sizeof r);
  return r;
}
/// Four products of an unsigned and a signed byte added to each 32-bit lane, which wraps.
template <std::size_t N, class R>
inline R dot_bytes(const R& sum, const R& a, const R& b) {
  std::uint32_t s[N];
  std::uint8_t x[4 * N];
  std::int8_t y[4 * N];
  std::memcpy(s, &sum, sizeof s);
  std::memcpy(x, &a, sizeof x);
  std::memcpy(y, &b, sizeof y);
  for (std::size_t i = 0; i < 4 * N; ++i) s[i / 4] += static_cast<std::uint32_t>(x[i] * y[i]);
  R r;
  std::memcpy(&r, s, sizeof r);
  return r;
}
inline std::int32_t nearest(float x) {
  return x == x && x < 2147483648.0F && x >= -2147483648.0F
             ? static_cast<std::int32_t>(std::nearbyint(x))
             : INT32_MIN;
}
inline float widen(std::uint16_t h) { return bitnet::to_float(bitnet::f16{h}); }
inline std::uint16_t narrow(float x) { return bitnet::to_f16(x).bits; }

}  // namespace emulation

#undef _mm256_fmadd_ps
#define _mm256_fmadd_ps(a, b, c) emulation::fused<8, simde__m256>(a, b, c)
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps(a, b, c) emulation::fused<16, simde__m512>(a, b, c)
#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32(s, a, b) emulation::dot_bytes<8, simde__m256i>(s, a, b)
#undef _mm512_dpbusd_epi32
#define _mm512_dpbusd_epi32(s, a, b) emulation::dot_bytes<16, simde__m512i>(s, a, b)
#undef _mm256_cvtph_ps
#define _mm256_cvtph_ps(a) \
  (emulation::lanes<simde__m256, float, std::uint16_t, 8>(a, emulation::widen))
#undef _mm256_cvtps_ph
#define _mm256_cvtps_ph(a, mode) \
  (emulation::lanes<simde__m128i, std::uint16_t, float, 8>(a, emulation::narrow))
#define _mm512_cvtph_ps(a) \
  (emulation::lanes<simde__m512, float, std::uint16_t, 16>(a, emulation::widen))
#define _mm512_maskz_cvtps_ph(mask, a, mode) \
  (emulation::lanes<simde__m256i, std::uint16_t, float, 16>(a, emulation::narrow))
#undef _mm256_cvtps_epi32
#define _mm256_cvtps_epi32(a) \
  (emulation::lanes<simde__m256i, std::int32_t, float, 8>(a, emulation::nearest))
#define _mm512_cvtps_epi32(a) \
  (emulation::lanes<simde__m512i, std::int32_t, float, 16>(a, emulation::nearest))
#define _mm512_cvtepi32_ps(a)                              \
  (emulation::lanes<simde__m512, float, std::int32_t, 16>( \
      a, [](std::int32_t x) { return static_cast<float>(x); }))
#define _mm512_cvtepi32_epi8(a)                                   \
  (emulation::lanes<simde__m128i, std::int8_t, std::int32_t, 16>( \
      a, [](std::int32_t x) { return static_cast<std::int8_t>(x); }))
#define _mm512_cvtepi32_epi16(a)                                  \
  emulation::lanes<simde__m256i, std::int16_t, std::int32_t, 16>( \
      a, [](std::int32_t x) { return static_cast<std::int16_t>(x); })
#define _mm512_cvtepu16_epi32(a)                                     \
  (emulation::lanes<simde__m512i, std::uint32_t, std::uint16_t, 16>( \
      a, [](std::uint16_t x) { return std::uint32_t{x}; }))
#define _mm512_extractf32x8_ps(a, i) \
  simde_mm256_castsi256_ps(simde_mm512_extracti64x4_epi64(simde_mm512_castps_si512(a), i))
#define _mm512_permute_ps(a, order) simde_mm512_shuffle_ps(a, a, order)
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)
#undef __mmask64
#define __mmask64 simde__mmask64
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpsabi"  // without a target region registers change the ABI
#endif
