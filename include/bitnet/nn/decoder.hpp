// SPDX-License-Identifier: Apache-2.0
// A decoder-only transformer: embedding, blocks of any architecture, final norm, output head.
#pragma once

#include <bitnet/nn/embedding.hpp>
#include <bitnet/nn/norm.hpp>
#include <bitnet/nn/output_head.hpp>
#include <bitnet/nn/rope.hpp>

#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// What a decoder has beside its blocks.
struct decoder_ends {
  hparams shape;
  embedding embed;
  rope_frequencies frequencies;
  rms_norm output_norm;
  output_head head;  ///< the embedding's matrix where the file has no head of its own
};

/// Block is one layer: `tensors(visitor, hparams)` lists its tensors, and `operator()(context, x)`
/// adds its contribution to the residual stream x, [rows][dim], in place.
template <class Block>
struct decoder : decoder_ends {
  std::vector<Block> blocks;

  /// Runs every block over the rows of the step and returns the normalised state, [rows][dim], of
  /// the rows that want logits, in order.
  template <class C>
  [[nodiscard]] activations hidden(C& c) const {
    auto x = embed(c);
    frequencies.angles(c);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const auto scope = c.scope();
      c.begin_layer(i);
      blocks[i](c, x);
    }
    std::size_t wanted = 0;
    for (std::size_t r = 0; r < x.rows; ++r)
      if (c.measuring() || c.rows()[r].wants_logits) ++wanted;
    auto last = c.make(wanted, x.cols);
    c.once([&] {
      for (std::size_t r = 0, at = 0; r < x.rows; ++r)
        if (c.rows()[r].wants_logits)
          c.kernels().rms_norm(x.row(r), output_norm.weight.data(), output_norm.eps, last.row(at++),
                               x.cols);
    });
    return last;
  }

  /// Scores of every token of the vocabulary for each row of `state`: [rows][vocab] in scratch.
  template <class C>
  [[nodiscard]] activations logits(C& c, activations state) const {
    const auto timing = c.time(step_part::head);
    return head.logits(c, state);
  }

  /// The out.cols best of them, best first; see output_head.
  template <class C>
  void best(C& c, activations state, matrix_view<scored_token> out) const {
    const auto timing = c.time(step_part::head);
    head.best(c, state, out);
  }
};

}  // namespace nn
BITNET_NAMESPACE_END
