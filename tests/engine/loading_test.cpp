// SPDX-License-Identifier: Apache-2.0
// Loading in the host's terms: its memory, its limit, its files; and plans that are what happens.
#include "engine/loading_support.hpp"

#include "doctest.hpp"

namespace gguf = bitnet::gguf;
using bitnet::errc;
using testing::host_memory;
using testing::placed_file;
using testing::test_reader;

namespace {

bitnet::open_options with_memory(host_memory& memory) {
  bitnet::open_options options;
  options.threads = testing::thread_counts({1, 2}).back();
  options.memory = memory;
  return options;
}

/// Opens what `document()` gives in counted memory and compares with the plan.
template <class Document>
void check_plan(Document document, bitnet::open_options options) {
  host_memory memory;
  options.memory = memory;
  {
    const auto opened = document();
    REQUIRE(opened);
    const auto planned = bitnet::plan(*opened, options, {.context = 40, .batch = 16});
    if (!planned) FAIL_CHECK(bitnet::to_string(planned.error()));
    REQUIRE(planned);
    CHECK(memory.requests == 0);
    const auto model = bitnet::dynamic_model::make(document(), options);
    if (!model) FAIL_CHECK(bitnet::to_string(model.error()));
    REQUIRE(model);
    CHECK(memory.now == planned->model.weights);
    CHECK(memory.peak == planned->model.loading);
    CHECK(model->weight_bytes() == planned->model.weights);
    CHECK(model->plan().loading == planned->model.loading);
    CHECK(model->plan().in_place == planned->model.in_place);
    const auto need = bitnet::session<bitnet::dynamic_model>::measure(*model, model->threads(),
                                                                      {.context = 40, .batch = 16});
    REQUIRE(need);
    CHECK(planned->kv == need->kv_bytes);
    CHECK(planned->scratch == need->scratch_bytes);
    CHECK(planned->total() == memory.now + need->total());
  }
  CHECK(memory.now == 0);
  CHECK(memory.sound);
}

}  // namespace

TEST_CASE("a plan is what loading takes, wherever the file is") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    test_reader original{testing::read_text(m.path + ".gguf")};
    const placed_file file{testing::tiled(m.path + ".gguf")};
    test_reader tiled{{reinterpret_cast<const char*>(file.view().data()), file.view().size()}};
    for (const bool exact : {false, true}) {
      for (const std::size_t threads : testing::thread_counts({1, 3})) {
        CAPTURE(exact);
        CAPTURE(threads);
        bitnet::open_options options;
        options.threads = threads;
        if (exact) options.math = bitnet::arithmetic::exact;
        check_plan([&] { return gguf::open(m.path + ".gguf"); }, options);
        check_plan([&] { return gguf::read(original); }, options);
        if (exact) continue;
        check_plan([&] { return gguf::view(file.view()); }, options);
        check_plan([&] { return gguf::read(tiled); }, options);
        options.screen_head = false;
        check_plan([&] { return gguf::open(m.path + ".gguf"); }, options);
        check_plan([&] { return gguf::view(file.view()); }, options);
      }
    }
  }
}

TEST_CASE("layers of a format of their own are planned too") {
  using network = bitnet::models::bitnet_silu<bitnet::quant::i2_s>;
  using rows = bitnet::models::bitnet_silu<bitnet::quant::dense_f16>;
  const auto check = [](auto architecture) {
    using A = decltype(architecture);
    for (const auto& m : testing::golden_models()) {
      if (!m.name.starts_with("bitnet-")) continue;
      CAPTURE(m.name);
      host_memory memory;
      bitnet::load_options options;
      options.memory = memory;
      bitnet::serial_executor here;
      auto document = gguf::open(m.path + ".gguf");
      REQUIRE(document);
      const auto planned = bitnet::plan<A>(*document, here, options);
      const auto model = bitnet::load<A>(*std::move(document), here, options);
      REQUIRE(planned);
      REQUIRE(model);
      CHECK(planned->model.weights == memory.now);
      CHECK(planned->model.loading == memory.peak);
    }
  };
  check(network{});
  check(rows{});
}

TEST_CASE("a refused allocation is an error, whichever it is, and nothing is lost") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    test_reader reader{testing::read_text(m.path + ".gguf")};
    host_memory count;
    const auto all = bitnet::open(gguf::reader_ref{reader}, with_memory(count));
    REQUIRE(all);
    REQUIRE(count.requests > 3);
    for (std::size_t n = 0; n < count.requests; ++n) {
      CAPTURE(n);
      host_memory memory;
      memory.refuse_at = n;
      const auto model = bitnet::open(gguf::reader_ref{reader}, with_memory(memory));
      CHECK(!model);
      if (model) break;
      CHECK(model.error().code() == errc::out_of_memory);
      CHECK(!model.error().what().empty());
      CHECK(memory.now == 0);
      CHECK(memory.sound);
    }
  }
}

TEST_CASE("an arena of the planned size is enough, and a smaller one is not") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    test_reader reader{testing::read_text(m.path + ".gguf")};
    bitnet::open_options options;
    options.threads = 1;
    const auto planned = bitnet::plan(*gguf::read(reader), options);
    REQUIRE(planned);
    const auto need = static_cast<std::size_t>(planned->model.loading);
    auto block = bitnet::aligned_buffer<std::byte>::make(need, "arena");
    REQUIRE(block);
    bitnet::arena enough{block->span()};
    options.memory = enough;
    {
      const auto model = bitnet::open(gguf::reader_ref{reader}, options);
      REQUIRE(model);
      CHECK(enough.used() == planned->model.weights);
      CHECK(enough.peak() == need);
      CHECK(!testing::answers(*model, m.tokens()).empty());
    }
    bitnet::arena small{block->span().first(need - bitnet::cache_line)};
    options.memory = small;
    const auto refused = bitnet::open(gguf::reader_ref{reader}, options);
    REQUIRE(!refused);
    CHECK(refused.error().code() == errc::out_of_memory);
  }
}

TEST_CASE("a model over the limit is refused before anything is allocated") {
  const auto m = testing::golden_models().front();
  host_memory memory;
  auto options = with_memory(memory);
  const auto planned = bitnet::plan(m.path + ".gguf", options);
  REQUIRE(planned);
  options.memory_limit = planned->model.loading - 1;
  const auto refused = bitnet::open(m.path + ".gguf", options);
  REQUIRE(!refused);
  CHECK(refused.error().code() == errc::out_of_memory);
  CHECK(refused.error().what() == std::to_string(planned->model.loading) + " bytes needed, " +
                                      std::to_string(planned->model.loading - 1) + " allowed");
  CHECK(memory.requests == 0);
  options.memory_limit = planned->model.loading;
  CHECK(bitnet::open(m.path + ".gguf", options));
}

TEST_CASE("a model that is read has the bits of one that is mapped, at one tensor above its size") {
  for (const auto& m : testing::golden_models()) {
    CAPTURE(m.name);
    host_memory memory;
    test_reader reader{testing::read_text(m.path + ".gguf")};
    const auto mapped = bitnet::open(m.path + ".gguf");
    const auto read = bitnet::open(gguf::reader_ref{reader}, with_memory(memory));
    REQUIRE(mapped);
    REQUIRE(read);
    CHECK(read->plan().in_place == 0);
    CHECK(memory.peak <= memory.now + reader.largest + 65536);  // scratch of two threads
    for (const auto* t : read->document().tensors()) CHECK(t->data.empty());
    reader.bytes.clear();  // nothing is read any more
    const auto tokens = m.tokens();
    CHECK(testing::same_bits(testing::answers(*mapped, tokens), testing::answers(*read, tokens)));
    const auto* t = read->document().tensors().front();
    std::byte one[1];
    CHECK(read->document().read_tensor(*t, 0, one).error().code() == errc::io);
  }
}

namespace {

/// A model inside an archive of the host's, encrypted: what its reader has to do is its own affair.
struct encrypted_pak {
  static constexpr std::size_t begin = 777;  // of the model
  std::string archive;
  std::uint64_t length = 0;

  explicit encrypted_pak(std::string_view model) : archive(begin, '?'), length{model.size()} {
    for (std::size_t i = 0; i < model.size(); ++i) archive += coded(model[i], i);
  }
  [[nodiscard]] static char coded(char c, std::uint64_t place) {
    return static_cast<char>(static_cast<unsigned char>(c) ^
                             static_cast<unsigned char>(place * 131 + 7));
  }
  [[nodiscard]] std::uint64_t size() const { return length; }
  [[nodiscard]] bitnet::status read(std::uint64_t offset, std::span<std::byte> out) {
    if (offset > length || out.size() > length - offset)
      return bitnet::error{errc::truncated, "read behind the end"};
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<std::byte>(
          coded(archive[begin + static_cast<std::size_t>(offset) + i], offset + i));
    return {};
  }
};
static_assert(gguf::byte_reader<encrypted_pak>);

}  // namespace

TEST_CASE("a model in an encrypted archive has the bits of its file, tiled or not") {
  bitnet::open_options options;
  options.threads = 1;
  for (const char* start : {"b25-", "qwen3-q1_0"}) {
    CAPTURE(start);
    const std::string path = testing::golden_path(start);
    const auto tiles = testing::tiled(path);
    encrypted_pak plain{testing::read_text(path)};
    encrypted_pak tiled{{reinterpret_cast<const char*>(tiles.data()), tiles.size()}};
    const std::string file = testing::read_text(path);
    CHECK(plain.archive.find(file.substr(0, 4)) == std::string::npos);
    const auto mapped = bitnet::open(path, options);
    REQUIRE(mapped);
    const std::vector<bitnet::token> tokens{1, 2, 3, 4, 5};
    for (encrypted_pak* pak : {&plain, &tiled}) {
      const auto model = bitnet::open(gguf::reader_ref{*pak}, options);
      if (!model) FAIL_CHECK(bitnet::to_string(model.error()));
      REQUIRE(model);
      CHECK(
          testing::same_bits(testing::answers(*mapped, tokens), testing::answers(*model, tokens)));
    }
  }
}

TEST_CASE("a split model through readers") {
  const auto document = gguf::open(testing::golden_models().front().path + ".gguf");
  REQUIRE(document);
  std::vector<test_reader> readers(2);
  for (std::uint16_t part = 0; part < 2; ++part) {
    const auto mine = [&](std::size_t i) { return i % 2 == part; };
    gguf::writer w;
    REQUIRE(w.set("split.no", part));
    REQUIRE(w.set("split.count", std::uint16_t{2}));
    REQUIRE(w.set("split.tensors.count", static_cast<std::int32_t>(document->tensors().size())));
    for (const auto& [key, value] : document->meta())
      if (part == 0) REQUIRE(w.set(key, value));
    const auto tensors = document->tensors();
    for (std::size_t i = 0; i < tensors.size(); ++i)
      if (mine(i))
        REQUIRE(w.add_tensor(tensors[i]->name,
                             std::span{tensors[i]->dims}.first(tensors[i]->n_dims),
                             tensors[i]->type));
    gguf::memory_sink sink;
    auto out = w.begin(sink);
    REQUIRE(out);
    for (std::size_t i = 0; i < tensors.size(); ++i)
      if (mine(i)) REQUIRE(out->write(tensors[i]->data));
    readers[part].bytes.assign(reinterpret_cast<const char*>(sink.bytes.data()), sink.bytes.size());
  }
  const std::vector<gguf::reader_ref> parts(readers.begin(), readers.end());
  const auto split = bitnet::open(std::span{parts});
  const auto whole = bitnet::open(testing::golden_models().front().path + ".gguf");
  REQUIRE(whole);
  if (!split) FAIL_CHECK(bitnet::to_string(split.error()));
  REQUIRE(split);
  const std::vector<bitnet::token> tokens{1, 2, 3};
  CHECK(testing::same_bits(testing::answers(*whole, tokens), testing::answers(*split, tokens)));
  CHECK(bitnet::open(std::span{parts}.first(1)).error().code() == errc::invalid_argument);
}

TEST_CASE("readers that fail give errors that name the tensor and the place") {
  const auto m = testing::golden_models().front();
  test_reader good{testing::read_text(m.path + ".gguf")};
  REQUIRE(bitnet::open(gguf::reader_ref{good}));
  REQUIRE(good.reads > 10);
  std::size_t named = 0;
  for (std::size_t n = 0; n < good.reads; ++n) {
    CAPTURE(n);
    test_reader broken{good.bytes};
    broken.fail_at = n;
    const auto model = bitnet::open(gguf::reader_ref{broken});
    REQUIRE(!model);
    CHECK(model.error().code() == errc::io);
    CHECK(model.error().message() == "the pak is damaged");
    CHECK(model.error().has_offset());
    named += model.error().what().find(".weight") != std::string_view::npos ? 1U : 0U;

    test_reader shrinking{good.bytes};
    shrinking.shrink_at = n;
    const auto changed = bitnet::open(gguf::reader_ref{shrinking});
    if (n + 1 == good.reads) continue;  // nobody asks any more
    REQUIRE(!changed);
    CHECK(changed.error().code() == errc::io);
    CHECK(changed.error().message() == "the size of the file changed while it was read");
  }
  CHECK(named > 5);
  for (const std::size_t size : {0U, 3U, 20U, 1000U, 70000U}) {
    CAPTURE(size);
    test_reader cut{good.bytes.substr(0, size)};
    const auto model = bitnet::open(gguf::reader_ref{cut});
    REQUIRE(!model);
    CHECK((model.error().code() == errc::truncated || model.error().code() == errc::not_gguf));
  }
}

TEST_CASE("a block for all weights gives what it has, then the heap does, and both take it back") {
  using bitnet::cache_line;
  const auto write = [](void* p, std::size_t bytes) { std::memset(p, 0x5A, bytes); };
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{512}, ~std::uint64_t{0}}) {
    CAPTURE(size);
    bitnet::detail::weight_block block;
    CHECK(block.reserve(size) == (size != ~std::uint64_t{0}));  // such a block nobody has
    std::vector<void*> pieces;
    for (int i = 0; i < 10; ++i) {
      pieces.push_back(block.allocate(128, cache_line));
      REQUIRE(pieces.back() != nullptr);
      CHECK(reinterpret_cast<std::uintptr_t>(pieces.back()) % cache_line == 0);
      write(pieces.back(), 128);
    }
    std::sort(pieces.begin(), pieces.end());
    CHECK(std::adjacent_find(pieces.begin(), pieces.end()) == pieces.end());
    if (size == 512)  // those of the block lie side by side, in any order among the others
      CHECK(std::count_if(pieces.begin(), pieces.end(), [&](void* p) {
              return std::binary_search(pieces.begin(), pieces.end(),
                                        static_cast<void*>(static_cast<char*>(p) + 128));
            }) >= 3);
    for (void* p : pieces) block.release(p, 128, cache_line);
  }
}

TEST_CASE("a model that takes another's place frees what it replaces") {
  using network = bitnet::models::bitnet_silu<>;
  bitnet::serial_executor here;
  for (const auto& m : testing::golden_models()) {
    if (!m.name.starts_with("bitnet-")) continue;
    CAPTURE(m.name);
    auto a = bitnet::load<network>(gguf::open(m.path + ".gguf"));
    auto b = bitnet::load<network>(gguf::open(m.path + ".gguf"));
    REQUIRE(a);
    REQUIRE(b);
    const auto print = b->fingerprint();
    *a = *std::move(b);
    b = bitnet::error{errc::missing, "gone"};
    CHECK(a->fingerprint() == print);
    auto s = bitnet::session<bitnet::model<network>>::make(*a, here, {.context = 8});
    REQUIRE(s);
    REQUIRE(s->feed(std::array{1, 2, 3}));
    CHECK(s->best(1).size() == 1);
  }
}
