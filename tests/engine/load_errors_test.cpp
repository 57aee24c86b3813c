// SPDX-License-Identifier: Apache-2.0
// Files that parse but must not run: each is refused by the name of the key or tensor at fault.
#include "engine/support.hpp"

#include "doctest.hpp"

#include <functional>
#include <map>

using bitnet::errc;
namespace gguf = bitnet::gguf;

namespace {

/// How a copy of a good model differs from it.
struct change {
  std::function<bitnet::status(gguf::writer&)> set = {};  ///< keys to write in place of others
  std::vector<std::string> drop_keys = {};
  std::vector<std::string> drop_tensors = {};
  std::map<std::string, std::string> rename_tensors = {};
  std::map<std::string, std::vector<std::uint64_t>> reshape = {};
  std::map<std::string, gguf::tensor_type> add_scalars = {};  ///< tensors of one element
};

std::vector<std::byte> changed(const gguf::document& from, const change& c) {
  gguf::writer w;
  if (c.set) REQUIRE(c.set(w));
  for (const auto& entry : from.meta()) {
    if (std::find(c.drop_keys.begin(), c.drop_keys.end(), entry.key) != c.drop_keys.end()) continue;
    (void)w.set(entry.key, entry.value);  // refused where the change has set the key
  }
  std::vector<const gguf::tensor_info*> kept;
  for (const auto* t : from.tensors()) {
    const std::string name{t->name};
    if (std::find(c.drop_tensors.begin(), c.drop_tensors.end(), name) != c.drop_tensors.end())
      continue;
    const auto renamed = c.rename_tensors.find(name);
    const auto reshaped = c.reshape.find(name);
    std::vector<std::uint64_t> dims{t->dims.begin(), t->dims.begin() + t->n_dims};
    if (reshaped != c.reshape.end()) dims = reshaped->second;
    REQUIRE(
        w.add_tensor(renamed != c.rename_tensors.end() ? renamed->second : name, dims, t->type));
    kept.push_back(t);
  }
  for (const auto& [name, type] : c.add_scalars) REQUIRE(w.add_tensor(name, {1}, type));
  gguf::memory_sink sink;
  auto out = w.begin(sink);
  REQUIRE(out);
  for (const auto* t : kept) REQUIRE(out->write(t->data));
  for (const auto& [name, type] : c.add_scalars) {
    const std::vector<std::byte> one(static_cast<std::size_t>(*gguf::storage_of(type).bytes(1, 1)));
    REQUIRE(out->write(one));
  }
  return std::move(sink.bytes);
}

struct expectation {
  errc code;
  std::string_view what;
};

void check_refused(const gguf::document& good, const change& c, expectation expected) {
  CAPTURE(expected.what);
  const auto bytes = changed(good, c);
  bitnet::open_options options;
  options.threads = 1;
  const auto model = bitnet::open(std::span<const std::byte>{bytes}, options);
  if (model) FAIL_CHECK("the file was accepted");
  if (model) return;
  INFO(bitnet::to_string(model.error()));
  CHECK(model.error().code() == expected.code);
  CHECK(model.error().what() == expected.what);
  CHECK(!model.error().message().empty());
  // What is in the file has a place there.
  if (expected.code != errc::missing && expected.what != "mamba") CHECK(model.error().has_offset());
}

template <class T>
change key(const char* name, T value) {
  return {.set = [=](gguf::writer& w) { return w.set(name, value); }};
}

std::string golden_path(std::string_view start) {
  for (const auto& m : testing::golden_models())
    if (m.name.starts_with(start)) return m.path + ".gguf";
  return {};
}

}  // namespace

TEST_CASE("an unchanged copy runs") {
  const auto good = gguf::open(golden_path("bitnet-tq1_0"));
  REQUIRE(good);
  const auto bytes = changed(*good, {});
  CHECK(bitnet::open(std::span<const std::byte>{bytes}));
}

TEST_CASE("hyper-parameters that cannot be are refused by key") {
  const auto good = gguf::open(golden_path("bitnet-tq1_0"));
  REQUIRE(good);
  const auto zero = std::uint32_t{0};
  check_refused(*good, key("bitnet.attention.head_count", zero),
                {errc::malformed, "bitnet.attention.head_count"});
  check_refused(*good, key("bitnet.attention.head_count_kv", zero),
                {errc::malformed, "bitnet.attention.head_count_kv"});
  check_refused(*good, key("bitnet.attention.head_count_kv", std::uint32_t{3}),
                {errc::malformed, "bitnet.attention.head_count_kv"});
  check_refused(*good, key("bitnet.block_count", zero), {errc::malformed, "bitnet.block_count"});
  check_refused(*good, key("bitnet.block_count", std::uint32_t{4000}),
                {errc::missing, "block_count"});
  check_refused(*good, key("bitnet.block_count", std::uint32_t{0xffffffff}),
                {errc::limit, "bitnet.block_count"});
  check_refused(*good, key("bitnet.embedding_length", std::uint32_t{512}),
                {errc::shape, "token_embd.weight"});
  check_refused(*good, key("bitnet.embedding_length", -1),
                {errc::malformed, "bitnet.embedding_length"});
  check_refused(*good, key("bitnet.feed_forward_length", std::uint32_t{512}),
                {errc::shape, "blk.0.ffn_gate.weight"});
  check_refused(*good, key("bitnet.context_length", "long"),
                {errc::wrong_type, "bitnet.context_length"});
  check_refused(*good, {.drop_keys = {"bitnet.context_length"}},
                {errc::missing, "bitnet.context_length"});
  check_refused(*good, key("bitnet.attention.layer_norm_rms_epsilon", NAN),
                {errc::malformed, "bitnet.attention.layer_norm_rms_epsilon"});
  check_refused(*good, {.drop_keys = {"bitnet.attention.layer_norm_rms_epsilon"}},
                {errc::missing, "bitnet.attention.layer_norm_rms_epsilon"});
  check_refused(*good, {.set = [](gguf::writer& w) -> bitnet::status {
    BITNET_CHECK(w.set("bitnet.attention.head_count", std::uint32_t{65536}));
    return w.set("bitnet.attention.key_length", std::uint32_t{512});
  }},
                {errc::limit, "bitnet.attention.head_count"});
  check_refused(*good, key("bitnet.rope.freq_base", -5.0F),
                {errc::malformed, "bitnet.rope.freq_base"});
  check_refused(*good, key("bitnet.rope.dimension_count", std::uint32_t{7}),
                {errc::malformed, "bitnet.rope.dimension_count"});
  check_refused(*good, key("bitnet.rope.dimension_count", std::uint32_t{4096}),
                {errc::limit, "bitnet.rope.dimension_count"});
}

TEST_CASE("unknown semantics are refused, never guessed") {
  const auto good = gguf::open(golden_path("bitnet-tq1_0"));
  REQUIRE(good);
  check_refused(*good, key("general.architecture", "mamba"), {errc::unsupported, "mamba"});
  check_refused(*good, {.drop_keys = {"general.architecture"}},
                {errc::missing, "general.architecture"});
  check_refused(*good, key("bitnet.rope.scaling.type", "longrope"),
                {errc::unknown, "bitnet.rope.scaling.type"});
  check_refused(*good, key("bitnet.hidden_activation", "gelu"),
                {errc::unknown, "bitnet.hidden_activation"});
  check_refused(*good, key("prism.hadamard.version", std::uint32_t{1}),
                {errc::unsupported, "prism.hadamard.version"});
  check_refused(*good, key("bitnet.expert_count", std::uint32_t{8}),
                {errc::unsupported, "bitnet.expert_count"});
  check_refused(*good, key("bitnet.attention.sliding_window", std::uint32_t{256}),
                {errc::unsupported, "bitnet.attention.sliding_window"});
}

TEST_CASE("tensors that are missing, surplus or of another shape are refused by name") {
  const auto good = gguf::open(golden_path("bitnet-tq1_0"));
  REQUIRE(good);
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.1.attn_sub_norm.weight",
                           "blk.0.ffn_down.weight"})
    check_refused(*good, {.drop_tensors = {name}}, {errc::missing, name});
  check_refused(*good, {.rename_tensors = {{"blk.0.attn_q.weight", "blk.0.attn_q_norm_in.weight"}}},
                {errc::missing, "blk.0.attn_q.weight"});
  check_refused(*good, {.reshape = {{"blk.0.attn_norm.weight", {128, 2}}}},
                {errc::shape, "blk.0.attn_norm.weight"});
  check_refused(*good, {.reshape = {{"blk.1.ffn_up.weight", {256, 16, 16}}}},
                {errc::shape, "blk.1.ffn_up.weight"});

  check_refused(*good, {.add_scalars = {{"blk.0.attn_q.scale", gguf::tensor_type::i32}}},
                {errc::wrong_type, "blk.0.attn_q.scale"});
  check_refused(*good, {.add_scalars = {{"blk.0.attn_q.bias", gguf::tensor_type::f32}}},
                {errc::shape, "blk.0.attn_q.bias"});

  // A file of another architecture's tensors: sub-norms that llama does not have.
  const auto bitnet_norms = key("general.architecture", "llama");
  change as_llama = bitnet_norms;
  const auto keys = [&](gguf::writer& w) -> bitnet::status {
    BITNET_CHECK(w.set("general.architecture", "llama"));
    for (const auto& entry : good->meta())
      if (entry.key.starts_with("bitnet."))
        BITNET_CHECK(w.set("llama." + std::string{entry.key.substr(7)}, entry.value));
    return {};
  };
  as_llama.set = keys;
  check_refused(*good, as_llama, {errc::unknown, "blk.0.attn_sub_norm.weight"});
}

TEST_CASE("squared ReLU by key changes what a bitnet file computes") {
  const auto good = gguf::open(golden_path("bitnet-tq1_0"));
  REQUIRE(good);
  const auto relu2 = changed(*good, key("bitnet.hidden_activation", "relu2"));
  const auto a = bitnet::open(golden_path("bitnet-tq1_0"));
  const auto b = bitnet::open(std::span<const std::byte>{relu2});
  REQUIRE(a);
  REQUIRE(b);
  const std::vector<bitnet::token> tokens{1, 5, 9};
  CHECK(testing::all_logits(*a, tokens, bitnet::nn::kv_type::f16) !=
        testing::all_logits(*b, tokens, bitnet::nn::kv_type::f16));
}
