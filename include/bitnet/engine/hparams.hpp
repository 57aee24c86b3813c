// SPDX-License-Identifier: Apache-2.0
// Reads the hyper-parameters of a GGUF file, and refuses what cannot be run as stated.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/gguf/metadata.hpp>
#include <bitnet/nn/hparams.hpp>

#include <string>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// Keys that start with the architecture's name.
class architecture_keys {
 public:
  architecture_keys(const gguf::metadata& m, std::string_view architecture)
      : metadata_{&m}, prefix_{std::string{architecture} + "."} {}

  [[nodiscard]] std::string key(std::string_view name) const { return prefix_ + std::string{name}; }
  [[nodiscard]] bool contains(std::string_view name) const {
    return metadata_->contains(key(name));
  }

  /// A required size in [least, most].
  [[nodiscard]] result<std::size_t> size(std::string_view name, std::uint64_t least,
                                         std::uint64_t most) const {
    BITNET_TRY(const auto n, metadata_->get<std::uint64_t>(key(name)));
    return bounded(name, n, least, most);
  }
  [[nodiscard]] result<std::size_t> size_or(std::string_view name, std::uint64_t fallback,
                                            std::uint64_t least, std::uint64_t most) const {
    BITNET_TRY(const auto n, metadata_->get_or<std::uint64_t>(key(name), fallback));
    return bounded(name, n, least, most);
  }
  /// An optional number that must be finite and above `above`.
  [[nodiscard]] result<float> number_or(std::string_view name, float fallback, float above) const {
    BITNET_TRY(const auto x, metadata_->get_or<float>(key(name), fallback));
    if (!(x > above) || x > 3.0e38F)
      return wrong(errc::malformed, "the number is out of range", name);
    return x;
  }
  [[nodiscard]] result<std::string_view> text_or(std::string_view name,
                                                 std::string_view fallback) const {
    return metadata_->get_or<std::string_view>(key(name), fallback);
  }
  /// An error about a key, with the place of its value in the file.
  [[nodiscard]] error wrong(errc code, const char* message, std::string_view name) const {
    const auto* value = metadata_->find(key(name));
    return error{code, message, key(name), value != nullptr ? value->offset() : error::no_offset};
  }

 private:
  [[nodiscard]] result<std::size_t> bounded(std::string_view name, std::uint64_t n,
                                            std::uint64_t least, std::uint64_t most) const {
    if (n < least) return wrong(errc::malformed, "the number is too small", name);
    if (n > most) return wrong(errc::limit, "the number is over this library's limit", name);
    return static_cast<std::size_t>(n);
  }

  const gguf::metadata* metadata_;
  std::string prefix_;
};

[[nodiscard]] inline status read_rope(const architecture_keys& keys, nn::hparams& h) {
  BITNET_TRY(h.rope.dims, keys.size_or("rope.dimension_count", h.head_dim, 2, h.head_dim));
  if (h.rope.dims % 2 != 0)
    return keys.wrong(errc::malformed, "rotary dimensions come in pairs", "rope.dimension_count");
  BITNET_TRY(h.rope.base, keys.number_or("rope.freq_base", 10000.0F, 1.0F));

  // A factor without a type means linear scaling, as in llama.cpp; a factor of 0 means 1.
  const std::string_view factor_key =
      keys.contains("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
  BITNET_TRY(h.rope.factor, keys.number_or(factor_key, 1.0F, -1e-30F));
  if (h.rope.factor <= 0.0F) h.rope.factor = 1.0F;
  BITNET_TRY(const auto scaling,
             keys.text_or("rope.scaling.type", keys.contains(factor_key) ? "linear" : "none"));
  BITNET_TRY(h.rope.attention_factor, keys.number_or("rope.scaling.attn_factor", 1.0F, 0.0F));
  if (scaling == "none") {
    h.rope.scaling = nn::rope_scaling::none;
  } else if (scaling == "linear") {
    h.rope.scaling = nn::rope_scaling::linear;
  } else if (scaling == "yarn") {
    h.rope.scaling = nn::rope_scaling::yarn;
    if (h.rope.factor < 1.0F)
      return keys.wrong(errc::malformed, "a YaRN factor is at least 1", "rope.scaling.factor");
    BITNET_TRY(h.rope.original_context,
               keys.size_or("rope.scaling.original_context_length", h.context, 1, 1U << 30));
    for (const std::string_view name :
         {"rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow",
          "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor",
          "rope.scaling.yarn_log_multiplier"})
      if (keys.contains(name))
        return keys.wrong(errc::unsupported, "this variant of YaRN is not supported", name);
  } else {
    return keys.wrong(errc::unknown, "this rope scaling is not known, and is never guessed",
                      "rope.scaling.type");
  }
  return {};
}

/// Semantics that would change every result and that this library does not implement: a loader
/// that ignored them would write fluent-looking garbage.
[[nodiscard]] inline status refuse_unknown_semantics(const gguf::metadata& m,
                                                     const architecture_keys& keys) {
  for (const auto& entry : m)
    if (entry.key.starts_with("prism."))
      return error{errc::unsupported, "the file's weights are stored under a transform", entry.key,
                   entry.value.offset()};
  for (const std::string_view name :
       {"expert_count", "attention.sliding_window", "attention.clamp_kqv", "attn_logit_softcapping",
        "final_logit_softcapping", "attention.max_alibi_bias", "logit_scale", "embedding_scale",
        "residual_scale", "attention.scale"}) {
    if (!keys.contains(name)) continue;
    const auto* value = m.find(keys.key(name));
    const auto number = value->as<double>();
    const auto integer = value->as<std::int64_t>();
    const bool scales = name.ends_with("_scale") || name.ends_with(".scale");
    const double unit = scales ? 1.0 : 0.0;  // the value that changes nothing, beside 0
    const bool neutral =
        (number && (*number == 0.0 || *number == unit)) || (integer && *integer == 0);
    if (!neutral)
      return keys.wrong(errc::unsupported, "this setting is not supported by the architecture",
                        name);
  }
  return {};
}

}  // namespace detail

/// Hyper-parameters of `architecture` (the value of general.architecture, which prefixes the keys).
/// `vocab` is the number of rows of the token embedding. What the architecture fixes (rope order,
/// default activation) is already set in `start`. Every size is checked against limits here and
/// against the tensors' shapes when they are bound.
[[nodiscard]] inline result<nn::hparams> read_hparams(const gguf::metadata& m,
                                                      std::string_view architecture,
                                                      std::size_t vocab, nn::hparams start) {
  const detail::architecture_keys keys{m, architecture};
  nn::hparams h = start;
  h.vocab = vocab;
  BITNET_TRY(h.dim, keys.size("embedding_length", 1, 1U << 20));
  BITNET_TRY(h.layers, keys.size("block_count", 1, 4096));
  BITNET_TRY(h.ffn, keys.size("feed_forward_length", 1, 1U << 22));
  BITNET_TRY(h.heads, keys.size("attention.head_count", 1, 65536));
  BITNET_TRY(h.kv_heads, keys.size_or("attention.head_count_kv", h.heads, 1, 65536));
  if (h.heads % h.kv_heads != 0)
    return keys.wrong(errc::malformed, "query heads must be a multiple of key-value heads",
                      "attention.head_count_kv");
  if (!keys.contains("attention.key_length") && h.dim % h.heads != 0)
    return keys.wrong(errc::malformed, "the width must be a multiple of the heads",
                      "attention.head_count");
  BITNET_TRY(h.head_dim, keys.size_or("attention.key_length", h.dim / h.heads, 2, 65536));
  // A row of a matrix is at most so long: sums over it stay in 32 bits.
  if (h.q_dim() > (std::size_t{1} << 22))
    return keys.wrong(errc::limit, "the heads together are over this library's limit",
                      "attention.head_count");
  BITNET_TRY(const auto value_dim, keys.size_or("attention.value_length", h.head_dim, 1, 65536));
  if (value_dim != h.head_dim)
    return keys.wrong(errc::unsupported, "keys and values of different length are not supported",
                      "attention.value_length");
  BITNET_TRY(h.context, keys.size("context_length", 1, 1U << 30));
  constexpr std::string_view epsilon = "attention.layer_norm_rms_epsilon";
  if (!keys.contains(epsilon)) return keys.wrong(errc::missing, "the file lacks this key", epsilon);
  BITNET_TRY(h.norm_eps, keys.number_or(epsilon, 0.0F, -1.0F));
  if (h.norm_eps < 0.0F) return keys.wrong(errc::malformed, "the number is out of range", epsilon);
  BITNET_CHECK(detail::read_rope(keys, h));

  BITNET_TRY(const auto activation, keys.text_or("hidden_activation", ""));
  if (activation == "silu") {
    h.activation = nn::gate_activation::silu;
  } else if (activation == "relu2") {
    h.activation = nn::gate_activation::relu2;
  } else if (!activation.empty()) {
    return keys.wrong(errc::unknown, "this activation is not known; silu and relu2 are",
                      "hidden_activation");
  }
  BITNET_CHECK(detail::refuse_unknown_semantics(m, keys));
  return h;
}

BITNET_NAMESPACE_END
