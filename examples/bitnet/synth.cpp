// SPDX-License-Identifier: Apache-2.0
// `bitnet synth`: models with random weights in the shapes of real ones.
#include "commands.hpp"
#include "failure.hpp"
#include "synth_vocabulary.hpp"
#include "synth_weights.hpp"
#include "terminal.hpp"
#include "types.hpp"

#include <nlohmann/json.hpp>

#include <bitnet/core/thread_pool.hpp>
#include <bitnet/gguf/sink.hpp>

#include <algorithm>
#include <cmath>

namespace cli {
namespace {

using bitnet::gguf::tensor_type;

/// Sizes of a real model, and what its files are made of.
struct model_shape {
  std::string_view name;
  std::string_view architecture;
  std::string_view type;
  std::string_view embedding;  ///< empty: the type of the matrices
  std::uint32_t layers, dim, ffn, heads, kv_heads, head_dim, vocab, first_special, context;
  float rope_base, norm_eps;
  vocabulary_style style;
};

constexpr model_shape shapes[] = {
    {"2b4t", "bitnet-b1.58", "i2_s", "f16", 30, 2560, 6912, 20, 5, 128, 128256, 128000, 4096,
     500000.0F, 1e-5F, vocabulary_style::llama3},
    {"bonsai-1.7b", "qwen3", "q1_0", "", 28, 2048, 6144, 16, 8, 128, 151936, 151643, 32768,
     1000000.0F, 1e-6F, vocabulary_style::qwen},
    {"tiny", "bitnet-b1.58", "i2_s", "f16", 2, 256, 512, 4, 2, 64, 320, 304, 512, 10000.0F, 1e-5F,
     vocabulary_style::llama3},
};

struct planned_tensor {
  std::string name;
  std::vector<std::uint64_t> dims;
  weight_recipe recipe;

  [[nodiscard]] std::uint64_t rows() const { return dims.size() > 1 ? dims[1] : 1; }
};

/// The tensors of a model, in the order of published files.
class tensor_plan {
 public:
  void norm(const std::string& name, std::uint64_t size) {
    add({name + ".weight", {size}, {tensor_type::f32, size, 0.1F, 1.0F}});
  }
  /// Weights of deviation `gain` / sqrt(inputs), so that outputs are about as large as inputs.
  void matrix(const std::string& name, std::uint64_t rows, std::uint64_t cols, tensor_type type,
              double gain) {
    const auto deviation = static_cast<float>(gain / std::sqrt(static_cast<double>(cols)));
    add({name + ".weight", {cols, rows}, {type, cols, deviation}});
  }
  [[nodiscard]] const std::vector<planned_tensor>& tensors() const { return tensors_; }

 private:
  void add(planned_tensor t) {
    t.recipe.number = tensors_.size();
    tensors_.push_back(std::move(t));
  }
  std::vector<planned_tensor> tensors_;
};

struct chosen_types {
  tensor_type matrices;
  tensor_type embedding;
  std::optional<tensor_type> head;
};

tensor_plan plan(const model_shape& s, std::string_view architecture, const chosen_types& types) {
  const bool sub_norms = architecture.starts_with("bitnet");
  const bool head_norms = architecture == "qwen3";
  const std::uint64_t q_dim = std::uint64_t{s.heads} * s.head_dim;
  const std::uint64_t kv_dim = std::uint64_t{s.kv_heads} * s.head_dim;
  // Scores of a trained model have a deviation of two or three; what a layer adds is small, so that
  // the residual stream keeps its size.
  const double score_gain = 2.5;
  const double residual_gain = 1.0 / std::sqrt(2.0 * s.layers);
  tensor_plan p;
  p.matrix("token_embd", s.vocab, s.dim, types.embedding, score_gain);
  for (std::uint32_t i = 0; i < s.layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + '.';
    const auto matrix = [&](const char* name, std::uint64_t rows, std::uint64_t cols,
                            double gain = 1.0) {
      p.matrix(block + name, rows, cols, types.matrices, gain);
    };
    p.norm(block + "attn_norm", s.dim);
    matrix("attn_q", q_dim, s.dim);
    matrix("attn_k", kv_dim, s.dim);
    matrix("attn_v", kv_dim, s.dim);
    if (head_norms) {
      p.norm(block + "attn_q_norm", s.head_dim);
      p.norm(block + "attn_k_norm", s.head_dim);
    }
    if (sub_norms) p.norm(block + "attn_sub_norm", q_dim);
    matrix("attn_output", s.dim, q_dim, residual_gain);
    p.norm(block + "ffn_norm", s.dim);
    matrix("ffn_gate", s.ffn, s.dim);
    matrix("ffn_up", s.ffn, s.dim);
    if (sub_norms) p.norm(block + "ffn_sub_norm", s.ffn);
    matrix("ffn_down", s.dim, s.ffn, residual_gain);
  }
  p.norm("output_norm", s.dim);
  if (types.head) p.matrix("output", s.vocab, s.dim, *types.head, score_gain);
  return p;
}

class key_setter {
 public:
  explicit key_setter(bitnet::gguf::writer& w) : writer_{&w} {}
  template <class T>
  void operator()(const std::string& key, const T& value) const {
    check(writer_->set(key, value), "cannot write");
  }

 private:
  bitnet::gguf::writer* writer_;
};

void set_metadata(const key_setter& set, const model_shape& s, const std::string& architecture,
                  const synth_options& options) {
  const std::string prefix = architecture + '.';
  set("general.architecture", architecture);
  set("general.name", "synthetic " + std::string{s.name});
  set("general.description", "random weights, seed " + std::to_string(options.seed));
  set(prefix + "vocab_size", s.vocab);
  set(prefix + "context_length", s.context);
  set(prefix + "embedding_length", s.dim);
  set(prefix + "block_count", s.layers);
  set(prefix + "feed_forward_length", s.ffn);
  set(prefix + "attention.head_count", s.heads);
  set(prefix + "attention.head_count_kv", s.kv_heads);
  set(prefix + "attention.key_length", s.head_dim);
  set(prefix + "attention.value_length", s.head_dim);
  set(prefix + "attention.layer_norm_rms_epsilon", s.norm_eps);
  set(prefix + "rope.dimension_count", s.head_dim);
  set(prefix + "rope.freq_base", s.rope_base);
  set("general.quantization_version", std::uint32_t{2});

  const synth_vocabulary v = make_vocabulary(s.style, s.vocab, s.first_special);
  set("tokenizer.ggml.model", "gpt2");
  set("tokenizer.ggml.pre", v.pre);
  set("tokenizer.ggml.tokens", v.tokens);
  set("tokenizer.ggml.token_type", v.types);
  set("tokenizer.ggml.merges", v.merges);
  set("tokenizer.ggml.bos_token_id", v.bos);
  set("tokenizer.ggml.eos_token_id", v.eos);
  set("tokenizer.ggml.padding_token_id", v.pad);
  set("tokenizer.ggml.add_bos_token", v.add_bos);
  set("tokenizer.chat_template", v.chat_template);
}

/// Makes rows in parallel and writes them, a few megabytes at a time.
template <class Stream>
void write_tensor(Stream& stream, const planned_tensor& t, const bitnet::counter_random& random,
                  bitnet::thread_pool& threads, std::vector<std::byte>& buffer,
                  const std::function<void(std::size_t)>& on_written) {
  constexpr std::size_t piece = std::size_t{4} << 20U;
  const std::size_t size = row_bytes(t.recipe);
  const std::size_t rows_at_once = std::max<std::size_t>(1, piece / size);
  for (std::uint64_t row = 0; row < t.rows(); row += rows_at_once) {
    stop_if_interrupted();
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(rows_at_once, t.rows() - row));
    buffer.resize(n * size);
    threads.parallel_for(n, [&](std::size_t i, std::size_t) {
      fill_row(t.recipe, random, row + i, std::span{buffer}.subspan(i * size, size));
    });
    check(stream.write(buffer), "cannot write");
    on_written(buffer.size());
  }
  const std::string tail = tensor_tail(t.recipe);
  check(stream.write(std::as_bytes(std::span{tail})), "cannot write");
}

}  // namespace

void synth(const synth_options& options) {
  const model_shape& s = *std::find_if(std::begin(shapes), std::end(shapes),
                                       [&](const auto& x) { return x.name == options.shape; });
  const std::string architecture =
      options.architecture.empty() ? std::string{s.architecture} : options.architecture;
  const std::string_view type = options.type.empty() ? s.type : std::string_view{options.type};
  const std::string_view embedding = !options.embedding.empty()
                                         ? std::string_view{options.embedding}
                                     : s.embedding.empty() ? type
                                                           : s.embedding;
  chosen_types types{written_type(type), written_type(embedding), {}};
  if (!options.head.empty()) types.head = written_type(options.head);

  const stopwatch watch;
  bitnet::gguf::writer writer;
  set_metadata(key_setter{writer}, s, architecture, options);
  const tensor_plan p = plan(s, architecture, types);
  std::uint64_t total = 0;
  std::uint64_t parameters = 0;
  for (const planned_tensor& t : p.tensors()) {
    check(writer.add_tensor(t.name, t.dims, t.recipe.type), "cannot write");
    total += row_bytes(t.recipe) * t.rows();
    parameters += t.recipe.cols * t.rows();
  }

  auto threads = check(bitnet::thread_pool::make(), "cannot start threads");
  const bitnet::counter_random random{options.seed};
  auto sink = check(bitnet::gguf::file_sink::create(options.output), "cannot write the model");
  progress bar{"writing " + options.output};
  std::uint64_t written = 0;
  auto stream = check(writer.begin(sink), "cannot write the model");
  std::vector<std::byte> buffer;
  for (const planned_tensor& t : p.tensors())
    write_tensor(stream, t, random, threads, buffer, [&](std::size_t n) {
      written += n;
      bar.update(written, total, bytes_text(written));
    });
  check(stream.finish(), "cannot write the model");
  check(sink.commit(), "cannot write the model");
  bar.clear();

  if (options.json) {
    nlohmann::ordered_json out;
    out["file"] = options.output;
    out["architecture"] = architecture;
    out["type"] = type;
    out["embedding"] = embedding;
    out["tensors"] = p.tensors().size();
    out["parameters"] = parameters;
    out["tensor_bytes"] = total;
    out["seed"] = options.seed;
    out["seconds"] = watch.seconds();
    put(out.dump() + '\n');
  }
  note("wrote " + cli::quoted(options.output) + ": " + architecture + ", " +
       std::to_string(p.tensors().size()) + " tensors, " +
       number(static_cast<double>(parameters) / 1e9, 3) + " G weights, " + bytes_text(total) +
       ", in " + number(watch.seconds(), 1) + " s");
}

}  // namespace cli
