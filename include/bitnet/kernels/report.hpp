// SPDX-License-Identifier: Apache-2.0
// Which family of kernels serves what, worked out at compile time from the overloads themselves.
#pragma once

#include <bitnet/kernels/kernels.hpp>

#include <array>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace kernels {

/// One entry of kernel_table and the instruction set whose overload fills it.
struct served {
  std::string_view kernel;
  std::string_view by;
};

namespace detail {
consteval std::size_t count_kernels() noexcept {
  std::size_t n = 0;
  for_each_kernel([&](auto...) { ++n; });
  return n;
}
}  // namespace detail

/// Number of entries of a kernel_table.
inline constexpr std::size_t kernel_count = detail::count_kernels();

/// What serves each kernel on instruction set I. Print it, or assert on it:
/// static_assert(kernels::report<isa::avx512_vnni>()[0].by == "avx512_vnni");
template <isa::tag I>
[[nodiscard]] consteval std::array<served, kernel_count> report() noexcept {
  std::array<served, kernel_count> entries{};
  std::size_t n = 0;
  for_each_kernel([&](std::string_view name, auto member, auto call) {
    using function = std::remove_reference_t<decltype(std::declval<kernel_table&>().*member)>;
    entries[n++] = {name, detail::bound<I, decltype(call), function>::server::name};
  });
  return entries;
}

}  // namespace kernels
BITNET_NAMESPACE_END
