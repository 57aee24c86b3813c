// SPDX-License-Identifier: Apache-2.0
// The throwing face, opt-in: the calls of bitnet.hpp in namespace bitnet::ex, with values returned
// as such and errors thrown as bitnet::ex::failure.
//
// What has no call here is wrapped where it is used: ex::value(f()) is the value of a result or
// throws, and does the same for a status. Callbacks may throw where the call is not noexcept in
// bitnet.hpp; session::score is, so its callback must not.
#pragma once

#include <bitnet/bitnet.hpp>

#include <stdexcept>

#if !BITNET_EXCEPTIONS
#error "bitnet/exceptions.hpp needs exceptions; without them include bitnet/bitnet.hpp alone"
#endif

BITNET_NAMESPACE_BEGIN
namespace ex {

/// An error as an exception. what() is to_string(error()).
class failure : public std::runtime_error {
 public:
  explicit failure(const bitnet::error& e) : std::runtime_error{to_string(e)}, error_{e} {}

  [[nodiscard]] const bitnet::error& error() const noexcept { return error_; }
  [[nodiscard]] errc code() const noexcept { return error_.code(); }

 private:
  bitnet::error error_;
};

/// The value of a success; throws failure otherwise.
template <class T>
T value(result<T> r) {
  if (!r) throw failure{r.error()};
  return *std::move(r);
}
/// Throws failure unless it is a success.
inline void value(const status& s) {
  if (!s) throw failure{s.error()};
}

/// What T::make(arguments...) makes: thread_pool, sampler, text::tokenizer and the like.
template <class T, class... Args>
[[nodiscard]] auto make(Args&&... arguments) {
  return value(T::make(std::forward<Args>(arguments)...));
}

/// bitnet::dynamic_model, throwing.
class dynamic_model : public bitnet::dynamic_model {
 public:
  explicit dynamic_model(bitnet::dynamic_model&& m) noexcept
      : bitnet::dynamic_model{std::move(m)} {}

  generate_result generate(std::string_view prompt, const generate_options& options,
                           function_ref<bool(std::string_view piece)> on_text) const {
    return value(bitnet::dynamic_model::generate(prompt, options, on_text));
  }
};

/// See bitnet::open.
[[nodiscard]] inline dynamic_model open(std::string_view path, const open_options& options = {}) {
  return dynamic_model{value(bitnet::open(path, options))};
}
[[nodiscard]] inline dynamic_model open(std::span<const std::byte> bytes,
                                        const open_options& options = {}) {
  return dynamic_model{value(bitnet::open(bytes, options))};
}

/// See bitnet::load. The document may be a value or the result of bitnet::gguf::open.
template <models::architecture A, class Kernels = nn::static_kernels<isa::native>>
[[nodiscard]] model<A, Kernels> load(result<bitnet::gguf::document> document, executor_ref threads,
                                     const load_options& options = {},
                                     Kernels kernels = Kernels{}) {
  return value(bitnet::load<A, Kernels>(value(std::move(document)), threads, options, kernels));
}
template <models::architecture A, class Kernels = nn::static_kernels<isa::native>>
[[nodiscard]] model<A, Kernels> load(result<bitnet::gguf::document> document,
                                     const load_options& options = {}) {
  return value(bitnet::load<A, Kernels>(std::move(document), options));
}

/// bitnet::session, throwing: made by its constructor, and passed wherever one is taken.
template <language_model Model>
class session : public bitnet::session<Model> {
  using base = bitnet::session<Model>;

 public:
  session(const Model& model, executor_ref threads, const session_options& options = {})
      : base{value(base::make(model, threads, options))} {}

  [[nodiscard]] static typename base::plan measure(const Model& model, executor_ref threads,
                                                   const session_options& options = {}) {
    return value(base::measure(model, threads, options));
  }
  void feed(std::span<const token> tokens) { value(base::feed(tokens)); }
  void score(std::span<const token> tokens,
             function_ref<void(std::size_t, std::span<const float>)> on_logits) {
    value(base::score(tokens, on_logits));
  }
  static void feed_together(std::span<const typename base::turn> turns) {
    value(base::feed_together(turns));
  }
  void rewind(std::size_t position) { value(base::rewind(position)); }
};
session(const dynamic_model&, executor_ref, const session_options& = {})
    ->session<bitnet::dynamic_model>;

/// See bitnet::generate.
template <class Model>
generate_result generate(bitnet::session<Model>& session, const bitnet::text::tokenizer& tokenizer,
                         std::span<const token> prompt, const generate_options& options,
                         function_ref<bool(std::string_view piece)> on_text) {
  return value(bitnet::generate(session, tokenizer, prompt, options, on_text));
}

/// See bitnet::measure_perplexity.
template <class Model>
perplexity_result measure_perplexity(bitnet::session<Model>& session, std::span<const token> tokens,
                                     std::size_t context, token bos,
                                     function_ref<bool(const perplexity_result&)> on_chunk) {
  return value(bitnet::measure_perplexity(session, tokens, context, bos, on_chunk));
}

namespace gguf {

/// See bitnet::gguf::open and bitnet::gguf::view.
[[nodiscard]] inline bitnet::gguf::document open(std::string_view path) {
  return value(bitnet::gguf::open(path));
}
[[nodiscard]] inline bitnet::gguf::document view(std::span<const std::byte> bytes) {
  return value(bitnet::gguf::view(bytes));
}
[[nodiscard]] inline bitnet::gguf::document view(
    std::span<const std::span<const std::byte>> parts) {
  return value(bitnet::gguf::view(parts));
}

}  // namespace gguf

namespace text {

/// See bitnet::text::tokenizer::encode.
[[nodiscard]] inline std::vector<token> encode(const bitnet::text::tokenizer& tokenizer,
                                               std::string_view text,
                                               const bitnet::text::encode_options& options = {}) {
  return value(tokenizer.encode(text, options));
}

/// See bitnet::text::recognise_chat.
[[nodiscard]] inline bitnet::text::chat_format recognise_chat(std::string_view chat_template,
                                                              std::string_view architecture,
                                                              std::string_view pre = {}) {
  return value(bitnet::text::recognise_chat(chat_template, architecture, pre));
}

/// The ids of the prompt for `messages`: bitnet::text::render_chat and encode_chat.
[[nodiscard]] inline std::vector<token> encode_chat(
    const bitnet::text::tokenizer& tokenizer, bitnet::text::chat_format format,
    std::span<const bitnet::text::chat_message> messages, bool generation_prompt = true) {
  std::vector<token> ids;
  const auto prompt = value(bitnet::text::render_chat(format, messages, generation_prompt));
  value(bitnet::text::encode_chat(tokenizer, prompt, ids));
  return ids;
}

}  // namespace text
}  // namespace ex
BITNET_NAMESPACE_END
