// SPDX-License-Identifier: Apache-2.0
// What a byte-level vocabulary says about its own pre-tokenizer: merges never cross words.
#pragma once

#include <bitnet/text/bpe.hpp>
#include <bitnet/text/pretokenize.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace text {

/// How many of a vocabulary's merged tokens each pre-tokenizer cuts. Training merges within words,
/// so that the right pre-tokenizer leaves nearly all of them whole, and text never becomes a token
/// that the pre-tokenizer cuts. One that is too fine cuts many, one that is too coarse none: this
/// can refute a pre-tokenizer and never prove one.
class pre_tokenizer_fit {
 public:
  static constexpr std::size_t kinds = static_cast<std::size_t>(pre_tokenizer::standard) + 1;

  /// Counts a token that a merge makes, in the vocabulary's spelling. Tokens that are not whole
  /// characters say nothing.
  void add(std::string_view token) {
    bytes_.clear();
    append_spelled_bytes(bytes_, token);
    if (!whole_characters(bytes_)) return;
    ++tokens_;
    for (std::size_t kind = 0; kind < kinds; ++kind)
      if (is_cut(static_cast<pre_tokenizer>(kind), bytes_)) ++cut_[kind];
  }

  [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::size_t cut(pre_tokenizer kind) const noexcept {
    return cut_[static_cast<std::size_t>(kind)];
  }
  /// Whether it cuts more than one token in fifty. The right one never does: of published
  /// vocabularies GPT-2's and Llama 3's are cut nowhere, and Qwen's at one token in ninety.
  [[nodiscard]] bool contradicts(pre_tokenizer kind) const noexcept {
    return cut(kind) > tokens_ / 50;
  }
  /// Whether `other` cuts so many more tokens than `kind` that chance does not explain it.
  [[nodiscard]] bool prefers(pre_tokenizer kind, pre_tokenizer other) const noexcept {
    return cut(other) > 4 * cut(kind) + tokens_ / 200 + 100;
  }

 private:
  [[nodiscard]] static bool whole_characters(std::string_view text) noexcept {
    for (std::size_t at = 0; at < text.size();) {
      const decoded_char c = decode_utf8(text, at);
      if (!c.valid) return false;
      at += c.size;
    }
    return true;
  }
  [[nodiscard]] static bool is_cut(pre_tokenizer kind, std::string_view text) {
    std::size_t words = 0;
    split_words(kind, text, [&](std::string_view) { ++words; });
    return words > 1;
  }

  std::size_t tokens_ = 0;
  std::array<std::size_t, kinds> cut_{};
  std::string bytes_;
};

}  // namespace text
BITNET_NAMESPACE_END
