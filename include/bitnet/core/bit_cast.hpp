// SPDX-License-Identifier: Apache-2.0
// bit_cast: the standard's, or for older standard libraries what compilers make it of.
#pragma once

#include <bitnet/config.hpp>

#include <bit>
#include <version>

BITNET_NAMESPACE_BEGIN

#if defined(__cpp_lib_bit_cast)
using std::bit_cast;
#else
/// The value of another type with the same bits (libc++ 13, as in emscripten 3.1.6, lacks it).
template <class To, class From>
[[nodiscard]] constexpr To bit_cast(const From& from) noexcept {
  return __builtin_bit_cast(To, from);
}
#endif

BITNET_NAMESPACE_END
