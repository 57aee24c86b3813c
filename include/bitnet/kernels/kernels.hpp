// SPDX-License-Identifier: Apache-2.0
// The only way in to the kernels: every family of the platform, and their tables.
//
// A kernel is an overload on an instruction set's tag. A missing one resolves to its parent's,
// down to scalar. It returns its own tag, so that its declared type says who serves a call.
#pragma once

#include <bitnet/isa/list.hpp>
#include <bitnet/kernels/reference.hpp>
#include <bitnet/kernels/scalar.hpp>
#include <bitnet/kernels/table.hpp>

#if BITNET_ARCH_X86_64
#include <bitnet/kernels/x86/avx2.hpp>
#include <bitnet/kernels/x86/avx2_tiled.hpp>
#include <bitnet/kernels/x86/avx512.hpp>
#include <bitnet/kernels/x86/avx512_tiled.hpp>
#include <bitnet/kernels/x86/avx512_vbmi.hpp>
#include <bitnet/kernels/x86/avx512_vnni.hpp>
#include <bitnet/kernels/x86/avx_vnni.hpp>
#elif BITNET_ARCH_AARCH64
#include <bitnet/kernels/arm/neon.hpp>
#include <bitnet/kernels/arm/neon_dotprod.hpp>
#include <bitnet/kernels/arm/neon_i8mm.hpp>
#include <bitnet/kernels/arm/neon_tiled.hpp>
#endif

#include <string_view>
#include <type_traits>
#include <utility>

BITNET_NAMESPACE_BEGIN
namespace kernels {

// Overloads of one name from every family, side by side.
#define BITNET_FLOAT_KERNELS_OF(family) \
  using family::add;                    \
  using family::attend;                 \
  using family::copy_row;               \
  using family::gemm_bf16;              \
  using family::gemm_f16;               \
  using family::gemm_f32;               \
  using family::merge_attention;        \
  using family::prefetch_row;           \
  using family::quantize;               \
  using family::relu2_mul;              \
  using family::rms_norm;               \
  using family::rope_adjacent;          \
  using family::rope_halves;            \
  using family::scale;                  \
  using family::score_bounds;           \
  using family::silu_mul;               \
  using family::store_kv;               \
  using family::sum_squares;            \
  using family::to_f16;                 \
  using family::widen_bf16;             \
  using family::widen_f16

BITNET_FLOAT_KERNELS_OF(on_scalar);
using on_scalar::gemm_gated;
using on_scalar::gemm_tiled;
using on_scalar::list_nonzero;
using on_scalar::tabulate;
#if BITNET_ARCH_X86_64
BITNET_FLOAT_KERNELS_OF(on_avx2);
BITNET_FLOAT_KERNELS_OF(on_avx512);
using on_avx2::gemm_tiled;
using on_avx2::tabulate;
using on_avx2::vnni::gemm_tiled;
using on_avx512::gemm_tiled;
using on_avx512::vbmi::gemm_tiled;
using on_avx512::vnni::attend;
using on_avx512::vnni::gemm_gated;
using on_avx512::vnni::gemm_tiled;
#elif BITNET_ARCH_AARCH64
BITNET_FLOAT_KERNELS_OF(on_neon);
using on_neon::gemm_tiled;
using on_neon::tabulate;
using on_neon::dotprod::gemm_tiled;
using on_neon::i8mm::gemm_tiled;
#endif
#undef BITNET_FLOAT_KERNELS_OF

/// Visits every entry of kernel_table: visit(name, member, call), where call(tag, arguments...)
/// resolves the overload. The only list of the kernels beside the table itself.
template <class Visit>
constexpr void for_each_kernel(Visit visit) {
#define BITNET_KERNEL(name)                           \
  visit(std::string_view{#name}, &kernel_table::name, \
        [](auto tag, auto&&... a) { return name(tag, a...); })
  BITNET_KERNEL(gemm_tiled);
  BITNET_KERNEL(gemm_gated);
  BITNET_KERNEL(list_nonzero);
  BITNET_KERNEL(quantize);
  BITNET_KERNEL(tabulate);
  BITNET_KERNEL(gemm_f32);
  BITNET_KERNEL(gemm_f16);
  BITNET_KERNEL(gemm_bf16);
  BITNET_KERNEL(rms_norm);
  BITNET_KERNEL(add);
  BITNET_KERNEL(scale);
  BITNET_KERNEL(silu_mul);
  BITNET_KERNEL(relu2_mul);
  BITNET_KERNEL(rope_adjacent);
  BITNET_KERNEL(rope_halves);
  BITNET_KERNEL(to_f16);
  BITNET_KERNEL(store_kv);
  BITNET_KERNEL(attend);
  BITNET_KERNEL(merge_attention);
  BITNET_KERNEL(widen_f16);
  BITNET_KERNEL(widen_bf16);
  BITNET_KERNEL(prefetch_row);
  BITNET_KERNEL(sum_squares);
  BITNET_KERNEL(copy_row);
  BITNET_KERNEL(score_bounds);
#undef BITNET_KERNEL
}

namespace detail {

/// A kernel bound to an instruction set: the function for the table, and the tag that serves it.
template <isa::tag I, class Call, class Function>
struct bound;
template <isa::tag I, class Call, class... Args>
struct bound<I, Call, void (*)(Args...) noexcept> {
  using server = decltype(std::declval<Call>()(I{}, std::declval<Args&>()...));
  static void call(Args... args) noexcept { Call{}(I{}, args...); }
};

template <isa::tag I>
[[nodiscard]] constexpr kernel_table make_table() noexcept {
  kernel_table table{};
  table.isa = I::name;
  for_each_kernel([&](std::string_view, auto member, auto call) {
    using function = std::remove_reference_t<decltype(table.*member)>;
    using chosen = bound<I, decltype(call), function>;
    table.*member = &chosen::call;
    if constexpr (std::same_as<function, decltype(kernel_table::gemm_gated)>)
      table.skips_zeros = !std::same_as<typename chosen::server, isa::scalar>;
  });
  return table;
}

}  // namespace detail

/// The kernels that serve instruction set I.
template <isa::tag I>
inline constexpr kernel_table table_of = detail::make_table<I>();

/// The table of the instruction set with this name, or null if this build has none. The caller
/// makes sure that the machine runs it (isa::runs).
[[nodiscard]] BITNET_MAYBE_INLINE const kernel_table* table_for(std::string_view name) noexcept;
/// The best table for a machine with these features.
[[nodiscard]] BITNET_MAYBE_INLINE const kernel_table& best_table(
    const isa::cpu_features& features) noexcept;
/// The best table for this machine; asks it each time (see isa::detect).
[[nodiscard]] inline const kernel_table& best_table() noexcept { return best_table(isa::detect()); }

// Both name every kernel of every family: a separated program compiles those in one file.
#if BITNET_IMPLEMENTED_HERE
BITNET_MAYBE_INLINE const kernel_table* table_for(std::string_view name) noexcept {
  const kernel_table* found = nullptr;
  isa::for_each(isa::compiled{}, [&]<class I>(I) {
    if (name == I::name) found = &table_of<I>;
  });
  return found;
}

BITNET_MAYBE_INLINE const kernel_table& best_table(const isa::cpu_features& features) noexcept {
  return *isa::dispatch(isa::compiled{}, features, []<class I>(I) { return &table_of<I>; });
}
#endif

}  // namespace kernels
BITNET_NAMESPACE_END
