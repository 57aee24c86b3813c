// SPDX-License-Identifier: Apache-2.0
// JSON: what RFC 8259 has is read, everything else is refused with its place.
#include "doctest.hpp"

#include <bitnet/convert/json.hpp>

#include <string>
#include <string_view>

namespace {

using namespace bitnet;
using namespace bitnet::convert;

json::document parsed(std::string_view text) {
  auto d = json::parse(text, "file");
  REQUIRE(d);
  return *std::move(d);
}

std::uint64_t refused_at(std::string_view text) {
  const auto d = json::parse(text, "file");
  CHECK_FALSE(d);
  return d ? ~std::uint64_t{0} : d.error().offset();
}

}  // namespace

TEST_CASE("values of every kind are read") {
  const auto d = parsed(R"( {"a": [1, -2.5e3, "x", true, false, null, {}, []], "b": {"c": "d"},)"
                        R"( "": 18446744073709551615} )");
  const json::value root = json::root(d);
  CHECK(root.size() == 3);
  const auto list = *root.find("a");
  CHECK(list.size() == 8);
  auto at = list.begin();
  CHECK(*(*at).as<std::uint64_t>() == 1);
  ++at;
  CHECK(*(*at).as<double>() == -2500.0);
  CHECK_FALSE((*at).as<std::int64_t>());
  ++at;
  CHECK(*(*at).as<std::string_view>() == "x");
  ++at;
  CHECK(*(*at).as<bool>());
  std::size_t count = 0;
  for (const json::value v : list) count += v.is(json::kind::null) ? 100U : 1U;
  CHECK(count == 107);
  CHECK(*root.find("b")->get<std::string_view>("c") == "d");
  CHECK(*root.get<std::uint64_t>("") == ~std::uint64_t{0});
}

TEST_CASE("strings: escapes, surrogate pairs, UTF-8") {
  const auto d =
      parsed("[\"\\u0120a\\n\\\"\\\\\\/\", \"\\ud83e\\udd8a\", \"\xC4\xA0\", \"\\u0000\"]");
  auto at = json::root(d).begin();
  CHECK((*at).text() ==
        "\xC4\xA0"
        "a\n\"\\/");
  ++at;
  CHECK((*at).text() == "\xF0\x9F\xA6\x8A");
  ++at;
  CHECK((*at).text() == "\xC4\xA0");
  ++at;
  CHECK((*at).text() == std::string_view{"\0", 1});
}

TEST_CASE("what is no JSON is refused, with its place") {
  CHECK(refused_at("") == 0);
  CHECK(refused_at("  ") == 2);
  CHECK(refused_at("[1,]") == 3);
  CHECK(refused_at("{\"a\":1,}") == 7);
  CHECK(refused_at("[1] 2") == 4);
  CHECK(refused_at("[01]") == 3);
  CHECK(refused_at("[1.]") == 3);
  CHECK(refused_at("[+1]") == 1);
  CHECK(refused_at("[NaN]") == 1);
  CHECK(refused_at("[tru]") == 1);
  CHECK(refused_at("{a:1}") == 1);
  CHECK(refused_at("[\"a]") == 4);
  CHECK(refused_at("[\"\n\"]") == 2);
  CHECK(refused_at("[\"\\x\"]") == 3);
  for (const std::string_view bad :
       {"[\"\\ud83e\"]", "[\"\\ud83e\\u0041\"]", "[\"\\udd8a\"]", "[\"\\u12g4\"]", "[\"\xFF\"]",
        "[\"\xC0\x80\"]", "[\"\xED\xA0\x80\"]", "[\"\xE2\x82\"]", "[\"\xF4\x90\x80\x80\"]", "[1 2]",
        "{\"a\" 1}", "{\"a\":}", "[", "{", "\"", "-", "1e", "[1e+]", "/**/1"})
    CHECK_FALSE(json::parse(bad, "file"));
  CHECK_FALSE(json::parse(std::string(100, '['), "file"));
  CHECK(json::parse(std::string(60, '[') + std::string(60, ']'), "file"));
}

TEST_CASE("two members of one name are refused, escaped or not, few or many") {
  CHECK(refused_at(R"({"a": 1, "b": 2, "a": 3})") == 22);
  CHECK_FALSE(json::parse(R"({"a": 1, "\u0061": 3})", "file"));
  std::string many = "{";
  for (int i = 0; i < 1000; ++i) many += "\"k" + std::to_string(i) + "\":0,";
  CHECK(json::parse(many + "\"last\":0}", "file"));
  CHECK_FALSE(json::parse(many + "\"k500\":0}", "file"));
  CHECK(json::parse(R"({"a": {"a": 1}})", "file"));
}

TEST_CASE("errors name the file and the key") {
  const auto d = parsed(R"({"eps": "x", "n": 1.5, "none": null})");
  const json::value root = json::root(d);
  const auto eps = root.get<double>("eps");
  REQUIRE_FALSE(eps);
  CHECK(eps.error().code() == errc::wrong_type);
  CHECK(eps.error().what() == "file: eps");
  CHECK(eps.error().offset() == 8);
  CHECK(root.get<std::uint64_t>("n").error().code() == errc::wrong_type);
  CHECK(root.get<bool>("none").error().code() == errc::missing);
  CHECK(root.get<bool>("absent").error().what() == "file: absent");
  CHECK(*root.get_or<bool>("none", true));
  CHECK_FALSE(root.get_or<bool>("eps", true));
}
