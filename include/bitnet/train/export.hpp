// SPDX-License-Identifier: Apache-2.0
// A trained model as a GGUF file that the inference engine runs with the same logits.
#pragma once

#include <bitnet/gguf/writer.hpp>
#include <bitnet/quant/any.hpp>
#include <bitnet/text/vocabulary.hpp>
#include <bitnet/train/bpe_vocabulary.hpp>
#include <bitnet/train/model.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

struct export_options {
  std::string name;  ///< general.name
  /// Format of the matrices; nothing: the quantizer's own.
  std::optional<quant::format_id> matrices;
};

/// The type of a tensor in a format.
[[nodiscard]] constexpr gguf::tensor_type type_of(quant::format_id id) noexcept {
  return id == quant::format_id::q2_0_g128 ? gguf::tensor_type::q2_0_g128
                                           : static_cast<gguf::tensor_type>(id);
}

namespace detail {

[[nodiscard]] inline status write_hparams(gguf::writer& file, architecture a,
                                          const nn::hparams& h) {
  const std::string prefix = std::string{name_of(a)} + '.';
  const auto set = [&](const char* key, std::size_t n) {
    return file.set(prefix + key, static_cast<std::uint32_t>(n));
  };
  BITNET_CHECK(set("vocab_size", h.vocab));
  BITNET_CHECK(set("context_length", h.context));
  BITNET_CHECK(set("embedding_length", h.dim));
  BITNET_CHECK(set("block_count", h.layers));
  BITNET_CHECK(set("feed_forward_length", h.ffn));
  BITNET_CHECK(set("attention.head_count", h.heads));
  BITNET_CHECK(set("attention.head_count_kv", h.kv_heads));
  BITNET_CHECK(set("attention.key_length", h.head_dim));
  BITNET_CHECK(set("attention.value_length", h.head_dim));
  BITNET_CHECK(set("rope.dimension_count", h.rope.dims));
  BITNET_CHECK(file.set(prefix + "rope.freq_base", h.rope.base));
  return file.set(prefix + "attention.layer_norm_rms_epsilon", h.norm_eps);
}

/// Parameter i as the forward pass computes with it. An embedding comes in full precision: packing
/// rounds it as the forward pass does.
inline void exported_values(const model& m, std::size_t i, std::vector<float>& values) {
  const parameter& p = m.parameters()[i];
  const float scale = p.kind == parameter_kind::matrix ? m.scale(i) : 1.0F;
  const float* const from =
      p.kind == parameter_kind::embedding ? m.values().data() + p.offset : m.rounded(i).data;
  values.assign(from, from + p.size());
  for (float& x : values) x *= scale;
}

[[nodiscard]] inline status check_format(quant::format_id id, const parameter& p) {
  if (id == quant::format_id::f32) return {};
  const auto info = quant::find_writable_format(id);
  if (!info || !info->accepts_shape(p.rows, p.cols))
    return error{errc::invalid_argument, "the format cannot hold a matrix of this shape", p.name};
  return {};
}

/// Values as the bytes of a format that check_format() allows.
inline void pack(quant::format_id id, const parameter& p, std::span<const float> values,
                 std::vector<std::byte>& packed) {
  const auto info = *quant::find_writable_format(id);
  packed.assign(static_cast<std::size_t>(*info.tensor_bytes(p.rows, p.cols)), std::byte{0});
  info.pack(values.data(), p.rows, p.cols, packed.data());
}

}  // namespace detail

/// How far the matrices of a file in a format are from those of the forward pass: the relative root
/// mean square error of all, 0 if the format holds them without loss, as a quantizer's own does.
/// errc::invalid_argument for a format that cannot pack matrices of these shapes.
[[nodiscard]] inline result<double> format_error(const model& m, quant::format_id id) {
  double squares = 0.0, errors = 0.0;
  std::vector<float> values, row;
  std::vector<std::byte> packed;
  const auto all = m.parameters().all();
  for (std::size_t i = 0; i < all.size() && id != quant::format_id::f32; ++i) {
    const parameter& p = all[i];
    if (p.kind != parameter_kind::matrix) continue;
    BITNET_CHECK(detail::check_format(id, p));
    detail::exported_values(m, i, values);
    detail::pack(id, p, values, packed);
    row.resize(p.cols);
    for (std::size_t r = 0; r < p.rows; ++r) {
      quant::find_format(id)->decode_row({packed.data(), p.rows, p.cols}, r, row);
      for (std::size_t c = 0; c < p.cols; ++c) {
        const double x = static_cast<double>(values[r * p.cols + c]);
        const double error = x - static_cast<double>(row[c]);
        squares += x * x;
        errors += error * error;
      }
    }
  }
  return errors == 0.0 ? 0.0 : std::sqrt(errors / squares);
}

/// Writes the model to `sink`: matrices as their rounded values times their scale, which the
/// quantizer's format holds without loss, the embedding in model_config::embedding, norms in float.
/// Errors: errc::invalid_argument for a vocabulary of another size, for a format that cannot pack
/// matrices of these shapes; errors of the writer and of the sink.
template <gguf::byte_sink Sink>
[[nodiscard]] status export_gguf(const model& m, const text::vocabulary& vocabulary,
                                 const export_options& options, Sink& sink) {
  const model_config<float>& c = m.config();
  if (vocabulary.tokens.size() != c.shape.vocab)
    return error{errc::invalid_argument, "the vocabulary has another size than the model",
                 "vocabulary"};
  const auto format_of = [&](const parameter& p) {
    if (p.kind == parameter_kind::norm) return quant::format_id::f32;
    if (p.kind == parameter_kind::embedding) return c.embedding;
    return options.matrices.value_or(c.weights.format);
  };
  gguf::writer file;
  BITNET_CHECK(file.set("general.architecture", name_of(c.kind)));
  if (!options.name.empty()) BITNET_CHECK(file.set("general.name", options.name));
  BITNET_CHECK(file.set("general.quantization_version", std::uint32_t{2}));
  BITNET_CHECK(detail::write_hparams(file, c.kind, c.shape));
  BITNET_CHECK(write_vocabulary(file, vocabulary));
  const auto all = m.parameters().all();
  for (const parameter& p : all) {
    const quant::format_id id = format_of(p);
    BITNET_CHECK(detail::check_format(id, p));
    if (p.kind == parameter_kind::norm) {
      BITNET_CHECK(file.add_tensor(p.name, {p.cols}, type_of(id)));
    } else {
      BITNET_CHECK(file.add_tensor(p.name, {p.cols, p.rows}, type_of(id)));
    }
  }
  BITNET_TRY(auto stream, file.begin(sink));
  std::vector<float> values;
  std::vector<std::byte> packed;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const parameter& p = all[i];
    detail::exported_values(m, i, values);
    const quant::format_id id = format_of(p);
    if (id == quant::format_id::f32) {
      BITNET_CHECK(stream.write(std::as_bytes(std::span{values})));
      continue;
    }
    detail::pack(id, p, values, packed);
    BITNET_CHECK(stream.write(packed));
  }
  return stream.finish();
}

}  // namespace train
BITNET_NAMESPACE_END
