// SPDX-License-Identifier: Apache-2.0
// A loaded model of fixed architecture: immutable weights that any number of sessions share.
#pragma once

#include <bitnet/engine/block_model.hpp>

#include <utility>

BITNET_NAMESPACE_BEGIN

/// Weights of architecture A, with kernels fixed at compile time (the default: the best that the
/// compiler flags allow) or chosen at run time (nn::dynamic_kernels). Owns its document and its
/// weights. Movable before sessions refer to it; afterwards immutable, so any number of
/// threads may use it.
template <models::architecture A, class Kernels = nn::static_kernels<isa::native>>
class model : public detail::block_model<typename A::block, Kernels> {
  using base = detail::block_model<typename A::block, Kernels>;

 public:
  using architecture_type = A;

  /// Use load().
  [[nodiscard]] static result<model> make(gguf::document document, executor_ref threads,
                                          const load_options& options, Kernels kernels) {
    BITNET_TRY(auto m,
               base::make(std::move(document), threads, options, kernels, detail::traits_of<A>()));
    return model{std::move(m)};
  }

  /// A model without weights and document, to measure and nothing else: plan() is what loading
  /// would take on an executor of that concurrency, and session::measure works.
  [[nodiscard]] static result<model> outline(const gguf::document& document, executor_ref threads,
                                             const load_options& options, Kernels kernels) {
    BITNET_TRY(auto m, base::outline(document, threads, options, kernels, detail::traits_of<A>()));
    return model{std::move(m)};
  }

 private:
  explicit model(base&& m) noexcept : base{std::move(m)} {}
};

/// Loads a model of a known architecture, repacking on `threads`. The result owns the document.
/// Errors name the key or tensor at fault.
template <models::architecture A, class Kernels = nn::static_kernels<isa::native>>
[[nodiscard]] result<model<A, Kernels>> load(gguf::document document, executor_ref threads,
                                             const load_options& options = {},
                                             Kernels kernels = Kernels{}) {
  return model<A, Kernels>::make(std::move(document), threads, options, kernels);
}

/// The same from what gguf::open or gguf::view returned, on the calling thread alone.
template <models::architecture A, class Kernels = nn::static_kernels<isa::native>>
[[nodiscard]] result<model<A, Kernels>> load(result<gguf::document> document,
                                             const load_options& options = {}) {
  if (!document) return document.error();
  serial_executor serial;
  return load<A, Kernels>(*std::move(document), serial, options);
}

BITNET_NAMESPACE_END
