// SPDX-License-Identifier: Apache-2.0
// Compiled once per set of flags; says where its copies of two library functions are.
#include <bitnet/bitnet.hpp>

#include <string>

#define UNIT_NAME(prefix, unit) UNIT_NAME_(prefix, unit)
#define UNIT_NAME_(prefix, unit) prefix##unit

// A function template and an inline function, the two kinds that become weak symbols.
const void* UNIT_NAME(template_in_, UNIT)() {
  auto* f = &bitnet::aligned_buffer<float>::make;
  return reinterpret_cast<const void*>(f);
}
const void* UNIT_NAME(inline_in_, UNIT)() {
  std::string (*f)(const bitnet::error&) = &bitnet::to_string;
  return reinterpret_cast<const void*>(f);
}
std::string UNIT_NAME(text_in_, UNIT)() {
  return to_string(bitnet::error{bitnet::errc::shape, "m", "w", 3});
}
