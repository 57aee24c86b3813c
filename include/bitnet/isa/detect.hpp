// SPDX-License-Identifier: Apache-2.0
// Which instruction sets this machine and its operating system run, asked once and kept by value.
#pragma once

#include <bitnet/isa/region.hpp>
#include <bitnet/isa/tags.hpp>

#include <array>
#include <cstdint>
#include <type_traits>

#if BITNET_ARCH_X86_64 && !defined(BITNET_X86_INTRINSICS_HEADER)
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

#if BITNET_ARCH_AARCH64
#if defined(__linux__) || defined(__FreeBSD__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#if !defined(WIN32_LEAN_AND_MEAN)
#define WIN32_LEAN_AND_MEAN
#endif
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <windows.h>
#endif
#endif

BITNET_NAMESPACE_BEGIN
namespace isa {

/// What runs here. A set implies those that it builds on.
struct cpu_features {
  bool avx2 = false;  ///< with FMA, F16C, BMI and BMI2
  bool avx_vnni = false;
  bool avx512 = false;  ///< F, BW, DQ and VL
  bool avx512_vnni = false;
  bool avx512_vbmi = false;  ///< with VNNI
  bool neon = false;         ///< part of every 64-bit ARM processor
  bool neon_dotprod = false;
  bool neon_i8mm = false;
};

#if BITNET_ARCH_X86_64 && !defined(BITNET_X86_INTRINSICS_HEADER)
namespace detail {

struct cpuid_registers {
  std::uint32_t a, b, c, d;
};

[[nodiscard]] inline cpuid_registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
  int r[4];
  __cpuidex(r, static_cast<int>(leaf), static_cast<int>(subleaf));
  return {static_cast<std::uint32_t>(r[0]), static_cast<std::uint32_t>(r[1]),
          static_cast<std::uint32_t>(r[2]), static_cast<std::uint32_t>(r[3])};
#else
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(leaf, subleaf, &a, &b, &c, &d) == 0) return {};
  return {a, b, c, d};
#endif
}

BITNET_REGION_BEGIN_XSAVE
/// Register states that the operating system saves (XCR0). Only where cpuid reports OSXSAVE.
[[nodiscard]] inline std::uint64_t enabled_states() noexcept {
  return static_cast<std::uint64_t>(_xgetbv(0));
}
BITNET_REGION_END

}  // namespace detail
#endif

#if BITNET_ARCH_AARCH64
namespace detail {

/// What the operating system says of an ARM processor, whose own registers programs may not read.
/// A system without a question to ask leaves what the compiler's flags promise.
struct arm_features {
  bool dot = BITNET_FLAGS_NEON_DOTPROD != 0;
  bool i8mm = BITNET_FLAGS_NEON_I8MM != 0;
};

[[nodiscard]] inline arm_features ask_system() noexcept {
  arm_features f;
#if defined(__linux__) || defined(__FreeBSD__)
  // By number (HWCAP_ASIMDDP, HWCAP2_I8MM): C libraries older than the processors lack the names.
#if defined(__linux__)
  const unsigned long one = getauxval(AT_HWCAP), two = getauxval(AT_HWCAP2);
#else
  unsigned long one = 0, two = 0;
  if (elf_aux_info(AT_HWCAP, &one, static_cast<int>(sizeof one)) != 0) one = 0;
  if (elf_aux_info(AT_HWCAP2, &two, static_cast<int>(sizeof two)) != 0) two = 0;
#endif
  f.dot = (one >> 20 & 1U) != 0;
  f.i8mm = (two >> 13 & 1U) != 0;
#elif defined(__APPLE__)
  const auto has = [](const char* name) {
    int yes = 0;
    std::size_t size = sizeof yes;
    return sysctlbyname(name, &yes, &size, nullptr, 0) == 0 && yes != 0;
  };
  f.dot = has("hw.optional.arm.FEAT_DotProd");
  f.i8mm = has("hw.optional.arm.FEAT_I8MM");
#elif defined(_WIN32)
  // By number (PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE, PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE):
  // older versions of the headers lack the names. A system that does not know one says no.
  f.dot = IsProcessorFeaturePresent(43) != 0;
  f.i8mm = IsProcessorFeaturePresent(66) != 0;
#endif
  return f;
}

}  // namespace detail
#endif

/// Asks the machine. Costs a few cpuid instructions, which a virtual machine may trap, or calls of
/// the system: call it when a model is loaded, not in a loop. Keeps no state.
[[nodiscard]] inline cpu_features detect() noexcept {
  cpu_features f;
#if defined(BITNET_X86_INTRINSICS_HEADER)
  f.avx2 = f.avx_vnni = true;  // an emulation runs everything
  f.avx512 = f.avx512_vnni = f.avx512_vbmi = true;
#elif BITNET_ARCH_X86_64
  const auto bit = [](std::uint32_t word, int index) { return (word >> index & 1U) != 0; };
  const std::uint32_t leaves = detail::cpuid(0, 0).a;
  if (leaves < 7) return f;
  const auto one = detail::cpuid(1, 0);
  const auto seven = detail::cpuid(7, 0);
  const bool osxsave = bit(one.c, 27) && bit(one.c, 28);
  const std::uint64_t states = osxsave ? detail::enabled_states() : 0;
  const bool ymm = (states & 0x6U) == 0x6U;
  const bool zmm = (states & 0xe6U) == 0xe6U;
  f.avx2 = ymm && bit(one.c, 12) && bit(one.c, 29) && bit(seven.b, 5) && bit(seven.b, 3) &&
           bit(seven.b, 8);
  f.avx512 =
      f.avx2 && zmm && bit(seven.b, 16) && bit(seven.b, 30) && bit(seven.b, 17) && bit(seven.b, 31);
  f.avx512_vnni = f.avx512 && bit(seven.c, 11);
  f.avx512_vbmi = f.avx512_vnni && bit(seven.c, 1);
  f.avx_vnni = f.avx2 && seven.a >= 1 && bit(detail::cpuid(7, 1).a, 4);
#elif BITNET_ARCH_AARCH64
  const detail::arm_features system = detail::ask_system();
  f.neon = true;
  f.neon_dotprod = system.dot;
  f.neon_i8mm = system.dot && system.i8mm;
#endif
  return f;
}

/// Whether a machine with these features runs code compiled for tag I.
template <tag I>
[[nodiscard]] constexpr bool runs([[maybe_unused]] I instruction_set,
                                  [[maybe_unused]] const cpu_features& f) noexcept {
#if BITNET_ARCH_X86_64
  if constexpr (std::is_same_v<I, avx512_vbmi>)
    return f.avx512_vbmi;
  else if constexpr (std::is_same_v<I, avx512_vnni>)
    return f.avx512_vnni;
  else if constexpr (std::is_same_v<I, avx512>)
    return f.avx512;
  else if constexpr (std::is_same_v<I, avx_vnni>)
    return f.avx_vnni;
  else if constexpr (std::is_same_v<I, avx2>)
    return f.avx2;
  else
#elif BITNET_ARCH_AARCH64
  if constexpr (std::is_same_v<I, neon_i8mm>)
    return f.neon_i8mm;
  else if constexpr (std::is_same_v<I, neon_dotprod>)
    return f.neon_dotprod;
  else if constexpr (std::is_same_v<I, neon>)
    return f.neon;
  else
#endif
    return std::is_same_v<I, scalar>;
}

}  // namespace isa
BITNET_NAMESPACE_END
