// SPDX-License-Identifier: Apache-2.0
// Top-k: the k most likely tokens (Fan, Lewis, Dauphin, "Hierarchical neural story generation").
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/sample/logits.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// Candidates that top_k needs room for; more room than k means fewer selections.
[[nodiscard]] constexpr std::size_t top_k_room(std::size_t k, std::size_t n_vocab) noexcept {
  constexpr std::size_t least = 1024;
  return k >= n_vocab / 2 ? n_vocab : std::min(n_vocab, std::max(least, 2 * k));
}

/// The k best usable tokens, best first; fewer if there are fewer. k is at least 1. `room` holds
/// top_k_room(k, logits.size()) candidates and what is returned lies in it. Time is linear in the
/// vocabulary for any input, and near one comparison per token for logits in no special order.
[[nodiscard]] inline std::span<candidate> top_k(std::span<const float> logits, std::size_t k,
                                                std::span<candidate> room) noexcept {
  BITNET_ASSERT(k > 0 && room.size() >= top_k_room(k, logits.size()), "top_k needs more room");
  // Whatever beats the threshold goes into the buffer. When that is full, the k best stay and the
  // worst of them becomes the threshold. A later token of equal logit loses by its higher id, so
  // only strictly greater logits go in; NaN and -infinity never do.
  float threshold = -std::numeric_limits<float>::infinity();
  std::size_t count = 0;
  const auto begin = room.begin();
  const auto at = [begin](std::size_t i) { return begin + static_cast<std::ptrdiff_t>(i); };
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > threshold)) continue;
    if (count == room.size()) {
      std::nth_element(begin, at(k - 1), at(count), better);
      count = k;
      threshold = room[k - 1].logit;
      if (!(logits[i] > threshold)) continue;
    }
    room[count++] = {logits[i], static_cast<token>(i)};
  }
  if (count > k) {
    std::nth_element(begin, at(k - 1), at(count), better);
    count = k;
  }
  std::sort(begin, at(count), better);
  return room.first(count);
}

}  // namespace sample
BITNET_NAMESPACE_END
