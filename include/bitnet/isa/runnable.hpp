// SPDX-License-Identifier: Apache-2.0
// Instruction sets by name, for options that force one and for tests that go through all of them.
#pragma once

#include <bitnet/isa/list.hpp>

#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace isa {

/// Calls f(tag) with the compiled instruction set of that name; false if there is none.
template <class F>
constexpr bool visit(std::string_view name, F&& f) {
  bool found = false;
  for_each(compiled{}, [&](auto set) {
    if (decltype(set)::name != name) return;
    found = true;
    f(set);
  });
  return found;
}

/// Names of the compiled instruction sets, from the least to the most capable.
[[nodiscard]] inline std::vector<std::string_view> compiled_names() {
  std::vector<std::string_view> names;
  for_each(compiled{}, [&](auto set) { names.push_back(decltype(set)::name); });
  return names;
}

/// Those of them that this machine runs.
[[nodiscard]] inline std::vector<std::string_view> runnable_names() {
  const cpu_features features = detect();
  std::vector<std::string_view> names;
  for_each(compiled{}, [&](auto set) {
    if (runs(set, features)) names.push_back(decltype(set)::name);
  });
  return names;
}

/// Whether this machine runs the compiled instruction set of that name.
[[nodiscard]] inline bool runnable(std::string_view name) noexcept {
  bool yes = false;
  visit(name, [&](auto set) { yes = runs(set, detect()); });
  return yes;
}

}  // namespace isa
BITNET_NAMESPACE_END
