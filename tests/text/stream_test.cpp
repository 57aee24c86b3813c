// SPDX-License-Identifier: Apache-2.0
// Whole characters out of broken pieces, and stop strings.
#include "doctest.hpp"

#include <bitnet/text/stop.hpp>
#include <bitnet/text/stream.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using namespace bitnet::text;

namespace {

/// Everything that comes out of a stream fed with pieces of `step` bytes.
std::string streamed(std::string_view bytes, std::size_t step) {
  utf8_stream stream;
  std::string out;
  const auto sink = [&](std::string_view s) {
    CHECK(!s.empty());
    for (std::size_t i = 0; i < s.size();) {  // whole characters only
      const decoded_char c = decode_utf8(s, i);
      CHECK(c.valid);
      i += c.size;
    }
    out += s;
    return true;
  };
  for (std::size_t i = 0; i < bytes.size(); i += step)
    CHECK(stream.push(bytes.substr(i, step), sink));
  CHECK(stream.flush(sink));
  CHECK(stream.pending() == 0);
  return out;
}

/// What is shown before a stop, fed with pieces of `step` bytes; '#' at the end marks a match.
std::string stopped(const std::vector<std::string>& stops, std::string_view text,
                    std::size_t step) {
  auto matcher = stop_matcher::make(stops);
  REQUIRE(matcher);
  std::string out;
  const auto sink = [&](std::string_view s) {
    out += s;
    return true;
  };
  bool going = true;
  for (std::size_t i = 0; i < text.size() && going; i += step)
    going = matcher->push(text.substr(i, step), sink);
  CHECK(going != matcher->matched());
  if (going) CHECK(matcher->flush(sink));
  return matcher->matched() ? out + "#" : out;
}

/// The plain way: the first end of a stop string, the longest one there.
std::string stopped_slowly(const std::vector<std::string>& stops, std::string_view text) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& s : stops)
      if (text.substr(0, end).ends_with(s)) longest = std::max(longest, s.size());
    if (longest != 0) return std::string{text.substr(0, end - longest)} + "#";
  }
  return std::string{text};
}

}  // namespace

TEST_CASE("utf8_stream passes on whole characters however the bytes are cut") {
  const std::string text = "a\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \xED\x9F\xBF z";
  for (std::size_t step = 1; step <= text.size(); ++step) CHECK(streamed(text, step) == text);
}

TEST_CASE("utf8_stream replaces what is no UTF-8") {
  const std::string r = "\xEF\xBF\xBD";
  const struct {
    std::string bytes, expected;
  } cases[] = {{"\x80", r},
               {"a\xC3", "a" + r},
               {"\xC3(", r + "("},
               {"\xE2\x82", r},
               {"\xE2\x82\xE2\x82\xAC", r + "\xE2\x82\xAC"},
               {"\xC0\xAF", r + r},
               {"\xE0\x80\x80", r + r + r},
               {"\xED\xA0\x80", r + r + r},
               {"\xF4\x90\x80\x80", r + r + r + r},
               {"\xF0\x9F\x98"
                "A",
                r + "A"},
               {"\xFF"
                "x\xFE",
                r + "x" + r}};
  for (const auto& c : cases)
    for (std::size_t step = 1; step <= c.bytes.size(); ++step)
      CHECK(streamed(c.bytes, step) == c.expected);
}

TEST_CASE("utf8_stream stops when the sink does") {
  utf8_stream stream;
  int calls = 0;
  const auto refuse = [&](std::string_view) {
    ++calls;
    return false;
  };
  CHECK(!stream.push("abc\xC3\xA9 def", refuse));
  CHECK(calls == 1);
}

TEST_CASE("stop strings are never shown, however the text is cut") {
  const struct {
    std::vector<std::string> stops;
    std::string text, expected;
  } cases[] = {{{"</s>"}, "Hello</s>more", "Hello#"},
               {{"</s>"}, "Hello</s", "Hello</s"},
               {{"</s>"}, "a<</s>", "a<#"},
               {{"aab"}, "aaaab", "aa#"},
               {{"abcd", "bc"}, "xabcd", "xa#"},
               {{"User:", "\n\n"}, "Hi\nUser: you", "Hi\n#"},
               {{"abc", "c"}, "xxabc", "xx#"},
               {{"x"}, "", ""},
               {{"x"}, "x", "#"},
               {{}, "all of it", "all of it"}};
  for (const auto& c : cases) {
    CHECK(stopped_slowly(c.stops, c.text) == c.expected);
    for (std::size_t step = 1; step <= c.text.size() + 1; ++step)
      CHECK(stopped(c.stops, c.text, step) == c.expected);
  }
}

TEST_CASE("stop strings: random texts over two letters") {
  std::uint32_t state = 12345;
  const auto random = [&](std::uint32_t below) {
    state = state * 1664525U + 1013904223U;
    return (state >> 16) % below;
  };
  const auto letters = [&](std::size_t size) {
    std::string s;
    for (std::size_t i = 0; i < size; ++i) s += random(2) == 0 ? 'a' : 'b';
    return s;
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<std::string> stops(1 + random(3));
    for (auto& s : stops) s = letters(1 + random(6));
    const std::string text = letters(random(24));
    const std::string expected = stopped_slowly(stops, text);
    CHECK(stopped(stops, text, 1 + random(5)) == expected);
  }
}

TEST_CASE("stop strings: errors and starting over") {
  const std::vector<std::string> empty{""};
  CHECK(stop_matcher::make(empty).error().code() == bitnet::errc::invalid_argument);
  const std::vector<std::string> stops{"end"};
  auto matcher = stop_matcher::make(stops);
  REQUIRE(matcher);
  std::string out;
  const auto sink = [&](std::string_view s) {
    out += s;
    return true;
  };
  CHECK(!matcher->push("the end.", sink));
  CHECK(matcher->matched());
  CHECK(!matcher->push("more", sink));
  CHECK(out == "the ");
  matcher->reset();
  CHECK(matcher->push("more en", sink));
  CHECK(out == "the more ");
  CHECK(matcher->flush(sink));
  CHECK(out == "the more en");
}
