// SPDX-License-Identifier: Apache-2.0
// Files behind a host's reader, and tensor types of tiled matrices.
#include "doctest.hpp"
#include "raw_gguf.hpp"

#include <bitnet/gguf/sink.hpp>
#include <bitnet/gguf/source.hpp>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

using namespace bitnet;
using gguf::tensor_type;
using gguf::tiled_type;
using gguf_test::raw_gguf;

namespace {

struct reader {
  std::vector<std::byte> bytes;
  std::uint64_t announced = bytes.size();
  std::uint64_t behind_tables = ~std::uint64_t{0};
  bool read_data = false;

  [[nodiscard]] std::uint64_t size() const { return announced; }
  [[nodiscard]] status read(std::uint64_t offset, std::span<std::byte> out) {
    if (out.size() > bytes.size() || offset > bytes.size() - out.size())
      return error{errc::truncated, ""};
    read_data = read_data || offset + out.size() > behind_tables;
    std::memcpy(out.data(), bytes.data() + offset, out.size());
    return {};
  }
};

/// A file with a long table and two tensors of recognisable bytes.
reader long_file() {
  gguf::writer w;
  const std::vector<std::string> words(30000, "a word of the vocabulary");
  REQUIRE(w.set("words", words));
  REQUIRE(w.add_tensor("a", {500000}, tensor_type::f32));
  REQUIRE(w.add_tensor("b", {64, 3}, tensor_type::i8));
  gguf::memory_sink sink;
  auto out = w.begin(sink);
  REQUIRE(out);
  const std::vector<float> a(500000, 1.5F);
  REQUIRE(out->write(std::as_bytes(std::span{a})));
  std::vector<std::byte> b(192);
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<std::byte>(i);
  REQUIRE(out->write(b));
  REQUIRE(out->finish());
  return {std::move(sink.bytes)};
}

}  // namespace

TEST_CASE("tables are read without the tensors, and tensors in pieces") {
  reader file = long_file();
  const auto d = gguf::read(file);
  REQUIRE(d);
  const auto whole = gguf::view(file.bytes);
  REQUIRE(whole);
  CHECK(d->meta().size() == whole->meta().size());
  CHECK(d->parts()[0].size() == file.bytes.size());
  CHECK(d->parts()[0].data_offset() == whole->parts()[0].data_offset());
  REQUIRE(d->tensors().size() == 2);
  const auto* b = d->find("b");
  REQUIRE(b != nullptr);
  CHECK(b->data.empty());
  CHECK(b->size == 192);
  CHECK(b->offset == whole->find("b")->offset);
  std::byte some[10];
  REQUIRE(d->read_tensor(*b, 100, some));
  CHECK(some[0] == std::byte{100});
  CHECK(some[9] == std::byte{109});
  REQUIRE(whole->read_tensor(*whole->find("b"), 182, some));
  CHECK(some[9] == std::byte{191});
}

TEST_CASE("whatever part of a file there is, the error is that of a whole one") {
  const reader file = long_file();
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{3}, std::size_t{30}, std::size_t{65536}, std::size_t{65537},
        std::size_t{700000}, file.bytes.size() - 1}) {
    CAPTURE(size);
    reader cut{{file.bytes.begin(), file.bytes.begin() + static_cast<std::ptrdiff_t>(size)}};
    const auto a = gguf::read(cut);
    const auto b = gguf::view(cut.bytes);
    REQUIRE(!a);
    REQUIRE(!b);
    CHECK(to_string(a.error()) == to_string(b.error()));
  }
  // A size that is a lie: the reader says so when it gets there.
  reader lies = long_file();
  lies.announced += 1000000;
  const auto d = gguf::read(lies);
  REQUIRE(d);
  lies.announced -= 1;
  std::byte one[1];
  const auto changed = d->read_tensor(*d->find("a"), 8, one);
  REQUIRE(!changed);
  CHECK(changed.error().code() == errc::io);
  CHECK(changed.error().what() == "a");
  CHECK(changed.error().offset() == d->find("a")->offset + 8);
  lies.announced += 1;
  lies.bytes.resize(lies.bytes.size() - 192);
  const auto failed = d->read_tensor(*d->find("b"), 0, one);
  REQUIRE(!failed);
  CHECK(failed.error().code() == errc::truncated);
  CHECK(failed.error().message() == "the reader failed");
  // Tables that go on for ever.
  reader endless{raw_gguf{0, std::uint64_t{1} << 20}.bytes};
  endless.announced = std::numeric_limits<std::uint64_t>::max();
  CHECK(!gguf::read(endless));
}

TEST_CASE("ids of tiled types say what they are, and everything else is refused") {
  std::size_t known = 0;
  for (std::uint32_t low = 0; low < 65536; ++low) {
    const std::uint32_t id = 0x62740000U | low;
    const auto t = tiled_type::of(id);
    if (!t) continue;
    ++known;
    CHECK(t->id() == id);
    CHECK(!t->name().empty());
    CHECK(gguf::as_tiled(static_cast<tensor_type>(id)));
    CHECK(gguf::name_of(static_cast<tensor_type>(id)) == t->name());
    CHECK(t->group % tiled_type::encodings[t->encoding].columns == 0);
  }
  CHECK(known > 3 * 8 * 10);
  CHECK(!tiled_type::of(0));
  CHECK(!tiled_type::of(36));
  CHECK(!gguf::as_tiled(tensor_type::q2_0_g128));
  CHECK(!tiled_type{0, 24, false, false, false}.id());
  CHECK(!tiled_type{99, 0, false, false, false}.id());

  // 20 rows of 40 columns: 2 tiles of 3 lines, 32 scales of 4 bytes.
  CHECK(tiled_type{0, 0, false, false, false}.bytes(40, 20) == 2 * 3 * 64 + 128);
  // 3 groups of 16 columns: 2 * 3 * 16 f16 scales, and mins behind a multiple of 64.
  CHECK(tiled_type{2, 16, true, true, false}.bytes(40, 20) == 2 * 10 * 64 + 192 + 384);
  constexpr std::uint64_t much = std::uint64_t{1} << 62;
  CHECK(!tiled_type{2, 16, true, true, false}.bytes(4, much));
  CHECK(!tiled_type{2, 16, true, true, false}.bytes(much, 4));
  CHECK(tiled_type{0, 0, true, true, false}.bytes(0, 0) == 0);
}

TEST_CASE("tiled tensors need the version of their layout") {
  const std::uint32_t id = *tiled_type{0, 0, false, false, false}.id();
  const auto file = [&](std::uint64_t keys, std::uint32_t version, std::uint32_t type) {
    raw_gguf g{1, keys};
    if (keys != 0) g.key(gguf::layout_key, gguf::value_type::u32, version);
    g.tensor("t", {40, 20}, type, 0).data(512);
    return g;
  };
  CHECK(file(1, gguf::layout_version, id).code() == std::nullopt);
  const raw_gguf good = file(1, gguf::layout_version, id);
  CHECK(good.parse()->find("t")->size == 512);
  CHECK(file(0, 0, id).code() == errc::missing);
  CHECK(file(1, 2, id).code() == errc::unsupported);
  CHECK(file(1, 0, 0).code() == errc::unsupported);
  CHECK(file(1, gguf::layout_version, id | 0x80U).code() == errc::unknown);
  raw_gguf cut{1, 1};
  cut.key(gguf::layout_key, gguf::value_type::u32, gguf::layout_version);
  cut.tensor("t", {40, 20}, id, 0).data(511);
  CHECK(cut.code() == errc::truncated);
}
