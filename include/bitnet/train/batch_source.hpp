// SPDX-License-Identifier: Apache-2.0
// Which tokens a step learns from, and which the loss is measured on.
#pragma once

#include <bitnet/core/random.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/train/batch.hpp>
#include <bitnet/train/token_file.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

/// A one-to-one map of [0, size) onto itself that looks random: a Feistel network over the next
/// power of four, walked until it is back in range. No table, any place at once.
[[nodiscard]] inline std::uint64_t shuffled(std::uint64_t i, std::uint64_t size,
                                            const counter_random& random,
                                            std::uint64_t stream) noexcept {
  const int half = (static_cast<int>(std::bit_width(size - 1)) + 1) / 2;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  do {
    std::uint64_t left = i >> half, right = i & mask;
    for (std::uint64_t round = 0; round < 6; ++round) {
      const std::uint64_t mixed = random.at64(stream, 2 * (right * 6 + round)) & mask;
      left = std::exchange(right, left ^ mixed);
    }
    i = left << half | right;
  } while (i >= size);
  return i;
}

/// Batches of windows of tokens, in an order that depends on seed and step alone: a run that is
/// resumed sees what it would have seen. Every pass cuts the tokens anew, at another offset, and
/// shuffles the windows. With `noise`, that share of the inputs is replaced by tokens from random
/// places of the data, while the targets stay: a model that passes over a small text many times
/// learns less of it by heart (unigram noise: Xie et al., "Data Noising as Smoothing in Neural
/// Network Language Models", 2017). The token data must outlive this.
class batch_source {
 public:
  /// errc::invalid_argument for numbers out of range and for fewer than length + 1 tokens.
  [[nodiscard]] static result<batch_source> make(token_data data, int rows, int length,
                                                 std::uint64_t seed, float noise = 0.0F) {
    if (rows < 1 || rows > (1 << 16))
      return error{errc::invalid_argument, "the number of rows is out of range", "rows"};
    if (length < 1 || length > (1 << 20))
      return error{errc::invalid_argument, "the length is out of range", "length"};
    if (!(noise >= 0.0F) || noise >= 1.0F)
      return error{errc::invalid_argument, "the share lies in [0, 1)", "noise"};
    batch_source b{data, rows, length, seed, noise};
    const std::size_t n = static_cast<std::size_t>(length);
    if (data.size() < n + 1)
      return error{errc::invalid_argument, "there are fewer tokens than a row has", "tokens"};
    // One window fewer than fits, so that every offset has room.
    b.windows_ = std::max<std::size_t>(2, (data.size() - 1) / n) - 1;
    b.slack_ = std::min(n, data.size() - 1 - b.windows_ * n);
    const std::size_t tokens = static_cast<std::size_t>(rows) * n;
    b.inputs_.resize(tokens);
    b.targets_.resize(tokens);
    return b;
  }

  /// Windows in a pass over the data.
  [[nodiscard]] std::size_t windows() const noexcept { return windows_; }
  /// Passes over the data after `steps` steps.
  [[nodiscard]] double passes(std::uint64_t steps) const noexcept {
    return static_cast<double>(steps) * rows_ / static_cast<double>(windows_);
  }

  /// The batch of step `step`, from 0: valid until the next call.
  [[nodiscard]] batch at(std::uint64_t step) {
    const std::size_t n = static_cast<std::size_t>(length_);
    const std::uint64_t first = step * static_cast<std::uint64_t>(rows_);
    for (std::size_t r = 0; r < static_cast<std::size_t>(rows_); ++r) {
      const std::uint64_t pass = (first + r) / windows_;
      const std::uint64_t window = shuffled((first + r) % windows_, windows_, random_, 2 * pass);
      const std::uint64_t offset = random_.at64(2 * pass + 1, 0) % (slack_ + 1);
      copy(static_cast<std::size_t>(offset + window * n), r * n);
    }
    if (noise_ > 0.0F) disturb(step);
    return {rows_, length_, inputs_, targets_};
  }

 private:
  batch_source(token_data data, int rows, int length, std::uint64_t seed, float noise)
      : data_{data}, rows_{rows}, length_{length}, noise_{noise}, random_{seed} {}

  void copy(std::size_t from, std::size_t to) {
    const std::size_t n = static_cast<std::size_t>(length_);
    for (std::size_t i = 0; i < n; ++i) {
      inputs_[to + i] = data_[from + i];
      targets_[to + i] = data_[from + i + 1];
    }
  }

  void disturb(std::uint64_t step) {
    constexpr std::uint64_t noise_streams = std::uint64_t{1} << 63;  // apart from those of passes
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const auto draw = random_.block(noise_streams + step, i);
      if (static_cast<float>(draw[0] >> 8) * 0x1p-24F >= noise_) continue;
      const std::uint64_t place = draw[1] | std::uint64_t{draw[2]} << 32;
      inputs_[i] = data_[static_cast<std::size_t>(place % data_.size())];
    }
  }

  token_data data_;
  int rows_, length_;
  float noise_;
  counter_random random_;
  std::size_t windows_ = 0, slack_ = 0;
  std::vector<token> inputs_, targets_;
};

/// Calls f(batch) for tokens [0, most) in order, each window once, as long as that returns a
/// success: what a held-out loss is measured on. Targets beyond the end are masked.
template <class F>
[[nodiscard]] status each_batch(const token_data& data, int rows, int length, F f) {
  if (rows < 1 || length < 1 || rows > (1 << 16) || length > (1 << 20))
    return error{errc::invalid_argument, "rows or length are out of range", "batch"};
  const std::size_t tokens = static_cast<std::size_t>(rows) * static_cast<std::size_t>(length);
  std::vector<token> inputs(tokens), targets(tokens);
  for (std::size_t first = 0; first + 1 < data.size(); first += tokens) {
    for (std::size_t i = 0; i < tokens; ++i) {
      const std::size_t at = first + i;
      inputs[i] = at < data.size() ? data[at] : token{0};
      targets[i] = at + 1 < data.size() ? data[at + 1] : token{-1};
    }
    BITNET_CHECK(f(batch{rows, length, inputs, targets}));
  }
  return {};
}

}  // namespace train
BITNET_NAMESPACE_END
