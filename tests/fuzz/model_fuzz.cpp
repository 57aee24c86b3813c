// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any change to a tiny model, or to what `bitnet tile` would write of it, either
// is refused or gives a model that runs.
#include "../../examples/common/random_model.hpp"
#include "metadata.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace gguf = bitnet::gguf;
namespace quant = bitnet::quant;
using fuzz::decisions;
using fuzz::require;
using fuzz::set_hostile_key;
using fuzz::set_vocabulary;

constexpr std::size_t most_bytes = 1024;  // longer inputs cost time and reach nothing new
volatile std::uint64_t sink_of_reads = 0;

struct tensor {
  std::string name;
  std::size_t rows;
  std::size_t cols;
  gguf::tensor_type type;
};

constexpr gguf::tensor_type tiles(std::uint32_t encoding, std::uint32_t group, bool f16_scales,
                                  bool mins, bool per_token) {
  return static_cast<gguf::tensor_type>(
      *gguf::tiled_type{encoding, group, f16_scales, mins, per_token}.id());
}

/// The tensors of the architecture, some of which the input renames, reshapes, retypes or drops.
std::vector<tensor> choose_tensors(decisions& d, const bitnet::nn::hparams& h,
                                   std::string_view architecture) {
  using enum gguf::tensor_type;
  static constexpr gguf::tensor_type types[] = {tq2_0,
                                                f32,
                                                i2_s,
                                                tq1_0,
                                                iq2_bn,
                                                iq1_bn,
                                                q1_0,
                                                q2_0,
                                                f16,
                                                bf16,
                                                q4_0,
                                                q8_0,
                                                q4_k,
                                                q5_k,
                                                q6_k,
                                                i8,
                                                i32,
                                                f64,
                                                i16,
                                                q2_0_g128,
                                                i64,
                                                tiles(0, 0, false, false, true),
                                                tiles(0, 64, true, false, false),
                                                tiles(1, 128, true, false, false),
                                                tiles(2, 32, true, true, false),
                                                tiles(2, 0, false, false, false)};
  static constexpr std::size_t sizes[] = {0, 1, 2, 31, 64, 128, 255, 256, 257, 512};
  static constexpr std::string_view names[] = {
      "output.weight",        "rope_freqs.weight",   "output_norm.bias",       "blk.0.attn_q.bias",
      "blk.0.attn_q.scale",   "blk.1.attn_q.weight", "token_embd.weight",      "",
      "output_screen.weight", "output_screen.error", "output_screen.magnitude"};
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
  const auto format = quant::find_writable_format(static_cast<quant::format_id>(t.type));
  if (how == 0 && format && format->accepts_shape(t.rows, t.cols)) {
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

/// What `bitnet tile` writes of a model; the model itself where that is refused.
std::vector<std::byte> tiled(std::vector<std::byte> model) {
  bitnet::serial_executor here;
  gguf::memory_sink sink;
  const auto document = gguf::view(model);
  if (!document || !bitnet::write_tiled(*document, sink, here)) return model;
  return std::move(sink.bytes);
}

/// Where the data of tensors begin, which comes after all tables.
std::size_t tables_size(std::span<const std::byte> model) {
  const auto document = gguf::view(model);
  std::uint64_t end = model.size();
  if (document)
    for (const auto* t : document->tensors()) end = std::min(end, t->offset);
  return static_cast<std::size_t>(end);
}

/// Changes some bytes, or leaves some out at the end.
void damage(decisions& d, std::vector<std::byte>& model) {
  const std::size_t head = std::max<std::size_t>(tables_size(model), 1);
  std::size_t list = head;  // the end of the list of tensors, which ends in an offset
  while (list > 1 && model[list - 1] == std::byte{0}) --list;
  list = std::min(list + 8, head);
  for (std::size_t flips = d.below(6); flips > 0; --flips) {
    const std::size_t at = d.value<std::uint16_t>(), place = at / 4;
    // Anywhere in the tables; in the list of tensors, which is their end; or in the data.
    if (at % 4 == 0) {
      model[place % head] = d.value<std::byte>();
    } else if (at % 4 == 1 && head < model.size()) {
      model[head + place % (model.size() - head)] = d.value<std::byte>();
    } else {
      model[list - 1 - place % std::min<std::size_t>(list, 700)] = d.value<std::byte>();
    }
  }
  if (d.below(16) == 1)
    model.resize(model.size() - std::min<std::size_t>(model.size(), d.value<std::uint16_t>()));
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
  if (d.below(4) == 1) (void)w.set(gguf::layout_key, gguf::layout_version + d.below(16) / 15);
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
  const std::size_t how = d.below(4);
  std::uint32_t seed = d.value<std::uint8_t>();
  for (const tensor& t : tensors) {
    const auto bytes = gguf::storage_of(t.type).bytes(t.cols, t.rows);
    require(bytes && static_cast<bool>(out->write(fill(t, *bytes, how, ++seed))));
  }
  require(static_cast<bool>(out->finish()));

  std::vector<std::byte> bytes = std::move(sink.bytes);
  if (d.below(3) == 1) bytes = tiled(std::move(bytes));
  damage(d, bytes);
  return bytes;
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

/// Starts anew now and then, with half of the decisions left as they should be.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  return fuzz::mutate({data, max_size}, size, most_bytes, seed, 8, fuzz::start_deciding);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  decisions d{std::span{data, std::min(size, most_bytes)}};
  const std::size_t how = d.below(8);
  const std::vector<std::byte> made = make_model(d);
  // Tiles are used where they lie at a multiple of 64 bytes, and copied elsewhere.
  const std::size_t off = d.below(4) == 1 ? 8 : 0;
  auto memory = bitnet::aligned_buffer<std::byte>::make(made.size() + off, "file");
  require(static_cast<bool>(memory));
  std::copy(made.begin(), made.end(), memory->data() + off);
  const std::span<const std::byte> bytes = memory->span().subspan(off);
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
