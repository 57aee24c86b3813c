// SPDX-License-Identifier: Apache-2.0
// Lists of instruction sets: what is compiled in, what the flags allow, and picking at run time.
#pragma once

#include <bitnet/isa/detect.hpp>

#include <string_view>
#include <type_traits>
#include <utility>

BITNET_NAMESPACE_BEGIN
namespace isa {

/// Instruction sets from the least to the most capable; the first is scalar.
template <tag... I>
struct list {
  static constexpr std::size_t size = sizeof...(I);
};

#if BITNET_ARCH_X86_64
/// Every instruction set whose kernels this build contains.
using compiled = list<scalar, avx2, avx_vnni, avx512, avx512_vnni, avx512_vbmi>;
#elif BITNET_ARCH_AARCH64
using compiled = list<scalar, neon, neon_dotprod, neon_i8mm>;
#else
using compiled = list<scalar>;
#endif

/// The best that the compiler flags allow, for types that fix it at compile time.
#if BITNET_FLAGS_AVX512_VBMI
using native = avx512_vbmi;
#elif BITNET_FLAGS_AVX512_VNNI
using native = avx512_vnni;
#elif BITNET_FLAGS_AVX512
using native = avx512;
#elif BITNET_FLAGS_AVX_VNNI
using native = avx_vnni;
#elif BITNET_FLAGS_AVX2
using native = avx2;
#elif BITNET_FLAGS_NEON_I8MM
using native = neon_i8mm;
#elif BITNET_FLAGS_NEON_DOTPROD
using native = neon_dotprod;
#elif BITNET_ARCH_AARCH64
using native = neon;
#else
using native = scalar;
#endif

/// Calls f(tag) for every instruction set of the list, in its order.
template <tag... I, class F>
constexpr void for_each(list<I...>, F&& f) {
  (f(I{}), ...);
}

/// Name of the best instruction set of the list that runs on a machine with these features.
template <tag... I>
[[nodiscard]] constexpr std::string_view best(list<I...>, const cpu_features& features) noexcept {
  std::string_view name = scalar::name;
  ((runs(I{}, features) ? void(name = I::name) : void()), ...);
  return name;
}

/// Name of the best instruction set that this machine runs and this build contains.
[[nodiscard]] inline std::string_view best() noexcept { return best(compiled{}, detect()); }

namespace detail {
template <tag Best, class F>
decltype(auto) dispatch_to(list<>, const cpu_features&, F&& f) {
  return std::forward<F>(f)(Best{});
}
template <tag Best, tag First, tag... Rest, class F>
decltype(auto) dispatch_to(list<First, Rest...>, const cpu_features& features, F&& f) {
  if (runs(First{}, features))
    return dispatch_to<First>(list<Rest...>{}, features, std::forward<F>(f));
  return dispatch_to<Best>(list<Rest...>{}, features, std::forward<F>(f));
}
}  // namespace detail

/// f(tag) with the last instruction set of the list that runs on a machine with these features, or
/// scalar; f returns the same type for each. Pick once for a long piece of work, not for a row.
template <tag... I, class F>
decltype(auto) dispatch(list<I...> choices, const cpu_features& features, F&& f) {
  return detail::dispatch_to<scalar>(choices, features, std::forward<F>(f));
}

}  // namespace isa
BITNET_NAMESPACE_END
