// SPDX-License-Identifier: Apache-2.0
// SentencePiece BPE: merges of characters by score, bytes where the vocabulary has no character.
#pragma once

#include <bitnet/core/bit_cast.hpp>
#include <bitnet/text/merge_chain.hpp>
#include <bitnet/text/string_table.hpp>
#include <bitnet/text/unicode.hpp>
#include <bitnet/text/vocabulary.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

/// U+2581, which stands for a space in a SentencePiece vocabulary.
inline constexpr std::string_view spm_space = "\xE2\x96\x81";

/// Text of the token of a byte, "<0x0A>".
[[nodiscard]] inline std::array<char, 6> byte_token_text(unsigned char byte) noexcept {
  constexpr char digits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
}

/// Scores and byte tokens of a SentencePiece vocabulary. Immutable after make: any number of
/// threads.
class spm_scores {
 public:
  /// `texts` holds the tokens. Without scores all merges rank alike, the leftmost first.
  [[nodiscard]] static spm_scores make(const string_table& texts, std::span<const float> scores,
                                       std::optional<token_id> unknown) {
    spm_scores spm;
    spm.orders_.resize(texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      spm.orders_[i] = order_of(scores.empty() ? 0.0F : scores[i]);
      spm.longest_ = std::max(spm.longest_, texts[i].size());
      if (crosses_words(texts[i])) spm.words_apart_ = false;
    }
    for (unsigned b = 0; b < 256; ++b) {
      const auto text = byte_token_text(static_cast<unsigned char>(b));
      const char raw = static_cast<char>(b);
      std::uint32_t id = texts.find({text.data(), text.size()});
      if (id == string_table::none) id = texts.find({&raw, 1});
      if (id == string_table::none && unknown) id = static_cast<std::uint32_t>(*unknown);
      spm.byte_ids_[b] = id;
    }
    return spm;
  }

  /// Appends the tokens of `text`, whose spaces are written as spm_space. A broken character is
  /// either one byte, or (`by_lead`, as llama.cpp has it) as long as its first byte announces.
  void encode(std::string_view text, bool by_lead, const string_table& texts, merge_chain& chain,
              std::vector<token_id>& out) const {
    std::vector<symbol>& symbols = chain.symbols();
    symbols.clear();
    bool after_space = true;
    for (std::size_t i = 0; i < text.size();) {
      const auto lead = static_cast<unsigned char>(text[i]);
      const std::size_t announced = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
      const std::string_view character =
          text.substr(i, by_lead ? announced : decode_utf8(text, i).size);
      const bool space = character == spm_space;
      if (space && !after_space && words_apart_) flush(text, texts, chain, out);
      symbols.push_back({static_cast<std::uint32_t>(i),
                         static_cast<std::uint32_t>(character.size()), texts.find(character)});
      after_space = space;
      i += character.size();
    }
    flush(text, texts, chain, out);
  }

 private:
  /// Scores as integers that grow as scores fall, never `joined::never`.
  [[nodiscard]] static std::uint32_t order_of(float score) noexcept {
    const auto bits = bit_cast<std::uint32_t>(score + 0.0F);  // -0 is 0
    const std::uint32_t ascending = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
    return std::min(~ascending, joined::never - 1);
  }

  /// Whether a token such as "a_b" reaches from one word into the next.
  [[nodiscard]] static bool crosses_words(std::string_view token) noexcept {
    while (token.starts_with(spm_space)) token.remove_prefix(spm_space.size());
    return token.find(spm_space) != std::string_view::npos;
  }

  /// Merges the symbols gathered so far and appends their tokens.
  void flush(std::string_view text, const string_table& texts, merge_chain& chain,
             std::vector<token_id>& out) const {
    chain.merge([&](const symbol& a, const symbol& b) -> joined {
      const std::size_t size = std::size_t{a.size} + b.size;
      if (size > longest_) return {};
      const std::uint32_t id = texts.find(text.substr(a.start, size));
      return id == string_table::none ? joined{} : joined{orders_[id], id};
    });
    for (const symbol& s : chain.symbols()) {
      if (s.id != string_table::none) {
        out.push_back(static_cast<token_id>(s.id));
        continue;
      }
      for (const char c : text.substr(s.start, s.size)) {
        const std::uint32_t id = byte_ids_[static_cast<unsigned char>(c)];
        if (id != string_table::none) out.push_back(static_cast<token_id>(id));
      }
    }
    chain.symbols().clear();
  }

  std::vector<std::uint32_t> orders_;
  std::array<std::uint32_t, 256> byte_ids_{};
  std::size_t longest_ = 0;
  bool words_apart_ = true;  ///< no token crosses words, so words can be merged one by one
};

}  // namespace text
BITNET_NAMESPACE_END
