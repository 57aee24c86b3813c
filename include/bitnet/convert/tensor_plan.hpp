// SPDX-License-Identifier: Apache-2.0
// Which GGUF tensors a checkpoint becomes: names, shapes and types, every one of them accounted
// for.
#pragma once

#include <bitnet/convert/checkpoint.hpp>
#include <bitnet/convert/config.hpp>
#include <bitnet/convert/write_matrix.hpp>
#include <bitnet/models/registry.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <numbers>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace convert {

/// Tensor types of the new file; those that are not set are the checkpoint's, I2_S for ternary
/// matrices.
struct chosen_types {
  std::optional<gguf::tensor_type> matrices;  ///< of the blocks
  std::optional<gguf::tensor_type> embedding;
  std::optional<gguf::tensor_type> head;
};

/// A tensor of the new file.
struct planned_tensor {
  std::string name;
  std::vector<std::uint64_t> dims;  ///< fastest first
  gguf::tensor_type type = gguf::tensor_type::f32;
  matrix_source source;
  std::vector<float> values = {};  ///< where there is no source
};

namespace detail {

/// Names in a block: GGUF's, and Hugging Face's ones.
struct tensor_names {
  std::string_view gguf;
  std::string_view source;
  std::string_view other = {};
};
inline constexpr tensor_names block_names[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_sub_norm", "self_attn.attn_sub_norm", "self_attn.inner_attn_ln"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_sub_norm", "mlp.ffn_sub_norm", "mlp.ffn_layernorm"},
    {"ffn_down", "mlp.down_proj"}};

/// Lists the tensors of a model by the list that loads them. The first error sticks.
class tensor_planner {
 public:
  tensor_planner(const checkpoint& from, const model_config& config, const chosen_types& types)
      : from_{&from}, config_{&config}, types_{types} {}

  [[nodiscard]] result<std::vector<planned_tensor>> run() {
    const nn::hparams& h = config_->shape;
    top("token_embd", "model.embed_tokens.weight", h.vocab, h.dim, types_.embedding);
    plan_head();
    vector("output_norm.weight", require("model.norm.weight"), h.dim);
    models::visit_architecture(config_->architecture, [&](auto architecture) {
      using A = typename decltype(architecture)::type;
      for (std::size_t i = 0; i < h.layers && status_; ++i) {
        const std::string number = std::to_string(i);
        block_ = "blk." + number + ".";
        source_block_ = "model.layers." + number + ".";
        typename A::block block;
        block.tensors(*this, h);
      }
    });
    if (config_->llama3) plan_rope_factors();
    check_all_used();
    if (!status_) return status_.error();
    return std::move(tensors_);
  }

  /// A norm of a block.
  void operator()(std::string_view name, nn::rms_norm&, std::size_t size) {
    if (status_) vector(block_ + std::string{name} + ".weight", source_of(name, ".weight"), size);
  }
  /// A matrix of a block, with an optional bias.
  template <class W>
  void operator()(std::string_view name, nn::linear<W>&, std::size_t rows, std::size_t cols) {
    if (!status_) return;
    const source_tensor* t = source_of(name, ".weight");
    if (t == nullptr) return;
    matrix_source m{.tensor = t, .rows = rows, .cols = cols};
    if (config_->architecture == "llama" && (name == "attn_q" || name == "attn_k"))
      m.heads = name == "attn_q" ? config_->shape.heads : config_->shape.kv_heads;
    if (!plan_ternary(m)) return;
    matrix(block_ + std::string{name} + ".weight", m, types_.matrices);
    const std::string bias = base_of(t->name) + ".bias";
    if (const source_tensor* b = take(bias)) {
      vector(block_ + std::string{name} + ".bias", b, rows);
      if (status_) tensors_.back().source.heads = m.heads;
      if (status_) one_column(tensors_.back().source);
    }
  }

 private:
  [[nodiscard]] static std::string base_of(const std::string& name) {
    return name.substr(0, name.rfind('.'));
  }
  /// A vector read by rows of one element, so that its elements can be put in another order.
  static void one_column(matrix_source& m) { std::swap(m.rows, m.cols); }

  void fail(const error& e) {
    if (status_) status_ = e;
  }
  const source_tensor* take(std::string_view name) {
    const source_tensor* t = from_->find(name);
    if (t != nullptr) used_.insert(t);
    return t;
  }
  const source_tensor* require(std::string_view name) {
    const source_tensor* t = status_ ? take(name) : nullptr;
    if (t == nullptr) fail({errc::missing, "the checkpoint lacks this tensor", name});
    return t;
  }
  /// The tensor of a block that has GGUF's name `name`, under any of its names.
  const source_tensor* source_of(std::string_view name, std::string_view suffix) {
    const auto* const known = std::find_if(std::begin(block_names), std::end(block_names),
                                           [&](const tensor_names& n) { return n.gguf == name; });
    if (known == std::end(block_names)) {
      fail({errc::unsupported, "no name of this tensor in a checkpoint is known", name});
      return nullptr;
    }
    const auto full = [&](std::string_view s) {
      return source_block_ + std::string{s} + std::string{suffix};
    };
    if (!known->other.empty() && from_->find(full(known->other)) != nullptr)
      return require(full(known->other));
    return require(full(known->source));
  }

  [[nodiscard]] bool check(const source_tensor& t, std::vector<std::uint64_t> shape) {
    if (t.shape == shape) return true;
    fail(t.wrong(errc::shape, "the tensor's shape contradicts config.json"));
    return false;
  }

  /// Norms and biases: always F32, which every program expects.
  void vector(const std::string& name, const source_tensor* t, std::size_t size) {
    if (!status_ || t == nullptr || !check(*t, {size})) return;
    if (!is_float(t->type))
      return fail(t->wrong(errc::unsupported, "F32, F16 or BF16 is expected"));
    tensors_.push_back({.name = name,
                        .dims = {size},
                        .type = gguf::tensor_type::f32,
                        .source = {.tensor = t, .rows = 1, .cols = size}});
  }

  /// Sets how a matrix becomes ternary, if it does.
  [[nodiscard]] bool plan_ternary(matrix_source& m) {
    const source_tensor& t = *m.tensor;
    const source_tensor* s = take(base_of(t.name) + ".weight_scale");
    const auto refuse = [&](errc code, const char* message) {
      fail(t.wrong(code, message));
      return false;
    };
    const bool known_scale = config_->ternary == ternary_source::packed ||
                             config_->ternary == ternary_source::packed_reciprocal;
    if (t.type == dtype::u8) {
      if (!known_scale)
        return refuse(
            errc::unknown,
            "packed weights, but quantization_config does not say what their scale means");
      if (s == nullptr) return refuse(errc::missing, "packed weights without a weight_scale");
      if (m.rows % 4 != 0)
        return refuse(errc::unsupported,
                      "packed weights of a number of rows that 4 does not divide");
      if (!check(t, {m.rows / 4, m.cols})) return false;
      const auto scale = read_scalar(*s);
      if (!scale) {
        fail(scale.error());
        return false;
      }
      m.packed = true;
      m.scale = config_->ternary == ternary_source::packed ? *scale : 1.0F / *scale;
      if (!(m.scale > 0.0F) || !(m.scale < 3.0e38F)) {
        fail(s->wrong(errc::malformed, "a scale must be above 0"));
        return false;
      }
      return true;
    }
    if (s != nullptr)
      return refuse(errc::unknown, "a weight_scale beside weights that are not packed");
    if (known_scale)
      return refuse(errc::unknown,
                    "the weights are not packed, as quantization_config says they are; if they are "
                    "master weights, say that they are to be rounded (--absmean)");
    if (config_->architecture.starts_with("bitnet") && config_->ternary == ternary_source::none)
      return refuse(errc::unknown,
                    "nothing says whether these are master weights; if they are, say that they are "
                    "to be rounded (--absmean)");
    m.rounded = config_->ternary == ternary_source::master;
    return check(t, {m.rows, m.cols});
  }

  void matrix(const std::string& name, const matrix_source& m,
              std::optional<gguf::tensor_type> wanted) {
    const source_tensor& t = *m.tensor;
    if (!m.packed && !is_float(t.type))
      return fail(t.wrong(errc::unsupported, "F32, F16 or BF16 is expected"));
    const auto type = wanted.value_or(m.ternary() ? gguf::tensor_type::i2_s : stored_type(t.type));
    const auto format = bitnet::detail::find_writable_format(type);
    if (!format || !format->accepts_shape(m.rows, m.cols))
      return fail(t.wrong(errc::unsupported,
                          "the matrix is not made of whole blocks of the chosen tensor type"));
    if (type == gguf::tensor_type::i2_s && !m.ternary())
      return fail(t.wrong(errc::unsupported,
                          "I2_S holds ternary weights, and nothing says that these are; to round "
                          "them as BitNet training does, say so (--absmean)"));
    tensors_.push_back({.name = name, .dims = {m.cols, m.rows}, .type = type, .source = m});
  }

  void top(const std::string& name, std::string_view source, std::size_t rows, std::size_t cols,
           std::optional<gguf::tensor_type> wanted) {
    const source_tensor* t = require(source);
    if (t != nullptr && check(*t, {rows, cols}))
      matrix(name + ".weight", {.tensor = t, .rows = rows, .cols = cols}, wanted);
  }

  void plan_head() {
    const source_tensor* head = from_->find("lm_head.weight");
    const source_tensor* embedding = from_->find("model.embed_tokens.weight");
    if (!status_ || embedding == nullptr) return;
    const bool tied = config_->tied.value_or(false);
    if (tied && types_.head)
      return fail({errc::invalid_argument,
                   "the head is the embedding, so it has no type of its own",
                   "tie_word_embeddings"});
    if (head == nullptr) {
      if (!tied)
        fail({errc::missing, "the checkpoint has no head, and tie_word_embeddings is not set",
              "lm_head.weight"});
      return;
    }
    if (tied) {
      used_.insert(head);
      const bool same = head->type == embedding->type && head->shape == embedding->shape &&
                        std::equal(head->data.begin(), head->data.end(), embedding->data.begin());
      head->forget(head->data);
      embedding->forget(embedding->data);
      if (!same)
        fail(head->wrong(errc::malformed,
                         "tie_word_embeddings is set, but the head is not the embedding"));
      return;
    }
    top("output", "lm_head.weight", config_->shape.vocab, config_->shape.dim, types_.head);
  }

  /// Llama 3 slows low frequencies by the factor, leaves high ones, and blends between them.
  void plan_rope_factors() {
    const llama3_rope& r = *config_->llama3;
    const nn::rope_hparams& rope = config_->shape.rope;
    planned_tensor t;
    t.name = "rope_freqs.weight";
    const double low_wavelength = r.original_context / r.low_freq_factor;
    const double high_wavelength = r.original_context / r.high_freq_factor;
    for (std::size_t i = 0; i < rope.dims / 2; ++i) {
      const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(rope.dims);
      const double wavelength =
          2.0 * std::numbers::pi * std::pow(static_cast<double>(rope.base), exponent);
      double factor = r.factor;
      if (wavelength < high_wavelength) {
        factor = 1.0;
      } else if (wavelength <= low_wavelength) {
        const double smooth = (r.original_context / wavelength - r.low_freq_factor) /
                              (r.high_freq_factor - r.low_freq_factor);
        factor = 1.0 / ((1.0 - smooth) / r.factor + smooth);
      }
      t.values.push_back(static_cast<float>(factor));
    }
    t.dims = {t.values.size()};
    if (status_) tensors_.push_back(std::move(t));
  }

  /// A tensor without a place changes what the model computes. Rotary frequencies are no weights:
  /// older checkpoints store what config.json says.
  void check_all_used() {
    for (const source_tensor& t : from_->tensors())
      if (!used_.contains(&t) && !t.name.ends_with(".rotary_emb.inv_freq"))
        fail(t.wrong(errc::unknown, "the architecture has no such tensor"));
  }

  const checkpoint* from_;
  const model_config* config_;
  chosen_types types_;
  status status_;
  std::set<const source_tensor*> used_;
  std::vector<planned_tensor> tensors_;
  std::string block_;
  std::string source_block_;
};

}  // namespace detail

/// Plans the tensors of a model: all that its architecture lists, under GGUF's names, in the order
/// of its list. Refused by name: tensors that are missing, of another shape than `config` says, of
/// an element type that is not converted, or that the architecture does not have.
[[nodiscard]] inline result<std::vector<planned_tensor>> plan_tensors(const checkpoint& from,
                                                                      const model_config& config,
                                                                      const chosen_types& types) {
  return detail::tensor_planner{from, config, types}.run();
}

}  // namespace convert
BITNET_NAMESPACE_END
