// SPDX-License-Identifier: Apache-2.0
// Instruction sets as types: fallback is inheritance, so a missing kernel resolves to its parent's.
#pragma once

#include <bitnet/config.hpp>

#include <concepts>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace isa {

/// Plain C++, on every machine. Also the oracle that every other kernel is tested against.
struct scalar {
  static constexpr std::string_view name = "scalar";
};

#if BITNET_ARCH_X86_64
/// x86-64-v3: AVX2, FMA, F16C (Intel since 2013, AMD since 2015).
struct avx2 : scalar {
  static constexpr std::string_view name = "avx2";
};
/// AVX2 with 8-bit dot products on 256 bits (Intel since 2021, AMD Zen 5).
struct avx_vnni : avx2 {
  static constexpr std::string_view name = "avx_vnni";
};
/// AVX-512 F, BW, DQ and VL (Intel since 2017, AMD Zen 4).
struct avx512 : avx2 {
  static constexpr std::string_view name = "avx512";
};
/// AVX-512 with 8-bit dot products on 512 bits (Intel since 2019, AMD Zen 4).
struct avx512_vnni : avx512 {
  static constexpr std::string_view name = "avx512_vnni";
};
/// The same with permutations of bytes (VBMI; Intel since 2019 except Cascade and Cooper Lake, AMD
/// Zen 4).
struct avx512_vbmi : avx512_vnni {
  static constexpr std::string_view name = "avx512_vbmi";
};
#endif

#if BITNET_ARCH_AARCH64
/// Advanced SIMD as every 64-bit ARM processor has it (Cortex-A53 and A72, Raspberry Pi 3 and 4).
struct neon : scalar {
  static constexpr std::string_view name = "neon";
};
/// NEON with 8-bit dot products (Cortex-A55 and A76, Neoverse N1, Apple A11; Raspberry Pi 5).
struct neon_dotprod : neon {
  static constexpr std::string_view name = "neon_dotprod";
};
/// And with products of 8-bit matrices (Cortex-X2 and A510, Neoverse V1 and N2, Apple M2).
struct neon_i8mm : neon_dotprod {
  static constexpr std::string_view name = "neon_i8mm";
};
#endif

/// An instruction set: derives from scalar and has a name.
template <class I>
concept tag = std::derived_from<I, scalar> && requires {
  { I::name } -> std::convertible_to<std::string_view>;
};

}  // namespace isa
BITNET_NAMESPACE_END
