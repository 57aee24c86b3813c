// SPDX-License-Identifier: Apache-2.0
// Repairs of metadata: files that are whole, broken on purpose key by key, must come back as they
// were, and what nothing decides must be asked.
#include "doctest.hpp"

#include <bitnet/engine/repair_model.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace repair_test {

using namespace bitnet;
using gguf::metadata_edits;
using strings = std::vector<std::string>;
using number = std::uint32_t;

constexpr std::string_view pre_key = "tokenizer.ggml.pre";
constexpr std::string_view template_key = "tokenizer.chat_template";
constexpr std::string_view types_key = "tokenizer.ggml.token_type";
constexpr std::string_view bos_key = "tokenizer.ggml.bos_token_id";
constexpr std::string_view eos_key = "tokenizer.ggml.eos_token_id";
constexpr std::string_view eot_key = "tokenizer.ggml.eot_token_id";
constexpr std::string_view add_bos_key = "tokenizer.ggml.add_bos_token";

/// Parsed metadata that own their bytes.
struct owned {
  std::vector<std::byte> bytes;
  std::optional<gguf::file> file;

  [[nodiscard]] const gguf::metadata& meta() const { return file->meta(); }
  [[nodiscard]] std::string text(std::string_view key) const {
    return std::string{meta().get_or<std::string_view>(key, "").value_or("")};
  }
  [[nodiscard]] std::int64_t id(std::string_view key) const {
    return meta().get_or<std::int64_t>(key, -1).value_or(-2);
  }
};

owned edited(const gguf::metadata& from, const metadata_edits& edits) {
  owned out;
  gguf::writer w;
  CHECK(edits.apply(from, w));
  gguf::memory_sink sink;
  CHECK(w.begin(sink));
  out.bytes = std::move(sink.bytes);
  auto parsed = gguf::parse(out.bytes);
  REQUIRE(parsed);
  out.file.emplace(*std::move(parsed));
  return out;
}

/// A file of the tree or of the shared data; nothing where that is absent.
std::optional<gguf::document> open(const std::string& path) {
  auto d = gguf::open(path);
  if (!d) return std::nullopt;
  return *std::move(d);
}
gguf::document model(const std::string& name) {
  auto d = gguf::open(std::string{BITNET_TEST_DATA_DIR} + "/models/" + name + ".gguf");
  CHECK(d);
  return *std::move(d);
}

text::token_id find_token(const gguf::metadata& meta, std::string_view name) {
  const auto tokens = meta.get<gguf::string_array>("tokenizer.ggml.tokens");
  REQUIRE(tokens);
  const auto at = std::find(tokens->begin(), tokens->end(), name);
  CHECK(at != tokens->end());
  return static_cast<text::token_id>(std::distance(tokens->begin(), at));
}

strings keys_of(const metadata_repair& r) {
  strings keys;
  for (const auto& c : r.changes) {
    CHECK(!c.reason.empty());
    CHECK((!c.from.empty() || !c.to.empty()));
    keys.push_back(c.key);
  }
  return keys;
}

/// What a repair leaves must be whole: a second one finds nothing. Returns the repaired metadata.
owned repaired(const gguf::metadata& meta, const metadata_repair& r) {
  owned out = edited(meta, r.edits);
  const auto again = plan_repair(out.meta());
  REQUIRE(again);
  CHECK(again->changes.empty());
  CHECK(again->open.empty());
  return out;
}

/// Ids of a text with special tokens, digits and signs.
std::vector<text::token_id> encoded(const gguf::metadata& meta) {
  const auto v = read_vocabulary(meta);
  REQUIRE(v);
  const auto t = text::tokenizer::make(*v);
  REQUIRE(t);
  const auto ids =
      t->encode("Hi! It's 12345 o'clock...\n\n<|eot_id|><|im_end|></s>", {.parse_special = true});
  REQUIRE(ids);
  std::vector<text::token_id> all = *ids;
  for (const auto id : {t->bos(), t->eos(), t->eot()}) all.push_back(id.value_or(-1));
  return all;
}

/// Breaks a whole file, and expects the repair to change these keys and to give the old ids back.
void breaks(const owned& whole, const std::function<void(metadata_edits&)>& damage,
            const strings& keys) {
  CAPTURE(keys.empty() ? std::string_view{"nothing"} : std::string_view{keys.front()});
  metadata_edits edits;
  damage(edits);
  const owned broken = edited(whole.meta(), edits);
  const auto r = plan_repair(broken.meta());
  REQUIRE(r);
  CHECK(r->open.empty());
  CHECK(keys_of(*r) == keys);
  CHECK(encoded(repaired(broken.meta(), *r).meta()) == encoded(whole.meta()));
}

/// The questions that a repair of the broken file asks: key and option.
std::vector<std::pair<std::string, std::string>> questions(
    const gguf::metadata& whole, const std::function<void(metadata_edits&)>& damage,
    const repair_options& options = {}) {
  metadata_edits edits;
  damage(edits);
  const owned broken = edited(whole, edits);
  const auto r = plan_repair(broken.meta(), options);
  CHECK(r);
  std::vector<std::pair<std::string, std::string>> asked;
  if (r)
    for (const auto& q : r->open) asked.emplace_back(q.key, q.option);
  return asked;
}

/// A file with nothing to repair.
owned whole_copy(const gguf::metadata& meta) {
  const auto r = plan_repair(meta);
  REQUIRE(r);
  return repaired(meta, *r);
}
/// One like BitNet-b1.58-2B-4T, where another token ends texts than turns.
owned whole_bitnet() {
  const auto d = model("b158-iq1_bn");
  metadata_edits edits;
  edits.set(eos_key, static_cast<number>(find_token(d.meta(), "<|end_of_text|>")));
  return whole_copy(edited(d.meta(), edits).meta());
}

TEST_CASE("files that are right stay as they are") {
  for (const char* name :
       {"bitnet-tq1_0", "bitnet-tq2_0-scale", "llama-f16", "llama-q4_0", "llama-q4_k",
        "llama-tq2_0", "qwen3-q1_0-yarn", "qwen3-q2_0-legacy128"}) {
    CAPTURE(name);
    const auto d = model(name);
    const auto r = plan_repair(d.meta());
    REQUIRE(r);
    CHECK(r->changes.empty());
    CHECK(r->open.empty());
  }
  const std::string shared = BITNET_SHARED_DIR;
  for (const char* name : {"conformance/vocab/llama3-vocab", "conformance/vocab/qwen3-vocab",
                           "conformance/vocab/llama-spm-vocab", "vocab/ggml-vocab-gpt-2"}) {
    const auto d = open(shared + "/" + name + ".gguf");
    if (!d) continue;
    CAPTURE(name);
    const auto r = plan_repair(d->meta());
    REQUIRE(r);
    CHECK(r->changes.empty());
    CHECK(r->open.empty());
  }
}

TEST_CASE("the faults of the published BitNet file") {
  const auto d = model("b25-i2_s");  // lacks its pre-tokenizer and chat template, as that one does
  metadata_edits placeholder;
  placeholder.set(template_key,
                  std::string{"{{ 'Human: ' + '\n\nBITNETAssistant: ' + eos_token }}"});
  const owned published = edited(d.meta(), placeholder);
  const auto r = plan_repair(published.meta());
  REQUIRE(r);
  CHECK(keys_of(*r) == strings{std::string{pre_key}, std::string{template_key}});
  const owned right = repaired(published.meta(), *r);
  CHECK(right.text(pre_key) == "llama-bpe");
  CHECK(*text::recognise_chat(right.text(template_key), "llama") == text::chat_format::bitnet);
}

TEST_CASE("a BitNet file, broken key by key") {
  const owned whole = whole_bitnet();
  const auto eot = static_cast<number>(find_token(whole.meta(), "<|eot_id|>"));
  const auto set = [](std::string_view key, gguf::new_value value) {
    return [=](metadata_edits& e) { e.set(key, value); };
  };
  const auto drop = [](std::string_view key) { return [=](metadata_edits& e) { e.remove(key); }; };
  const auto one = [](std::string_view key) { return strings{std::string{key}}; };

  breaks(whole, drop(pre_key), one(pre_key));
  breaks(whole, set(pre_key, std::string{}), one(pre_key));
  breaks(whole, set(pre_key, number{7}), one(pre_key));
  breaks(whole, drop(template_key), one(template_key));
  breaks(whole, set(template_key, number{7}), one(template_key));
  breaks(whole, set(template_key, std::string{"BITNETAssistant"}), one(template_key));
  breaks(whole, drop("tokenizer.ggml.model"), one("tokenizer.ggml.model"));
  for (const std::string_view key : {bos_key, eos_key}) {
    breaks(whole, drop(key), one(key));
    breaks(whole, set(key, number{1} << 30), one(key));
    breaks(whole, set(key, std::string{"</s>"}), one(key));
    breaks(whole, set(key, number{2}), one(key));  // a letter
  }
  breaks(whole, drop(eot_key), one(eot_key));
  breaks(whole, set(eot_key, number{1} << 30), one(eot_key));
  breaks(whole, set(eot_key, number{2}), one(eot_key));
  breaks(whole, set("tokenizer.ggml.padding_token_id", number{1} << 30),
         one("tokenizer.ggml.padding_token_id"));
  breaks(whole, set("tokenizer.ggml.unknown_token_id", std::int32_t{-7}),
         one("tokenizer.ggml.unknown_token_id"));
  breaks(whole, set(add_bos_key, false), one(add_bos_key));
  breaks(whole, set(add_bos_key, std::uint8_t{1}), one(add_bos_key));
  breaks(whole, set(add_bos_key, std::string{"maybe"}), one(add_bos_key));
  breaks(whole, set("tokenizer.ggml.add_eos_token", std::string{"False"}),
         one("tokenizer.ggml.add_eos_token"));
  breaks(whole, set("tokenizer.ggml.scores", std::vector<float>{1.0F}),
         one("tokenizer.ggml.scores"));
  breaks(whole, drop(types_key), one(types_key));
  const auto stated = whole.meta().get<gguf::array_view<std::int32_t>>(types_key);
  REQUIRE(stated);
  std::vector<std::int32_t> types{stated->begin(), stated->end()};
  types[eot] = 1;
  breaks(whole, set(types_key, types), one(types_key));
}

TEST_CASE(
    "a file of the first BitNet architecture with the shape of the second has its activation") {
  const owned whole = whole_bitnet();
  metadata_edits shape;
  shape.set("general.architecture", std::string{"bitnet"});
  shape.set("bitnet.block_count", number{30});
  shape.set("bitnet.embedding_length", number{2560});
  shape.set("bitnet.feed_forward_length", number{6912});
  const owned renamed = edited(whole.meta(), shape);
  const auto r = plan_repair(renamed.meta());
  REQUIRE(r);
  CHECK(keys_of(*r) == strings{"bitnet.hidden_activation"});
  CHECK(repaired(renamed.meta(), *r).text("bitnet.hidden_activation") == "relu2");

  shape.set(template_key, std::string{"BITNETAssistant"});
  const auto both = plan_repair(edited(whole.meta(), shape).meta());
  REQUIRE(both);
  CHECK(keys_of(*both) == strings{std::string{template_key}, "bitnet.hidden_activation"});
  shape.remove(template_key);
  shape.set("bitnet.embedding_length", number{2561});
  const auto other = plan_repair(edited(whole.meta(), shape).meta());
  REQUIRE(other);
  CHECK(other->changes.empty());
}

TEST_CASE("Qwen's vocabulary begins texts with nothing") {
  const auto d = model("qwen3-q1_0-yarn");
  metadata_edits chats;
  chats.set(template_key, std::string{text::chat_template_of(text::chat_format::chatml)});
  const owned whole = edited(d.meta(), chats);
  breaks(whole, [](auto& e) { e.remove(pre_key); }, {std::string{pre_key}});
  const auto end = static_cast<number>(find_token(whole.meta(), "<|endoftext|>"));
  metadata_edits no_bos;
  no_bos.set(bos_key, end);
  no_bos.set(add_bos_key, false);
  breaks(edited(whole.meta(), no_bos), [](auto& e) { e.set(add_bos_key, true); },
         {std::string{add_bos_key}});

  // Tokens of these names are in other vocabularies too, with other pre-tokenizers.
  const auto asked = questions(whole.meta(), [](auto& e) {
    e.set("general.architecture", std::string{"llama"});
    e.remove(pre_key);
  });
  CHECK(asked == std::vector<std::pair<std::string, std::string>>{{std::string{pre_key}, "pre"}});
}

TEST_CASE("SentencePiece files") {
  const owned whole = whole_copy(model("llama-f16").meta());
  const auto set = [](std::string_view key, gguf::new_value value) {
    return [=](metadata_edits& e) { e.set(key, value); };
  };
  for (const std::string_view key : {bos_key, eos_key}) {
    breaks(whole, set(key, number{1} << 30), {std::string{key}});
    breaks(whole, set(key, number{200}), {std::string{key}});  // a byte
  }
  breaks(whole, [](auto& e) { e.remove("tokenizer.ggml.model"); }, {"tokenizer.ggml.model"});
  breaks(whole, set("tokenizer.ggml.add_space_prefix", std::uint32_t{1}),
         {"tokenizer.ggml.add_space_prefix"});
}

TEST_CASE("what the file does not decide is asked, and options answer it") {
  const owned whole = whole_copy(model("llama-q4_0").meta());
  using asked = std::vector<std::pair<std::string, std::string>>;
  const auto unknown_pre = [](metadata_edits& e) { e.set(pre_key, std::string{"starcoder"}); };
  CHECK(questions(whole.meta(), unknown_pre) == asked{{std::string{pre_key}, "pre"}});
  CHECK(questions(whole.meta(), unknown_pre, {.pre = "llama-bpe"}).empty());
  const auto odd_flag = [](metadata_edits& e) { e.set(add_bos_key, std::string{"maybe"}); };
  CHECK(questions(whole.meta(), odd_flag) == asked{{std::string{add_bos_key}, "add_bos"}});
  CHECK(questions(whole.meta(), odd_flag, {.add_bos = false}).empty());
  CHECK(questions(whole.meta(), odd_flag, {.remove = {std::string{add_bos_key}}}).empty());
  const auto no_template = [](metadata_edits& e) { e.set(template_key, std::string{}); };
  CHECK(questions(whole.meta(), no_template) ==
        asked{{std::string{template_key}, "chat_template"}});
  CHECK(questions(whole.meta(), no_template, {.chat_template = "{{ messages }}"}).empty());

  // Two tokens that end texts: which one is meant?
  const auto tokens = whole.meta().get<gguf::string_array>("tokenizer.ggml.tokens");
  REQUIRE(tokens);
  strings names{tokens->begin(), tokens->end()};
  names[static_cast<std::size_t>(find_token(whole.meta(), "<|eot_id|>"))] = "<eos>";
  const auto two_ends = [&](metadata_edits& e) {
    e.set("tokenizer.ggml.tokens", names);
    e.set(eos_key, number{1} << 30);
  };
  CHECK(questions(whole.meta(), two_ends) == asked{{std::string{eos_key}, "eos"}});
  CHECK(questions(whole.meta(), two_ends, {.eos = "<eos>"}).empty());
}

TEST_CASE("options say what counts") {
  const owned whole = whole_copy(model("llama-q4_0").meta());
  const auto eot = find_token(whole.meta(), "<|eot_id|>");
  repair_options options;
  options.pre = "qwen2";
  options.chat_template = text::chat_template_of(text::chat_format::llama3);
  options.eos = "<|eot_id|>";
  options.eot = "3";
  options.bos = "none";
  options.add_bos = false;
  options.add_eos = true;
  options.set = {{"general.name", std::string{"a name"}}, {"my.number", std::int64_t{-5}}};
  options.remove = {"general.description"};
  const auto r = plan_repair(whole.meta(), options);
  REQUIRE(r);
  const owned out = edited(whole.meta(), r->edits);
  CHECK(out.text(pre_key) == "qwen2");
  CHECK(*text::recognise_chat(out.text(template_key), "llama") == text::chat_format::llama3);
  CHECK(out.id(eos_key) == eot);
  CHECK(out.id(eot_key) == 3);
  CHECK(!out.meta().contains(bos_key));
  CHECK(*out.meta().get<bool>(add_bos_key) == false);
  CHECK(*out.meta().get<bool>("tokenizer.ggml.add_eos_token") == true);
  CHECK(out.text("general.name") == "a name");
  CHECK(out.id("my.number") == -5);
  // The same again changes nothing.
  const auto again = plan_repair(out.meta(), options);
  REQUIRE(again);
  CHECK(again->changes.empty());

  const auto refused = [&](const repair_options& o, std::string_view what) {
    const auto wrong = plan_repair(whole.meta(), o);
    REQUIRE(!wrong);
    CHECK(wrong.error().what() == what);
  };
  refused({.pre = "starcoder"}, "starcoder");
  refused({.eos = "<no such>"}, "<no such>");
  refused({.pad = "123456789"}, "123456789");
  refused({.set = {{"split.count", number{2}}}}, "split.count");
  refused({.remove = {"split.no"}}, "split.no");
}

TEST_CASE("lists that cannot be read are not repaired") {
  const owned whole = whole_copy(model("llama-q4_0").meta());
  const auto refused = [&](std::string_view key, gguf::new_value value, errc code) {
    CAPTURE(key);
    metadata_edits edits;
    edits.set(key, std::move(value));
    const auto r = plan_repair(edited(whole.meta(), edits).meta());
    REQUIRE(!r);
    CHECK(r.error().code() == code);
  };
  refused("tokenizer.ggml.model", std::string{"bert"}, errc::unknown);
  refused("tokenizer.ggml.tokens", number{1}, errc::wrong_type);
  refused("tokenizer.ggml.tokens", strings{"a", "a"}, errc::malformed);
  refused("tokenizer.ggml.merges", number{1}, errc::wrong_type);
  refused("tokenizer.ggml.merges", strings{"ab"}, errc::malformed);
  refused(types_key, std::vector<std::int32_t>{1}, errc::malformed);
  const auto nothing = plan_repair(gguf::metadata{});
  REQUIRE(!nothing);
  CHECK(nothing.error().code() == errc::missing);
}

TEST_CASE("any value under any key is refused, asked about, or repaired for good") {
  const strings keys{"general.architecture",
                     "tokenizer.ggml.model",
                     "tokenizer.ggml.pre",
                     "tokenizer.ggml.tokens",
                     "tokenizer.ggml.merges",
                     "tokenizer.ggml.scores",
                     "tokenizer.ggml.token_type",
                     "tokenizer.ggml.bos_token_id",
                     "tokenizer.ggml.eos_token_id",
                     "tokenizer.ggml.eot_token_id",
                     "tokenizer.ggml.unknown_token_id",
                     "tokenizer.ggml.padding_token_id",
                     "tokenizer.ggml.add_bos_token",
                     "tokenizer.ggml.add_eos_token",
                     "tokenizer.ggml.add_space_prefix",
                     "tokenizer.chat_template"};
  const std::vector<gguf::new_value> values{std::uint8_t{1},
                                            std::int32_t{-1},
                                            std::int32_t{-2},
                                            number{0},
                                            ~number{0},
                                            ~std::uint64_t{0},
                                            1e38F,
                                            true,
                                            std::string{},
                                            std::string(70, '\xC3'),
                                            std::string{"BITNET"},
                                            strings{},
                                            strings{"", " ", "a b"},
                                            std::vector<float>{},
                                            std::vector<std::int32_t>{-1, 99}};
  std::size_t whole_again = 0;
  for (const char* name : {"b158-iq1_bn", "llama-f16"}) {
    const owned whole =
        name == std::string_view{"llama-f16"} ? whole_copy(model(name).meta()) : whole_bitnet();
    for (const std::string& key : keys) {
      for (const auto& value : values) {
        CAPTURE(key);
        metadata_edits edits;
        edits.set(key, value);
        const owned broken = edited(whole.meta(), edits);
        const auto r = plan_repair(broken.meta());
        if (!r || !r->open.empty()) continue;
        ++whole_again;
        static_cast<void>(repaired(broken.meta(), *r));
      }
    }
  }
  CHECK(whole_again > 200);
}

TEST_CASE("published vocabularies, with their pre-tokenizer lost or wrong") {
  const std::string shared = BITNET_SHARED_DIR;
  const struct {
    const char* name;
    const char* architecture;
    const char* right;
  } cases[] = {{"llama3", "llama", "llama-bpe"}, {"qwen3", "qwen3", "qwen2"}};
  for (const auto& c : cases) {
    const auto d = open(shared + "/conformance/vocab/" + c.name + "-vocab.gguf");
    if (!d) {
      MESSAGE("the shared data has no vocabulary of ", c.name);
      continue;
    }
    for (const char* wrong : {"", "default"}) {
      metadata_edits edits;
      edits.set("general.architecture", std::string{c.architecture});
      edits.set(pre_key, std::string{wrong});
      const owned broken = edited(d->meta(), edits);
      const auto r = plan_repair(broken.meta());
      REQUIRE(r);
      CHECK(keys_of(*r) == strings{std::string{pre_key}});
      CHECK(edited(broken.meta(), r->edits).text(pre_key) == c.right);
    }
  }
}

TEST_CASE("the copy has the tensors as they were and all other metadata") {
  const auto d = model("b25-i2_s");
  const auto r = plan_repair(d.meta());
  REQUIRE(r);
  gguf::memory_sink sink;
  std::uint64_t seen = 0;
  CHECK(write_repaired(d, *r, sink, [&](std::uint64_t done, std::uint64_t) { seen = done; }));
  const auto copy = gguf::view(sink.bytes);
  REQUIRE(copy);
  REQUIRE(copy->tensors().size() == d.tensors().size());
  std::uint64_t total = 0;
  for (const auto* t : d.tensors()) {
    const auto* same = copy->find(t->name);
    REQUIRE(same != nullptr);
    CHECK(same->type == t->type);
    CHECK(same->dims == t->dims);
    CHECK(std::equal(t->data.begin(), t->data.end(), same->data.begin(), same->data.end()));
    total += t->size;
  }
  CHECK(seen == total);
  CHECK(copy->meta().size() == d.meta().size() + 2);
  for (const auto& [key, value] : d.meta()) {
    const auto* same = copy->meta().find(key);
    REQUIRE(same != nullptr);
    CHECK(std::equal(value.encoded().begin(), value.encoded().end(), same->encoded().begin(),
                     same->encoded().end()));
  }
}

TEST_CASE("a model in two parts becomes one file") {
  const owned whole = whole_copy(model("llama-q4_0").meta());
  const auto part = [&](std::uint16_t no, const char* tensor) {
    metadata_edits edits;
    edits.set(gguf::split_no_key, no);
    edits.set(gguf::split_count_key, std::uint16_t{2});
    edits.set(gguf::split_tensors_key, std::int32_t{2});
    edits.remove(pre_key);
    gguf::writer w;
    CHECK(edits.apply(whole.meta(), w));
    CHECK(w.add_tensor(tensor, {2}, gguf::tensor_type::i8));
    gguf::memory_sink sink;
    auto out = w.begin(sink);
    REQUIRE(out);
    CHECK(out->write(std::vector<std::byte>(2, static_cast<std::byte>(no + 1))));
    return std::move(sink.bytes);
  };
  const auto first = part(0, "first");
  const auto second = part(1, "second");
  const std::vector<std::span<const std::byte>> parts{first, second};
  const auto d = gguf::view(parts);
  REQUIRE(d);
  const auto r = plan_repair(d->meta());
  REQUIRE(r);
  CHECK(keys_of(*r) == strings{std::string{pre_key}});
  gguf::memory_sink sink;
  CHECK(write_repaired(*d, *r, sink));
  const auto one = gguf::view(sink.bytes);
  REQUIRE(one);
  CHECK(one->parts().size() == 1);
  CHECK(!one->meta().contains(gguf::split_count_key));
  CHECK(one->find("first")->data[0] == std::byte{1});
  CHECK(one->find("second")->data[1] == std::byte{2});
}

}  // namespace repair_test
