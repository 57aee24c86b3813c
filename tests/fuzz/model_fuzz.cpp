// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any change to a tiny model either is refused or gives a model that runs.
#include "../../examples/common/random_model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace gguf = bitnet::gguf;
namespace quant = bitnet::quant;

constexpr std::size_t most_bytes = 1024;  // longer inputs cost time and reach nothing new
volatile std::uint64_t sink_of_reads = 0;

void require(bool condition) {
  if (!condition) std::abort();
}

/// Decisions from the input. After its end all are 0, which leaves the model as it should be.
class decisions {
 public:
  explicit decisions(std::span<const std::uint8_t> bytes) : bytes_{bytes} {}

  template <class T>
  [[nodiscard]] T value() {
    std::array<std::uint8_t, sizeof(T)> raw{};
    const std::size_t n = std::min(raw.size(), bytes_.size());
    std::copy_n(bytes_.begin(), n, raw.begin());
    bytes_ = bytes_.subspan(n);
    T out;
    std::memcpy(&out, raw.data(), sizeof out);
    return out;
  }
  [[nodiscard]] std::size_t below(std::size_t n) { return value<std::uint8_t>() % n; }
  template <class T, std::size_t N>
  [[nodiscard]] T one_of(const T (&choices)[N]) {
    return choices[below(N)];
  }
  [[nodiscard]] std::string text(std::size_t most) {
    const std::size_t n = std::min(below(most + 1), bytes_.size());
    const auto* first = reinterpret_cast<const char*>(bytes_.data());
    bytes_ = bytes_.subspan(n);
    return n == 0 ? std::string{} : std::string{first, n};
  }
  [[nodiscard]] std::span<const std::uint8_t> rest() const { return bytes_; }

 private:
  std::span<const std::uint8_t> bytes_;
};

/// A value of the input's choice. It is set before the model's own, which is then refused.
void set_hostile_key(decisions& d, gguf::writer& w, const std::string& architecture) {
  static constexpr std::string_view keys[] = {".embedding_length",
                                              ".block_count",
                                              ".feed_forward_length",
                                              ".attention.head_count",
                                              ".attention.head_count_kv",
                                              ".attention.key_length",
                                              ".attention.value_length",
                                              ".attention.layer_norm_rms_epsilon",
                                              ".context_length",
                                              ".rope.dimension_count",
                                              ".rope.freq_base",
                                              ".rope.scaling.type",
                                              ".rope.scaling.factor",
                                              ".rope.scale_linear",
                                              ".rope.scaling.original_context_length",
                                              ".rope.scaling.attn_factor",
                                              ".hidden_activation",
                                              ".expert_count",
                                              "general.architecture",
                                              "general.alignment",
                                              "split.count",
                                              "split.no",
                                              "tokenizer.ggml.model",
                                              "tokenizer.ggml.pre",
                                              "tokenizer.ggml.tokens",
                                              "tokenizer.ggml.scores",
                                              "tokenizer.ggml.token_type",
                                              "tokenizer.ggml.merges",
                                              "tokenizer.ggml.bos_token_id",
                                              "tokenizer.ggml.eos_token_id",
                                              "tokenizer.ggml.eot_token_id",
                                              "tokenizer.ggml.unknown_token_id",
                                              "tokenizer.ggml.padding_token_id",
                                              "tokenizer.ggml.add_bos_token",
                                              "tokenizer.ggml.add_eos_token",
                                              "tokenizer.ggml.add_space_prefix"};
  static constexpr float floats[] = {0.0F,
                                     -0.0F,
                                     1.0F,
                                     1.0000001F,
                                     -1.0F,
                                     1e-45F,
                                     1e-38F,
                                     1e38F,
                                     std::numeric_limits<float>::infinity(),
                                     std::numeric_limits<float>::quiet_NaN()};
  static constexpr std::uint64_t sizes[] = {
      0, 1, 2, 3, 256, 65536, 1U << 20, 1U << 30, 0xFFFFFFFFU, 0x7FFFFFFFFFFFFFFFU, ~0ULL};
  static constexpr std::string_view texts[] = {
      "", "none", "linear", "yarn", "silu", "relu2", "gpt2", "llama", "default", "qwen35", "qwen2"};

  const std::string_view name = d.one_of(keys);
  const std::string key = (name[0] == '.' ? architecture : std::string{}) + std::string{name};
  const auto set = [&](const auto& value) { return w.set(key, value); };
  bitnet::status done;
  switch (d.below(12)) {
    case 0:
      done = set(d.value<std::uint8_t>());
      break;
    case 1:
      done = set(static_cast<std::uint32_t>(d.one_of(sizes)));
      break;
    case 2:
      done = set(d.one_of(sizes));
      break;
    case 3:
      done = set(-static_cast<std::int64_t>(d.below(4)));
      break;
    case 4:
      done = set(d.value<std::uint16_t>());
      break;
    case 5:
      done = set(d.one_of(floats));
      break;
    case 6:
      done = set(d.value<double>());
      break;
    case 7:
      done = set(d.one_of(texts));
      break;
    case 8:
      done = set(d.text(16));
      break;
    case 9:
      done = set(d.below(2) == 1);
      break;
    case 10: {
      std::vector<std::string> list(d.below(9));
      for (std::string& s : list) s = d.text(8);
      done = set(list);
      break;
    }
    default: {
      std::vector<float> list(d.below(9));
      for (float& x : list) x = d.one_of(floats);
      done = set(list);
      break;
    }
  }
  sink_of_reads = static_cast<bool>(done) ? 1 : 0;
}

/// The 256 bytes in the spelling of the kind, then tokens, merges and types of the input's choice.
void set_vocabulary(decisions& d, gguf::writer& w) {
  const bool bpe = d.below(2) == 0;
  std::vector<std::string> tokens;
  std::vector<std::string> merges;
  std::vector<std::int32_t> types;
  std::vector<float> scores;
  for (unsigned b = 0; b < 256; ++b) {
    const auto name = bitnet::text::byte_token_text(static_cast<unsigned char>(b));
    std::string text{name.data(), name.size()};
    if (bpe) {
      text.clear();
      bitnet::text::append_utf8(text, bitnet::text::byte_spelling[b]);
    }
    tokens.push_back(text);
    types.push_back(bpe ? 1 : 6);
    scores.push_back(0.0F);
  }
  for (std::size_t extra = d.below(12); extra > 0; --extra) {
    tokens.push_back(d.text(8));
    types.push_back(d.value<std::int8_t>());
    scores.push_back(static_cast<float>(d.value<std::int8_t>()));
  }
  for (std::size_t extra = d.below(8); extra > 0; --extra) merges.push_back(d.text(8));
  (void)w.set("tokenizer.ggml.model", bpe ? "gpt2" : "llama");
  (void)w.set("tokenizer.ggml.tokens", tokens);
  (void)w.set("tokenizer.ggml.token_type", types);
  if (bpe) {
    (void)w.set("tokenizer.ggml.merges", merges);
  } else {
    (void)w.set("tokenizer.ggml.scores", scores);
  }
  if (d.below(2) == 1) (void)w.set("tokenizer.ggml.bos_token_id", d.value<std::uint16_t>());
}

struct tensor {
  std::string name;
  std::size_t rows;
  std::size_t cols;
  gguf::tensor_type type;
};

/// The tensors of the architecture, some of which the input renames, reshapes, retypes or drops.
std::vector<tensor> choose_tensors(decisions& d, const bitnet::nn::hparams& h,
                                   std::string_view architecture) {
  using enum gguf::tensor_type;
  static constexpr gguf::tensor_type types[] = {tq2_0, f32, i2_s, tq1_0, iq2_bn, iq1_bn,    q1_0,
                                                q2_0,  f16, bf16, q4_0,  q8_0,   q4_k,      q5_k,
                                                q6_k,  i8,  i32,  f64,   i16,    q2_0_g128, i64};
  static constexpr std::size_t sizes[] = {0, 1, 2, 31, 64, 128, 255, 256, 257, 512};
  static constexpr std::string_view names[] = {
      "output.weight",      "rope_freqs.weight",   "output_norm.bias",  "blk.0.attn_q.bias",
      "blk.0.attn_q.scale", "blk.1.attn_q.weight", "token_embd.weight", ""};
  examples::tensor_list list;
  list.entries.push_back({"token_embd.weight", h.vocab, h.dim, true});
  list.entries.push_back({"output_norm.weight", 1, h.dim, false});
  bitnet::models::visit_architecture(architecture, [&](auto a) {
    typename decltype(a)::type::block block;
    list.prefix = "blk.0.";
    block.tensors(list, h);
  });

  const gguf::tensor_type common = d.one_of(types);
  std::vector<tensor> out;
  for (const auto& t : list.entries) {
    const bool fits = gguf::storage_of(common).whole_blocks(t.cols, t.rows);
    out.push_back({t.name, t.rows, t.cols, t.matrix && fits ? common : f32});
  }
  if (d.below(2) == 1) out.push_back({"output.weight", h.vocab, h.dim, f32});
  for (std::size_t changes = d.below(4); changes > 0 && !out.empty(); --changes) {
    tensor& t = out[d.below(out.size())];
    switch (d.below(6)) {
      case 0:
        t.type = d.one_of(types);
        break;
      case 1:
        t.rows = d.one_of(sizes);
        break;
      case 2:
        t.cols = d.one_of(sizes);
        break;
      case 3:
        t.name = d.one_of(names);
        break;
      case 4:
        out.push_back({std::string{d.one_of(names)}, 1, d.one_of(sizes), d.one_of(types)});
        break;
      default:
        t = out.back();
        out.pop_back();
        break;
    }
  }
  return out;
}

/// Weights that a model could have, or any bytes at all. Numbers come from a short recurrence:
/// most of the time of a run would go into better ones.
std::vector<std::byte> fill(const tensor& t, std::uint64_t size, std::size_t how,
                            std::uint32_t seed) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  const auto next = [&seed] { return (seed = seed * 1664525U + 1013904223U) >> 24; };
  const auto format = quant::find_format(static_cast<quant::format_id>(t.type));
  if (how == 0 && format && format->pack != nullptr && format->accepts_shape(t.rows, t.cols)) {
    std::vector<float> values(t.rows * t.cols, 1.0F);
    if (t.rows != 1)
      for (float& x : values) x = static_cast<float>(next() % 3) - 1.0F;
    format->pack(values.data(), t.rows, t.cols, bytes.data());
  } else if (how < 2) {
    std::fill(bytes.begin(), bytes.end(), how == 0 ? std::byte{0} : std::byte{255});
  } else {
    for (std::byte& x : bytes) x = static_cast<std::byte>(next());
  }
  return bytes;
}

/// The bytes of a model file, which may be damaged.
std::vector<std::byte> make_model(decisions& d) {
  static constexpr std::size_t widths[] = {64, 256, 128, 32, 2, 6, 48, 96, 200, 255, 64};
  static constexpr std::string_view architectures[] = {"bitnet-b1.58", "bitnet", "llama", "qwen3",
                                                       "bitnet-25"};
  const std::string architecture{d.one_of(architectures)};
  bitnet::nn::hparams h;
  h.dim = d.one_of(widths);
  h.ffn = d.one_of(widths);
  h.layers = 1;
  h.kv_heads = 1 + d.below(4);
  h.heads = h.kv_heads * (1 + d.below(5));
  h.head_dim = d.below(2) == 0 ? std::max<std::size_t>(h.dim / h.heads, 2) : 2 + d.below(80);
  h.vocab = 256 + d.below(40);

  gguf::writer w;
  for (std::size_t changes = d.below(4); changes > 0; --changes)
    set_hostile_key(d, w, architecture);
  const auto size = [&](std::string_view key, std::size_t value) {
    (void)w.set(architecture + std::string{key}, static_cast<std::uint32_t>(value));
  };
  (void)w.set("general.architecture", architecture);
  (void)w.set(architecture + ".attention.layer_norm_rms_epsilon", 1e-5F);
  size(".embedding_length", h.dim);
  size(".block_count", h.layers);
  size(".feed_forward_length", h.ffn);
  size(".attention.head_count", h.heads);
  size(".attention.head_count_kv", h.kv_heads);
  size(".attention.key_length", h.head_dim);
  size(".attention.value_length", h.head_dim);
  size(".context_length", 16);
  set_vocabulary(d, w);

  std::vector<tensor> tensors;
  for (tensor& t : choose_tensors(d, h, architecture)) {
    const std::array<std::uint64_t, 2> dims{t.cols, t.rows};
    if (w.add_tensor(t.name, std::span{dims}.first(t.rows == 1 ? 1 : 2), t.type))
      tensors.push_back(std::move(t));
  }
  gguf::memory_sink sink;
  auto out = w.begin(sink);
  require(static_cast<bool>(out));
  const std::size_t head = sink.bytes.size();
  const std::size_t how = d.below(4);
  std::uint32_t seed = d.value<std::uint8_t>();
  for (const tensor& t : tensors) {
    const auto bytes = gguf::storage_of(t.type).bytes(t.cols, t.rows);
    require(bytes && static_cast<bool>(out->write(fill(t, *bytes, how, ++seed))));
  }
  require(static_cast<bool>(out->finish()));

  for (std::size_t flips = d.below(6); flips > 0; --flips) {
    // Half of them in the list of tensors, at the end of what comes before the data.
    const std::size_t at = d.value<std::uint16_t>();
    const std::size_t place =
        at % 2 == 0 ? at / 2 % head : head - 1 - at / 2 % std::min<std::size_t>(head, 700);
    sink.bytes[place] = d.value<std::byte>();
  }
  if (d.below(16) == 1)
    sink.bytes.resize(sink.bytes.size() -
                      std::min<std::size_t>(sink.bytes.size(), d.value<std::uint16_t>()));
  return std::move(sink.bytes);
}

bool same(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

void run(const bitnet::dynamic_model& model, decisions& d) {
  using session = bitnet::session<bitnet::dynamic_model>;
  const std::string_view text{reinterpret_cast<const char*>(d.rest().data()), d.rest().size()};
  const bitnet::text::tokenizer& t = model.tokenizer();
  const auto encoded = t.encode(text, {.parse_special = true});
  require(static_cast<bool>(encoded));
  for (const bitnet::token id : *encoded) require(t.valid(id));
  sink_of_reads = t.decode(*encoded).size();

  const std::array<bitnet::token, 3> prompt{
      static_cast<bitnet::token>(d.below(model.shape().vocab)),
      static_cast<bitnet::token>(model.shape().vocab - 1), 0};
  bitnet::session_options sizes{.context = 5, .batch = 2};
  if (d.below(2) == 1) sizes.kv = bitnet::nn::kv_type::f32;
  auto together = session::make(model, model.threads(), sizes);
  if (!together) return;
  auto apart = session::make(model, model.threads(), sizes);
  require(static_cast<bool>(apart));
  require(static_cast<bool>(together->feed(prompt)));
  for (const bitnet::token& one : prompt) require(static_cast<bool>(apart->feed({&one, 1})));
  require(same(together->logits(), apart->logits()));

  bitnet::generate_options options;
  options.max_tokens = 3;
  options.ignore_eos = true;
  if (d.below(2) == 1) options.sampling.temperature = 1.0F;
  const auto show = [](std::string_view piece) {
    sink_of_reads = piece.size();
    return true;
  };
  // 3 positions are taken, and the last token is not fed back: one prompt token is the most.
  require(!bitnet::generate(*together, t, prompt, options, show));
  const auto generated = bitnet::generate(*apart, t, std::span{prompt}.first(1), options, show);
  require(generated && generated->tokens.size() == 2);
  require(generated->reason == bitnet::stop_reason::context_full);
  for (const bitnet::token id : generated->tokens)
    require(id >= 0 && static_cast<std::size_t>(id) < model.shape().vocab);
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

/// Starts anew now and then, with half of the decisions left as they should be, so that all of them
/// are met without stored seeds.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  max_size = std::min(max_size, most_bytes);
  size = std::min(size, max_size);
  if (seed % 8 == 0) {
    size = std::min<std::size_t>(max_size, 64);
    const auto next = [&seed] { return (seed = seed * 1664525U + 1013904223U) >> 24; };
    for (std::size_t i = 0; i < size; ++i)
      data[i] = next() % 2 == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(next());
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  decisions d{std::span{data, std::min(size, most_bytes)}};
  const std::size_t how = d.below(8);
  const std::vector<std::byte> bytes = make_model(d);
  bitnet::open_options options;
  options.threads = 1;
  if ((how & 1) != 0) options.isa = "scalar";
  if ((how & 2) != 0) options.math = bitnet::arithmetic::exact;
  options.i2_s_arm = (how & 4) != 0;
  const auto model = bitnet::open(bytes, options);
  if (model) {
    run(*model, d);
  } else {
    sink_of_reads = bitnet::to_string(model.error()).size();
    require(!model.error().has_offset() || model.error().offset() <= bytes.size());
  }
  return 0;
}
