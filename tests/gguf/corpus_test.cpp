// SPDX-License-Identifier: Apache-2.0
// Real files: models and vocabularies parse to the right bytes, malformed inputs give errors.
#include "doctest.hpp"
#include "raw_gguf.hpp"
#include "touch.hpp"

#include <bitnet/gguf/source.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

using namespace bitnet;
using gguf::tensor_type;
using gguf_test::read_all;

namespace {
const std::string shared = BITNET_SHARED_DIR;

/// Paths of all regular files below a folder of the shared data, in order; a message if it has
/// none.
std::vector<std::string> files_below(const std::string& root, std::string_view suffix = "") {
  std::vector<std::string> out;
  std::error_code ec;
  for (std::filesystem::recursive_directory_iterator it{root, ec}, end; !ec && it != end;
       it.increment(ec)) {
    std::string name = it->path().string();
    if (it->is_regular_file(ec) && std::string_view{name}.ends_with(suffix))
      out.push_back(std::move(name));
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> shared_files(const std::string& folder, std::string_view suffix = "") {
  if (shared.empty()) {
    MESSAGE("skipped: there is no shared data folder (" << folder << ")");
    return {};
  }
  auto out = files_below(shared + "/" + folder, suffix);
  CHECK(!out.empty());
  return out;
}

/// Bytes of a tensor by the published bits of its type, not by the library's table.
std::uint64_t expected_bytes(const gguf::tensor_info& t) {
  const std::uint64_t n = t.elements();
  switch (t.type) {
    case tensor_type::f32:
      return n * 4;
    case tensor_type::f16:
    case tensor_type::bf16:
      return n * 2;
    case tensor_type::q4_0:
      return n / 32 * 18;
    case tensor_type::q8_0:
      return n / 32 * 34;
    case tensor_type::q4_k:
      return n / 256 * 144;
    case tensor_type::q6_k:
      return n / 256 * 210;
    case tensor_type::tq1_0:
      return n / 256 * 54;
    case tensor_type::tq2_0:
      return n / 256 * 66;
    case tensor_type::i2_s:
      return n / 4 + 32;
    case tensor_type::q1_0:
      return n / 128 * 18;
    case tensor_type::q2_0:
      return n / 64 * 18;
    case tensor_type::q2_0_g128:
      return n / 128 * 34;
    case tensor_type::iq1_bn:
      return n / 64 * 13 + t.rows() * 2;
    case tensor_type::iq2_bn:
      return n / 64 * 16 + t.rows() * 4;
    default:
      return 0;
  }
}

/// These files were written back to back: each byte behind the table belongs to a tensor.
void check_model(const std::string& name) {
  CAPTURE(name);
  const auto d = gguf::open(name);
  REQUIRE(d);
  const gguf::file& f = d->parts()[0];
  CHECK(d->tensors().size() >= 21);
  std::uint64_t next = f.data_offset();
  for (const gguf::tensor_info& t : f.tensors()) {
    CAPTURE(t.name);
    CHECK(t.data.size() == expected_bytes(t));
    CHECK(t.offset == next);
    CHECK(t.data.data() == f.bytes().data() + t.offset);
    next = (t.offset + t.data.size() + 31) / 32 * 32;
  }
  CHECK(next == f.bytes().size());
  gguf::memory_sink sink;
  REQUIRE(gguf_test::rewrite(f, sink));
  CHECK(std::equal(sink.bytes.begin(), sink.bytes.end(), f.bytes().begin(), f.bytes().end()));
}
}  // namespace

TEST_CASE("the models in the repository parse and are rewritten byte for byte") {
  const auto models = files_below(std::string{BITNET_TEST_DATA_DIR} + "/models", ".gguf");
  CHECK(models.size() >= 10);
  for (const std::string& name : models) check_model(name);
}

TEST_CASE("the shared models parse and are rewritten byte for byte") {
  const auto models = shared_files("conformance/models", ".gguf");
  if (!shared.empty()) CHECK(models.size() == 28);
  for (const std::string& name : models) check_model(name);
  for (const std::string& name : shared_files("models", ".gguf")) check_model(name);
}

TEST_CASE("id 42 is read with the block size that the file has") {
  if (shared.empty()) {
    MESSAGE("skipped: there is no shared data folder (qwen3-q2_0)");
    return;
  }
  const std::string root = shared + "/conformance/models/";
  const auto g64 = gguf::open(root + "qwen3-q2_0.gguf");
  const auto pairs = gguf::open(root + "qwen3-q2_0-pairs.gguf");
  const auto g128 = gguf::open(root + "qwen3-q2_0-legacy128.gguf");
  REQUIRE(g64);
  REQUIRE(pairs);
  REQUIRE(g128);
  int compared = 0;
  for (const gguf::tensor_info* t : g128->tensors()) {
    if (t->type == tensor_type::f32) continue;
    CHECK(t->type == tensor_type::q2_0_g128);
    CHECK(g64->find(t->name)->type == tensor_type::q2_0);
    const gguf::tensor_info* p = pairs->find(t->name);
    REQUIRE(p != nullptr);
    CHECK(p->type == tensor_type::q2_0);
    // The same weights: one block of 128 is two blocks of 64 with its scale and half of its codes.
    const std::size_t blocks = t->data.size() / 34;
    REQUIRE(p->data.size() == blocks * 36);
    bool equal = true;
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::byte* one = t->data.data() + b * 34;
      const std::byte* two = p->data.data() + b * 36;
      for (std::size_t h = 0; h < 2; ++h)
        equal = equal && std::memcmp(one, two + h * 18, 2) == 0 &&
                std::memcmp(one + 2 + h * 16, two + h * 18 + 2, 16) == 0;
    }
    CHECK(equal);
    ++compared;
  }
  CHECK(compared == 15);
}

TEST_CASE("the tensor table of BitNet-b1.58-2B-4T lies where the published file has it") {
  if (shared.empty()) {
    MESSAGE("skipped: there is no shared data folder (bitnet-2b-4t)");
    return;
  }
  struct row {
    std::string name;
    std::vector<std::uint64_t> dims;
    tensor_type type;
    std::uint64_t offset, size;
  };
  std::vector<row> table;  // of lines "  - NAME [TYPE] dims=COLSxROWS offset=N size=N"
  const auto text = read_all(shared + "/bitnet-2b-4t/ggufdef.utf8.txt");
  std::istringstream lines{std::string{reinterpret_cast<const char*>(text.data()), text.size()}};
  for (std::string dash, name, type, dims, offset, size, line; std::getline(lines, line);) {
    std::istringstream words{line};
    if (!(words >> dash >> name >> type >> dims >> offset >> size) || !dims.starts_with("dims="))
      continue;
    row r{name, {}, {}, std::stoull(offset.substr(7)), std::stoull(size.substr(5))};
    for (std::size_t at = 5; at <= dims.size(); at = dims.find('x', at) + 1) {
      r.dims.push_back(std::stoull(dims.substr(at)));
      if (dims.find('x', at) == std::string::npos) break;
    }
    r.type = type.find("F32") != std::string::npos   ? tensor_type::f32
             : type.find("F16") != std::string::npos ? tensor_type::f16
                                                     : tensor_type::i2_s;
    table.push_back(std::move(r));
  }
  REQUIRE(table.size() == 332);
  std::sort(table.begin(), table.end(),
            [](const row& a, const row& b) { return a.offset < b.offset; });

  // The same table before a hole of the same size.
  std::error_code ec;
  const auto path = std::filesystem::temp_directory_path(ec) / "bitnet_gguf_2b_4t_test.gguf";
  std::uint64_t head = 0;
  {
    gguf::writer w;
    for (const row& r : table) REQUIRE(w.add_tensor(r.name, r.dims, r.type));
    auto sink = gguf::file_sink::create(path.string());
    REQUIRE(sink);
    REQUIRE(w.begin(*sink));
    REQUIRE(sink->commit());
    head = std::filesystem::file_size(path, ec);
  }
  constexpr std::uint64_t data_size = 1187801280 - 8351360;
  std::filesystem::resize_file(path, head + data_size, ec);
  if (ec) {
    MESSAGE("skipped: the file system has no room for a sparse file");
  } else {
    const auto d = gguf::open(path.string());
    REQUIRE(d);
    CHECK(d->tensors().size() == 332);
    CHECK(d->parts()[0].data_offset() == head);
    for (const row& r : table) {
      CAPTURE(r.name);
      const gguf::tensor_info* t = d->find(r.name);
      REQUIRE(t != nullptr);
      CHECK(t->offset == head + r.offset);
      CHECK(t->data.size() == r.size);
    }
  }
  std::filesystem::remove(path, ec);
}

TEST_CASE("vocabulary files parse, and as version 2 too") {
  std::size_t read = 0;
  for (const char* folder : {"conformance/vocab", "vocab"}) {
    for (const std::string& name : shared_files(folder, ".gguf")) {
      CAPTURE(name);
      const auto d = gguf::open(name);
      REQUIRE(d);
      ++read;
      CHECK(d->tensors().empty());
      const auto tokens = d->meta().get<gguf::string_array>("tokenizer.ggml.tokens");
      REQUIRE(tokens);
      CHECK(tokens->size() >= 32000);
      const auto types = d->meta().get<gguf::array_view<std::int32_t>>("tokenizer.ggml.token_type");
      if (types) CHECK(types->size() == tokens->size());
      gguf::memory_sink sink;
      REQUIRE(gguf_test::rewrite(d->parts()[0], sink));
      const auto again = gguf::parse(sink.bytes);
      REQUIRE(again);
      CHECK(again->version() == 3);
      CHECK(gguf_test::same(d->parts()[0], *again));
      // Little-endian files of version 2 differ in the number alone.
      sink.bytes[4] = std::byte{2};
      const auto v2 = gguf::parse(sink.bytes);
      REQUIRE(v2);
      CHECK(v2->version() == 2);
      CHECK(gguf_test::same(*v2, *again));
    }
  }
  if (!shared.empty()) CHECK(read == 6);
}

TEST_CASE("the Llama 3 vocabulary parses in milliseconds") {
  if (shared.empty()) {
    MESSAGE("skipped: there is no shared data folder (llama3-vocab.gguf)");
    return;
  }
  const auto bytes = read_all(shared + "/conformance/vocab/llama3-vocab.gguf");
  auto best = std::chrono::duration<double, std::milli>::max();
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto f = gguf::parse(bytes);
    best = std::min<std::chrono::duration<double, std::milli>>(
        best, std::chrono::steady_clock::now() - start);
    REQUIRE(f);
    const auto tokens = *f->meta().get<gguf::string_array>("tokenizer.ggml.tokens");
    const auto merges = *f->meta().get<gguf::string_array>("tokenizer.ggml.merges");
    CHECK(tokens.size() == 128256);
    CHECK(tokens[128000] == "<|begin_of_text|>");
    CHECK(tokens[0] == "!");
    CHECK(merges.size() == 280147);
  }
  MESSAGE("128256 tokens and 280147 merges: " << best.count() << " ms");
  CHECK(best.count() < 500.0);  // about 3 optimized; leaves room for sanitizers and busy machines
}

TEST_CASE("the malformed corpus gives errors only") {
  std::size_t read = 0;
  for (const std::string& name : shared_files("malformed")) {
    CAPTURE(name);
    const auto bytes = read_all(name);
    const std::vector<std::byte> exact(bytes.begin(), bytes.end());  // no slack behind the end
    const auto f = gguf::parse(exact);
    CHECK_FALSE(f);
    if (!f) CHECK(!to_string(f.error()).empty());
    const auto mapped = gguf::open(name);
    CHECK_FALSE(mapped);
    if (!f && !mapped) CHECK(mapped.error().code() == f.error().code());
    ++read;
  }
  if (!shared.empty()) CHECK(read >= 390);
}

TEST_CASE("a version 1 and a pre-GGUF file of old are refused by name") {
  if (shared.empty()) {
    MESSAGE("skipped: there is no shared data folder (malformed)");
    return;
  }
  const auto v1 = gguf::open(shared + "/malformed/gguf-version-1.gguf");
  REQUIRE_FALSE(v1);
  CHECK(v1.error().code() == errc::unsupported);
  CHECK(to_string(v1.error()).find("version 1") != std::string::npos);
  const auto old = gguf::open(shared + "/malformed/pre-gguf-ggml.bin");
  REQUIRE_FALSE(old);
  CHECK(old.error().code() == errc::not_gguf);
  CHECK(to_string(old.error()).find("before GGUF") != std::string::npos);
}
