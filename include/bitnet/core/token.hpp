// SPDX-License-Identifier: Apache-2.0
// Token ids and scored tokens, shared by text, samplers, layers and sessions.
#pragma once

#include <bitnet/config.hpp>

#include <cstdint>

BITNET_NAMESPACE_BEGIN

/// Index of a vocabulary entry. Negative values never name a token.
using token = std::int32_t;

/// A token and how well it fits; see better().
struct scored_token {
  float logit;
  token id;
};

/// The one order of scored tokens: higher logit first, equal logits by lower id. It is total for
/// logits that are not NaN, so every sort of the same tokens gives the same list.
[[nodiscard]] constexpr bool better(const scored_token& a, const scored_token& b) noexcept {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

BITNET_NAMESPACE_END
