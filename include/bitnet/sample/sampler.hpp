// SPDX-License-Identifier: Apache-2.0
// From logits to the next token: options, their checks, and the usual chain of processors.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/core/random.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/core/token.hpp>
#include <bitnet/sample/allowed.hpp>
#include <bitnet/sample/logits.hpp>
#include <bitnet/sample/min_p.hpp>
#include <bitnet/sample/penalties.hpp>
#include <bitnet/sample/token_set.hpp>
#include <bitnet/sample/top_k.hpp>
#include <bitnet/sample/top_p.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

BITNET_NAMESPACE_BEGIN

/// How the next token is chosen. The defaults take the most likely one.
struct sampler_options {
  float temperature = 0.0F;         ///< divides the logits, 0 and above; 0 = most likely token
  int top_k = 0;                    ///< tokens kept; 0 = all
  float top_p = 1.0F;               ///< probability kept, 0 to 1; 1 = all, 0 = one token
  float min_p = 0.0F;               ///< least probability relative to the best, 0 to 1; 0 = off
  float repetition_penalty = 1.0F;  ///< above 0; 1 = off
  int repetition_window = 64;       ///< last tokens of the history that are penalized; 0 = off
  std::uint64_t seed = 0;           ///< the same seed gives the same draws on every platform
};

/// errc::invalid_argument that names the first option outside its range (NaN is outside).
[[nodiscard]] inline status validate(const sampler_options& options) noexcept {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const auto refuse = [](std::string_view name, const char* why) -> status {
    return error{errc::invalid_argument, why, name};
  };
  if (!(options.temperature >= 0.0F && options.temperature < infinity))
    return refuse("temperature", "must be finite and not negative");
  if (options.top_k < 0) return refuse("top_k", "must not be negative; 0 keeps every token");
  if (!(options.top_p >= 0.0F && options.top_p <= 1.0F))
    return refuse("top_p", "must lie between 0 and 1");
  if (!(options.min_p >= 0.0F && options.min_p <= 1.0F))
    return refuse("min_p", "must lie between 0 and 1");
  if (!(options.repetition_penalty > 0.0F && options.repetition_penalty < infinity))
    return refuse("repetition_penalty", "must be finite and above 0");
  if (options.repetition_window < 0)
    return refuse("repetition_window", "must not be negative; 0 penalizes nothing");
  return {};
}

/// Chooses tokens: penalties, top-k, top-p, min-p, temperature, then one draw, in llama.cpp's
/// order (so top-p and min-p see the distribution at temperature 1). The choice is a function of
/// options, logits, history and index alone: equal logits go to the lower id, the draw is the
/// index-th number of the seed, and no step depends on platform or flags. Memory is allocated by
/// `make` only. Not thread safe; one sampler, one sequence.
class sampler {
 public:
  /// `constrained`: there will be sets of allowed tokens. errc::invalid_argument for a bad option
  /// or a vocabulary of 0 or over 2^23 tokens, errc::out_of_memory.
  [[nodiscard]] static result<sampler> make(const sampler_options& options, std::size_t n_vocab,
                                            bool constrained = false) noexcept {
    BITNET_CHECK(validate(options));
    if (n_vocab == 0 || n_vocab > sample::max_vocab)
      return error{errc::invalid_argument, "a vocabulary has 1 to 2^23 tokens", "n_vocab"};
    sampler s{options, n_vocab};
    if (s.penalizes() || constrained) {
      BITNET_TRY(s.changed_, aligned_buffer<float>::make(n_vocab, "sampler logits"));
    }
    if (!s.greedy()) {
      const std::size_t room = s.limits() ? sample::top_k_room(s.top_k(), n_vocab) : n_vocab;
      BITNET_TRY(s.room_, aligned_buffer<sample::candidate>::make(room, "sampler candidates"));
    }
    return s;
  }

  [[nodiscard]] const sampler_options& options() const noexcept { return options_; }

  /// How many of the best tokens decide the choice, or 0 if all logits do.
  [[nodiscard]] std::size_t needs() const noexcept {
    if (penalizes()) return 0;
    return greedy() ? 1 : limits() ? top_k() : 0;
  }

  /// The next token from the needs() best ones, best first; the same as from all logits. Not for
  /// needs() of 0.
  [[nodiscard]] token sample(std::span<const scored_token> best, std::uint64_t index) noexcept {
    BITNET_ASSERT(needs() != 0 && best.size() <= needs(), "this sampler needs all logits");
    if (best.empty()) return 0;
    if (greedy()) return best.front().id;
    const auto candidates = room_.span().first(std::min(best.size(), room_.size()));
    std::copy_n(best.begin(), candidates.size(), candidates.begin());
    return choose(nucleus(candidates), index);
  }

  /// The next token. `logits` has n_vocab values; NaN and -infinity are never chosen while there is
  /// another, and if all are NaN the answer is 0. `history` ends with the latest token, prompt
  /// included. `index` counts the tokens drawn so far. With a set of allowed tokens, not empty, the
  /// answer is one of them, whatever the logits are; for a sampler made `constrained`.
  [[nodiscard]] token sample(std::span<const float> logits, std::span<const token> history,
                             std::uint64_t index,
                             const sample::token_set* allowed = nullptr) noexcept {
    BITNET_ASSERT(logits.size() == n_vocab_, "sample needs one logit for each token");
    logits = logits.first(std::min(logits.size(), n_vocab_));
    if (penalizes()) logits = penalize(logits, history);
    if (allowed != nullptr) {
      BITNET_ASSERT(changed_.size() != 0, "make the sampler with `constrained`");
      const std::span<float> out = changed_.span().first(logits.size());
      sample::keep_allowed(logits, *allowed, out);
      logits = out;
    }
    if (greedy()) return sample::argmax(logits);

    const std::span<sample::candidate> candidates = shortlist(logits);
    return candidates.empty() ? sample::argmax(logits) : choose(candidates, index);
  }

 private:
  sampler(const sampler_options& options, std::size_t n_vocab) noexcept
      : options_{options}, n_vocab_{n_vocab}, random_{options.seed} {}

  [[nodiscard]] bool greedy() const noexcept {
    return options_.temperature == 0.0F || options_.top_k == 1;
  }
  [[nodiscard]] bool penalizes() const noexcept {
    return options_.repetition_penalty != 1.0F && options_.repetition_window > 0;
  }
  [[nodiscard]] bool limits() const noexcept { return options_.top_k > 0 && top_k() < n_vocab_; }
  [[nodiscard]] std::size_t top_k() const noexcept {
    return static_cast<std::size_t>(options_.top_k);
  }

  std::span<const float> penalize(std::span<const float> logits,
                                  std::span<const token> history) noexcept {
    const auto window = static_cast<std::size_t>(options_.repetition_window);
    const std::span<float> out = changed_.span().first(logits.size());
    std::copy(logits.begin(), logits.end(), out.begin());
    sample::penalize_repeats(logits, history.last(std::min(window, history.size())),
                             options_.repetition_penalty, out);
    return out;
  }

  /// What top-p leaves of the k best.
  std::span<sample::candidate> nucleus(std::span<sample::candidate> best) const noexcept {
    if (options_.top_p >= 1.0F || best.empty()) return best;
    const sample::softmax_weight weigh{best.front().logit};
    return best.first(
        sample::top_p(best, options_.top_p, sample::total_weight(best, weigh), weigh));
  }

  /// Min-p, temperature and the draw.
  [[nodiscard]] token choose(std::span<sample::candidate> candidates,
                             std::uint64_t index) const noexcept {
    const float max = sample::max_logit(candidates);
    if (options_.min_p > 0.0F)
      candidates = sample::min_p(candidates, options_.min_p, sample::softmax_weight{max});
    return sample::draw(candidates, sample::softmax_weight{max, options_.temperature},
                        random_.at64(0, index));
  }

  /// What top-k and top-p leave; best first if either is on, by id otherwise.
  std::span<sample::candidate> shortlist(std::span<const float> logits) noexcept {
    const std::span<sample::candidate> room = room_.span();
    if (limits()) return nucleus(sample::top_k(logits, top_k(), room));
    if (options_.top_p >= 1.0F) return sample::collect(logits, room);
    // Most nuclei are small: sort a few hundred tokens, and more only if these do not suffice.
    const sample::softmax_weight weigh{sample::detail::max_of(logits)};
    const sample::weight total = sample::total_weight(logits, weigh);
    for (std::size_t k = 256;; k *= 8) {
      k = std::min(k, logits.size());
      const auto best = sample::top_k(logits, k, room);
      const std::size_t kept = sample::top_p(best, options_.top_p, total, weigh);
      if (kept < best.size() || best.size() < k || k == logits.size()) return best.first(kept);
    }
  }

  sampler_options options_;
  std::size_t n_vocab_;
  counter_random random_;
  aligned_buffer<float> changed_;  // logits after penalties and constraints
  aligned_buffer<sample::candidate> room_;
};

BITNET_NAMESPACE_END
