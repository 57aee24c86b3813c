// SPDX-License-Identifier: Apache-2.0
// Reading metadata as typed values: widening, ranges, arrays, and what is an error.
#include "doctest.hpp"
#include "raw_gguf.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace bitnet;
using gguf::array_view;
using gguf::string_array;
using gguf::value_type;
using gguf_test::raw_gguf;

namespace {
template <class T>
errc failure(const gguf::metadata& m, std::string_view key) {
  const auto r = m.get<T>(key);
  REQUIRE_FALSE(r);
  CHECK(r.error().what() == key);
  return r.error().code();
}
}  // namespace

TEST_CASE("integers widen and narrow by value, never by truncation") {
  raw_gguf g{0, 8};
  g.key("u8", value_type::u8, std::uint8_t{200});
  g.key("i8", value_type::i8, std::int8_t{-5});
  g.key("u16", value_type::u16, std::uint16_t{40000});
  g.key("i16", value_type::i16, std::int16_t{-300});
  g.key("u32", value_type::u32, std::uint32_t{4000000000});
  g.key("i32", value_type::i32, std::int32_t{-70000});
  g.key("u64", value_type::u64, ~std::uint64_t{0});
  g.key("i64", value_type::i64, std::numeric_limits<std::int64_t>::min());
  const auto f = g.parse();
  REQUIRE(f);
  const gguf::metadata& m = f->meta();
  CHECK(*m.get<std::uint64_t>("u8") == 200);
  CHECK(*m.get<std::int64_t>("i8") == -5);
  CHECK(*m.get<std::size_t>("u16") == 40000);
  CHECK(*m.get<short>("i16") == -300);
  CHECK(*m.get<long long>("u32") == 4000000000);
  CHECK(*m.get<int>("i32") == -70000);
  CHECK(*m.get<std::uint64_t>("u64") == ~std::uint64_t{0});
  CHECK(*m.get<std::int64_t>("i64") == std::numeric_limits<std::int64_t>::min());
  CHECK(failure<std::int8_t>(m, "u8") == errc::malformed);
  CHECK(failure<std::uint64_t>(m, "i8") == errc::malformed);
  CHECK(failure<std::int16_t>(m, "u16") == errc::malformed);
  CHECK(failure<std::uint32_t>(m, "i16") == errc::malformed);
  CHECK(failure<std::int32_t>(m, "u32") == errc::malformed);
  CHECK(failure<std::uint8_t>(m, "i32") == errc::malformed);
  CHECK(failure<std::int64_t>(m, "u64") == errc::malformed);
  CHECK(failure<std::uint64_t>(m, "i64") == errc::malformed);
  CHECK(failure<float>(m, "u32") == errc::wrong_type);
  CHECK(failure<bool>(m, "u8") == errc::wrong_type);
  CHECK(failure<std::string_view>(m, "u8") == errc::wrong_type);
  CHECK(failure<array_view<int>>(m, "i32") == errc::wrong_type);
  CHECK(failure<int>(m, "absent") == errc::missing);
}

TEST_CASE("floats, bools and strings") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  raw_gguf g{0, 8};
  g.key("f32", value_type::f32, 0.1F);
  g.key("f64", value_type::f64, 0.25);
  g.key("big", value_type::f64, -1e300);
  g.key("inf", value_type::f64, inf);
  g.key("yes", value_type::boolean, std::uint8_t{2});
  g.key("no", value_type::boolean, std::uint8_t{0});
  g.key("text", value_type::string).string("wor\0d");
  g.key("empty", value_type::string).string("");
  const auto f = g.parse();
  REQUIRE(f);
  const gguf::metadata& m = f->meta();
  CHECK(*m.get<float>("f32") == 0.1F);
  CHECK(*m.get<double>("f32") == static_cast<double>(0.1F));
  CHECK(*m.get<float>("f64") == 0.25F);
  CHECK(*m.get<double>("big") == -1e300);
  CHECK(failure<float>(m, "big") == errc::malformed);
  CHECK(std::isinf(*m.get<float>("inf")));
  CHECK(*m.get<bool>("yes"));
  CHECK_FALSE(*m.get<bool>("no"));
  CHECK(failure<int>(m, "yes") == errc::wrong_type);
  CHECK(failure<int>(m, "f32") == errc::wrong_type);
  CHECK(*m.get<std::string_view>("text") == "wor");
  CHECK(m.get<std::string_view>("empty")->empty());
  CHECK(failure<bool>(m, "text") == errc::wrong_type);
}

TEST_CASE("optional keys fall back when absent and fail when of a wrong type") {
  raw_gguf g{0, 1};
  g.key("k", value_type::u32, std::uint32_t{9});
  const auto f = g.parse();
  REQUIRE(f);
  const gguf::metadata& m = f->meta();
  CHECK(*m.get_or<int>("k", 1) == 9);
  CHECK(*m.get_or<int>("absent", 1) == 1);
  CHECK(*m.get_or<std::string_view>("absent", "x") == "x");
  CHECK_FALSE(m.get_or<float>("k", 1.0F));
  CHECK(**m.get_optional<int>("k") == 9);
  CHECK_FALSE(m.get_optional<int>("absent")->has_value());
  CHECK(m.get_optional<bool>("k").error().code() == errc::wrong_type);
  CHECK(m.get<bool>("k").error().offset() == 24 + 8 + 1 + 4);
  CHECK(m.contains("k"));
  CHECK_FALSE(m.contains("K"));
}

TEST_CASE("arrays of numbers are read in place, unaligned") {
  raw_gguf g{0, 5};
  g.array("odd length", 5, 3).put(std::int32_t{-1}).put(std::int32_t{7}).put(std::int32_t{9});
  g.array("u32", 4, 2).put(std::uint32_t{1}).put(std::uint32_t{0xffffffff});
  g.array("f32", 6, 2).put(1.5F).put(-2.0F);
  g.array("bool", 7, 3).put(std::uint8_t{0}).put(std::uint8_t{1}).put(std::uint8_t{255});
  g.array("none", 6, 0);
  const auto f = g.parse();
  REQUIRE(f);
  const gguf::metadata& m = f->meta();
  const auto ints = m.get<array_view<std::int32_t>>("odd length");
  REQUIRE(ints);
  CHECK(std::vector<std::int32_t>(ints->begin(), ints->end()) ==
        std::vector<std::int32_t>{-1, 7, 9});
  CHECK((*ints)[2] == 9);
  CHECK(failure<array_view<std::uint32_t>>(m, "odd length") == errc::malformed);
  CHECK(failure<array_view<std::int64_t>>(m, "odd length") == errc::wrong_type);
  CHECK((*m.get<array_view<std::uint32_t>>("u32"))[1] == 0xffffffff);
  CHECK(failure<array_view<std::int32_t>>(m, "u32") == errc::malformed);
  CHECK((*m.get<array_view<float>>("f32"))[1] == -2.0F);
  CHECK(failure<string_array>(m, "f32") == errc::wrong_type);
  CHECK((*m.get<array_view<bool>>("bool"))[2]);
  CHECK_FALSE((*m.get<array_view<bool>>("bool"))[0]);
  CHECK(m.get<array_view<float>>("none")->empty());
  CHECK(failure<float>(m, "none") == errc::wrong_type);
}

TEST_CASE("arrays of strings have constant-time access and survive a move of the file") {
  raw_gguf g{0, 2};
  g.array("tokens", 8, 1000);
  for (int i = 0; i < 1000; ++i)
    g.string(std::string(static_cast<std::size_t>(i % 7), 'x') + std::to_string(i));
  g.array("none", 8, 0);
  auto parsed = g.parse();
  REQUIRE(parsed);
  const auto tokens = parsed->meta().get<string_array>("tokens");
  REQUIRE(tokens);
  const gguf::file moved = *std::move(parsed);
  REQUIRE(tokens->size() == 1000);
  CHECK((*tokens)[999] == "xxxxx999");
  CHECK((*tokens)[0] == "0");
  int i = 0;
  bool equal = true;
  for (const std::string_view t : *tokens) {
    equal = equal && t == std::string(static_cast<std::size_t>(i % 7), 'x') + std::to_string(i);
    ++i;
  }
  CHECK(equal);
  CHECK(i == 1000);
  CHECK(moved.meta().get<string_array>("none")->empty());
  CHECK(failure<array_view<std::uint8_t>>(moved.meta(), "tokens") == errc::wrong_type);
}

TEST_CASE("iteration is in file order and shows types") {
  raw_gguf g{0, 3};
  g.key("z", value_type::u8, std::uint8_t{1});
  g.array("a", 4, 1).put(std::uint32_t{5});
  g.key("m", value_type::f64, 1.0);
  const auto f = g.parse();
  REQUIRE(f);
  std::string text;
  for (const auto& [key, value] : f->meta()) {
    text += key;
    text += ':';
    text += gguf::name_of(value.type());
    text += '/';
    text += gguf::name_of(value.element_type());
    text += ' ';
  }
  CHECK(text == "z:u8/u8 a:array/u32 m:f64/f64 ");
  CHECK(f->meta().size() == 3);
}
