// SPDX-License-Identifier: Apache-2.0
// The output layer and the loss: scores of a few tokens at a time, since they are the largest
// matrix of a step.
#pragma once

#include <bitnet/train/batch.hpp>
#include <bitnet/train/bit_linear.hpp>
#include <bitnet/train/loss.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

/// What the gradient of the loss is written to.
template <class T>
struct head_gradient {
  T weight = T{1};          ///< of each token's loss
  matrix_view<T> table;     ///< added to
  matrix_view<T> d_normed;  ///< [tokens][dim]
};

/// The loss of targets for the normed states [tokens][dim] and a table [vocab][dim]; `scores` is
/// scratch of [tokens at once][vocab]. Without `gradient` the loss alone.
template <class T>
[[nodiscard]] loss_sum head_loss(executor_ref threads, const batch& b, detail::constant<T> normed,
                                 detail::constant<T> table, matrix_view<T> scores,
                                 const head_gradient<T>* gradient) {
  std::vector<double> losses(b.targets.size());  // added in order, whatever thread was first
  for (std::size_t begin = 0; begin < normed.rows; begin += scores.rows) {
    const std::size_t rows = std::min(scores.rows, normed.rows - begin);
    const auto state = normed.slice(begin, rows);
    const auto own = scores.slice(0, rows);
    each_chunk(threads, rows, [&](std::size_t first, std::size_t count) {
      const auto part = own.slice(first, count);
      multiply_nt(part, state.slice(first, count), table);
      for (std::size_t r = 0; r < count; ++r) {
        const std::size_t at = begin + first + r;
        if (b.targets[at] < 0) {
          std::fill_n(part.row(r), part.cols, T{0});
        } else {
          losses[at] = cross_entropy(part.row(r), part.cols, b.targets[at],
                                     gradient == nullptr ? T{1} : gradient->weight);
        }
      }
      if (gradient != nullptr)
        multiply_nn(gradient->d_normed.slice(begin + first, count), part, table);
    });
    if (gradient != nullptr) weight_gradients<T, 1>(threads, {{{gradient->table, own, state}}});
  }
  loss_sum loss;
  for (const double x : losses) loss.total += x;
  loss.count = count_targets(b);
  return loss;
}

}  // namespace train
BITNET_NAMESPACE_END
