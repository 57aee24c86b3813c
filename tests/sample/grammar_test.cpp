// SPDX-License-Identifier: Apache-2.0
// Grammars: what they match, where mistakes are, and that hostile ones end with an error in time.
#include "sample/support.hpp"

#include <bitnet/core/random.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <set>

using namespace sample_test;

namespace {

sample::grammar grammar_of(std::string_view text) {
  auto made = sample::grammar::make(text);
  REQUIRE_MESSAGE(made, (made ? "" : bitnet::to_string(made.error())));
  return *std::move(made);
}

/// Whether a grammar matches what it should among all texts of some letters up to a size.
void check_all(std::string_view text, std::string_view letters, std::size_t longest,
               const std::function<bool(const std::string&)>& expected) {
  CAPTURE(text);
  static const auto bytes = byte_trie();
  const auto g = grammar_of(text);
  auto c = sample::grammar_constraint::make(bytes, g);
  REQUIRE(c);
  std::vector<std::string> texts{""};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string here = texts[i];
    CAPTURE(here);
    CHECK(matches(*c, bytes, here) == expected(here));
    if (here.size() < longest)
      for (const char l : letters) texts.push_back(here + l);
  }
}

bitnet::error error_of(std::string_view text) {
  const auto made = sample::grammar::make(text);
  REQUIRE_MESSAGE(!made, text);
  return made.error();
}

constexpr std::string_view json_grammar = R"(# JSON, after RFC 8259
root   ::= value
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (member ("," ws member)*)? "}"
member ::= string ws ":" ws value ws
array  ::= "[" ws (value ws ("," ws value ws)*)? "]"
string ::= "\"" ([^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\""
number ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
ws     ::= [ \t\n\r]*
)";

}  // namespace

TEST_CASE("grammars match what they say") {
  const auto is = [](std::vector<std::string> texts) {
    return [texts](const std::string& s) {
      return std::find(texts.begin(), texts.end(), s) != texts.end();
    };
  };
  check_all("root ::= \"ab\"", "ab", 3, is({"ab"}));
  check_all("root ::= \"ab\" | \"a\" | \"abb\" | ", "ab", 4, is({"ab", "a", "abb", ""}));
  check_all("root ::= \"a\"\n  | \"b\" # or\n\n|\"ba\"", "ab", 3, is({"a", "b", "ba"}));
  check_all("root ::= (\"a\" [ab]?) \"b\"", "ab", 4, is({"ab", "aab", "abb"}));
  check_all("root ::= \"\"", "ab", 2, is({""}));
  check_all("root ::= x y\nx ::= \"a\" | \"\"\ny ::= x \"b\" x", "ab", 4,
            is({"b", "ab", "ba", "aab", "aba", "aaba"}));
  const auto only = [](char c, std::size_t least, std::size_t most) {
    return [=](const std::string& s) {
      return s.size() >= least && s.size() <= most && s.find_first_not_of(c) == s.npos;
    };
  };
  check_all("root ::= \"a\"*", "ab", 5, only('a', 0, 99));
  check_all("root ::= \"a\"+", "ab", 5, only('a', 1, 99));
  check_all("root ::= \"a\"{2,}", "ab", 5, only('a', 2, 99));
  check_all("root ::= \"a\"{2,4}", "ab", 6, only('a', 2, 4));
  check_all("root ::= \"a\"{ 3 }", "ab", 6, only('a', 3, 3));
  check_all("root ::= ((\"a\"*)*)* \"\"*", "ab", 5, only('a', 0, 99));
  check_all("root ::= (\"a\"?){3}", "ab", 5, only('a', 0, 3));
  check_all("root ::= \"a\" root | \"a\"", "ab", 5, only('a', 1, 99));  // a list as recursion
  check_all("root ::= [^ab]*", "abc", 4, only('c', 0, 99));
  check_all("root ::= ([a-b] [a-b-]? | .)  ", "ab-", 3,
            [](const std::string& s) { return s.size() == 1 || (s.size() == 2 && s[0] != '-'); });
}

TEST_CASE("a group and a repetition meet in what they share") {
  check_all("root ::= (\"ab\" | \"a\")* \"abc\"?", "abc", 6, [](const std::string& s) {
    const std::string t = s.ends_with("abc") ? s.substr(0, s.size() - 3) : s;
    return t.find('c') == t.npos && t.find("bb") == t.npos && !t.starts_with('b');
  });
}

TEST_CASE("recursion is followed like a stack") {
  check_all("root ::= \"a\" root \"b\" | \"\"", "ab", 8, [](const std::string& s) {
    const std::size_t half = s.size() / 2;
    return s == std::string(half, 'a') + std::string(half, 'b');
  });
  check_all("root ::= (\"(\" root \")\")*", "()", 8, [](const std::string& s) {
    int depth = 0;
    for (const char c : s) {
      depth += c == '(' ? 1 : -1;
      if (depth < 0) return false;
    }
    return depth == 0;
  });
  check_all("root ::= \"a\" root \"a\" | \"b\" root \"b\" | \"a\" | \"b\" | \"\"", "ab", 8,
            [](const std::string& s) { return std::equal(s.begin(), s.end(), s.rbegin()); });
  check_all("root ::= sum\nsum ::= term (\"+\" term)*\nterm ::= \"1\" | \"(\" sum \")\"", "1+()", 7,
            [](const std::string& s) {
              std::size_t i = 0;
              std::function<bool()> sum;
              const auto term = [&] {
                if (i < s.size() && s[i] == '1') return ++i, true;
                return i < s.size() && s[i] == '(' && (++i, sum()) && i < s.size() && s[i++] == ')';
              };
              sum = [&] {
                if (!term()) return false;
                while (i < s.size() && s[i] == '+') {
                  ++i;
                  if (!term()) return false;
                }
                return true;
              };
              return sum() && i == s.size();
            });
}

TEST_CASE("classes are sets of characters, spelled in UTF-8") {
  const auto bytes = byte_trie();
  const auto check = [&](std::string_view text, const std::function<bool(char32_t)>& member) {
    CAPTURE(text);
    const auto g = grammar_of(text);
    auto c = sample::grammar_constraint::make(bytes, g);
    REQUIRE(c);
    std::size_t wrong = 0;
    std::string s;
    for (char32_t x = 0; x <= 0x10FFFF; ++x) {
      if (!sample::detail::is_character(x)) continue;
      s.clear();
      sample::detail::append_utf8(s, x);
      if (matches(*c, bytes, s) != member(x)) ++wrong;
    }
    CHECK(wrong == 0);
    for (const std::string_view broken :
         {"\x80", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\xE2\x82", "\xC3"})
      CHECK(!matches(*c, bytes, broken));
  };
  check("root ::= .", [](char32_t) { return true; });
  check("root ::= [^a\\u00E9\\U0001F600-\\U0001F64F]",
        [](char32_t x) { return x != 'a' && x != 0xE9 && !(x >= 0x1F600 && x <= 0x1F64F); });
  check("root ::= [\\x7F-\\u0800\\uD7FF-\\uE000\\]x-]", [](char32_t x) {
    return (x >= 0x7F && x <= 0x800) || (x >= 0xD7FF && x <= 0xE000) || x == ']' || x == 'x' ||
           x == '-';
  });
  check("root ::= [\\u1234-\\U00054321]", [](char32_t x) { return x >= 0x1234 && x <= 0x54321; });
  check("root ::= \"\xC3\xA9\" | [\xC3\xAA-\xC3\xAC]",
        [](char32_t x) { return x >= 0xE9 && x <= 0xEC; });
}

TEST_CASE("JSON: random texts are followed in any tokens and end whole") {
  std::vector<std::string> more{"{\"",      "\":", "\",\"", "true", "tru",   "[[",
                                "]]",       "}}",  "0.",    "e+",   "\\u00", "\xC3\xA9",
                                "\xE2\x82", "{}",  "[]",    " \n",  "null,", "\"}"};
  const auto v = byte_trie(more);
  const auto g = grammar_of(json_grammar);
  auto c = sample::grammar_constraint::make(v, g);
  REQUIRE(c);
  const auto bytes = byte_trie();
  auto check = sample::grammar_constraint::make(bytes, g);
  REQUIRE(check);
  const bitnet::counter_random random{11};
  std::set<std::string> texts;
  for (std::uint64_t round = 0; round < 200; ++round) {
    c->reset();
    std::string out;
    for (std::uint64_t i = 0; i < 300 && !c->finished(); ++i) {
      const auto ids = members(c->allowed());
      REQUIRE(!ids.empty());
      // The set and the single question agree.
      for (const token id : {token(i % 256), token(256 + i % more.size()), v.ends()[0]})
        REQUIRE(c->accepts(id) == c->allowed().contains(id));
      const token id = ids[random.at(round, i) % ids.size()];
      REQUIRE(c->accept(id));
      out += v.piece(id);
    }
    if (c->finished()) {
      CHECK(matches(*check, bytes, out));
      texts.insert(out);
    }
  }
  CHECK(texts.size() > 20);
  CHECK(matches(*check, bytes, "{\"a\": [1, -2.5e+3, \"\\u00e9\", {}], \"b\" : null}"));
  CHECK(!matches(*check, bytes, "{\"a\": [1, 02]}"));
  CHECK(!matches(*check, bytes, "{\"a\": }"));
}

TEST_CASE("a text is never led so deep that it cannot be completed") {
  const auto v = byte_trie({"((((((((", "(((((((((((((((((((((((((((((((("});
  const auto g = grammar_of("root ::= \"(\" root \")\" | \"x\"");
  auto c = sample::grammar_constraint::make(v, g);
  REQUIRE(c);
  std::size_t open = 0;
  while (c->accepts('(')) {
    REQUIRE(c->accept('('));
    ++open;
  }
  CHECK(open == sample::grammar::max_depth);
  CHECK(members(c->allowed()) == std::vector<token>{'x'});
  REQUIRE(c->accept('x'));
  for (std::size_t i = 0; i < open; ++i) {
    CHECK(members(c->allowed()) == std::vector<token>{')'});
    REQUIRE(c->accept(')'));
  }
  CHECK(c->finished());
  CHECK(c->complete());

  // Here every level needs two more before it can end.
  const auto h = grammar_of(
      "root ::= \"(\" root \")\" | a \".\"\na ::= \"a\" b \".\"\nb ::= \"b\" c "
      "\".\"\nc ::= \"c\"");
  auto d = sample::grammar_constraint::make(v, h);
  REQUIRE(d);
  while (d->accept('(')) {
  }
  for (const char b : {'a', 'b', 'c'}) REQUIRE(d->accept(b));
}

TEST_CASE("an ambiguous grammar is followed as far as there is room, and never gets stuck") {
  const auto v = byte_trie({"xx", "xxxx"});
  const auto g = grammar_of("root ::= s\ns ::= \"x\" s \"y\" | \"x\" s \"z\" | \"x\"");
  auto c = sample::grammar_constraint::make(v, g);
  REQUIRE(c);
  for (int i = 0; i < 200; ++i) REQUIRE(c->accept('x'));
  for (int i = 0; i < 150; ++i) {
    const auto ids = members(c->allowed());
    REQUIRE(!ids.empty());
    REQUIRE(c->accept(ids.back()));  // y and z, not x
  }
  int left = 0;
  for (; !c->finished(); ++left) REQUIRE(c->accept(c->allowed().first()));
  CHECK(c->complete());
}

TEST_CASE("long lists take no depth and long texts no memory") {
  const auto v = byte_trie();
  const auto g = grammar_of("root ::= item \",\" root | item\nitem ::= \"[\" item \"]\" | [0-9]+");
  auto c = sample::grammar_constraint::make(v, g);
  REQUIRE(c);
  for (int i = 0; i < 20000; ++i) {
    for (const char b : std::string_view{"[[[[7]]]],"}) REQUIRE(c->accept(b));
    if (i % 1000 == 0) CHECK(c->allowed().count() == 11);
  }
}

TEST_CASE("a vocabulary that lacks bytes: what it cannot spell is never begun") {
  const auto g = grammar_of("root ::= \"a\" (\"b\" \"c\" | \"d\" | [\xC3\xA9\xC3\xA8] \"!\")");
  const auto v = trie_of({"a", "b", "d", "ab", "\xC3\xA9", "!", "\xC3", "a\xC3", "<end>"});
  auto c = sample::grammar_constraint::make(v, g);
  REQUIRE(c);
  CHECK(members(c->allowed()) == std::vector<token>{0});  // not "ab", for there is no "c"
  REQUIRE(c->accept(0));
  CHECK(members(c->allowed()) == std::vector<token>{2, 4});  // half a character leads nowhere
  REQUIRE(c->accept(4));
  REQUIRE(c->accept(5));
  CHECK(c->finished());
  const auto poor = trie_of({"x", "y", "<end>"});
  CHECK(!sample::grammar_constraint::make(poor, g));
}

TEST_CASE("mistakes are named with line and column") {
  struct wrong {
    std::string_view text;
    std::string_view what;
  };
  for (const wrong& w : std::initializer_list<wrong>{
           {"", "root"},
           {"a ::= \"x\"", "root"},
           {"root ::= \"x\" b", "line 1, column 14: b"},
           {"root ::= \"x\"\n\nroot ::= \"y\"", "line 3, column 1: root"},
           {"root = \"x\"", "line 1, column 6: root"},
           {"root ::= \"x", "line 1, column 10"},
           {"root ::= \"x\n\"", "line 1, column 10"},
           {"root ::= (\"x\"", "line 1, column 10"},
           {"root ::= \"x\")", "line 1, column 13"},
           {"root ::= [a", "line 1, column 10"},
           {"root ::= []", "line 1, column 10"},
           {"root ::= [^\\x00-\\U0010FFFF]", "line 1, column 10"},
           {"root ::= [b-a]", "line 1, column 11"},
           {"root ::= \"\\q\"", "line 1, column 11"},
           {"root ::= \"\\x4\"", "line 1, column 11"},
           {"root ::= \"\\uD800\"", "line 1, column 11"},
           {"root ::= \"\\U00110000\"", "line 1, column 11"},
           {"root ::= \"\xC3\"", "line 1, column 11"},
           {"root ::= \"a\"{2,1}", "line 1, column 13"},
           {"root ::= \"a\"{", "line 1, column 14"},
           {"root ::= \"a\"{1", "line 1, column 15"},
           {"root ::= \"a\"{99999999999}", "line 1, column 18"},
           {"root ::= \"a\"****", "line 1, column 16"},
           {"root ::= <think>", "line 1, column 10"},
           {"root ::= *", "line 1, column 10"},
           {"# comment\nroot ::= \"\xC3\xA9\" ?", ""},
           {"root ::= \"\xC3\xA9\" $", "line 1, column 14"},
           {"root ::= root \"a\" | \"b\"", "line 1, column 10: root"},
           {"root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a", "line 4, column 7: a"},
           {"root ::= root", "line 1, column 10: root"},
           {"root ::= \"a\" root", "line 1, column 1: root"},
           {"root ::= a\na ::= \"(\" a \")\"", "line 1, column 1: root"},
       }) {
    CAPTURE(w.text);
    if (w.what.empty()) {
      CHECK(sample::grammar::make(w.text));
    } else {
      CHECK(error_of(w.text).what() == w.what);
    }
  }
  CHECK(error_of("root ::= b").code() == bitnet::errc::missing);
}

TEST_CASE("hostile grammars end with an error, or are followed, in time") {
  const auto repeat = [](std::string_view s, int n) {
    std::string all;
    for (int i = 0; i < n; ++i) all += s;
    return all;
  };
  std::vector<std::string> hostile{
      "root ::= " + repeat("(", 100000),
      "root ::= " + repeat("(", 20) + "\"a\"" + repeat("){60000}", 20),
      "root ::= " + repeat("(", 20) + "\"\"" + repeat("){60000}", 20),
      "root ::= (\"a\"?){60000}",
      "root ::= " + repeat("\"a\"? ", 5000),
      "root ::= .{60000}",
      "root ::= [" + repeat("\xE4\xB8\x80", 300000) + "]",
      std::string(1U << 20U, 'a') + "b",
      "root ::= \"" + std::string((1U << 20U) - 100, 'a') + "\"",
      "root ::= " + repeat("\"a\" ", 200000),
  };
  std::string chain = "root ::= r0\n";  // rules that only call the next one, and one that is long
  for (int i = 0; i < 30000; ++i)
    chain += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + " \"x\"\n";
  hostile.push_back(chain + "r30000 ::= \"y\"\n");
  std::string doubling = "root ::= r0\n";  // 2^20 ways to begin
  for (int i = 0; i < 20; ++i) {
    const std::string next = "r" + std::to_string(i + 1);
    doubling += "r" + std::to_string(i) + " ::= " + next + " \"x\" | " + next + " \"y\"\n";
  }
  hostile.push_back(doubling + "r20 ::= \"z\"\n");
  std::string empty = "root ::= (e \"a\")*\n";  // many rules that match nothing, again and again
  for (int i = 0; i < 2000; ++i) empty += "e" + std::to_string(i) + " ::= \"\"\n";
  empty += "e ::=";
  for (int i = 0; i < 2000; ++i) empty += " e" + std::to_string(i);
  hostile.push_back(empty);
  std::string circle;  // left recursion through all rules
  for (int i = 0; i < 20000; ++i)
    circle += "r" + std::to_string(i) + " ::= r" + std::to_string((i + 1) % 20000) + "\n";
  hostile.push_back(circle + "root ::= r0");
  std::string many = "root ::= ";  // 1000 rules at once are too many, 1000 words are one state
  for (int i = 0; i < 1000; ++i) many += (i == 0 ? "w" : " | w") + std::to_string(i);
  for (int i = 0; i < 1000; ++i)
    many += "\nw" + std::to_string(i) + " ::= \"" + std::to_string(i) + "\"";
  hostile.push_back(many);
  std::string words = "root ::= ";
  for (int i = 0; i < 5000; ++i) words += (i == 0 ? "\"" : " | \"") + std::to_string(i) + "\"";
  CHECK(sample::grammar::make(words));
  hostile.push_back(words);

  const auto v = byte_trie({"aaaaaaaa", "xyxyxyxy"});
  for (const std::string& text : hostile) {
    CAPTURE(text.substr(0, 80));
    const auto start = std::chrono::steady_clock::now();
    const auto g = sample::grammar::make(text);
    if (g) {
      auto c = sample::grammar_constraint::make(v, *g);
      for (int i = 0; c && i < 20 && !c->finished(); ++i) {
        REQUIRE(c->allowed().count() != 0);
        REQUIRE(c->accept(c->allowed().first()));
      }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    CHECK(took.count() < 30.0);  // a minute at least if anything is not linear
  }
}

TEST_CASE("broken grammars never do harm") {
  const bitnet::counter_random random{5};
  const auto v = byte_trie({"ab", "::="});
  std::size_t good = 0;
  for (std::uint64_t round = 0; round < 3000; ++round) {
    std::string text{json_grammar};
    const std::uint64_t changes = 1 + random.at(round, 0) % 4;
    for (std::uint64_t i = 0; i < changes; ++i) {
      const std::size_t at = random.at(round, 3 * i + 1) % text.size();
      constexpr std::string_view bytes = "\"[](){}|*+?^-\\.:=#\n rx0,\x80";
      const char byte = bytes[random.at(round, 3 * i + 2) % bytes.size()];
      if (random.at(round, 3 * i + 3) % 3 == 0) {
        text.erase(at, 1 + random.at(round, 3 * i + 3) % 9);
      } else {
        text[at] = byte;
      }
    }
    const auto g = sample::grammar::make(text);
    if (!g) continue;
    ++good;
    auto c = sample::grammar_constraint::make(v, *g);
    REQUIRE(c);
    for (std::uint64_t i = 0; i < 20 && !c->finished(); ++i) {
      const auto ids = members(c->allowed());
      REQUIRE(!ids.empty());
      REQUIRE(c->accept(ids[random.at(round, 100 + i) % ids.size()]));
    }
  }
  CHECK(good > 100);
}
