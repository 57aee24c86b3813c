// SPDX-License-Identifier: Apache-2.0
// Reads the text of a grammar (GBNF) into a tree of literals, classes, groups and repetitions.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/sample/code_points.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {
namespace detail {

/// A grammar as it is written. Nodes refer to each other by index; a text without errors only.
struct grammar_tree {
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  enum class kind : std::uint8_t { literal, set, call, sequence, alternatives, repeat };
  struct node {
    kind what;
    std::uint32_t at;            // byte in the text, for errors
    std::uint32_t child = none;  // first one; of the others, siblings
    std::uint32_t sibling = none;
    std::uint32_t first = 0;  // literal: bytes in `bytes`; set: ranges in `ranges`; repeat:
    std::uint32_t last = 0;   // least and most; call: `first` is the rule
  };
  struct rule {
    std::string_view name;  // in the text
    std::uint32_t at;       // where it is defined, or first used
    std::uint32_t body = none;
  };

  static constexpr std::uint32_t unbounded = none;  // as `last` of a repeat

  std::string_view text;
  std::vector<node> nodes;
  std::vector<rule> rules;
  std::string bytes;
  std::vector<code_point_range> ranges;

  /// An error with line and column, both from 1; columns count characters.
  [[nodiscard]] error fault(errc code, std::size_t at, const char* message,
                            std::string_view name = {}) const {
    std::size_t line = 1;
    std::size_t column = 1;
    for (const char c : text.substr(0, at)) {
      if (c == '\n') {
        ++line;
        column = 1;
      } else if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) {
        ++column;
      }
    }
    std::string what = "line " + std::to_string(line) + ", column " + std::to_string(column);
    if (!name.empty()) what.append(": ").append(name);
    return {code, message, what, at};
  }
};

/// The parser: recursive descent, to a bounded depth.
class grammar_reader {
 public:
  static constexpr std::size_t max_text = std::size_t{1} << 20;
  static constexpr std::size_t max_nesting = 32;
  static constexpr std::size_t max_suffixes = 3;
  static constexpr std::uint32_t max_repeat = 65535;

  [[nodiscard]] static result<grammar_tree> read(std::string_view text) {
    if (text.size() > max_text)
      return error{errc::limit, "the grammar has more than 1 MiB", "grammar"};
    grammar_reader r;
    r.tree_.text = text;
    r.skip(true);
    while (r.at_ < text.size()) BITNET_CHECK(r.read_rule());
    for (const auto& rule : r.tree_.rules)
      if (rule.body == grammar_tree::none)
        return r.tree_.fault(errc::missing, rule.at, "no rule has this name", rule.name);
    if (!r.names_.contains("root"))
      return error{errc::missing, "the grammar has no rule named root, where texts start", "root"};
    return std::move(r.tree_);
  }

 private:
  using kind = grammar_tree::kind;
  static constexpr std::uint32_t none = grammar_tree::none;

  [[nodiscard]] bool more() const noexcept { return at_ < tree_.text.size(); }
  [[nodiscard]] char peek(std::size_t ahead = 0) const noexcept {
    return at_ + ahead < tree_.text.size() ? tree_.text[at_ + ahead] : '\0';
  }
  [[nodiscard]] error fault(const char* message, std::string_view name = {}) const {
    return tree_.fault(errc::malformed, at_, message, name);
  }
  static bool in_name(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  }

  /// Skips blanks and comments, and line ends if they mean nothing here.
  void skip(bool lines) noexcept {
    for (; more(); ++at_) {
      const char c = peek();
      if (c == '#') {
        while (more() && peek() != '\n') ++at_;
        if (!more()) return;
      }
      const bool line = peek() == '\n' || peek() == '\r';
      if (line ? !lines : (c != ' ' && c != '\t' && c != '#')) return;
    }
  }

  [[nodiscard]] std::string_view read_name() noexcept {
    const std::size_t start = at_;
    while (in_name(peek())) ++at_;
    return tree_.text.substr(start, at_ - start);
  }

  std::uint32_t rule_of(std::string_view name, std::size_t at) {
    const auto [place, added] =
        names_.try_emplace(name, static_cast<std::uint32_t>(tree_.rules.size()));
    if (added) tree_.rules.push_back({name, static_cast<std::uint32_t>(at)});
    return place->second;
  }

  std::uint32_t add(kind what, std::size_t at, std::size_t first = 0, std::size_t last = 0) {
    tree_.nodes.push_back({.what = what,
                           .at = static_cast<std::uint32_t>(at),
                           .first = static_cast<std::uint32_t>(first),
                           .last = static_cast<std::uint32_t>(last)});
    return static_cast<std::uint32_t>(tree_.nodes.size() - 1);
  }

  status read_rule() {
    const std::size_t start = at_;
    const std::string_view name = read_name();
    if (name.empty()) return fault("a rule begins with its name: letters, digits, '-' and '_'");
    skip(false);
    if (tree_.text.substr(at_, 3) != "::=") return fault("'::=' must follow the rule's name", name);
    at_ += 3;
    skip(true);
    const std::uint32_t rule = rule_of(name, start);
    if (tree_.rules[rule].body != none)
      return tree_.fault(errc::malformed, start, "two rules have this name", name);
    tree_.rules[rule].at = static_cast<std::uint32_t>(start);
    BITNET_TRY(const std::uint32_t body, read_alternatives(0));
    tree_.rules[rule].body = body;
    if (more() && peek() != '\n' && peek() != '\r')
      return fault(peek() == ')' ? "this ')' closes nothing"
                                 : "expected a literal, class, rule name, group, '|' or line end");
    skip(true);
    return {};
  }

  result<std::uint32_t> read_alternatives(std::size_t nesting) {
    const std::uint32_t all = add(kind::alternatives, at_);
    std::uint32_t before = none;
    for (;;) {
      BITNET_TRY(const std::uint32_t one, read_sequence(nesting));
      (before == none ? tree_.nodes[all].child : tree_.nodes[before].sibling) = one;
      before = one;
      // Unlike other line ends, one before '|' does not end the rule.
      const std::size_t end = at_;
      skip(true);
      if (peek() != '|') return at_ = end, all;
      ++at_;
      skip(true);
    }
  }

  result<std::uint32_t> read_sequence(std::size_t nesting) {
    const std::uint32_t all = add(kind::sequence, at_);
    std::uint32_t before = none;
    while (more()) {
      const char c = peek();
      std::uint32_t one = none;
      if (c == '"') {
        BITNET_TRY(one, read_literal());
      } else if (c == '[') {
        BITNET_TRY(one, read_class());
      } else if (c == '.') {
        one = add(kind::set, at_++, tree_.ranges.size(), tree_.ranges.size() + 1);
        tree_.ranges.push_back({0, max_code_point});
      } else if (c == '(') {
        BITNET_TRY(one, read_group(nesting));
      } else if (in_name(c)) {
        const std::size_t start = at_;
        const std::string_view name = read_name();
        one = add(kind::call, start, rule_of(name, start));
      } else {
        break;
      }
      BITNET_TRY(one, read_repeats(one, nesting));
      (before == none ? tree_.nodes[all].child : tree_.nodes[before].sibling) = one;
      before = one;
      skip(nesting != 0);
    }
    return all;
  }

  result<std::uint32_t> read_group(std::size_t nesting) {
    const std::size_t start = at_++;
    if (nesting == max_nesting)
      return tree_.fault(errc::limit, start, "groups are nested more than 32 deep");
    skip(true);
    BITNET_TRY(const std::uint32_t inside, read_alternatives(nesting + 1));
    if (peek() != ')' || !more())
      return more() ? fault("expected ')' or more of the group")
                    : tree_.fault(errc::malformed, start, "this '(' is never closed");
    ++at_;
    return inside;
  }

  /// `?`, `*`, `+`, `{m}`, `{m,}` and `{m,n}` behind `one`.
  result<std::uint32_t> read_repeats(std::uint32_t one, std::size_t nesting) {
    for (std::size_t count = 0;; ++count) {
      skip(nesting != 0);
      const std::size_t start = at_;
      std::uint32_t least = 0;
      std::uint32_t most = grammar_tree::unbounded;
      if (peek() == '?') {
        most = 1;
      } else if (peek() == '+') {
        least = 1;
      } else if (peek() == '{') {
        ++at_;
        BITNET_TRY(least, read_count());
        most = least;
        if (peek() == ',') {
          ++at_;
          skip(false);
          most = grammar_tree::unbounded;
          if (peek() != '}') {
            BITNET_TRY(most, read_count());
          }
        }
        if (peek() != '}') return fault("expected '}' after the counts of a repetition");
        if (most < least)
          return tree_.fault(errc::malformed, start, "the most repetitions are below the least");
      } else if (peek() != '*') {
        return one;
      }
      ++at_;
      if (count == max_suffixes)
        return tree_.fault(errc::limit, start, "more than three repetitions of one thing");
      const std::uint32_t outer = add(kind::repeat, start, least, most);
      tree_.nodes[outer].child = one;
      one = outer;
    }
  }

  result<std::uint32_t> read_count() {
    skip(false);
    if (peek() < '0' || peek() > '9') return fault("expected a count of repetitions");
    std::uint32_t n = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      n = n * 10 + static_cast<std::uint32_t>(peek() - '0');
      if (n > max_repeat)
        return tree_.fault(errc::limit, at_, "a count of repetitions is over 65535");
    }
    skip(false);
    return n;
  }

  result<std::uint32_t> read_literal() {
    const std::size_t start = at_++;
    const std::size_t first = tree_.bytes.size();
    while (peek() != '"') {
      if (!more() || peek() == '\n' || peek() == '\r')
        return tree_.fault(errc::malformed, start, "this literal is never closed");
      BITNET_TRY(const char32_t c, read_character());
      append_utf8(tree_.bytes, c);
    }
    ++at_;
    return add(kind::literal, start, first, tree_.bytes.size());
  }

  result<std::uint32_t> read_class() {
    const std::size_t start = at_++;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    std::vector<code_point_range> members;
    while (peek() != ']') {
      if (!more() || peek() == '\n' || peek() == '\r')
        return tree_.fault(errc::malformed, start, "this class is never closed");
      const std::size_t place = at_;
      BITNET_TRY(const char32_t low, read_character());
      char32_t high = low;
      if (peek() == '-' && peek(1) != ']') {
        ++at_;
        if (!more()) continue;
        BITNET_TRY(high, read_character());
      }
      if (high < low)
        return tree_.fault(errc::malformed, place, "the range of a class ends before it begins");
      members.push_back({low, high});
    }
    ++at_;
    normalize(members, negated);
    if (members.empty())
      return tree_.fault(errc::malformed, start, "no character is in this class");
    const std::size_t first = tree_.ranges.size();
    tree_.ranges.insert(tree_.ranges.end(), members.begin(), members.end());
    return add(kind::set, start, first, tree_.ranges.size());
  }

  /// A character of a literal or class, escaped or not.
  result<char32_t> read_character() {
    if (peek() != '\\') {
      char32_t c = 0;
      const std::size_t size = read_utf8(tree_.text.substr(at_), c);
      if (size == 0) return fault("the grammar must be UTF-8 text");
      at_ += size;
      return c;
    }
    const std::size_t start = at_++;
    const char c = peek();
    ++at_;
    constexpr std::string_view names = "nrt\"\\[]-^";
    constexpr std::string_view meanings = "\n\r\t\"\\[]-^";
    if (const std::size_t i = c == '\0' ? names.npos : names.find(c); i != names.npos)
      return static_cast<char32_t>(meanings[i]);
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) return tree_.fault(errc::malformed, start, "there is no such escape");
    char32_t value = 0;
    for (std::size_t i = 0; i < digits; ++i, ++at_) {
      constexpr std::string_view hex = "0123456789abcdef";
      const char lower = peek() >= 'A' && peek() <= 'F' ? static_cast<char>(peek() + 32) : peek();
      const std::size_t digit = lower == '\0' ? hex.npos : hex.find(lower);
      if (digit == hex.npos)
        return tree_.fault(errc::malformed, start, "the escape has too few hex digits");
      value = value * 16 + static_cast<char32_t>(digit);
    }
    if (!is_character(value))
      return tree_.fault(errc::malformed, start, "the escape names no Unicode character");
    return value;
  }

  grammar_tree tree_;
  std::size_t at_ = 0;
  std::map<std::string_view, std::uint32_t> names_;  // ordered: no hash to attack
};

}  // namespace detail
}  // namespace sample
BITNET_NAMESPACE_END
