// SPDX-License-Identifier: Apache-2.0
// Binds a whole model to a document: what is the same whatever its blocks are, compiled once.
#pragma once

#include <bitnet/core/concat.hpp>
#include <bitnet/core/function_ref.hpp>
#include <bitnet/engine/fingerprint.hpp>
#include <bitnet/engine/hparams.hpp>
#include <bitnet/engine/tensors.hpp>
#include <bitnet/models/architecture.hpp>
#include <bitnet/nn/decoder.hpp>

#include <algorithm>
#include <memory>
#include <string>

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

/// One block for all weights that the plan counts, if there are any: `options` then ask it.
inline void take_block(const weight_plan& plan, weight_store& store, load_options& options) {
  if (plan.weights == 0) return;
  store.block = std::make_unique<weight_block>();
  if (store.block->reserve(plan.weights)) {
    options.memory = *store.block;
  } else if (options.log.wants(log_level::warning)) {
    options.log(log_level::warning,
                concat({"the heap has no block of ", plan.weights,
                        " bytes for all weights: they lie apart, the small ones without huge "
                        "pages"}));
  }
}

/// Whether loading stays within the limit.
[[nodiscard]] inline status check_limit(const weight_plan& plan, const load_options& options) {
  if (options.memory_limit == 0 || plan.loading <= options.memory_limit) return {};
  return error{errc::out_of_memory, "the model needs more memory than memory_limit allows",
               concat({plan.loading, " bytes needed, ", options.memory_limit, " allowed"})};
}

/// Counts the bytes that decoding a token reads, by the same list that loads layers.
struct byte_counter {
  std::uint64_t read = 0;
  template <class W>
  void operator()(std::string_view, const nn::linear<W>& l, std::size_t, std::size_t) {
    read += l.weight.read_bytes;
  }
  void operator()(std::string_view, const nn::rms_norm&, std::size_t) {}
};

/// The blocks of a model, for whoever does not know what they are.
struct block_visits {
  function_ref<void(tensor_binder&)> bind;  ///< new ones, of the shape's number of layers
  function_ref<void(byte_counter&)> count;
  function_ref<void(model_fingerprint&)> print;
};

/// What is known of a model that was bound.
struct model_facts {
  std::uint64_t bytes_per_token = 0;
  std::uint64_t fingerprint = 0;
  weight_plan plan;
  bool planned_screen = false;  ///< whether the head would have a screen, if its weights allow
};

/// What is left to say about a model that was loaded.
inline void report_model(const nn::output_head& head, const model_facts& facts,
                         std::string_view isa, std::size_t threads, log_sink log) {
  if (head.screen.empty() && facts.planned_screen)
    log(log_level::warning,
        "the output head holds weights that are not finite or too large: it "
        "is read whole for every token");
  if (!log.wants(log_level::info)) return;
  log(log_level::info,
      concat({"kernels ", isa, ", threads ", threads, ", weights ", facts.plan.weights,
              " bytes repacked or copied, ", facts.plan.in_place, " in place; at most ",
              facts.plan.loading, " while loading"}));
}

/// What binding needs beside where the tensors go.
struct bind_task {
  const gguf::document& document;
  weight_store& store;
  const kernels::kernel_table& kernels;
  executor_ref threads;
  const load_options& options;
  bool bitnet_activations;
  bool dry;  ///< count what it takes, and nothing else
};

[[nodiscard]] inline std::uint64_t bytes_per_token(const nn::output_head& head,
                                                   const block_visits& blocks) {
  byte_counter v;
  blocks.count(v);
  v("output", head.full, 0, 0);
  const std::uint64_t all = v.read + head.screen.bytes();
  const bool screened = !head.screen.empty() && !head.screen.of_head_itself();
  return screened ? all - head.full.weight.read_bytes : all;
}

/// Binds every tensor of a document with the shape that was read from it.
[[nodiscard]] inline status bind_model(const bind_task& task, nn::decoder_ends& ends,
                                       const block_visits& blocks, model_facts& facts) {
  const gguf::document& document = task.document;
  weight_source source{document, task.store, task.options.memory, task.dry};
  const nn::hparams h = ends.shape;
  ends = {};  // what a dry run bound is nowhere
  ends.shape = h;
  load_options how = task.options;
  if (task.dry) how.progress.reset();
  tensor_binder v{document,  source, task.kernels, task.threads, how, task.bitnet_activations,
                  h.norm_eps};
  v("token_embd", ends.embed, h.vocab, h.dim);
  blocks.bind(v);
  v.prefix("");
  v("output_norm", ends.output_norm, h.dim);
  const auto* head = v.take("output.weight");
  v.head(head != nullptr ? *head : *document.find("token_embd.weight"), ends.head, h.vocab, h.dim);

  std::span<const float> factors;
  if (const auto* t = v.take("rope_freqs.weight")) {
    if (v.check_shape(*t, h.rope.dims / 2, 1)) factors = v.to_floats(*t);
    if (source.dry()) factors = {};
    for (const float f : factors)
      if (!(f > 0.0F)) v.fail({errc::malformed, "rope factors must be above 0", t->name});
  }
  BITNET_CHECK(v.finish());
  BITNET_TRY(ends.frequencies, nn::rope_frequencies::make(h.rope, factors));
  facts.bytes_per_token = bytes_per_token(ends.head, blocks);
  facts.plan = source.taken();
  if (task.dry) facts.planned_screen = !ends.head.screen.empty();
  if (task.dry) return {};  // a fingerprint reads the weights
  model_fingerprint print{h};
  print.table(
      {ends.embed.bytes.data, static_cast<std::size_t>(document.find("token_embd.weight")->size)});
  print.factors(factors);
  blocks.print(print);
  print("output_norm", ends.output_norm, h.dim);
  print("output", ends.head.full, h.vocab, h.dim);
  facts.fingerprint = print.value();
  source.settle();
  return {};
}

}  // namespace detail
BITNET_NAMESPACE_END
