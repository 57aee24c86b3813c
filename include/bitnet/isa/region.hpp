// SPDX-License-Identifier: Apache-2.0
// Target regions: code between BEGIN and END is compiled for an instruction set whatever the flags.
//
// Facts this rests on (GCC 12.2, Clang 14): templates and lambdas inside a region get its target at
// -O0 and -O2. A kernel's entry function must not be always_inline (calling it from baseline code
// is an error); helpers inside the region may. `__AVX2__` inside a region is defined by some
// compilers only, so config.hpp reads such macros before any region. MSVC needs no region.
#pragma once

#include <bitnet/config.hpp>

// Full unrolling of the loop that follows: accumulator arrays must become registers.
#if defined(__clang__)
#define BITNET_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define BITNET_UNROLL _Pragma("GCC unroll 16")
#else
#define BITNET_UNROLL
#endif

// Makes an accumulator be updated here. GCC otherwise gathers the terms of an unrolled loop before
// it adds them, runs out of registers, and more than halves the speed of the integer kernels.
#if !defined(BITNET_X86_INTRINSICS_HEADER) && BITNET_ARCH_X86_64 && defined(__GNUC__)
#define BITNET_KEEP_ORDER(vector) __asm__ volatile("" : "+v"(vector))
#elif BITNET_ARCH_AARCH64 && defined(__GNUC__)
#define BITNET_KEEP_ORDER(vector) __asm__ volatile("" : "+w"(vector))
#else
#define BITNET_KEEP_ORDER(vector) static_cast<void>(vector)
#endif

// sum = add(sum, x) for 16-bit lanes, in place. Where many sums fill the registers, GCC copies each
// of them back and forth round the intrinsic, which costs a fifth of the speed.
#if !defined(BITNET_X86_INTRINSICS_HEADER) && BITNET_ARCH_X86_64 && defined(__GNUC__)
#define BITNET_ADD_WORDS(sum, x, add) __asm__("vpaddw %1, %0, %0" : "+v"(sum) : "v"(x))
#else
#define BITNET_ADD_WORDS(sum, x, add) sum = add(sum, x)
#endif

#define BITNET_PRAGMA(text) _Pragma(#text)

#if defined(BITNET_X86_INTRINSICS_HEADER)
// An emulation of the intrinsics (tests use one to check kernels that the machine cannot run).
#include BITNET_X86_INTRINSICS_HEADER
#define BITNET_REGION_BEGIN_AVX2
#define BITNET_REGION_BEGIN_AVX_VNNI
#define BITNET_REGION_BEGIN_AVX512
#define BITNET_REGION_BEGIN_AVX512_VNNI
#define BITNET_REGION_BEGIN_AVX512_VBMI
#define BITNET_REGION_END
#elif BITNET_ARCH_X86_64
#include <immintrin.h>

#if defined(__MINGW32__) && defined(__GNUC__) && !defined(__clang__)
// GCC for Windows keeps the stack aligned to 16 bytes only, and yet moves wider vectors there with
// instructions that trap unless they are aligned (its bug 54412; some distributions patch it). The
// assembler therefore makes every aligned move of this file an unaligned one, which is as fast.
#define BITNET_UNALIGNED_MOVE(aligned, unaligned) \
  ".macro " aligned " operands:vararg\n " unaligned " \\operands\n .endm\n"
__asm__(".ifndef bitnet_unaligned_moves\n .set bitnet_unaligned_moves, 1\n"  // clang-format off
        BITNET_UNALIGNED_MOVE("vmovaps", "vmovups")
        BITNET_UNALIGNED_MOVE("vmovapd", "vmovupd")
        BITNET_UNALIGNED_MOVE("vmovdqa", "vmovdqu")
        BITNET_UNALIGNED_MOVE("vmovdqa32", "vmovdqu32")
        BITNET_UNALIGNED_MOVE("vmovdqa64", "vmovdqu64")
        ".endif\n");  // clang-format on
#undef BITNET_UNALIGNED_MOVE
#endif

#if defined(__clang__)
#define BITNET_REGION_BEGIN(features) \
  BITNET_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define BITNET_REGION_END BITNET_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
// GCC 12 warns inside its own AVX-512 header about registers left undefined on purpose.
// clang-format off
#define BITNET_REGION_BEGIN(features)                            \
  BITNET_PRAGMA(GCC push_options)                                \
  BITNET_PRAGMA(GCC target(features))                            \
  BITNET_PRAGMA(GCC diagnostic push)                             \
  BITNET_PRAGMA(GCC diagnostic ignored "-Wuninitialized")        \
  BITNET_PRAGMA(GCC diagnostic ignored "-Wmaybe-uninitialized")
// clang-format on
#define BITNET_REGION_END BITNET_PRAGMA(GCC diagnostic pop) BITNET_PRAGMA(GCC pop_options)
#else
#define BITNET_REGION_BEGIN(features)
#define BITNET_REGION_END
#endif

#define BITNET_REGION_BEGIN_XSAVE BITNET_REGION_BEGIN("xsave")
#define BITNET_REGION_BEGIN_AVX2 BITNET_REGION_BEGIN("avx2,fma,f16c,bmi,bmi2")
#define BITNET_REGION_BEGIN_AVX_VNNI BITNET_REGION_BEGIN("avx2,fma,f16c,bmi,bmi2,avxvnni")
#define BITNET_REGION_BEGIN_AVX512 \
  BITNET_REGION_BEGIN("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl")
#define BITNET_REGION_BEGIN_AVX512_VNNI \
  BITNET_REGION_BEGIN("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
// clang-format off
#define BITNET_REGION_BEGIN_AVX512_VBMI \
  BITNET_REGION_BEGIN( \
      "avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")
// clang-format on

#elif BITNET_ARCH_AARCH64
#include <arm_neon.h>

// Regions add to the flags ("+dotprod"). A region that names an architecture (arch=armv8.2-a+..)
// would take away what the flags have beyond it, and then nothing compiled for the flags could be
// inlined there. But the intrinsics of GCC's arm_neon.h are inlined only where the architecture is
// named, and those of Clang before 16 exist only where the flags have the instruction. Hence the
// instructions themselves, below; each adds to `sum` in place.
#if defined(__clang__)
#define BITNET_REGION_BEGIN_NEON_DOTPROD \
  BITNET_PRAGMA(clang attribute push(__attribute__((target("dotprod"))), apply_to = function))
#define BITNET_REGION_BEGIN_NEON_I8MM \
  BITNET_PRAGMA(clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function))
#define BITNET_REGION_END BITNET_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define BITNET_REGION_BEGIN_NEON_DOTPROD \
  BITNET_PRAGMA(GCC push_options)        \
  BITNET_PRAGMA(GCC target("+dotprod"))
#define BITNET_REGION_BEGIN_NEON_I8MM \
  BITNET_PRAGMA(GCC push_options)     \
  BITNET_PRAGMA(GCC target("+dotprod+i8mm"))
#define BITNET_REGION_END BITNET_PRAGMA(GCC pop_options)
#else
#define BITNET_REGION_BEGIN_NEON_DOTPROD
#define BITNET_REGION_BEGIN_NEON_I8MM
#define BITNET_REGION_END
#endif

#if defined(__GNUC__)
// The assembler that GCC feeds knows these instructions from ARMv8.2 on, whatever the extension
// says. Flags below that need not be restored: GCC states those of the next function outside of
// the region, which differ. Flags that have one of these are not below it.
#if defined(__clang__) || defined(__ARM_FEATURE_DOTPROD) || defined(__ARM_FEATURE_SVE) || \
    defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC) || defined(__ARM_FEATURE_COMPLEX)
#define BITNET_ARM_ASM(instruction) instruction
#else
#define BITNET_ARM_ASM(instruction) ".arch armv8.2-a+dotprod+i8mm\n\t" instruction
#endif
// sum[i] += the 4 products of a[4 i ..] and of b[4 lane ..], signed.
#define BITNET_SDOT_LANE(sum, a, b, lane) \
  __asm__(BITNET_ARM_ASM("sdot %0.4s, %1.16b, %2.4b[%c3]") : "+w"(sum) : "w"(a), "w"(b), "n"(lane))
// The same with unsigned a.
#define BITNET_USDOT_LANE(sum, a, b, lane) \
  __asm__(BITNET_ARM_ASM("usdot %0.4s, %1.16b, %2.4b[%c3]") : "+w"(sum) : "w"(a), "w"(b), "n"(lane))
// sum[2 i + j] += the 8 products of a[8 i ..] and b[8 j ..], signed: 2 by 8 times 8 by 2.
#define BITNET_SMMLA(sum, a, b) \
  __asm__(BITNET_ARM_ASM("smmla %0.4s, %1.16b, %2.16b") : "+w"(sum) : "w"(a), "w"(b))
// Asks for the line of memory at p.
#define BITNET_PREFETCH(p) __builtin_prefetch(p)
#else
#define BITNET_SDOT_LANE(sum, a, b, lane) sum = vdotq_laneq_s32(sum, a, b, lane)
#define BITNET_USDOT_LANE(sum, a, b, lane) sum = vusdotq_laneq_s32(sum, a, b, lane)
#define BITNET_SMMLA(sum, a, b) sum = vmmlaq_s32(sum, a, b)
#define BITNET_PREFETCH(p) __prefetch(p)
#endif
#endif
