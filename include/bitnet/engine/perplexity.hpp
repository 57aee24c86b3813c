// SPDX-License-Identifier: Apache-2.0
// Perplexity of a text under a model, by the protocol that llama.cpp's tool made customary.
#pragma once

#include <bitnet/engine/session.hpp>

#include <cmath>
#include <vector>

BITNET_NAMESPACE_BEGIN

/// Running result of a perplexity measurement.
struct perplexity_result {
  std::size_t chunks = 0;  ///< chunks evaluated so far
  std::size_t chunks_total = 0;
  std::size_t scored = 0;  ///< tokens that were predicted
  double nll_sum = 0.0;    ///< sum of negative log-likelihoods, nats
  double nll_squares = 0.0;

  [[nodiscard]] double perplexity() const noexcept {
    return scored == 0 ? 0.0 : std::exp(nll_sum / static_cast<double>(scored));
  }
  /// Standard error of perplexity().
  [[nodiscard]] double uncertainty() const noexcept {
    if (scored < 2) return 0.0;
    const double n = static_cast<double>(scored);
    const double mean = nll_sum / n;
    const double variance = std::max(0.0, nll_squares / n - mean * mean);
    return perplexity() * std::sqrt(variance / (n - 1.0));
  }
};

/// -log softmax(logits)[target], in nats.
[[nodiscard]] inline double negative_log_likelihood(std::span<const float> logits,
                                                    token target) noexcept {
  float top = logits[0];
  for (const float x : logits) top = std::max(top, x);
  double sum = 0.0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x - top));
  return std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(target)] - top);
}

/// Cuts `tokens` (the whole text, BOS first if the model wants one) into chunks of `context`
/// tokens without overlap, drops the rest, puts `bos` (if not negative) in each chunk's first
/// place, and scores the tokens at positions context/2 + 1 .. context - 1 of each chunk.
/// `on_chunk` sees the running result after each chunk and may return false to stop.
/// Errors: a context below 4 or above the session's, or fewer than one chunk of tokens.
template <class Session>
[[nodiscard]] result<perplexity_result> measure_perplexity(
    Session& session, std::span<const token> tokens, std::size_t context, token bos,
    function_ref<bool(const perplexity_result&)> on_chunk) {
  if (context < 4 || context > session.capacity())
    return error{errc::invalid_argument, "the context must be 4 to the session's capacity",
                 "context"};
  if (tokens.size() < context)
    return error{errc::invalid_argument, "the text is shorter than one context", "text"};
  for (const token t : tokens)
    if (t < 0 || static_cast<std::size_t>(t) >= session.vocab())
      return error{errc::invalid_argument, "a token id is outside the vocabulary", "tokens"};
  perplexity_result total;
  total.chunks_total = tokens.size() / context;
  std::vector<token> chunk(context);
  for (std::size_t c = 0; c < total.chunks_total; ++c) {
    std::copy_n(tokens.begin() + static_cast<std::ptrdiff_t>(c * context), context, chunk.begin());
    if (bos >= 0) chunk[0] = bos;
    BITNET_CHECK(session.rewind(0));
    const std::size_t half = context / 2;
    BITNET_CHECK(session.feed(std::span{chunk}.first(half)));
    const auto scored = std::span{chunk}.subspan(half, context - 1 - half);
    BITNET_CHECK(session.score(scored, [&](std::size_t i, std::span<const float> logits) {
      const double nll = negative_log_likelihood(logits, chunk[half + i + 1]);
      total.nll_sum += nll;
      total.nll_squares += nll * nll;
      ++total.scored;
    }));
    ++total.chunks;
    if (!on_chunk(total)) break;
  }
  return total;
}

BITNET_NAMESPACE_END
