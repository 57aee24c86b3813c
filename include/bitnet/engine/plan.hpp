// SPDX-License-Identifier: Apache-2.0
// What a model and a session on it will take, before anything is loaded.
#pragma once

#include <bitnet/engine/model.hpp>
#include <bitnet/engine/session.hpp>

#include <cstdint>

BITNET_NAMESPACE_BEGIN

/// Bytes that a host has to have. Tables of the file and the tokenizer come on top: about three
/// times the size of the file's metadata.
struct memory_plan {
  weight_plan model;
  std::uint64_t kv = 0;       ///< of one session
  std::uint64_t scratch = 0;  ///< of one session
  std::size_t context = 0;    ///< positions of that session
  /// Bytes of weights that decoding one token reads at most: a matrix whose groups turn out to have
  /// one scale (TQ1_0, TQ2_0 of a BitNet model) takes less.
  std::uint64_t per_token = 0;

  /// While the model runs in one session.
  [[nodiscard]] std::uint64_t total() const noexcept { return model.weights + kv + scratch; }
  /// At the worst moment: loading may take more for a while than the session does afterwards.
  [[nodiscard]] std::uint64_t peak() const noexcept {
    return model.loading > total() ? model.loading : total();
  }
};

namespace detail {

/// For an outline of a model.
template <class Model>
[[nodiscard]] result<memory_plan> plan_of(const Model& outline, executor_ref threads,
                                          session_options sizes) {
  BITNET_CHECK(complete(outline.shape(), sizes));
  BITNET_TRY(const auto need, session<Model>::measure(outline, threads, sizes));
  return memory_plan{outline.plan(), need.kv_bytes, need.scratch_bytes, sizes.context,
                     outline.bytes_per_token()};
}

}  // namespace detail

/// Plans loading `document` as load() does, and one session, on an executor of the concurrency of
/// `threads`. Reads the document's tables but no tensor. Errors are those of load() and of
/// session::measure, except for what only the contents of tensors can tell.
template <models::architecture A, class Kernels = nn::static_kernels<isa::native>>
[[nodiscard]] result<memory_plan> plan(const gguf::document& document, executor_ref threads,
                                       const load_options& options = {}, session_options sizes = {},
                                       Kernels kernels = Kernels{}) {
  BITNET_TRY(const auto outline, (model<A, Kernels>::outline(document, threads, options, kernels)));
  return detail::plan_of(outline, threads, sizes);
}

BITNET_NAMESPACE_END
