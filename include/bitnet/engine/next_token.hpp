// SPDX-License-Identifier: Apache-2.0
// The next token of a session by a sampler, within a constraint if there is one.
#pragma once

#include <bitnet/core/token.hpp>
#include <bitnet/sample/constraint.hpp>
#include <bitnet/sample/sampler.hpp>

#include <cstddef>
#include <optional>
#include <span>

BITNET_NAMESPACE_BEGIN

/// What `choose` takes from the session's scores; it asks for no more of them than it needs. With a
/// constraint, which is not finished(), the token is an allowed one; `choose` is then made
/// `constrained`. `history` and `index` are those of sampler::sample.
template <class Session>
[[nodiscard]] token next_token(Session& session, sampler& choose,
                               const std::optional<constraint_ref>& only,
                               std::span<const token> history, std::size_t index) noexcept {
  const std::size_t few = choose.needs();
  if (!only)
    return few != 0 && few <= Session::max_best ? choose.sample(session.best(few), index)
                                                : choose.sample(session.logits(), history, index);
  const sample::token_set& allowed = only->allowed();
  if (allowed.count() == 1) return allowed.first();  // whatever its score would be
  // The likeliest token that is allowed is often among the likeliest, which cost less to find.
  if (few == 1)
    for (const scored_token& t : session.best(8))
      if (allowed.contains(t.id)) return t.id;
  return choose.sample(session.logits(), history, index, &allowed);
}

BITNET_NAMESPACE_END
