// SPDX-License-Identifier: Apache-2.0
// Version, ABI namespace, platform facts captured once, and the replaceable contract check.
#pragma once

#include <bit>
#include <climits>
#include <cstddef>

#define BITNET_VERSION_MAJOR 0
#define BITNET_VERSION_MINOR 1
#define BITNET_VERSION_PATCH 0

static_assert(std::endian::native == std::endian::little,
              "bitnet.hpp reads little-endian files in place; big-endian targets are refused");
// Sizes of 32 bits exist on WebAssembly alone: what would overflow them is refused when a file is
// parsed (gguf::limits) and when a session is measured.
#if defined(__wasm32__)
#define BITNET_ARCH_WASM32 1
#else
#define BITNET_ARCH_WASM32 0
#endif
static_assert(sizeof(void*) == (BITNET_ARCH_WASM32 ? 4 : 8) && CHAR_BIT == 8,
              "bitnet.hpp needs a 64-bit target, or WebAssembly");

// With these flags sums come in any order, so that bits differ from compiler to compiler, and
// checks for numbers that are not finite, which hostile files have, are left out.
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    defined(_M_FP_FAST) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0)
#error "bitnet.hpp needs exact floating point: compile what includes it with -fno-fast-math"
#endif

#if defined(min) || defined(max)
#error "min or max is a macro here: define NOMINMAX before <windows.h> is included"
#endif

// ---- platform -----------------------------------------------------------------------------------
// Predefined macros are read here and nowhere else: inside a target region some compilers define
// __AVX2__ and some do not, so a test made there would differ between them.

#if defined(__x86_64__) || defined(_M_X64)
#define BITNET_ARCH_X86_64 1
#else
#define BITNET_ARCH_X86_64 0
#endif

#if defined(__aarch64__) || defined(_M_ARM64)
#define BITNET_ARCH_AARCH64 1
#else
#define BITNET_ARCH_AARCH64 0
#endif

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define BITNET_FLAGS_AVX2 1
#else
#define BITNET_FLAGS_AVX2 0
#endif

#if BITNET_FLAGS_AVX2 && defined(__AVXVNNI__)
#define BITNET_FLAGS_AVX_VNNI 1
#else
#define BITNET_FLAGS_AVX_VNNI 0
#endif

#if BITNET_FLAGS_AVX2 && defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__)
#define BITNET_FLAGS_AVX512 1
#else
#define BITNET_FLAGS_AVX512 0
#endif

#if BITNET_FLAGS_AVX512 && defined(__AVX512VNNI__)
#define BITNET_FLAGS_AVX512_VNNI 1
#else
#define BITNET_FLAGS_AVX512_VNNI 0
#endif

#if BITNET_FLAGS_AVX512_VNNI && defined(__AVX512VBMI__)
#define BITNET_FLAGS_AVX512_VBMI 1
#else
#define BITNET_FLAGS_AVX512_VBMI 0
#endif

#if BITNET_ARCH_AARCH64 && defined(__ARM_FEATURE_DOTPROD)
#define BITNET_FLAGS_NEON_DOTPROD 1
#else
#define BITNET_FLAGS_NEON_DOTPROD 0
#endif

#if BITNET_FLAGS_NEON_DOTPROD && defined(__ARM_FEATURE_MATMUL_INT8)
#define BITNET_FLAGS_NEON_I8MM 1
#else
#define BITNET_FLAGS_NEON_I8MM 0
#endif

// Hardware fused multiply-add without any target region (core/math.hpp emulates it otherwise).
#if defined(__FMA__) || BITNET_ARCH_AARCH64
#define BITNET_FLAGS_FMA 1
#else
#define BITNET_FLAGS_FMA 0
#endif

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define BITNET_EXCEPTIONS 1
#else
#define BITNET_EXCEPTIONS 0
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define BITNET_INLINE __forceinline
#define BITNET_NOINLINE __declspec(noinline)
#define BITNET_RESTRICT __restrict
#else
#define BITNET_INLINE inline __attribute__((always_inline))
#define BITNET_NOINLINE __attribute__((noinline))
#define BITNET_RESTRICT __restrict__
#endif

// ---- ABI namespace ------------------------------------------------------------------------------
// A template instantiated in a file built with -mavx512f and in a baseline file would otherwise be
// one weak symbol, and the linker may hand the baseline caller AVX-512 code. The name therefore
// says version, instruction set and exceptions mode.

#if BITNET_FLAGS_AVX512_VBMI
#define BITNET_ABI_ISA avx512_vbmi
#elif BITNET_FLAGS_AVX512_VNNI
#define BITNET_ABI_ISA avx512_vnni
#elif BITNET_FLAGS_AVX512
#define BITNET_ABI_ISA avx512
#elif BITNET_FLAGS_AVX_VNNI
#define BITNET_ABI_ISA avx_vnni
#elif BITNET_FLAGS_AVX2
#define BITNET_ABI_ISA avx2
#elif BITNET_FLAGS_NEON_I8MM
#define BITNET_ABI_ISA neon_i8mm
#elif BITNET_FLAGS_NEON_DOTPROD
#define BITNET_ABI_ISA neon_dotprod
#else
#define BITNET_ABI_ISA base
#endif

#if BITNET_EXCEPTIONS
#define BITNET_ABI_MODE ex
#else
#define BITNET_ABI_MODE noex
#endif

// Flags that make a compiler use instructions of their own accord, one letter each: -mavx2 alone,
// say, belongs to no instruction set above and still must not share symbols with a baseline file.
#if defined(__SSE4_1__)
#define BITNET_ABI_FLAG_1 s
#elif defined(__ARM_FEATURE_ATOMICS)
#define BITNET_ABI_FLAG_1 a
#else
#define BITNET_ABI_FLAG_1 o
#endif
#if defined(__AVX2__)
#define BITNET_ABI_FLAG_2 b
#elif defined(__AVX__)
#define BITNET_ABI_FLAG_2 a
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define BITNET_ABI_FLAG_2 m
#else
#define BITNET_ABI_FLAG_2 o
#endif
#if defined(__FMA__)
#define BITNET_ABI_FLAG_3 f
#elif defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
#define BITNET_ABI_FLAG_3 h
#else
#define BITNET_ABI_FLAG_3 o
#endif
#if defined(__AVX512F__)
#define BITNET_ABI_FLAG_4 x
#elif defined(__ARM_FEATURE_SVE2)
#define BITNET_ABI_FLAG_4 w
#elif defined(__ARM_FEATURE_SVE)
#define BITNET_ABI_FLAG_4 v
#else
#define BITNET_ABI_FLAG_4 o
#endif

// Shared libraries of one process that define BITNET_ASSERT or BITNET_LOG differently, but are
// alike otherwise, would share these too. Each defines BITNET_ABI_TAG, a word such as
// _of_my_plugin.
#if !defined(BITNET_ABI_TAG)
#define BITNET_ABI_TAG
#endif

#define BITNET_ABI_JOIN_(major, minor, patch, isa, a, b, c, d, mode, tag) \
  v##major##_##minor##_##patch##_##isa##_##a##b##c##d##_##mode##tag
#define BITNET_ABI_JOIN(major, minor, patch, isa, a, b, c, d, mode, tag) \
  BITNET_ABI_JOIN_(major, minor, patch, isa, a, b, c, d, mode, tag)
#define BITNET_ABI                                                                         \
  BITNET_ABI_JOIN(BITNET_VERSION_MAJOR, BITNET_VERSION_MINOR, BITNET_VERSION_PATCH,        \
                  BITNET_ABI_ISA, BITNET_ABI_FLAG_1, BITNET_ABI_FLAG_2, BITNET_ABI_FLAG_3, \
                  BITNET_ABI_FLAG_4, BITNET_ABI_MODE, BITNET_ABI_TAG)

#define BITNET_NAMESPACE_BEGIN \
  namespace bitnet {           \
  inline namespace BITNET_ABI {
#define BITNET_NAMESPACE_END \
  }                          \
  }

// ---- contracts ----------------------------------------------------------------------------------
// BITNET_ASSERT(condition, "text") states a contract between the library and its caller. It is
// never used on file contents: those give errors. Define it before the first include, alike in all
// files of a program or shared library, to replace it: a void expression, constant where the
// condition holds, such as ((condition) ? void() : my_handler(text)).

#if !defined(BITNET_ASSERT)
#include <cassert>
#define BITNET_ASSERT(condition, text) assert((condition) && (text))
#endif

// ---- messages -----------------------------------------------------------------------------------
// BITNET_LOG(level, text, size) gets the messages of objects that were given no log_sink of their
// own (core/log.hpp); without it they are dropped. Define it before the first include, alike in all
// files: a void expression that does not throw, such as my_log(level, text, size), of an int from 0
// (debug) to 3 (error), a const char* that is valid meanwhile, and a std::size_t.

#if defined(BITNET_LOG)
#define BITNET_HAS_LOG 1
#else
#define BITNET_HAS_LOG 0
#define BITNET_LOG(level, text, size) static_cast<void>(0)
#endif

// ---- programs of many files ---------------------------------------------------------------------
// The architectures behind bitnet::open and the kernels of every instruction set take most of the
// time that a file takes to compile. Define BITNET_SEPARATE for all files of a program and
// BITNET_IMPLEMENTATION, before the first include, in one that includes bitnet/bitnet.hpp: then
// they are compiled there and nowhere else.

#if defined(BITNET_SEPARATE)
#define BITNET_MAYBE_INLINE
#else
#define BITNET_MAYBE_INLINE inline
#endif
#if defined(BITNET_SEPARATE) && !defined(BITNET_IMPLEMENTATION)
#define BITNET_IMPLEMENTED_HERE 0
#else
#define BITNET_IMPLEMENTED_HERE 1
#endif
