// SPDX-License-Identifier: Apache-2.0
// UTF-8, character classes, normalization.
#include "doctest.hpp"

#include <bitnet/text/nfc.hpp>
#include <bitnet/text/unicode.hpp>

#include <string>
#include <string_view>

using namespace bitnet::text;

TEST_CASE("code points survive encoding and decoding") {
  for (char32_t code = 0; code <= last_code_point; ++code) {
    std::string bytes;
    append_utf8(bytes, code);
    const decoded_char c = decode_utf8(bytes, 0);
    if (c.code != code || c.size != bytes.size() || !c.valid) FAIL("code point ", code);
  }
  CHECK(true);
}

TEST_CASE("broken UTF-8 is read byte by byte, overlong forms as their character") {
  const auto repaired = [](std::string_view text) {
    std::string storage;
    return std::string{repair_utf8(text, storage)};
  };
  CHECK(repaired("caf\xC3\xA9") == "caf\xC3\xA9");
  CHECK(repaired("a\x80z") == "a\xEF\xBF\xBDz");
  CHECK(repaired("\xE2\x82") == "\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(repaired("\xC3") == "\xEF\xBF\xBD");
  CHECK(repaired("\xC0\xAF") == "/");
  CHECK(repaired("\xED\xA0\x80") == "\xED\xA0\x80");  // an encoded surrogate
  CHECK(repaired("\xF4\x90\x80\x80").size() == 4 * 3);
  CHECK(repaired("\xFF\xFE").size() == 2 * 3);
}

TEST_CASE("character classes") {
  const struct {
    char32_t code;
    char_class cls;
  } expected[] = {{U'a', char_class::letter},      {U'Z', char_class::letter},
                  {U'7', char_class::number},      {U' ', char_class::whitespace},
                  {U'\n', char_class::whitespace}, {0x1C, char_class::other},
                  {0x85, char_class::whitespace},  {0xA0, char_class::whitespace},
                  {U'$', char_class::symbol},      {U'_', char_class::punctuation},
                  {U'`', char_class::symbol},      {0x00BD, char_class::number},
                  {0x0301, char_class::mark},      {0x3000, char_class::whitespace},
                  {0x200B, char_class::other},     {0x4E00, char_class::letter},
                  {0x9FFF, char_class::letter},    {0xAC00, char_class::letter},
                  {0xD800, char_class::other},     {0xE000, char_class::other},
                  {0x1F600, char_class::symbol},   {0x1D7CE, char_class::number},
                  {0x20000, char_class::letter},   {0x10FFFF, char_class::other},
                  {0x110000, char_class::other},   {0xFFFFFFFF, char_class::other},
                  {0x0660, char_class::number},    {0x2028, char_class::whitespace}};
  for (const auto& e : expected) CHECK_MESSAGE(class_of(e.code) == e.cls, static_cast<int>(e.code));
}

TEST_CASE("normalization form C") {
  const auto nfc = [](std::string_view text) {
    std::string storage;
    return std::string{to_nfc(text, storage)};
  };
  CHECK(nfc("plain") == "plain");
  CHECK(nfc("e\xCC\x81") == "\xC3\xA9");              // e + acute
  CHECK(nfc("\xE2\x84\xAB") == "\xC3\x85");           // angstrom sign, a singleton
  CHECK(nfc("a\xCC\xA3\xCC\x82") == "\xE1\xBA\xAD");  // in order: dot below, circumflex
  CHECK(nfc("a\xCC\x82\xCC\xA3") == "\xE1\xBA\xAD");  // out of order
  CHECK(nfc("\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8") == "\xEA\xB0\x81");  // Hangul L V T
  CHECK(nfc("\xEA\xB0\x80\xE1\x86\xA8") == "\xEA\xB0\x81");              // Hangul LV T
  CHECK(nfc("\xE0\xA5\x98") == "\xE0\xA4\x95\xE0\xA4\xBC");              // a composition exclusion
  CHECK(nfc("\xCC\x81"
            "a") ==
        "\xCC\x81"
        "a");                                             // a mark with nothing before
  CHECK(nfc("a\xCC\x81\xCC\x81") == "\xC3\xA1\xCC\x81");  // a blocked second accent
  CHECK(nfc("\xFF"
            "e\xCC\x81\x80") == "\xFF\xC3\xA9\x80");  // broken bytes stay
}
