// SPDX-License-Identifier: Apache-2.0
// Copies with edited metadata, and tensors that are copied from memory and through readers.
#include "doctest.hpp"

#include <bitnet/gguf/edit.hpp>
#include <bitnet/gguf/sink.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

using namespace bitnet;

namespace {

constexpr std::size_t large = std::size_t{5} << 20;  // more than a piece of copy_tensor()

/// Three keys and two tensors, one of them large.
std::vector<std::byte> original() {
  gguf::writer w;
  CHECK(w.set("a", std::uint32_t{1}));
  CHECK(w.set("b", "two"));
  CHECK(w.set("c", 3.0F));
  CHECK(w.add_tensor("small", {3}, gguf::tensor_type::i8));
  CHECK(w.add_tensor("large", {large / 5, 5}, gguf::tensor_type::i8));  // rows as wasm32 takes them
  gguf::memory_sink sink;
  auto out = w.begin(sink);
  REQUIRE(out);
  std::vector<std::byte> bytes(3 + large);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(i * 2654435761U >> 24);
  CHECK(out->write(std::span{bytes}.first(3)));
  CHECK(out->write(std::span{bytes}.subspan(3)));
  CHECK(out->finish());
  return std::move(sink.bytes);
}

struct memory_reader {
  const std::vector<std::byte>* bytes;
  std::size_t largest = 0;
  bool fails = false;

  [[nodiscard]] std::uint64_t size() const { return bytes->size(); }
  [[nodiscard]] status read(std::uint64_t offset, std::span<std::byte> out) {
    if (fails) return error{errc::io, "the disk is gone"};
    largest = std::max(largest, out.size());
    std::memcpy(out.data(), bytes->data() + offset, out.size());
    return {};
  }
};

/// A stream that keeps what it is given, up to a limit.
struct collector {
  std::vector<std::byte> bytes;
  std::size_t room = ~std::size_t{0};

  [[nodiscard]] status write(std::span<const std::byte> more) {
    if (more.size() > room - bytes.size()) return error{errc::io, "full"};
    bytes.insert(bytes.end(), more.begin(), more.end());
    return {};
  }
};

std::string keys_after(const gguf::metadata_edits& edits) {
  const auto bytes = original();
  const auto from = gguf::parse(bytes);
  REQUIRE(from);
  gguf::writer w;
  CHECK(edits.apply(from->meta(), w));
  gguf::memory_sink sink;
  CHECK(w.begin(sink));
  const auto to = gguf::parse(sink.bytes);
  REQUIRE(to);
  std::string keys;
  for (const auto& [key, value] : to->meta()) {
    keys += std::string{key} + ':' + std::string{gguf::name_of(value.type())};
    if (const auto number = value.as<std::int64_t>()) keys += '=' + std::to_string(*number);
    keys += ' ';
  }
  return keys;
}

}  // namespace

TEST_CASE("edits change keys in their place and add new ones behind") {
  gguf::metadata_edits edits;
  CHECK(keys_after(edits) == "a:u32=1 b:string c:f32 ");
  edits.set("b", std::int8_t{-5});
  edits.set("d", true);
  CHECK(keys_after(edits) == "a:u32=1 b:i8=-5 c:f32 d:bool ");
  edits.remove("a");
  edits.set("d", std::uint64_t{7});
  CHECK(keys_after(edits) == "b:i8=-5 c:f32 d:u64=7 ");
  edits.keep("a");
  edits.keep("d");
  edits.keep("no such key");
  edits.remove("no such key");
  CHECK(keys_after(edits) == "a:u32=1 b:i8=-5 c:f32 ");
  edits.set(gguf::split_count_key, std::uint16_t{2});
  edits.remove_split();
  CHECK(keys_after(edits) == "a:u32=1 b:i8=-5 c:f32 ");
}

TEST_CASE("values that no file can have are refused by key") {
  const auto bytes = original();
  const auto from = gguf::parse(bytes);
  REQUIRE(from);
  gguf::metadata_edits edits;
  edits.set(gguf::alignment_key, std::uint32_t{3});
  gguf::writer w;
  const auto done = edits.apply(from->meta(), w);
  REQUIRE(!done);
  CHECK(done.error().what() == gguf::alignment_key);
}

TEST_CASE("tensors are copied from memory and in pieces through a reader") {
  const auto bytes = original();
  const auto mapped = gguf::view(bytes);
  REQUIRE(mapped);
  memory_reader reader{&bytes};
  const auto read = gguf::read(reader);
  REQUIRE(read);
  reader.largest = 0;
  for (const char* name : {"small", "large"}) {
    collector a;
    collector b;
    CHECK(gguf::copy_tensor(*mapped, *mapped->find(name), a));
    CHECK(gguf::copy_tensor(*read, *read->find(name), b));
    CHECK(a.bytes.size() == mapped->find(name)->size);
    CHECK(a.bytes == b.bytes);
    collector full{.bytes = {}, .room = 2};
    CHECK(gguf::copy_tensor(*read, *read->find(name), full).error().message() == "full");
  }
  CHECK(reader.largest <= std::size_t{4} << 20);
  reader.fails = true;
  collector c;
  const auto failed = gguf::copy_tensor(*read, *read->find("large"), c);
  REQUIRE(!failed);
  CHECK(failed.error().what() == "large");
}
