// SPDX-License-Identifier: Apache-2.0
// What a session runs, its sizes, and the memory that they take.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/core/token.hpp>
#include <bitnet/nn/context.hpp>
#include <bitnet/nn/kv_pool.hpp>

#include <algorithm>
#include <concepts>

BITNET_NAMESPACE_BEGIN

/// What a session runs: a loaded model of fixed type, or the type-erased one of dynamic.hpp.
template <class M>
concept language_model = requires(const M& m, nn::context<typename M::kernels_type>& c,
                                  nn::activations state) {
  { m.shape() } -> std::convertible_to<const nn::hparams&>;
  { m.kernels() } -> std::same_as<typename M::kernels_type>;
  { m.fingerprint() } -> std::same_as<std::uint64_t>;
  { m.hidden(c) } -> std::same_as<nn::activations>;
  { m.logits(c, state) } -> std::same_as<nn::activations>;
  m.best(c, state, matrix_view<scored_token>{});
};

/// Sizes of a session; everything is taken when it is made.
struct session_options {
  std::size_t context = 0;  ///< positions; 0: the model's trained context, at most 4096
  std::size_t batch = 256;  ///< prompt tokens that go through the model together, 1 .. 4096
  nn::kv_type kv = nn::kv_type::f16;
  /// Where keys and values lie, of the same type, if not in the session's own memory: forked
  /// sessions then share what they have in common. It must outlive the session and not move.
  nn::kv_pool* pool = nullptr;
};

/// Bytes that a session takes, whatever the alignment of its memory.
struct session_plan {
  std::size_t kv_bytes = 0;       ///< of keys and values; 0 with a pool
  std::size_t scratch_bytes = 0;  ///< everything else
  [[nodiscard]] std::size_t total() const noexcept { return kv_bytes + scratch_bytes; }
};

namespace detail {

/// Where sizes have 32 bits, no array of a step may have more bytes than they count: the largest
/// has 16 for each row and input or output (signed sums of two planes; see nn/linear.hpp).
[[nodiscard]] inline status check_32_bits(const nn::hparams& h, std::size_t batch) noexcept {
  const std::uint64_t widest = std::max({h.dim, h.ffn, h.q_dim(), h.vocab}) + 64;
  if (widest * batch <= (std::uint64_t{1} << 27)) return {};
  return error{errc::limit, "the batch is too large for 32-bit addresses", "batch"};
}

/// Checks options and replaces a context of 0.
[[nodiscard]] inline status complete(const nn::hparams& h, session_options& options) noexcept {
  if (options.batch < 1 || options.batch > 4096)
    return error{errc::invalid_argument, "the batch must be 1 to 4096 tokens", "batch"};
  if (options.context == 0)
    options.context = std::min<std::size_t>(std::max<std::size_t>(h.context, 1), 4096);
  if (options.context > (std::size_t{1} << 24))
    return error{errc::limit, "the context may have at most 2^24 positions", "context"};
  options.batch = std::min(options.batch, options.context);
  if constexpr (sizeof(std::size_t) < 8) BITNET_CHECK(check_32_bits(h, options.batch));
  if (options.pool != nullptr && (options.pool->type() != options.kv || !options.pool->serves(h)))
    return error{errc::invalid_argument,
                 "the pool was made for another model or type of keys and values", "pool"};
  return {};
}

}  // namespace detail
BITNET_NAMESPACE_END
