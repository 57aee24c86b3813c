// SPDX-License-Identifier: Apache-2.0
// Tokens that are found in text before anything else, and tokens known by their names.
#pragma once

#include <bitnet/text/string_table.hpp>
#include <bitnet/text/vocabulary.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

namespace special {
// Files seldom say which tokens end a turn or a text, so the engines go by the names that models
// use. A token with such a name is a control token, whatever type the file gives it.

/// Names of an end-of-turn token, most telling first, for a vocabulary that states none.
inline constexpr std::string_view end_of_turn[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
    "<end_of_utterance>"};

/// Names of tokens after which generation ends.
inline constexpr std::string_view end_of_generation[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
    "[e~["};

/// Names of fill-in-the-middle tokens; the first that a vocabulary has in each row counts. Those
/// of the last three rows (padding, repository, file separator) also end generation.
inline constexpr std::string_view fill_in_the_middle[][5] = {
    {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "\xE2\x96\x81<PRE>"},
    {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "\xE2\x96\x81<SUF>"},
    {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "\xE2\x96\x81<MID>"},
    {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"},
    {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"},
    {"<|file_sep|>"}};
inline constexpr std::size_t first_ending_row = 3;
}  // namespace special

/// Whether a token's text says that it is a control token, whatever its file says: llama.cpp's
/// rule.
[[nodiscard]] inline bool looks_special(std::string_view token) noexcept {
  constexpr std::string_view bar = "\xEF\xBD\x9C";  // full-width
  const auto between = [&](std::string_view a, std::string_view b) {
    return token.starts_with(a) && token.ends_with(b);
  };
  return token == "<pad>" || token == "<mask>" || token == "<2mass>" || token == "[@BOS@]" ||
         between("<|", "|>") || between("<unused", ">") ||
         (token.starts_with('<') && token.substr(1).starts_with(bar) && token.ends_with('>') &&
          token.substr(0, token.size() - 1).ends_with(bar));
}

/// A piece of text: a token that was found in it, or bytes between such tokens.
struct fragment {
  std::string_view text;
  token_id token = -1;  ///< -1: plain text
};

/// Finds a set of tokens in text. Immutable once filled: any number of threads.
class special_matcher {
 public:
  static constexpr std::size_t longest = 256;  ///< bytes that a special token may have

  /// Adds token `id`, whose text is `texts[id]`. errc::limit if it is longer than `longest`.
  [[nodiscard]] status add(std::uint32_t id, const string_table& texts) {
    const std::string_view text = texts[id];
    if (text.empty()) return {};
    if (text.size() > longest) return error{errc::limit, "a special token is too long", text};
    std::vector<std::uint32_t>& sizes = sizes_[static_cast<unsigned char>(text.front())];
    const auto size = static_cast<std::uint32_t>(text.size());
    if (std::find(sizes.begin(), sizes.end(), size) == sizes.end()) sizes.push_back(size);
    if (id >= wanted_.size()) wanted_.resize(id + 1);
    wanted_[id] = true;
    return {};
  }

  /// Calls `out(fragment)` for the tokens in `text` and what lies between them, in order. Longer
  /// tokens are looked for first, in the whole text; equal ones from left to right.
  template <class Out>
  void split(std::string_view text, const string_table& texts, Out out) const {
    std::vector<match> found = find_all(text, texts);
    keep_longest(found, text.size());
    std::size_t done = 0;
    for (const match& m : found) {
      if (m.start > done) out(fragment{text.substr(done, m.start - done)});
      out(fragment{text.substr(m.start, m.size), static_cast<token_id>(m.id)});
      done = m.start + m.size;
    }
    if (done < text.size()) out(fragment{text.substr(done)});
  }

 private:
  struct match {
    std::size_t start;
    std::uint32_t size;
    std::uint32_t id;
  };

  /// Every place of every token, overlapping ones too.
  [[nodiscard]] std::vector<match> find_all(std::string_view text,
                                            const string_table& texts) const {
    std::vector<match> found;
    if (wanted_.empty()) return found;
    for (std::size_t i = 0; i < text.size(); ++i) {
      for (const std::uint32_t size : sizes_[static_cast<unsigned char>(text[i])]) {
        if (size > text.size() - i) continue;
        const std::uint32_t id = texts.find(text.substr(i, size));
        if (id < wanted_.size() && wanted_[id]) found.push_back({i, size, id});
      }
    }
    return found;
  }

  /// Leaves matches that do not overlap, in order of position.
  static void keep_longest(std::vector<match>& found, std::size_t text_size) {
    if (found.size() < 2) return;
    std::sort(found.begin(), found.end(), [](const match& a, const match& b) {
      return std::tuple{b.size, a.id, a.start} < std::tuple{a.size, b.id, b.start};
    });
    // What was taken earlier is at least as long, so an overlap shows at one of the two ends.
    std::vector<bool> taken(text_size);
    std::erase_if(found, [&](const match& m) {
      if (taken[m.start] || taken[m.start + m.size - 1]) return true;
      std::fill_n(taken.begin() + static_cast<std::ptrdiff_t>(m.start), m.size, true);
      return false;
    });
    std::sort(found.begin(), found.end(),
              [](const match& a, const match& b) { return a.start < b.start; });
  }

  std::array<std::vector<std::uint32_t>, 256> sizes_;  ///< lengths of tokens by first byte
  std::vector<bool> wanted_;                           ///< by token id
};

}  // namespace text
BITNET_NAMESPACE_END
