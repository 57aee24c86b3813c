// SPDX-License-Identifier: Apache-2.0
// A loaded model of fixed blocks: what all architectures that are made of them share.
#pragma once

#include <bitnet/engine/fingerprint.hpp>
#include <bitnet/engine/hparams.hpp>
#include <bitnet/engine/read_order.hpp>
#include <bitnet/engine/tensors.hpp>
#include <bitnet/models/architecture.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN

namespace detail {

/// What an architecture says beside what its blocks are; see models::architecture.
struct architecture_traits {
  std::span<const std::string_view> names;
  nn::hparams defaults;
  bool bitnet_activations;
};
template <models::architecture A>
[[nodiscard]] architecture_traits traits_of() {
  architecture_traits traits{A::gguf_names, {}, A::bitnet_activations};
  A::configure(traits.defaults);
  return traits;
}

/// The hyper-parameters of a document that load_options fit.
[[nodiscard]] inline result<nn::hparams> read_shape(const gguf::document& document,
                                                    const load_options& options,
                                                    const architecture_traits& traits) {
  if (options.input == quant::activation_kind::float32)
    return error{errc::invalid_argument, "integer kernels need int8 inputs; see arithmetic::exact",
                 "input"};
  const gguf::metadata& meta = document.meta();
  BITNET_TRY(const auto name, meta.get<std::string_view>("general.architecture"));
  if (std::find(traits.names.begin(), traits.names.end(), name) == traits.names.end())
    return error{errc::unsupported, "the file's architecture is another one", name};
  const auto* tokens = document.find("token_embd.weight");
  if (tokens == nullptr)
    return error{errc::missing, "the file lacks this tensor", "token_embd.weight"};
  if (tokens->rows() < 1 || tokens->rows() > (std::uint64_t{1} << 30))
    return error{errc::limit, "the vocabulary must have 1 to 2^30 tokens", tokens->name};
  BITNET_TRY(auto shape, read_hparams(meta, name, tokens->rows(), traits.defaults));
  // A hostile block_count must not make blocks that the file has no tensors for.
  if (shape.layers > document.tensors().size())
    return error{errc::missing, "the file has fewer tensors than layers", "block_count"};
  return shape;
}

/// What is left to say about a model that was loaded.
inline void report_model(const nn::output_head& head, bool planned_screen, std::string_view isa,
                         std::size_t threads, const weight_plan& plan, log_sink log) {
  if (head.screen.empty() && planned_screen)
    log(log_level::warning,
        "the output head holds weights that are not finite or too large: it "
        "is read whole for every token");
  if (!log.wants(log_level::info)) return;
  log(log_level::info, "kernels " + std::string{isa} + ", threads " + std::to_string(threads) +
                           ", weights " + std::to_string(plan.weights) +
                           " bytes repacked or copied, " + std::to_string(plan.in_place) +
                           " in place; at most " + std::to_string(plan.loading) + " while loading");
}

/// One block for all weights that the plan counts, if there are any: `options` then ask it.
inline void take_block(const weight_plan& plan, weight_store& store, load_options& options) {
  if (plan.weights == 0) return;
  store.block = std::make_unique<weight_block>();
  if (store.block->reserve(plan.weights)) {
    options.memory = *store.block;
  } else if (options.log.wants(log_level::warning)) {
    options.log(log_level::warning, "the heap has no block of " + std::to_string(plan.weights) +
                                        " bytes for all weights: they lie apart, the small ones "
                                        "without huge pages");
  }
}

/// Whether loading stays within the limit.
[[nodiscard]] inline status check_limit(const weight_plan& plan, const load_options& options) {
  if (options.memory_limit == 0 || plan.loading <= options.memory_limit) return {};
  return error{errc::out_of_memory, "the model needs more memory than memory_limit allows",
               std::to_string(plan.loading) + " bytes needed, " +
                   std::to_string(options.memory_limit) + " allowed"};
}

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
  [[nodiscard]] std::uint64_t fingerprint() const noexcept { return fingerprint_; }

  /// Bytes of weights that decoding one token reads: every matrix once, and of the head its screen
  /// where it has one.
  [[nodiscard]] std::uint64_t bytes_per_token() const noexcept { return bytes_per_token_; }
  /// Bytes of memory that weights take, beside the file's own: what plan().weights says.
  [[nodiscard]] std::uint64_t weight_bytes() const noexcept { return plan_.weights; }
  /// What loading took.
  [[nodiscard]] const weight_plan& plan() const noexcept { return plan_; }

  /// Use load().
  [[nodiscard]] static result<block_model> make(gguf::document document, executor_ref threads,
                                                const load_options& options, Kernels kernels,
                                                const architecture_traits& traits) {
    block_model m{std::move(document), kernels};
    BITNET_TRY(m.decoder_.shape, read_shape(m.document_, options, traits));
    BITNET_CHECK(m.bind(m.document_, threads, options, traits, dry_run));
    BITNET_CHECK(check_limit(m.plan_, options));
    load_options real = options;
    if (options.memory.is_heap()) take_block(m.plan_, m.store_, real);
    BITNET_CHECK(m.bind(m.document_, threads, real, traits, real_run));
    m.document_.close_readers();
    report_model(m.decoder_.head, m.planned_screen_, (*kernels).isa, threads.concurrency(), m.plan_,
                 options.log);
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

  /// Binds every tensor of a document with the shape that was read from it.
  [[nodiscard]] status bind(const gguf::document& document, executor_ref threads,
                            const load_options& options, const architecture_traits& traits,
                            bool dry) {
    weight_source source{document, store_, options.memory, dry};
    const nn::hparams h = decoder_.shape;
    decoder_ = {};  // what a dry run bound is nowhere
    decoder_.shape = h;
    load_options how = options;
    if (dry) how.progress.reset();
    tensor_binder v{document,  source, *kernels_, threads, how, traits.bitnet_activations,
                    h.norm_eps};
    v("token_embd", decoder_.embed, h.vocab, h.dim);
    decoder_.blocks.resize(h.layers);
    for (std::size_t i = 0; i < h.layers && v.ok(); ++i) {
      v.prefix("blk." + std::to_string(i) + ".");
      decoder_.blocks[i].tensors(v, h);
    }
    v.prefix("");
    v("output_norm", decoder_.output_norm, h.dim);
    const auto* head = v.take("output.weight");
    v.head(head != nullptr ? *head : *document.find("token_embd.weight"), decoder_.head, h.vocab,
           h.dim);

    std::span<const float> factors;
    if (const auto* t = v.take("rope_freqs.weight")) {
      if (v.check_shape(*t, h.rope.dims / 2, 1)) factors = v.to_floats(*t);
      if (source.dry()) factors = {};
      for (const float f : factors)
        if (!(f > 0.0F)) v.fail({errc::malformed, "rope factors must be above 0", t->name});
    }
    BITNET_CHECK(v.finish());
    BITNET_TRY(decoder_.frequencies, nn::rope_frequencies::make(h.rope, factors));
    count_bytes();
    plan_ = source.taken();
    if (dry) planned_screen_ = !decoder_.head.screen.empty();
    if (dry) return {};  // a fingerprint reads the weights
    model_fingerprint print{h};
    print.table({decoder_.embed.bytes.data,
                 static_cast<std::size_t>(document.find("token_embd.weight")->size)});
    print.factors(factors);
    for (auto& block : decoder_.blocks) block.tensors(print, h);
    print("output_norm", decoder_.output_norm, h.dim);
    print("output", decoder_.head.full, h.vocab, h.dim);
    fingerprint_ = print.value();
    source.settle();
    return {};
  }

  /// Visits layers by the same list that loads them.
  struct byte_counter {
    std::uint64_t read = 0;
    template <class W>
    void operator()(std::string_view, const nn::linear<W>& l, std::size_t, std::size_t) {
      read += l.weight.read_bytes;
    }
    void operator()(std::string_view, const nn::rms_norm&, std::size_t) {}
  };
  void count_bytes() {
    byte_counter v;
    for (auto& block : decoder_.blocks) block.tensors(v, decoder_.shape);
    v("output", decoder_.head.full, 0, 0);
    const nn::head_screen& screen = decoder_.head.screen;
    bytes_per_token_ = v.read + screen.bytes();
    if (!screen.empty() && !screen.of_head_itself())
      bytes_per_token_ -= decoder_.head.full.weight.read_bytes;
  }

  gguf::document document_;
  Kernels kernels_;
  weight_store store_;  // outlives the layers, which lie in it
  nn::decoder<Block> decoder_;
  std::uint64_t bytes_per_token_ = 0;
  std::uint64_t fingerprint_ = 0;
  weight_plan plan_;
  bool planned_screen_ = false;  // whether the head would have a screen, if its weights allow
};

}  // namespace detail
BITNET_NAMESPACE_END
