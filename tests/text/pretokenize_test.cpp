// SPDX-License-Identifier: Apache-2.0
// Where each pre-tokenizer cuts.
#include "doctest.hpp"

#include <bitnet/text/pretokenize.hpp>

#include <string>
#include <string_view>

using namespace bitnet::text;

namespace {
std::string words(pre_tokenizer kind, std::string_view text) {
  std::string joined;
  std::string whole;
  split_words(kind, text, [&](std::string_view word) {
    if (!joined.empty()) joined += '|';
    joined += word;
    whole += word;
    CHECK(!word.empty());
  });
  CHECK(whole == text);
  return joined;
}
}  // namespace

TEST_CASE("gpt2 words") {
  const auto w = [](std::string_view s) { return words(pre_tokenizer::gpt2, s); };
  CHECK(w("Hello world") == "Hello| world");
  CHECK(w("It's we'll I'D x") == "It|'s| we|'ll| I|'|D| x");
  CHECK(w("a  b   ") == "a| | b|   ");
  CHECK(w("abc123 456?!\n") == "abc|123| 456|?!|\n");
  CHECK(w("  \n\n x") == "  \n\n| x");
  CHECK(w(" ") == " ");
  CHECK(w("").empty());
  CHECK(w("\xFF\xFE a") == "\xFF\xFE| a");
}

TEST_CASE("llama3 words") {
  const auto w = [](std::string_view s) { return words(pre_tokenizer::llama3, s); };
  CHECK(w("It's WE'LL x'y") == "It|'s| WE|'LL| x|'y");
  CHECK(w("12345 6789") == "123|45| |678|9");
  CHECK(w("(hello) .x") == "(hello|)| .|x");
  CHECK(w("a!!\r\n\nb") == "a|!!\r\n\n|b");
  CHECK(w("a  \n \n  b") == "a|  \n \n| | b");
  CHECK(w("a\tb") == "a|\tb");
  CHECK(w("\nb") == "\n|b");
  CHECK(w("x   ") == "x|   ");
  CHECK(w("' ") == "'| ");
  CHECK(w("e\xCC\x81t") == "e|\xCC\x81t");  // a combining accent is no letter
}

TEST_CASE("qwen words") {
  CHECK(words(pre_tokenizer::qwen2, "a12 3") == "a|1|2| |3");
  CHECK(words(pre_tokenizer::qwen2, "e\xCC\x81t") == "e|\xCC\x81t");
  CHECK(words(pre_tokenizer::qwen35, "e\xCC\x81t 12") == "e\xCC\x81t| |1|2");
  CHECK(words(pre_tokenizer::qwen35, "!\xCC\x81") == "!\xCC\x81");
}

TEST_CASE("standard words") {
  const auto w = [](std::string_view s) { return words(pre_tokenizer::standard, s); };
  CHECK(w("Hello, it's 12345.") == "Hello|,| it|'|s| |123|45|.");
  CHECK(w("a+b=`c`") == "a|+|b|=|`|c|`");
  CHECK(w("1\xC2\xBD"
          "2345") == "1\xC2\xBD|234|5");  // one half is a number but no ASCII digit
  CHECK(w("x  .") == "x|  |.");
}

TEST_CASE("names of pre-tokenizers") {
  CHECK(*find_pre_tokenizer("llama-bpe") == pre_tokenizer::llama3);
  CHECK(*find_pre_tokenizer("falcon3") == pre_tokenizer::llama3);
  CHECK(*find_pre_tokenizer("qwen2") == pre_tokenizer::qwen2);
  CHECK(*find_pre_tokenizer("gpt-2") == pre_tokenizer::gpt2);
  CHECK(*find_pre_tokenizer("") == pre_tokenizer::standard);
  const auto unknown = find_pre_tokenizer("starcoder");
  REQUIRE(!unknown);
  CHECK(unknown.error().code() == bitnet::errc::unknown);
  CHECK(unknown.error().what() == "starcoder");
}

TEST_CASE("long runs are cut in linear time") {
  for (const char c : {' ', '\n', 'a', '1', '!', '\''}) {
    const std::string text(1 << 20, c);
    for (const auto kind : {pre_tokenizer::gpt2, pre_tokenizer::llama3, pre_tokenizer::qwen2,
                            pre_tokenizer::standard}) {
      std::size_t bytes = 0;
      split_words(kind, text, [&](std::string_view word) { bytes += word.size(); });
      CHECK(bytes == text.size());
    }
  }
}
