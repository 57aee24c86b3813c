// SPDX-License-Identifier: Apache-2.0
// What config.json of a Hugging Face model means: shape, rope, and how its weights are stored.
#pragma once

#include <bitnet/convert/json.hpp>
#include <bitnet/nn/hparams.hpp>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace convert {

/// How the matrices of a checkpoint become ternary.
enum class ternary_source : std::uint8_t {
  none,              ///< they do not: a plain model
  master,            ///< floats that training rounds by their mean magnitude in every step
  packed,            ///< two bits a weight, W = code * weight_scale (AutoBitLinear)
  packed_reciprocal  ///< two bits a weight, W = code / weight_scale (BitLinear)
};

/// Llama 3's rope scaling, which GGUF files store as a factor for each frequency.
struct llama3_rope {
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  double original_context = 8192.0;
};

/// A configuration that was understood.
struct model_config {
  std::string_view architecture;  ///< the value of general.architecture
  nn::hparams shape = {};         ///< `vocab` is the configuration's
  bool states_head_dim = false;
  std::optional<llama3_rope> llama3 = {};
  std::optional<bool> tied;  ///< whether the head is the embedding
  ternary_source ternary = ternary_source::none;
};

namespace detail {

/// Keys whose named values change nothing; any other value is a model that is not this one.
inline constexpr std::string_view refused_keys[] = {"num_experts",
                                                    "num_local_experts",
                                                    "n_routed_experts",
                                                    "logit_scale",
                                                    "logits_scaling",
                                                    "embedding_multiplier",
                                                    "residual_multiplier",
                                                    "attention_multiplier",
                                                    "final_logit_softcapping",
                                                    "attn_logit_softcapping",
                                                    "query_pre_attn_scalar",
                                                    "rope_interleaved",
                                                    "use_sliding_window",
                                                    "qk_layernorm",
                                                    "use_qk_norm",
                                                    "clip_qkv",
                                                    "alibi",
                                                    "scale_emb",
                                                    "no_rope_layers",
                                                    "attention_chunk_size",
                                                    "parallel_attn",
                                                    "cross_attention_layers",
                                                    "hidden_activation"};

/// A setting that other models have: absent, null, false, or a number or list without effect.
[[nodiscard]] inline bool is_neutral(json::value v) {
  switch (v.kind()) {
    case json::kind::null:
      return true;
    case json::kind::boolean:
      return v.text() == "false";
    case json::kind::array:
      return v.size() == 0;
    case json::kind::number: {
      const auto x = v.as<double>();
      const bool factor =
          v.key().find("scal") != std::string_view::npos || v.key().ends_with("_multiplier");
      return x && (*x == 0.0 || (factor && *x == 1.0));
    }
    default:
      return false;
  }
}

[[nodiscard]] inline result<std::size_t> read_size(json::value config, std::string_view key,
                                                   std::optional<std::size_t> otherwise = {}) {
  BITNET_TRY(const auto n, config.get_optional<std::uint64_t>(key));
  if (!n && otherwise) return *otherwise;
  if (!n) return config.get<std::uint64_t>(key).error();
  if (*n == 0 || *n > (std::uint64_t{1} << 30))
    return config.find(key)->wrong(errc::limit, "the number must be 1 to 2^30");
  return static_cast<std::size_t>(*n);
}

[[nodiscard]] inline result<double> read_positive(json::value config, std::string_view key,
                                                  std::optional<double> otherwise = {}) {
  BITNET_TRY(const auto x, config.get_optional<double>(key));
  if (!x && otherwise) return *otherwise;
  if (!x) return config.get<double>(key).error();
  if (!(*x > 0.0) || *x > 3.0e38)
    return config.find(key)->wrong(errc::malformed, "the number must be above 0");
  return *x;
}

/// A key that only says what is the default.
[[nodiscard]] inline status require_number(json::value config, std::string_view key, double only,
                                           const char* message) {
  BITNET_TRY(const auto x, config.get_optional<double>(key));
  if (x && *x != only) return config.find(key)->wrong(errc::unsupported, message);
  return {};
}

[[nodiscard]] inline status read_yarn(json::value scaling, nn::hparams& h) {
  h.rope.scaling = nn::rope_scaling::yarn;
  constexpr const char* variant = "this variant of YaRN is not supported";
  BITNET_CHECK(require_number(scaling, "beta_fast", 32.0, variant));
  BITNET_CHECK(require_number(scaling, "beta_slow", 1.0, variant));
  for (const std::string_view key : {"attention_factor", "mscale", "mscale_all_dim"})
    if (const auto v = scaling.find_set(key)) return v->wrong(errc::unsupported, variant);
  if (const auto v = scaling.find_set("truncate"); v && v->text() != "true")
    return v->wrong(errc::unsupported, variant);
  BITNET_TRY(h.rope.original_context,
             read_size(scaling, "original_max_position_embeddings", h.context));
  return {};
}

[[nodiscard]] inline status read_rope_scaling(json::value scaling, model_config& c) {
  BITNET_TRY(const auto type, scaling.get_optional<std::string_view>("rope_type"));
  BITNET_TRY(const auto old_type, scaling.get_optional<std::string_view>("type"));
  const std::string_view name = type ? *type : old_type.value_or("");
  if (name == "default") return {};
  if (name != "linear" && name != "yarn" && name != "llama3")
    return scaling.find(type ? "rope_type" : "type")
        .value_or(scaling)
        .wrong(errc::unknown, "this rope scaling is not known; linear, yarn and llama3 are");
  BITNET_TRY(const double factor, read_positive(scaling, "factor"));
  c.shape.rope.factor = static_cast<float>(factor);
  if (name == "linear") {
    c.shape.rope.scaling = nn::rope_scaling::linear;
  } else if (name == "yarn") {
    return read_yarn(scaling, c.shape);
  } else {
    llama3_rope r;
    r.factor = factor;
    BITNET_TRY(r.low_freq_factor, read_positive(scaling, "low_freq_factor"));
    BITNET_TRY(r.high_freq_factor, read_positive(scaling, "high_freq_factor"));
    BITNET_TRY(r.original_context, read_positive(scaling, "original_max_position_embeddings"));
    if (r.high_freq_factor <= r.low_freq_factor)
      return scaling.wrong(errc::malformed, "high_freq_factor must be above low_freq_factor");
    c.llama3 = r;
  }
  return {};
}

[[nodiscard]] inline status read_rope(json::value config, bool old_default, model_config& c) {
  // Newer configurations keep theta with the scaling.
  BITNET_TRY(const auto parameters, config.get_optional<json::value>("rope_parameters"));
  const json::value holder =
      parameters && parameters->find_set("rope_theta") ? *parameters : config;
  std::optional<double> otherwise;
  if (old_default) otherwise = 10000.0;  // configurations of the first Llamas do not say it
  BITNET_TRY(const double theta, read_positive(holder, "rope_theta", otherwise));
  c.shape.rope.base = static_cast<float>(theta);
  for (const json::value place : {config, parameters.value_or(config)})
    BITNET_CHECK(require_number(place, "partial_rotary_factor", 1.0,
                                "heads that are rotated in part are not supported"));
  BITNET_TRY(const auto scaling, config.get_optional<json::value>("rope_scaling"));
  if (scaling) return read_rope_scaling(*scaling, c);
  if (parameters) return read_rope_scaling(*parameters, c);
  return {};
}

[[nodiscard]] inline status read_quantization(json::value config, model_config& c) {
  BITNET_TRY(const auto q, config.get_optional<json::value>("quantization_config"));
  if (!q) return {};
  BITNET_TRY(const auto method, q->get<std::string_view>("quant_method"));
  if (method != "bitnet")
    return q->find("quant_method")
        ->wrong(errc::unsupported, "this quantization is not supported; bitnet is");
  for (const json::value entry : *q) {
    constexpr std::string_view known[] = {"quant_method", "modules_to_not_convert",
                                          "linear_class", "quantization_mode",
                                          "use_rms_norm", "rms_norm_eps"};
    if (std::find(std::begin(known), std::end(known), entry.key()) == std::end(known))
      return entry.wrong(errc::unknown, "this quantization setting is not known");
  }
  BITNET_TRY(const bool own_norm, q->get_or<bool>("use_rms_norm", false));
  if (own_norm)
    return q->find("use_rms_norm")
        ->wrong(errc::unsupported, "matrices with a norm of their own are not supported");
  if (const auto kept = q->find_set("modules_to_not_convert"))
    for (const json::value name : *kept)
      if (name.text() != "lm_head")
        return kept->wrong(errc::unsupported, "only the output head may stay unquantized");
  BITNET_TRY(const auto linear, q->get_or<std::string_view>("linear_class", "bitlinear"));
  if (linear != "bitlinear" && linear != "autobitlinear")
    return q->find("linear_class")
        ->wrong(errc::unknown, "this class is not known; bitlinear and autobitlinear are");
  BITNET_TRY(const auto mode, q->get_or<std::string_view>("quantization_mode", "offline"));
  if (mode != "online" && mode != "offline")
    return q->find("quantization_mode")
        ->wrong(errc::unknown, "this mode is not known; online and offline are");
  c.ternary = mode == "online"        ? ternary_source::master
              : linear == "bitlinear" ? ternary_source::packed_reciprocal
                                      : ternary_source::packed;
  return {};
}

/// The GGUF architecture. The BitNet graph has two names, one for each activation.
[[nodiscard]] inline status read_architecture(json::value config, model_config& c) {
  BITNET_TRY(const auto list, config.get<json::value>("architectures"));
  if (!list.is(json::kind::array) || list.size() != 1)
    return list.wrong(errc::malformed, "a list of one architecture is expected");
  BITNET_TRY(const auto name, (*list.begin()).as<std::string_view>());
  const bool bitnet = name == "BitNetForCausalLM" || name == "BitnetForCausalLM";
  BITNET_TRY(const auto act, config.get<std::string_view>("hidden_act"));
  const auto key = *config.find("hidden_act");
  if (act != "silu" && act != "swish" && !(bitnet && act == "relu2"))
    return key.wrong(errc::unknown, "this architecture is not known with this activation");
  if (bitnet) {
    c.architecture = act == "relu2" ? "bitnet-b1.58" : "bitnet";
  } else if (name == "LlamaForCausalLM") {
    c.architecture = "llama";
  } else if (name == "Qwen3ForCausalLM") {
    c.architecture = "qwen3";
  } else {
    return (*list.begin())
        .wrong(errc::unsupported,
               "this architecture is not supported; BitNetForCausalLM, BitnetForCausalLM, "
               "LlamaForCausalLM and Qwen3ForCausalLM are");
  }
  // The first BitNet models keep master weights and say so by these two keys.
  if (config.find_set("weight_bits") || config.find_set("input_bits")) {
    BITNET_CHECK(require_number(config, "weight_bits", 1.0, "only ternary weights are supported"));
    BITNET_CHECK(require_number(config, "input_bits", 8.0, "only 8-bit inputs are supported"));
    if (config.find_set("weight_bits")) c.ternary = ternary_source::master;
  }
  return {};
}

[[nodiscard]] inline status refuse_other_models(json::value config, bool qwen) {
  for (const std::string_view key : refused_keys)
    if (const auto v = config.find(key); v && !is_neutral(*v))
      return v->wrong(errc::unsupported, "this setting is not supported by the architecture");
  // Qwen's sliding window is off unless use_sliding_window says otherwise.
  if (const auto v = config.find_set("sliding_window"); v && !qwen && !is_neutral(*v))
    return v->wrong(errc::unsupported, "a sliding window is not supported");
  if (const auto layers = config.find_set("layer_types"))
    for (const json::value type : *layers)
      if (type.text() != "full_attention")
        return layers->wrong(errc::unsupported, "only layers of full attention are supported");
  return {};
}

}  // namespace detail

/// Reads config.json. Unknown architectures, activations, rope scalings, quantizations and settings
/// that change results are refused by name, never guessed. Sizes are 1 to 2^30 here and meet their
/// tensors' shapes later.
[[nodiscard]] inline result<model_config> read_config(const json::document& parsed) {
  const json::value config = json::root(parsed);
  model_config c;
  BITNET_CHECK(detail::read_architecture(config, c));
  const bool qwen = c.architecture == "qwen3";
  BITNET_CHECK(detail::refuse_other_models(config, qwen));
  nn::hparams& h = c.shape;
  BITNET_TRY(h.dim, detail::read_size(config, "hidden_size"));
  BITNET_TRY(h.layers, detail::read_size(config, "num_hidden_layers"));
  BITNET_TRY(h.ffn, detail::read_size(config, "intermediate_size"));
  BITNET_TRY(h.heads, detail::read_size(config, "num_attention_heads"));
  BITNET_TRY(h.kv_heads, detail::read_size(config, "num_key_value_heads", h.heads));
  BITNET_TRY(h.vocab, detail::read_size(config, "vocab_size"));
  BITNET_TRY(h.context, detail::read_size(config, "max_position_embeddings"));
  c.states_head_dim = config.find_set("head_dim").has_value();
  if (!c.states_head_dim && (qwen || h.dim % h.heads != 0))
    return error{errc::missing, "head_dim is not stated and does not follow",
                 parsed.label("head_dim")};
  BITNET_TRY(h.head_dim, detail::read_size(config, "head_dim", h.dim / h.heads));
  if (h.head_dim % 2 != 0)
    return config.wrong(errc::malformed, "heads must have an even width to be rotated");
  h.rope.dims = h.head_dim;
  BITNET_TRY(const double eps, config.get<double>("rms_norm_eps"));
  if (!(eps >= 0.0) || eps > 1.0)
    return config.find("rms_norm_eps")->wrong(errc::malformed, "the number is out of range");
  h.norm_eps = static_cast<float>(eps);
  const bool old = c.architecture == "llama" || config.find_set("weight_bits");
  BITNET_CHECK(detail::read_rope(config, old, c));
  BITNET_CHECK(detail::read_quantization(config, c));
  BITNET_TRY(c.tied, config.get_optional<bool>("tie_word_embeddings"));
  return c;
}

}  // namespace convert
BITNET_NAMESPACE_END
