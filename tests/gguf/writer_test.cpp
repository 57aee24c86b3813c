// SPDX-License-Identifier: Apache-2.0
// What the writer writes is what the parser reads; wrong calls are errors; files appear when whole.
#include "doctest.hpp"
#include "folder.hpp"
#include "raw_gguf.hpp"
#include "touch.hpp"

#include <bitnet/gguf/source.hpp>

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

using namespace bitnet;
using gguf::array_view;
using gguf::tensor_type;
using gguf_test::read_all;
using testing::folder;

namespace {
std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
  std::vector<std::byte> out(size);
  for (std::size_t i = 0; i < size; ++i)
    out[i] = static_cast<std::byte>((i * 131 + seed * 29) & 255U);
  return out;
}

/// A sink that refuses to go beyond a number of bytes.
struct full_disk {
  std::size_t room;
  [[nodiscard]] status write(std::span<const std::byte> more) noexcept {
    if (more.size() > room) return error{errc::io, "full"};
    room -= more.size();
    return {};
  }
};
}  // namespace

TEST_CASE("all kinds of values come back as they were set") {
  gguf::writer w;
  REQUIRE(w.set("text", "literal"));
  REQUIRE(w.set("string", std::string(3000, 's')));
  REQUIRE(w.set("bool", true));
  REQUIRE(w.set("u8", std::uint8_t{255}));
  REQUIRE(w.set("i8", std::int8_t{-128}));
  REQUIRE(w.set("u16", std::uint16_t{65535}));
  REQUIRE(w.set("i16", std::int16_t{-32768}));
  REQUIRE(w.set("u32", 4294967295U));
  REQUIRE(w.set("i32", -2147483647));
  REQUIRE(w.set("u64", ~std::uint64_t{0}));
  REQUIRE(w.set("i64", std::int64_t{-1}));
  REQUIRE(w.set("f32", 1e-16F));
  REQUIRE(w.set("f64", 0.1));
  REQUIRE(w.set("floats", std::vector<float>{1, 2, 3}));
  REQUIRE(w.set("bools", std::vector<bool>{true, false}));
  REQUIRE(w.set("strings", std::vector<std::string>{"a", "", "ccc"}));
  REQUIRE(w.set("ints", std::span<const std::int32_t>{}));
  gguf::memory_sink sink;
  auto stream = w.begin(sink);
  REQUIRE(stream);
  REQUIRE(stream->finish());

  const auto f = gguf::parse(sink.bytes);
  REQUIRE(f);
  const gguf::metadata& m = f->meta();
  REQUIRE(m.size() == 17);
  CHECK(*m.get<std::string_view>("text") == "literal");
  CHECK(m.get<std::string_view>("string")->size() == 3000);
  CHECK(*m.get<bool>("bool"));
  CHECK(*m.get<std::uint8_t>("u8") == 255);
  CHECK(*m.get<std::int8_t>("i8") == -128);
  CHECK(*m.get<std::uint16_t>("u16") == 65535);
  CHECK(*m.get<std::int16_t>("i16") == -32768);
  CHECK(*m.get<std::uint32_t>("u32") == 4294967295U);
  CHECK(*m.get<std::int32_t>("i32") == -2147483647);
  CHECK(*m.get<std::uint64_t>("u64") == ~std::uint64_t{0});
  CHECK(*m.get<std::int64_t>("i64") == -1);
  CHECK(*m.get<float>("f32") == 1e-16F);
  CHECK(*m.get<double>("f64") == 0.1);
  CHECK((*m.get<array_view<float>>("floats"))[2] == 3.0F);
  CHECK((*m.get<array_view<bool>>("bools"))[0]);
  CHECK_FALSE((*m.get<array_view<bool>>("bools"))[1]);
  CHECK((*m.get<gguf::string_array>("strings"))[2] == "ccc");
  CHECK(m.get<array_view<std::int32_t>>("ints")->empty());
  const std::uint32_t types[] = {8, 8, 7, 0, 1, 2, 3, 4, 5, 10, 11, 6, 12, 9, 9, 9, 9};
  std::size_t i = 0;
  for (const auto& e : m) CHECK(static_cast<std::uint32_t>(e.value.type()) == types[i++]);
}

TEST_CASE("tensors come back, in pieces or whole, at any alignment") {
  for (const std::uint32_t alignment : {1U, 8U, 32U, 4096U}) {
    CAPTURE(alignment);
    gguf::writer w;
    REQUIRE(w.set("general.alignment", alignment));
    REQUIRE(w.add_tensor("a", {3}, tensor_type::f32));
    REQUIRE(w.add_tensor("none", {0, 7}, tensor_type::f32));
    REQUIRE(w.add_tensor("b", {64, 3}, tensor_type::iq1_bn));
    REQUIRE(w.add_tensor("scalar", {}, tensor_type::f16));
    REQUIRE(w.add_tensor("c", {256, 2, 2, 1}, tensor_type::tq1_0));
    const auto a = pattern(12, 1);
    const auto b = pattern(45, 2);
    const auto scalar = pattern(2, 3);
    const auto c = pattern(216, 4);
    gguf::memory_sink sink;
    auto out = w.begin(sink);
    REQUIRE(out);
    REQUIRE(out->write(a));
    REQUIRE(out->write(std::span{b}.first(44)));
    REQUIRE(out->write(std::span{b}.last(1)));
    REQUIRE(out->write(scalar));
    CHECK_FALSE(out->finish());
    REQUIRE(out->write(c));
    CHECK(out->finish());
    CHECK_FALSE(out->write(c));
    CHECK(sink.bytes.size() % alignment == 0);

    const auto f = gguf::parse(sink.bytes);
    REQUIRE(f);
    CHECK(f->alignment() == alignment);
    const auto holds = [&](std::string_view name, const std::vector<std::byte>& bytes) {
      const gguf::tensor_info* t = f->find(name);
      REQUIRE(t != nullptr);
      CHECK(t->offset % alignment == 0);
      CHECK(std::equal(t->data.begin(), t->data.end(), bytes.begin(), bytes.end()));
    };
    holds("a", a);
    holds("none", {});
    holds("b", b);
    holds("scalar", scalar);
    holds("c", c);
    CHECK(f->find("c")->n_dims == 4);
    CHECK(f->find("c")->rows() == 4);
    CHECK(f->find("scalar")->n_dims == 0);

    gguf::memory_sink second;
    REQUIRE(gguf_test::rewrite(*f, second));
    CHECK(second.bytes == sink.bytes);
  }
}

TEST_CASE("calls that would write a wrong file are errors that name the key or tensor") {
  gguf::writer w;
  const auto refused = [](const status& s, errc code, std::string_view what) {
    REQUIRE_FALSE(s);
    CHECK(s.error().code() == code);
    CHECK(s.error().what() == what);
  };
  REQUIRE(w.set("k", 1));
  refused(w.set("k", 2), errc::invalid_argument, "k");
  refused(w.set("", 2), errc::invalid_argument, "");
  refused(w.set("general.alignment", 32), errc::invalid_argument, "general.alignment");
  refused(w.set("general.alignment", 24U), errc::invalid_argument, "general.alignment");
  refused(w.set("general.alignment", std::vector<int>{1}), errc::invalid_argument,
          "general.alignment");
  CHECK(w.set(std::string(70000, 'k'), 1).error().code() == errc::limit);
  REQUIRE(w.add_tensor("t", {256}, tensor_type::tq2_0));
  refused(w.add_tensor("t", {256}, tensor_type::tq2_0), errc::invalid_argument, "t");
  refused(w.add_tensor("u", {255}, tensor_type::tq2_0), errc::invalid_argument, "u");
  refused(w.add_tensor("", {256}, tensor_type::tq2_0), errc::invalid_argument, "");
  refused(w.add_tensor("u", {1, 1, 1, 1, 1}, tensor_type::f32), errc::limit, "u");
  refused(w.add_tensor("u", {std::uint64_t{1} << 62}, tensor_type::f32), errc::limit, "u");
  refused(w.add_tensor("u", {std::uint64_t{1} << 62, 4}, tensor_type::f32), errc::limit, "u");
  CHECK(w.add_tensor(std::string(64, 't'), {1}, tensor_type::f32).error().code() == errc::limit);

  gguf::memory_sink sink;
  auto out = w.begin(sink);
  REQUIRE(out);
  CHECK(out->write(pattern(67, 0)).error().code() == errc::invalid_argument);
  CHECK(out->write(pattern(66, 0)));
  CHECK(out->finish());
}

TEST_CASE("an error of the sink comes out of every call") {
  gguf::writer w;
  REQUIRE(w.set("k", std::string(100, 'x')));
  REQUIRE(w.add_tensor("t", {16}, tensor_type::f32));
  gguf::memory_sink whole;
  auto all = w.begin(whole);
  REQUIRE(all);
  const std::size_t head = whole.bytes.size();
  for (const std::size_t room : {std::size_t{0}, std::size_t{23}, std::size_t{24}, head - 1}) {
    full_disk disk{room};
    CHECK(w.begin(disk).error().code() == errc::io);
  }
  full_disk disk{head + 63};
  auto out = w.begin(disk);
  REQUIRE(out);
  CHECK(out->write(pattern(64, 0)).error().code() == errc::io);
}

TEST_CASE("a file appears under its name at commit, whole, and not at all without") {
  folder dir{"bitnet_gguf_sink_test"};
  const std::string name = dir / "model.gguf";
  {
    auto sink = gguf::file_sink::create(name);
    REQUIRE(sink);
    CHECK(sink->write(pattern(100, 1)));
    CHECK(dir.entries() == 1);
    CHECK(read_all(name).empty());
  }
  CHECK(dir.entries() == 0);
  {
    auto sink = gguf::file_sink::create(name);
    auto other = gguf::file_sink::create(name);  // a second writer does not disturb the first
    REQUIRE(sink);
    REQUIRE(other);
    CHECK(other->write(pattern(7, 3)));
    CHECK(sink->write(pattern(100000, 1)));
    CHECK(sink->write(pattern(5, 2)));
    gguf::file_sink moved = *std::move(sink);
    CHECK(moved.commit());
    CHECK_FALSE(moved.commit());
    CHECK(moved.write(pattern(1, 1)).error().code() == errc::invalid_argument);
  }
  CHECK(dir.entries() == 1);
  auto expected = pattern(100000, 1);
  const auto tail = pattern(5, 2);
  expected.insert(expected.end(), tail.begin(), tail.end());
  CHECK(read_all(name) == expected);
  {
    auto sink = gguf::file_sink::create(name);
    REQUIRE(sink);
    CHECK(sink->write(tail));
    CHECK(sink->commit());
  }
  CHECK(read_all(name) == tail);
  CHECK(gguf::file_sink::create(dir / "no/such/folder").error().code() == errc::io);
  CHECK(gguf::file_sink::create("").error().code() == errc::invalid_argument);
}

TEST_CASE("a file sink follows links and leaves what is no file alone") {
  namespace fs = std::filesystem;
  std::error_code ec;
  const folder own{"bitnet-sink-names"};
  const fs::path& at = own.path;
  const std::byte one{1};
  const auto write = [&](const fs::path& path) {
    auto sink = gguf::file_sink::create(path.string());
    return sink && sink->write({&one, 1}) && sink->commit();
  };
  CHECK(write(at / "file"));
  CHECK(!gguf::file_sink::create(at.string()));
  fs::create_symlink(at / "file", at / "link", ec);
#if defined(_WIN32)
  if (ec) return;  // links are a privilege there, and devices have no path
#endif
  REQUIRE(!ec);
  CHECK(write(at / "link"));
  CHECK(fs::is_symlink(at / "link", ec));
  CHECK(fs::is_regular_file(at / "file", ec));
  fs::create_symlink(at / "nothing", at / "dangling", ec);
  for (const fs::path& other : {fs::path{"/dev/null"}, at, at / "dangling"}) {
    const auto sink = gguf::file_sink::create(other.string());
    CHECK(!sink);
    if (!sink) CHECK(sink.error().code() == errc::io);
  }
  CHECK(fs::is_character_file("/dev/null", ec));
}
