// SPDX-License-Identifier: Apache-2.0
// What is behind open(): every shipped architecture, instantiated once for all formats and
// machines.
#pragma once

#include <bitnet/engine/dynamic.hpp>
#include <bitnet/engine/model.hpp>
#include <bitnet/engine/vocabulary.hpp>
#include <bitnet/isa/runnable.hpp>
#include <bitnet/models/registry.hpp>

BITNET_NAMESPACE_BEGIN

/// Architectures of the same blocks share it, and what it is made by.
template <class Block>
struct dynamic_model::holder final : dynamic_model::weights {
  using fixed_model = detail::block_model<Block, nn::dynamic_kernels>;
  explicit holder(fixed_model&& m) : fixed{std::move(m)} {}
  const nn::hparams& shape() const noexcept override { return fixed.shape(); }
  nn::dynamic_kernels kernels() const noexcept override { return fixed.kernels(); }
  const gguf::document& document() const noexcept override { return fixed.document(); }
  std::uint64_t fingerprint() const noexcept override { return fixed.fingerprint(); }
  std::uint64_t bytes_per_token() const noexcept override { return fixed.bytes_per_token(); }
  const weight_plan& plan() const noexcept override { return fixed.plan(); }
  nn::activations hidden(nn::context<>& c) const override { return fixed.hidden(c); }
  nn::activations logits(nn::context<>& c, nn::activations state) const override {
    return fixed.logits(c, state);
  }
  void best(nn::context<>& c, nn::activations state, matrix_view<scored_token> out) const override {
    fixed.best(c, state, out);
  }
  fixed_model fixed;
};

namespace detail {

/// The kernels that options ask for, if this machine runs them.
[[nodiscard]] inline result<const kernels::kernel_table*> table_for(const open_options& options) {
  const kernels::kernel_table* table =
      options.isa.empty() ? &kernels::best_table() : kernels::table_for(options.isa);
  if (table == nullptr)
    return error{errc::invalid_argument, "no such instruction set in this build", options.isa};
  if (!isa::runnable(table->isa))
    return error{errc::unsupported, "this machine lacks the instruction set", options.isa};
  return table;
}

/// The architecture of a document that holds a model of a supported one.
[[nodiscard]] inline result<std::string_view> architecture_of(const gguf::document& document) {
  BITNET_TRY(const auto name, document.meta().get<std::string_view>("general.architecture"));
  if (!models::visit_architecture(name, [](auto) {}))
    return error{errc::unsupported,
                 "this architecture is not supported; bitnet-b1.58, bitnet-25, bitnet, llama and "
                 "qwen3 are",
                 name};
  if (document.tensors().empty())
    return error{errc::missing, "the file holds a vocabulary but no weights", "token_embd.weight"};
  return name;
}

/// A pool's number of threads without its threads.
struct planned_pool {
  std::size_t threads;
  [[nodiscard]] std::size_t concurrency() const noexcept { return threads; }
  static void parallel_for(std::size_t n, parallel_task task) {
    serial_executor::parallel_for(n, task);
  }
};

}  // namespace detail

BITNET_MAYBE_INLINE result<memory_plan> dynamic_model::plan(const gguf::document& document,
                                                            const open_options& options,
                                                            const session_options& sizes) {
  BITNET_TRY(const auto* const table, detail::table_for(options));
  BITNET_TRY(const auto name, detail::architecture_of(document));
  detail::planned_pool threads{options.threads != 0
                                   ? options.threads
                                   : std::min(hardware_threads(), thread_pool::max_threads)};
  result<memory_plan> made = memory_plan{};
  models::visit_architecture(name, [&](auto architecture) {
    using A = typename decltype(architecture)::type;
    const auto outline = detail::block_model<typename A::block, nn::dynamic_kernels>::outline(
        document, threads, options, nn::dynamic_kernels{*table}, detail::traits_of<A>());
    made = outline ? detail::plan_of(*outline, threads, sizes) : outline.error();
  });
  return made;
}

BITNET_MAYBE_INLINE result<dynamic_model> dynamic_model::make(result<gguf::document> opened,
                                                              const open_options& options) {
  if (!opened) return opened.error();
  gguf::document document = *std::move(opened);
  BITNET_TRY(const auto* const table, detail::table_for(options));
  dynamic_model m;
  BITNET_TRY(m.architecture_, detail::architecture_of(document));
  BITNET_TRY(const auto vocabulary, read_vocabulary(document.meta(), options.log));
  BITNET_TRY(m.tokenizer_, text::tokenizer::make(vocabulary));
  BITNET_TRY(auto pool, thread_pool::make({.threads = options.threads}));
  m.pool_ = std::make_unique<thread_pool>(std::move(pool));

  status loaded;
  models::visit_architecture(m.architecture_, [&](auto architecture) {
    using A = typename decltype(architecture)::type;
    using holder_of = holder<typename A::block>;
    auto fixed = holder_of::fixed_model::make(std::move(document), m.threads(), options,
                                              nn::dynamic_kernels{*table}, detail::traits_of<A>());
    if (!fixed) {
      loaded = fixed.error();
    } else {
      m.weights_ = std::make_unique<holder_of>(*std::move(fixed));
    }
  });
  BITNET_CHECK(std::move(loaded));
  if (m.tokenizer_.size() > m.shape().vocab)
    return error{errc::shape, "the vocabulary has more tokens than the embedding has rows",
                 "tokenizer.ggml.tokens"};
  return m;
}

BITNET_NAMESPACE_END
