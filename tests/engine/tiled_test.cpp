// SPDX-License-Identifier: Apache-2.0
// Tiled files: the same bits without a copy, and nothing that they may hold does harm.
#include "engine/loading_support.hpp"

#include "doctest.hpp"

#include <random>

namespace gguf = bitnet::gguf;
using bitnet::errc;
using testing::placed_file;

namespace {

bitnet::open_options one_thread() {
  bitnet::open_options options;
  options.threads = 1;
  return options;
}

/// The first tokens of a model's prompt: enough for the kernels of many tokens.
std::vector<bitnet::token> some_tokens(const testing::golden_model& m) {
  auto tokens = m.tokens();
  tokens.resize(std::min<std::size_t>(tokens.size(), 14));
  return tokens;
}

/// A copy of a tiled model with other keys or types.
template <class Keys, class Type>
std::vector<std::byte> rewritten(const gguf::document& from, Keys keys, Type type_of) {
  gguf::writer w;
  REQUIRE(keys(w));
  for (const auto& [key, value] : from.meta())
    if (!w.set(key, value)) continue;  // set before
  for (const auto* t : from.tensors())
    REQUIRE(w.add_tensor(t->name, std::span{t->dims}.first(t->n_dims), type_of(*t)));
  gguf::memory_sink sink;
  auto out = w.begin(sink);
  REQUIRE(out);
  for (const auto* t : from.tensors()) {
    const auto size = *gguf::storage_of(type_of(*t)).bytes(t->cols(), t->rows());
    std::vector<std::byte> bytes{t->data.begin(), t->data.end()};
    bytes.resize(static_cast<std::size_t>(size));
    REQUIRE(out->write(bytes));
  }
  return std::move(sink.bytes);
}

}  // namespace

TEST_CASE("a tiled file gives the same bits without copying anything, on every instruction set") {
  std::size_t with_screen = 0, plain = 0;
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    const placed_file file{testing::tiled(m.path + ".gguf")};
    REQUIRE(!file.view().empty());
    const auto document = gguf::view(file.view());
    REQUIRE(document);
    with_screen += document->find("output_screen.weight") != nullptr ? 1U : 0U;
    for (const std::string_view isa : bitnet::isa::runnable_names()) {
      CAPTURE(isa);
      if (isa == "scalar" && ++plain > 2) continue;  // slow
      auto options = one_thread();
      options.isa = isa;
      const auto original = bitnet::open(m.path + ".gguf", options);
      const auto model = bitnet::open(file.view(), options);
      REQUIRE(original);
      if (!model) FAIL_CHECK(bitnet::to_string(model.error()));
      REQUIRE(model);
      const auto tokens = some_tokens(m);
      CHECK(testing::same_bits(testing::answers(*original, tokens),
                               testing::answers(*model, tokens)));
      CHECK(model->bytes_per_token() == original->bytes_per_token());
      // What stays are norms that are not floats in the file.
      CHECK(model->weight_bytes() < original->weight_bytes());
      CHECK(model->weight_bytes() < 4096);
    }
  }
  CHECK(with_screen >= 5);
}

TEST_CASE("a tiled file that is mapped is used in place") {
  const auto bytes = testing::tiled(testing::golden_path("b25-"));
  const std::string path = "tiled_test.gguf";
  {
    auto sink = gguf::file_sink::create(path);
    REQUIRE(sink);
    REQUIRE(sink->write(bytes));
    REQUIRE(sink->commit());
  }
  const auto model = bitnet::open(path, one_thread());
  REQUIRE(model);
  CHECK(model->plan().weights == 0);
  CHECK(model->plan().loading == 0);
  CHECK(model->plan().in_place > bytes.size() / 2);
  std::remove(path.c_str());
}

TEST_CASE("bytes at an odd place are copied, and planned to be") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    const auto bytes = testing::tiled(m.path + ".gguf");
    const placed_file straight{bytes}, crooked{bytes, 1};
    const auto a = bitnet::open(straight.view(), one_thread());
    const auto b = bitnet::open(crooked.view(), one_thread());
    REQUIRE(a);
    REQUIRE(b);
    CHECK(b->weight_bytes() > a->weight_bytes());
    const auto planned = bitnet::plan(*gguf::view(crooked.view()), one_thread());
    REQUIRE(planned);
    CHECK(planned->model.weights == b->weight_bytes());
    CHECK(testing::same_bits(testing::answers(*a, some_tokens(m)),
                             testing::answers(*b, some_tokens(m))));
  }
}

TEST_CASE("tiling a tiled file copies it, and a split one becomes one file") {
  const auto once = testing::tiled(testing::golden_path("qwen3-q2_0"));
  const auto document = gguf::view(once);
  REQUIRE(document);
  CHECK(testing::tiled(*document) == once);
  for (const auto* t : document->tensors())
    CHECK((t->n_dims < 2 || gguf::as_tiled(t->type) || t->name == "token_embd.weight"));
}

TEST_CASE("what a tiled file cannot do is said") {
  const placed_file file{testing::tiled(testing::golden_path("bitnet-tq1_0"))};
  auto options = one_thread();
  options.math = bitnet::arithmetic::exact;
  const auto exact = bitnet::open(file.view(), options);
  REQUIRE(!exact);
  CHECK(exact.error().code() == errc::unsupported);
  CHECK(exact.error().what().starts_with("blk.0."));
  // Exact types read tiles of their encoding and no others.
  using bitnet::models::bitnet_silu;
  CHECK(bitnet::load<bitnet_silu<bitnet::quant::i2_s>>(gguf::view(file.view())));
  const auto other = bitnet::load<bitnet_silu<bitnet::quant::q8_0>>(gguf::view(file.view()));
  REQUIRE(!other);
  CHECK(other.error().code() == errc::wrong_type);
}

TEST_CASE("layouts and types of other versions are refused by name") {
  const auto bytes = testing::tiled(testing::golden_path("bitnet-tq1_0"));
  const auto good = gguf::view(bytes);
  REQUIRE(good);
  const auto same_type = [](const gguf::tensor_info& t) { return t.type; };
  const auto refused = [&](const std::vector<std::byte>& changed, errc code,
                           std::string_view what) {
    const auto model = bitnet::open(std::span<const std::byte>{changed}, one_thread());
    REQUIRE(!model);
    INFO(bitnet::to_string(model.error()));
    CHECK(model.error().code() == code);
    CHECK(model.error().what().starts_with(what));
    CHECK(model.error().has_offset());
  };
  const auto version = [](auto value) {
    return [=](gguf::writer& w) { return w.set(gguf::layout_key, value); };
  };
  refused(rewritten(*good, version(std::uint32_t{2}), same_type), errc::unsupported,
          gguf::layout_key);
  refused(rewritten(*good, version("one"), same_type), errc::wrong_type, gguf::layout_key);

  // Ids are patched in place: the first tiled tensor's entry follows its name and dimensions.
  const auto patched = [&](std::uint32_t id) {
    std::vector<std::byte> out = bytes;
    const std::string_view text{reinterpret_cast<const char*>(out.data()), out.size()};
    const std::size_t at = text.find("blk.0.attn_q.weight") + 19 + 4 + 16;
    std::uint32_t before = 0;
    std::memcpy(&before, out.data() + at, 4);
    REQUIRE(gguf::tiled_type::of(before));
    std::memcpy(out.data() + at, &id, 4);
    return out;
  };
  const std::uint32_t ternary = 0x62740000U;
  refused(patched(ternary | 0x80U), errc::unknown, "blk.0.attn_q.weight");
  refused(patched(ternary | 0x4000U), errc::unknown, "blk.0.attn_q.weight");
  refused(patched(0x62750000U), errc::unknown, "blk.0.attn_q.weight");
  // Another known type has another size, which overlaps or leaves the file.
  const auto larger = patched(ternary | 0x200U | 1U);
  const auto model = bitnet::open(std::span<const std::byte>{larger}, one_thread());
  REQUIRE(!model);
  CHECK((model.error().code() == errc::malformed || model.error().code() == errc::truncated));

  // Without the key nothing says what the tiles are.
  std::vector<std::byte> silent = bytes;
  const std::string_view text{reinterpret_cast<const char*>(silent.data()), silent.size()};
  silent[text.find(gguf::layout_key)] = std::byte{'T'};
  refused(silent, errc::missing, gguf::layout_key);
}

TEST_CASE("a screen of another shape or type is refused") {
  const auto bytes = testing::tiled(testing::golden_path("llama-f16"));
  const auto good = gguf::view(bytes);
  REQUIRE(good);
  REQUIRE(good->find("output_screen.weight") != nullptr);
  const auto nothing = [](gguf::writer&) { return bitnet::status{}; };
  for (const auto type :
       {gguf::tensor_type::f32,
        static_cast<gguf::tensor_type>(*gguf::tiled_type{2, 64, true, false, false}.id())}) {
    const auto changed = rewritten(*good, nothing, [&](const gguf::tensor_info& t) {
      return t.name == "output_screen.weight" ? type : t.type;
    });
    const auto model = bitnet::open(std::span<const std::byte>{changed}, one_thread());
    REQUIRE(!model);
    CHECK(model.error().code() == errc::wrong_type);
    CHECK(model.error().what() == "output_screen.weight");
  }
}

TEST_CASE("tiles of any bytes run") {
  std::mt19937 engine{7};
  std::size_t plain = 0;
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    const auto bytes = testing::tiled(m.path + ".gguf");
    for (const int filling : {0, 0xff, 0x7c, -1}) {
      CAPTURE(filling);
      placed_file file{bytes};
      const auto document = gguf::view(file.view());
      REQUIRE(document);
      for (const auto* t : document->tensors()) {
        if (!gguf::as_tiled(t->type) && !t->name.starts_with("output_screen")) continue;
        for (std::byte& b : file.bytes().subspan(static_cast<std::size_t>(t->offset),
                                                 static_cast<std::size_t>(t->size)))
          b = static_cast<std::byte>(filling >= 0 ? static_cast<unsigned>(filling) : engine());
      }
      for (const std::string_view isa : bitnet::isa::runnable_names()) {
        if (isa == "scalar" && (filling != -1 || ++plain > 2)) continue;  // slow
        auto options = one_thread();
        options.isa = isa;
        const auto model = bitnet::open(file.view(), options);
        REQUIRE(model);
        CHECK(!testing::answers(*model, some_tokens(m)).empty());
      }
    }
  }
}
