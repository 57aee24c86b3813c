// SPDX-License-Identifier: Apache-2.0
// The fused multiply-add that tests compare with: rounded once, also where libm rounds twice.
#pragma once

#include <bitnet/config.hpp>

#include <cmath>

namespace testing {

/// a * b + c. MinGW's std::fma adds in long double, so there it is the processor's own.
inline float exact_fma(float a, float b, float c) {
#if defined(__MINGW32__) && BITNET_ARCH_X86_64
  __asm__("vfmadd231ss %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
  return c;
#else
  return std::fma(a, b, c);
#endif
}

}  // namespace testing
