// SPDX-License-Identifier: Apache-2.0
// The front door: opens any supported file, with kernels chosen for the machine it runs on.
#pragma once

#include <bitnet/core/thread_pool.hpp>
#include <bitnet/engine/generate.hpp>
#include <bitnet/engine/load_options.hpp>
#include <bitnet/engine/plan.hpp>
#include <bitnet/engine/session.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <memory>
#include <string_view>
#include <utility>

BITNET_NAMESPACE_BEGIN

/// How to open a file.
struct open_options : load_options {
  /// Instruction set of the kernels by name (isa/tags.hpp); empty: the best of this machine.
  std::string_view isa = {};
  /// Threads of the model's own pool, 0: one for each processor. 1 makes no thread.
  std::size_t threads = 0;
};

/// A model whose architecture and formats were found in its file. Owns weights, tokenizer and a
/// pool of threads. Movable while no session refers to it; immutable otherwise. Its pool serves one
/// caller at a time and leaves others to their own thread, so sessions that run at once are faster
/// with executors of their own.
class dynamic_model {
 public:
  using kernels_type = nn::dynamic_kernels;

  [[nodiscard]] const nn::hparams& shape() const noexcept { return weights_->shape(); }
  [[nodiscard]] kernels_type kernels() const noexcept { return weights_->kernels(); }
  [[nodiscard]] nn::activations hidden(nn::context<>& c) const { return weights_->hidden(c); }
  [[nodiscard]] nn::activations logits(nn::context<>& c, nn::activations state) const {
    return weights_->logits(c, state);
  }
  void best(nn::context<>& c, nn::activations state, matrix_view<scored_token> out) const {
    weights_->best(c, state, out);
  }

  /// Value of general.architecture.
  [[nodiscard]] std::string_view architecture() const noexcept { return architecture_; }
  /// Name of the instruction set whose kernels run.
  [[nodiscard]] std::string_view isa() const noexcept { return (*kernels()).isa; }
  [[nodiscard]] const text::tokenizer& tokenizer() const noexcept { return tokenizer_; }
  [[nodiscard]] const gguf::document& document() const noexcept { return weights_->document(); }
  /// See model::fingerprint.
  [[nodiscard]] std::uint64_t fingerprint() const noexcept { return weights_->fingerprint(); }
  /// The model's own threads.
  [[nodiscard]] executor_ref threads() const noexcept { return *pool_; }
  /// Bytes of weights that decoding one token reads.
  [[nodiscard]] std::uint64_t bytes_per_token() const noexcept {
    return weights_->bytes_per_token();
  }
  /// Bytes of weights in memory of our own, beside the mapped file.
  [[nodiscard]] std::uint64_t weight_bytes() const noexcept { return weights_->plan().weights; }
  /// What loading took.
  [[nodiscard]] const weight_plan& plan() const noexcept { return weights_->plan(); }

  /// Continues `prompt` in a session of its own: tokenizes it with the vocabulary's rules, and
  /// calls on_text with each piece of whole characters until it returns false, the model ends its
  /// text, or options say so.
  [[nodiscard]] result<generate_result> generate(
      std::string_view prompt, const generate_options& options,
      function_ref<bool(std::string_view piece)> on_text) const {
    BITNET_TRY(const auto tokens, tokenizer_.encode(prompt));
    session_options sizes;
    const std::size_t most = std::max<std::size_t>(shape().context, 1);
    sizes.context =
        options.max_tokens >= most ? most : std::min(most, tokens.size() + options.max_tokens + 1);
    BITNET_TRY(auto s, session<dynamic_model>::make(*this, threads(), sizes));
    return bitnet::generate(s, tokenizer_, tokens, options, on_text);
  }

  /// Use open().
  [[nodiscard]] static result<dynamic_model> make(result<gguf::document> opened,
                                                  const open_options& options);
  /// Use bitnet::plan().
  [[nodiscard]] static result<memory_plan> plan(const gguf::document& document,
                                                const open_options& options,
                                                const session_options& sizes);

 private:
  /// What is the same for every architecture.
  struct weights {
    weights() = default;
    weights(const weights&) = delete;
    weights& operator=(const weights&) = delete;
    virtual ~weights() = default;
    [[nodiscard]] virtual const nn::hparams& shape() const noexcept = 0;
    [[nodiscard]] virtual nn::dynamic_kernels kernels() const noexcept = 0;
    [[nodiscard]] virtual const gguf::document& document() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t fingerprint() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t bytes_per_token() const noexcept = 0;
    [[nodiscard]] virtual const weight_plan& plan() const noexcept = 0;
    [[nodiscard]] virtual nn::activations hidden(nn::context<>& c) const = 0;
    [[nodiscard]] virtual nn::activations logits(nn::context<>& c, nn::activations state) const = 0;
    virtual void best(nn::context<>& c, nn::activations state,
                      matrix_view<scored_token> out) const = 0;
  };
  template <class Block>
  struct holder;

  dynamic_model() = default;

  std::string_view architecture_;  // in the document's bytes
  text::tokenizer tokenizer_;
  std::unique_ptr<thread_pool> pool_;
  std::unique_ptr<weights> weights_;
};

/// Opens a GGUF file, or the first part of a split one, and everything needed to run it.
/// Errors say which file, key or tensor is at fault and what to do.
[[nodiscard]] inline result<dynamic_model> open(std::string_view path,
                                                const open_options& options = {}) {
  return dynamic_model::make(gguf::open(path), options);
}

/// The same from bytes in memory, which must outlive the model.
[[nodiscard]] inline result<dynamic_model> open(std::span<const std::byte> bytes,
                                                const open_options& options = {}) {
  return dynamic_model::make(gguf::view(bytes), options);
}

/// The same through a reader of the caller's, or one for each part of a split model, which must
/// live until this returns. Tensors are read one after the other.
[[nodiscard]] inline result<dynamic_model> open(gguf::reader_ref reader,
                                                const open_options& options = {}) {
  return dynamic_model::make(gguf::read(reader), options);
}
[[nodiscard]] inline result<dynamic_model> open(std::span<const gguf::reader_ref> parts,
                                                const open_options& options = {}) {
  return dynamic_model::make(gguf::read(parts), options);
}

/// What open() with these options and then one session on the model's own threads will take. Reads
/// the tables of the file and no tensor; errors are those of open().
[[nodiscard]] inline result<memory_plan> plan(const gguf::document& document,
                                              const open_options& options = {},
                                              const session_options& sizes = {}) {
  return dynamic_model::plan(document, options, sizes);
}
[[nodiscard]] inline result<memory_plan> plan(std::string_view path,
                                              const open_options& options = {},
                                              const session_options& sizes = {}) {
  BITNET_TRY(const auto document, gguf::open(path));
  return dynamic_model::plan(document, options, sizes);
}

BITNET_NAMESPACE_END

#if BITNET_IMPLEMENTED_HERE  // see config.hpp
#include <bitnet/engine/dynamic_make.hpp>
#endif
