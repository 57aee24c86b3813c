// SPDX-License-Identifier: Apache-2.0
// From a folder as Hugging Face publishes models to a GGUF file, one tensor at a time.
#pragma once

#include <bitnet/convert/tensor_plan.hpp>
#include <bitnet/convert/tokenizer.hpp>
#include <bitnet/gguf/sink.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace convert {

struct options {
  chosen_types types;
  std::string name;      ///< general.name; empty: none
  std::string pre;       ///< pre-tokenizer, if that of the checkpoint is not recognised
  bool absmean = false;  ///< float matrices are master weights, whatever config.json says
};

namespace detail {

/// Formats whose weights are few values: they are for weights that are so already.
[[nodiscard]] constexpr bool wants_few_values(gguf::tensor_type t) noexcept {
  using gguf::tensor_type;
  return t == tensor_type::tq1_0 || t == tensor_type::tq2_0 || t == tensor_type::iq1_bn ||
         t == tensor_type::iq2_bn || t == tensor_type::q1_0 || t == tensor_type::q2_0 ||
         t == tensor_type::q2_0_g128;
}

/// A file whose tensors nobody reads: its beginning, then zeros.
struct outline_reader {
  std::span<const std::byte> head;
  std::uint64_t bytes = 0;

  [[nodiscard]] std::uint64_t size() const noexcept { return bytes; }
  [[nodiscard]] status read(std::uint64_t offset, std::span<std::byte> out) const noexcept {
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = offset + i < head.size() ? head[static_cast<std::size_t>(offset + i)] : std::byte{};
    return {};
  }
};

}  // namespace detail

/// How far the weights of a tensor moved.
struct tensor_error {
  std::string name;
  double relative_rms = 0.0;  ///< of the change, relative to the weights
};

/// A model that was read and understood, and is about to be written. Holds mapped files; move-only.
class conversion {
 public:
  /// Reads a folder: config.json, the tokenizer's files, and the tables of the weights. What a GGUF
  /// file cannot say or this library does not run is refused, with the file, key or tensor.
  [[nodiscard]] static result<conversion> open(const std::string& folder, const options& o) {
    conversion c;
    BITNET_TRY(const auto config, detail::optional_json::open(folder, "config.json"));
    if (!config) return error{errc::missing, "the folder lacks config.json", folder};
    BITNET_TRY(c.config_, read_config(config.document()));
    if (o.absmean) c.config_.ternary = ternary_source::master;
    BITNET_TRY(c.checkpoint_, checkpoint::open(folder));
    BITNET_TRY(c.tensors_, plan_tensors(c.checkpoint_, c.config_, o.types));
    BITNET_TRY(const auto v, read_tokenizer(folder, config.root(), c.config_.shape.vocab, o.pre));
    c.notes_ = v.notes;
    BITNET_CHECK(c.set_metadata(o));
    BITNET_CHECK(write_vocabulary(v, c.writer_));
    BITNET_CHECK(c.writer_.set("general.quantization_version", std::uint32_t{2}));
    for (const planned_tensor& t : c.tensors_)
      BITNET_CHECK(c.writer_.add_tensor(t.name, t.dims, t.type));
    return c;
  }

  [[nodiscard]] const model_config& config() const noexcept { return config_; }
  [[nodiscard]] std::span<const planned_tensor> tensors() const noexcept { return tensors_; }
  [[nodiscard]] const checkpoint& from() const noexcept { return checkpoint_; }
  /// What the file cannot say, a line each.
  [[nodiscard]] std::span<const std::string> notes() const noexcept { return notes_; }
  /// Tensors that are not exactly what the checkpoint holds, after write().
  [[nodiscard]] std::span<const tensor_error> errors() const noexcept { return errors_; }

  /// Calls check(document) with the new file as it will be, but for its tensors' data: whether it
  /// would load, before it is written.
  template <class Check>
  [[nodiscard]] status preview(Check check) {
    gguf::memory_sink head;
    BITNET_TRY(const auto stream, writer_.begin(head));
    static_cast<void>(stream);
    detail::outline_reader reader{head.bytes, head.bytes.size()};
    for (const planned_tensor& t : tensors_) {
      const auto bytes = gguf::storage_of(t.type).bytes(cols_of(t), rows_of(t));
      reader.bytes =
          round_up(static_cast<std::size_t>(reader.bytes + *bytes), gguf::default_alignment);
    }
    BITNET_TRY(const auto document, gguf::read(gguf::reader_ref{reader}));
    return check(document);
  }

  /// Writes the file. `progress(done, total)` hears of weights. Errors: those of the sink;
  /// malformed for weights that are not finite and packed codes that are none; unsupported for
  /// weights that a ternary or binary type of the options does not hold.
  template <gguf::byte_sink Sink, class Progress>
  [[nodiscard]] status write(Sink& sink, executor_ref threads, Progress progress) {
    BITNET_TRY(auto out, writer_.begin(sink));
    std::uint64_t total = 0;
    for (const planned_tensor& t : tensors_) total += rows_of(t) * cols_of(t);
    std::uint64_t done = 0;
    for (planned_tensor& t : tensors_) {
      BITNET_CHECK(write_tensor(t, out, threads, [&](std::size_t rows) {
        done += rows * t.source.cols;
        progress(done, total);
      }));
    }
    return out.finish();
  }

 private:
  [[nodiscard]] static std::uint64_t cols_of(const planned_tensor& t) { return t.dims[0]; }
  [[nodiscard]] static std::uint64_t rows_of(const planned_tensor& t) {
    return t.dims.size() > 1 ? t.dims[1] : 1;
  }

  template <class Stream, class Progress>
  [[nodiscard]] status write_tensor(planned_tensor& t, Stream& out, executor_ref threads,
                                    Progress progress) {
    if (t.source.tensor == nullptr) return out.write(std::as_bytes(std::span{t.values}));
    if (t.source.rounded) {
      BITNET_TRY(t.source.scale, mean_magnitude(t.source, threads));
    }
    matrix_writer writer{t.source, t.type, threads};
    BITNET_CHECK(writer.run(out, progress));
    const double moved = writer.relative_error();
    if (moved == 0.0) return {};
    if (!(moved < 1e30))
      return t.source.tensor->wrong(errc::unsupported,
                                    "a weight is beyond the range of the chosen type");
    constexpr double rounded_scale = 1e-3;  // half-precision scales move weights by half of this
    if (detail::wants_few_values(t.type) && moved > rounded_scale)
      return t.source.tensor->wrong(
          errc::unsupported,
          "these weights are not made of the few values that the chosen type has; to round them as "
          "BitNet training does, say so (--absmean)");
    errors_.push_back({t.name, moved});
    return {};
  }

  /// In the order of published files.
  [[nodiscard]] status set_metadata(const options& o) {
    const nn::hparams& h = config_.shape;
    const auto u32 = [](std::size_t n) { return static_cast<std::uint32_t>(n); };
    const std::string prefix = std::string{config_.architecture} + ".";
    const auto set = [&](std::string_view key, const auto& value) {
      return writer_.set(prefix + std::string{key}, value);
    };
    BITNET_CHECK(writer_.set("general.architecture", config_.architecture));
    if (!o.name.empty()) BITNET_CHECK(writer_.set("general.name", o.name));
    BITNET_CHECK(set("vocab_size", u32(h.vocab)));
    BITNET_CHECK(set("context_length", u32(h.context)));
    BITNET_CHECK(set("embedding_length", u32(h.dim)));
    BITNET_CHECK(set("block_count", u32(h.layers)));
    BITNET_CHECK(set("feed_forward_length", u32(h.ffn)));
    BITNET_CHECK(set("rope.dimension_count", u32(h.rope.dims)));
    BITNET_CHECK(set("attention.head_count", u32(h.heads)));
    BITNET_CHECK(set("attention.head_count_kv", u32(h.kv_heads)));
    if (config_.states_head_dim) {
      BITNET_CHECK(set("attention.key_length", u32(h.head_dim)));
      BITNET_CHECK(set("attention.value_length", u32(h.head_dim)));
    }
    BITNET_CHECK(set("attention.layer_norm_rms_epsilon", h.norm_eps));
    BITNET_CHECK(set("rope.freq_base", h.rope.base));
    if (h.rope.scaling != nn::rope_scaling::none) {
      const bool yarn = h.rope.scaling == nn::rope_scaling::yarn;
      BITNET_CHECK(set("rope.scaling.type", yarn ? "yarn" : "linear"));
      BITNET_CHECK(set("rope.scaling.factor", h.rope.factor));
      if (yarn)
        BITNET_CHECK(set("rope.scaling.original_context_length", u32(h.rope.original_context)));
    }
    for (const planned_tensor& t : tensors_)
      if (t.name == "blk.0.attn_q.weight")
        BITNET_CHECK(writer_.set("general.file_type", gguf::file_type_of(t.type).value_or(1)));
    return {};
  }

  model_config config_;
  checkpoint checkpoint_;
  std::vector<planned_tensor> tensors_;
  std::vector<std::string> notes_;
  std::vector<tensor_error> errors_;
  gguf::writer writer_;
};

}  // namespace convert
BITNET_NAMESPACE_END
