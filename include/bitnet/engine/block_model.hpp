// SPDX-License-Identifier: Apache-2.0
// A loaded model of fixed blocks: what all architectures that are made of them share.
#pragma once

#include <bitnet/core/concat.hpp>
#include <bitnet/engine/bind_model.hpp>
#include <bitnet/engine/read_order.hpp>

#include <string>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN

namespace detail {

/// Weights of blocks, with kernels fixed at compile time or chosen at run time: a `model` whose
/// architecture is known at run time alone.
template <class Block, class Kernels>
class block_model {
 public:
  using kernels_type = Kernels;

  [[nodiscard]] const nn::hparams& shape() const noexcept { return decoder_.shape; }
  [[nodiscard]] Kernels kernels() const noexcept { return kernels_; }
  [[nodiscard]] const gguf::document& document() const noexcept { return document_; }
  [[nodiscard]] const nn::decoder<Block>& decoder() const noexcept { return decoder_; }

  /// See nn::decoder.
  template <class C>
  [[nodiscard]] nn::activations hidden(C& c) const {
    return decoder_.hidden(c);
  }
  template <class C>
  [[nodiscard]] nn::activations logits(C& c, nn::activations state) const {
    return decoder_.logits(c, state);
  }
  template <class C>
  void best(C& c, nn::activations state, matrix_view<scored_token> out) const {
    decoder_.best(c, state, out);
  }

  /// Tells models apart: by hyper-parameters, how matrices compute, and samples of weights. The
  /// same wherever the file came from, and for its tiled form.
  [[nodiscard]] std::uint64_t fingerprint() const noexcept { return facts_.fingerprint; }

  /// Bytes of weights that decoding one token reads: every matrix once, and of the head its screen
  /// where it has one.
  [[nodiscard]] std::uint64_t bytes_per_token() const noexcept { return facts_.bytes_per_token; }
  /// Bytes of memory that weights take, beside the file's own: what plan().weights says.
  [[nodiscard]] std::uint64_t weight_bytes() const noexcept { return facts_.plan.weights; }
  /// What loading took.
  [[nodiscard]] const weight_plan& plan() const noexcept { return facts_.plan; }

  /// Use load().
  [[nodiscard]] static result<block_model> make(gguf::document document, executor_ref threads,
                                                const load_options& options, Kernels kernels,
                                                const architecture_traits& traits) {
    block_model m{std::move(document), kernels};
    BITNET_TRY(m.decoder_.shape, read_shape(m.document_, options, traits));
    BITNET_CHECK(m.bind(m.document_, threads, options, traits, dry_run));
    BITNET_CHECK(check_limit(m.plan(), options));
    load_options real = options;
    if (options.memory.is_heap()) take_block(m.plan(), m.store_, real);
    BITNET_CHECK(m.bind(m.document_, threads, real, traits, real_run));
    m.document_.close_readers();
    report_model(m.decoder_.head, m.facts_, (*kernels).isa, threads.concurrency(), options.log);
    if (options.find_read_order) m.find_read_order(threads, options.log);
    return m;
  }

  /// A model without weights and document, to measure and nothing else: plan() is what loading
  /// would take on an executor of that concurrency, and session::measure works.
  [[nodiscard]] static result<block_model> outline(const gguf::document& document,
                                                   executor_ref threads,
                                                   const load_options& options, Kernels kernels,
                                                   const architecture_traits& traits) {
    block_model m{gguf::document{}, kernels};
    BITNET_TRY(m.decoder_.shape, read_shape(document, options, traits));
    BITNET_CHECK(m.bind(document, threads, options, traits, dry_run));
    return m;
  }

 private:
  block_model(gguf::document document, Kernels kernels)
      : document_{std::move(document)}, kernels_{kernels} {}

  /// Whether tensors are bound in earnest, or only to count what that takes.
  static constexpr bool dry_run = true, real_run = false;

  void find_read_order(executor_ref threads, log_sink log) {
    read_order_finder finder;
    for (auto& block : decoder_.blocks) block.tensors(finder, decoder_.shape);
    finder("output", decoder_.head.full, 0, 0);
    finder.add(decoder_.head.screen.tiles, false);
    finder.run(*kernels_, threads, log);
  }

  /// See bind_model.
  [[nodiscard]] status bind(const gguf::document& document, executor_ref threads,
                            const load_options& options, const architecture_traits& traits,
                            bool dry) {
    const nn::hparams& h = decoder_.shape;
    std::vector<Block>& blocks = decoder_.blocks;
    const auto bind_blocks = [&](tensor_binder& v) {
      blocks = std::vector<Block>(h.layers);
      for (std::size_t i = 0; i < h.layers && v.ok(); ++i) {
        v.prefix(concat({"blk.", i, "."}));
        blocks[i].tensors(v, h);
      }
    };
    const auto visit = [&](auto& v) {
      for (Block& block : blocks) block.tensors(v, h);
    };
    return bind_model(
        {document, store_, *kernels_, threads, options, traits.bitnet_activations, dry}, decoder_,
        {bind_blocks, visit, visit}, facts_);
  }

  gguf::document document_;
  Kernels kernels_;
  weight_store store_;  // outlives the layers, which lie in it
  nn::decoder<Block> decoder_;
  model_facts facts_;
};

}  // namespace detail
BITNET_NAMESPACE_END
