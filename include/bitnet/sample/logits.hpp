// SPDX-License-Identifier: Apache-2.0
// Scored tokens: the best one, the usable ones, and exact integer weights for drawing from them.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/token.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// A token that may still be drawn.
using candidate = scored_token;

/// Whether a logit lets its token be drawn: NaN (garbage) and -infinity (masked) do not.
[[nodiscard]] constexpr bool usable(float logit) noexcept {
  return logit > -std::numeric_limits<float>::infinity();
}

namespace detail {

/// Largest value, NaN skipped; -infinity if there is none. Sixteen running maxima, so that the
/// compiler can keep them in vector registers; a maximum does not depend on the order.
[[nodiscard]] inline float max_of(std::span<const float> values) noexcept {
  constexpr std::size_t lanes = 16;
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  std::array<float, lanes> best;
  best.fill(lowest);
  std::size_t i = 0;
  for (; i + lanes <= values.size(); i += lanes) {
    const float* block = values.data() + i;
    for (std::size_t j = 0; j < lanes; ++j) best[j] = block[j] > best[j] ? block[j] : best[j];
  }
  float max = lowest;
  for (const float x : best) max = x > max ? x : max;
  for (; i < values.size(); ++i) max = values[i] > max ? values[i] : max;
  return max;
}

}  // namespace detail

/// Index of the largest logit, the lowest one of equals; NaN is never chosen. 0 if all are NaN or
/// there are none.
[[nodiscard]] inline token argmax(std::span<const float> logits) noexcept {
  // Block by block, so that the search for the place of the maximum reads one block again and not
  // the whole vocabulary.
  constexpr std::size_t block = 1024;
  float max = -std::numeric_limits<float>::infinity();
  std::size_t first = 0;
  for (std::size_t i = 0; i < logits.size(); i += block) {
    const float here = detail::max_of(logits.subspan(i, std::min(block, logits.size() - i)));
    if (here > max) {
      max = here;
      first = i;
    }
  }
  for (std::size_t i = first; i < logits.size(); ++i)
    if (logits[i] == max) return static_cast<token>(i);
  return 0;
}

/// The usable logits as candidates in the order of their ids. `out` holds at least logits.size().
[[nodiscard]] inline std::span<candidate> collect(std::span<const float> logits,
                                                  std::span<candidate> out) noexcept {
  BITNET_ASSERT(out.size() >= logits.size(), "collect needs room for every token");
  std::size_t count = 0;
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (usable(logits[i])) out[count++] = {logits[i], static_cast<token>(i)};
  return out.first(count);
}

/// Largest logit among candidates; -infinity if there are none.
[[nodiscard]] inline float max_logit(std::span<const candidate> candidates) noexcept {
  float max = -std::numeric_limits<float>::infinity();
  for (const candidate& c : candidates) max = std::max(max, c.logit);
  return max;
}

/// Unnormalised probability in units of 2^-40: the best candidate has `weight_one`.
using weight = std::uint64_t;
inline constexpr weight weight_one = weight{1} << 40;

/// Vocabularies up to this size have weights whose sum fits in 63 bits.
inline constexpr std::size_t max_vocab = std::size_t{1} << 23;

/// exp((logit - max) / temperature) as a weight, with a relative error below 2^-29 or one unit,
/// whichever is larger; candidates 40 octaves (28 nats) below the best weigh nothing.
///
/// A choice must not depend on the platform, and floating-point sums and polynomials do: libm
/// differs, and a compiler may contract a * b + c to one rounding. Here floating point does one
/// subtraction, one division and one product, none of which feeds an addition, so there is nothing
/// to contract. The exponential itself is computed in integers, and integer weights have exact
/// sums in any order.
class softmax_weight {
 public:
  /// `max` is the largest logit (not NaN), `temperature` is above 0.
  explicit softmax_weight(float max, float temperature = 1.0F) noexcept
      : max_{max}, octaves_{log2_e / static_cast<double>(temperature)} {}

  [[nodiscard]] weight operator()(float logit) const noexcept {
    if (logit == max_) return weight_one;  // also for two infinities
    const double below = static_cast<double>(max_) - static_cast<double>(logit);
    const double x = below * octaves_;                          // weight = 2^-x
    if (!(x < 41.0)) return 0;                                  // NaN and infinity too
    const auto fixed = static_cast<std::uint64_t>(x * 0x1p32);  // exact scaling, then truncated
    const std::uint64_t whole = fixed >> 32;
    const std::uint64_t sixteenth = fixed >> 28 & 15U;
    const std::uint64_t rest = fixed & 0x0fffffffU;  // below 1/16, in units of 2^-32
    // Taylor series of 2^-rest with coefficients ln(2)^n / n! in units of 2^-32; the first term
    // left out is below 2^-36. All products stay below 2^61.
    std::uint64_t series = 41309550U - (rest * 5726720U >> 32);
    series = 238388332U - (rest * series >> 32);
    series = 1031764991U - (rest * series >> 32);
    series = 2977044472U - (rest * series >> 32);
    series = (std::uint64_t{1} << 32) - (rest * series >> 32);
    return (sixteenths[static_cast<std::size_t>(sixteenth)] * series) >>
           (23 + whole);  // 2^31 * 2^32 -> 2^40
  }

 private:
  static constexpr double log2_e = 1.4426950408889634;
  /// 2^(-j / 16) in units of 2^-31.
  static constexpr std::array<std::uint64_t, 16> sixteenths{
      0x80000000U, 0x7a92be8bU, 0x75606374U, 0x70666f76U, 0x6ba27e65U, 0x6712460bU,
      0x62b39509U, 0x5e8451d0U, 0x5a82799aU, 0x56ac1f75U, 0x52ff6b55U, 0x4f7a9930U,
      0x4c1bf829U, 0x48e1e9baU, 0x45cae0f2U, 0x42d561b4U};

  float max_;
  double octaves_;
};

/// Sum of the weights of candidates at temperature 1.
[[nodiscard]] inline weight total_weight(std::span<const candidate> candidates,
                                         const softmax_weight& weigh) noexcept {
  weight sum = 0;
  for (const candidate& c : candidates) sum += weigh(c.logit);
  return sum;
}

/// Sum of the weights of all usable logits.
[[nodiscard]] inline weight total_weight(std::span<const float> logits,
                                         const softmax_weight& weigh) noexcept {
  weight sum = 0;
  for (const float logit : logits)
    if (usable(logit)) sum += weigh(logit);
  return sum;
}

/// One of the candidates with the probability of its weight. `random` is uniform in [0, 2^64); the
/// same number always gives the same token. At least one candidate, one of them of weight above 0.
[[nodiscard]] inline token draw(std::span<const candidate> candidates, const softmax_weight& weigh,
                                std::uint64_t random) noexcept {
  BITNET_ASSERT(!candidates.empty(), "draw needs a candidate");
  const weight total = total_weight(candidates, weigh);
  // Upper 64 bits of random * total, from 32-bit halves; it is below total.
  const std::uint64_t low = random & 0xffffffffU;
  const std::uint64_t high = random >> 32;
  const std::uint64_t total_low = total & 0xffffffffU;
  const std::uint64_t total_high = total >> 32;
  const std::uint64_t middle = high * total_low + (low * total_low >> 32);
  const std::uint64_t cross = low * total_high + (middle & 0xffffffffU);
  std::uint64_t left = high * total_high + (middle >> 32) + (cross >> 32);
  for (const candidate& c : candidates) {
    const weight w = weigh(c.logit);
    if (left < w) return c.id;
    left -= w;
  }
  return candidates.front().id;  // only if nothing weighs anything
}

}  // namespace sample
BITNET_NAMESPACE_END
