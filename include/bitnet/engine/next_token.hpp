// SPDX-License-Identifier: Apache-2.0
// The next token of a session by a sampler, within a constraint if there is one.
#pragma once

#include <bitnet/core/token.hpp>
#include <bitnet/engine/session.hpp>
#include <bitnet/sample/constraint.hpp>
#include <bitnet/sample/sampler.hpp>

#include <cstddef>
#include <optional>
#include <span>

BITNET_NAMESPACE_BEGIN

/// The scores that choosing the next token needs, no more than that. `all_scores`: the best ones
/// did not suffice, see next_token.
template <class Session>
[[nodiscard]] step_wants wanted_scores(const Session& session, const sampler& choose,
                                       const std::optional<constraint_ref>& only,
                                       bool all_scores) noexcept {
  const std::size_t few = choose.needs();
  if (!only)
    return few != 0 && few <= Session::max_best ? step_wants{few, false} : step_wants{0, true};
  if (only->finished()) return {};
  const std::size_t allowed = only->allowed().count();
  if (allowed == 1) return {};
  // The likeliest token that is allowed is probably among the likeliest, if most are allowed.
  const bool likely = few == 1 && !all_scores && allowed > session.vocab() / 2;
  return likely ? step_wants{8, false} : step_wants{0, true};
}

/// What `choose` takes from the scores that were wanted. With a constraint, which is not
/// finished(), it is an allowed token, and `choose` was made `constrained`; nothing if none of the
/// best tokens is allowed, so that all scores are wanted. `history` and `index` are those of
/// sampler::sample.
template <class Session>
[[nodiscard]] std::optional<token> next_token(Session& session, sampler& choose,
                                              const std::optional<constraint_ref>& only,
                                              step_wants scores, std::span<const token> history,
                                              std::size_t index) noexcept {
  if (!only)
    return scores.best != 0 ? choose.sample(session.best(scores.best), index)
                            : choose.sample(session.logits(), history, index);
  const sample::token_set& allowed = only->allowed();
  if (scores.logits) return choose.sample(session.logits(), history, index, &allowed);
  if (scores.best == 0) return allowed.first();  // the only one, whatever its score would be
  for (const scored_token& t : session.best(scores.best))
    if (allowed.contains(t.id)) return t.id;
  return std::nullopt;
}

BITNET_NAMESPACE_END
