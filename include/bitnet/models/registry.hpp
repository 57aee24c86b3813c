// SPDX-License-Identifier: Apache-2.0
// Every architecture that is shipped, for files whose architecture is known only at run time.
#pragma once

#include <bitnet/models/bitnet.hpp>
#include <bitnet/models/llama.hpp>
#include <bitnet/models/qwen3.hpp>

#include <string_view>
#include <type_traits>

BITNET_NAMESPACE_BEGIN
namespace models {

namespace detail {
template <class A, class Visitor>
constexpr bool visit_if_named(std::string_view name, Visitor& visit) {
  for (const std::string_view own : A::gguf_names) {
    if (own != name) continue;
    visit(std::type_identity<A>{});
    return true;
  }
  return false;
}
}  // namespace detail

/// Calls visit(std::type_identity<A>) with the architecture that serves `name`, the value of
/// general.architecture. False, and no call, if there is none.
template <class Visitor>
constexpr bool visit_architecture(std::string_view name, Visitor&& visit) {
  return detail::visit_if_named<bitnet_b158<>>(name, visit) ||
         detail::visit_if_named<bitnet_silu<>>(name, visit) ||
         detail::visit_if_named<llama<>>(name, visit) ||
         detail::visit_if_named<qwen3<>>(name, visit);
}

}  // namespace models
BITNET_NAMESPACE_END
