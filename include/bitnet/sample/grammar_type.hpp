// SPDX-License-Identifier: Apache-2.0
// The class of grammars: what they may say, and the automaton that they become.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace sample {

/// What a text may be, as a grammar in a subset of llama.cpp's GBNF:
///
///   rule       name ::= alternatives      one a line; texts are what `root` matches
///   sequence   a b c                      over several lines inside ( ) and around |
///   literal    "text"                     class [a-z0-9_], [^"\\]; any character: .
///   choice     a | b | c                  group ( a b | c )
///   repeats    a? a* a+ a{3} a{3,} a{3,5}
///   escapes    \n \r \t \\ \" \[ \] \- \^ \x41 \u0041 \U00000041
///   comment    # to the end of the line
///
/// What it matches is UTF-8, whatever the vocabulary. Left recursion (a rule that begins with
/// itself) is refused; any other recursion is limited in depth, see max_depth. Immutable after
/// make: any number of constraints and threads may share it.
class grammar {
 public:
  class walker;

  /// Rules that may be open inside each other; calls at the end of a rule do not count. A text
  /// is never led so deep that it could not be completed within this.
  static constexpr std::size_t max_depth = 256;
  /// Ways to read one text that are followed at once. Of a grammar so ambiguous that there are
  /// more, the first are followed: what comes out is still what the grammar says.
  static constexpr std::size_t max_parses = 128;

  /// Errors name line and column: errc::malformed (syntax, two rules of one name, left recursion,
  /// rules that nothing can match), errc::missing (a rule that is called, or root), errc::limit (1
  /// MiB of text, 32 nested groups, 65536 states, more than max_parses beginnings of one place).
  [[nodiscard]] static result<grammar> make(std::string_view text);

 private:
  /// Where a byte may be read after a state without reading another one before: rules that are
  /// entered on the way, as the states where they will go on, then the state that reads.
  struct beginning {
    std::uint32_t calls;  // in calls_, the outermost first
    std::uint32_t count;
    std::uint32_t state;
  };
  struct byte_arc {
    std::uint32_t to;
    std::uint8_t low;
    std::uint8_t high;
  };
  class compiler;
  class depths;

  [[nodiscard]] std::span<const byte_arc> arcs(std::uint32_t s) const noexcept {
    return std::span{arcs_}.subspan(first_arc_[s], first_arc_[s + 1] - first_arc_[s]);
  }
  [[nodiscard]] std::span<const beginning> beginnings(std::uint32_t s) const noexcept {
    return std::span{beginnings_}.subspan(first_beginning_[s],
                                          first_beginning_[s + 1] - first_beginning_[s]);
  }
  [[nodiscard]] std::span<const std::uint32_t> calls(const beginning& b) const noexcept {
    return std::span{calls_}.subspan(b.calls, b.count);
  }
  [[nodiscard]] std::size_t size() const noexcept { return inside_.size(); }

  std::vector<std::uint32_t> first_arc_;
  std::vector<byte_arc> arcs_;  // those of a state by rising `low`
  std::vector<std::uint32_t> first_beginning_;
  std::vector<beginning> beginnings_;
  std::vector<std::uint32_t> calls_;
  std::vector<bool> inside_;  // by state: in the middle of a character
  std::vector<bool> ends_;    // by state: its rule may end here
  std::uint32_t start_ = 0;
};

}  // namespace sample
BITNET_NAMESPACE_END
