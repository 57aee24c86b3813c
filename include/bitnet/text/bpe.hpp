// SPDX-License-Identifier: Apache-2.0
// Byte-level byte pair encoding (GPT-2): merges of byte strings in a learned order.
#pragma once

#include <bitnet/text/merge_chain.hpp>
#include <bitnet/text/string_table.hpp>
#include <bitnet/text/unicode.hpp>
#include <bitnet/text/vocabulary.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

/// GPT-2's printable spelling of bytes: visible Latin-1 stands for itself, and the other 68 bytes,
/// in order, are spelled U+0100, U+0101, ...
inline constexpr auto byte_spelling = [] {
  std::array<char16_t, 256> code{};
  char16_t next = 256;
  for (unsigned b = 0; b < 256; ++b) {
    const bool visible = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    code[b] = visible ? static_cast<char16_t>(b) : next++;
  }
  return code;
}();

/// Inverse of byte_spelling: -1 where a character spells no byte.
inline constexpr auto byte_spelled_by = [] {
  std::array<std::int16_t, 256 + 68> byte{};
  for (auto& b : byte) b = -1;
  for (std::size_t b = 0; b < 256; ++b) byte[byte_spelling[b]] = static_cast<std::int16_t>(b);
  return byte;
}();

/// Appends the bytes that a token's text spells. A character that spells no byte stays itself.
inline void append_spelled_bytes(std::string& out, std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const decoded_char c = decode_utf8(text, i);
    if (c.valid && c.code < byte_spelled_by.size() && byte_spelled_by[c.code] >= 0) {
      out.push_back(static_cast<char>(byte_spelled_by[c.code]));
    } else {
      out.append(text.substr(i, c.size));
    }
    i += c.size;
  }
}

/// Order and outcome of every merge of a vocabulary. Immutable after make: any number of threads.
class bpe_merges {
 public:
  /// Reads "left right" merges. `texts` holds the tokens' texts and receives those of symbols that
  /// are no tokens but occur on the way to one. errc::malformed for a merge without two parts.
  [[nodiscard]] static result<bpe_merges> make(std::span<const std::string_view> merges,
                                               string_table& texts, bool whole_words_first) {
    bpe_merges bpe;
    bpe.token_count_ = static_cast<std::uint32_t>(texts.size());
    bpe.whole_words_first_ = whole_words_first;
    std::string text;
    for (std::size_t b = 0; b < 256; ++b) {
      text.clear();
      append_utf8(text, byte_spelling[b]);
      BITNET_TRY(bpe.byte_ids_[b], intern(texts, text));
    }
    if (merges.size() >= joined::never)
      return error{errc::limit, "too many merges", "tokenizer.ggml.merges"};
    bpe.slots_.resize(std::bit_ceil(merges.size() + merges.size() / 2 + 2));
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
      const std::string_view merge = merges[rank];
      const std::size_t space = merge.find(' ', 1);  // a part is never empty
      if (space == std::string_view::npos || space + 1 == merge.size())
        return error{errc::malformed, "a merge is two texts with a space between", merge};
      const std::string_view left = merge.substr(0, space);
      const std::string_view right = merge.substr(space + 1);
      text.assign(left).append(right);
      BITNET_TRY(const std::uint32_t left_id, intern(texts, left));
      BITNET_TRY(const std::uint32_t right_id, intern(texts, right));
      BITNET_TRY(const std::uint32_t id, intern(texts, text));
      if (!bpe.insert(left_id, right_id, {static_cast<std::uint32_t>(rank), id}))
        return error{errc::limit, "too many merges with the same hash", merge};
    }
    return bpe;
  }

  /// Appends the tokens of one word. Bytes that the vocabulary has no token for are left out.
  void encode(std::string_view word, const string_table& texts, merge_chain& chain,
              std::string& spelled, std::vector<token_id>& out) const {
    if (whole_words_first_) {
      spelled.clear();
      for (const char c : word) append_utf8(spelled, byte_spelling[static_cast<unsigned char>(c)]);
      const std::uint32_t id = texts.find(spelled);
      if (id < token_count_) return out.push_back(static_cast<token_id>(id));
    }
    std::vector<symbol>& symbols = chain.symbols();
    symbols.resize(word.size());
    for (std::size_t i = 0; i < word.size(); ++i)
      symbols[i] = {static_cast<std::uint32_t>(i), 1,
                    byte_ids_[static_cast<unsigned char>(word[i])]};
    chain.merge([this](const symbol& a, const symbol& b) { return find(a.id, b.id); });
    for (const symbol& s : symbols) {
      if (s.id < token_count_) {
        out.push_back(static_cast<token_id>(s.id));
        continue;
      }
      for (const char c : word.substr(s.start, s.size)) {
        const std::uint32_t id = byte_ids_[static_cast<unsigned char>(c)];
        if (id < token_count_) out.push_back(static_cast<token_id>(id));
      }
    }
  }

 private:
  struct slot {
    std::uint64_t pair = free_pair;
    joined merge;
  };
  static constexpr std::uint64_t free_pair = ~std::uint64_t{0};
  static constexpr std::size_t probe_limit = 1024;

  [[nodiscard]] static result<std::uint32_t> intern(string_table& texts, std::string_view text) {
    const std::uint32_t found = texts.find(text);
    if (found != string_table::none) return found;
    const auto id = static_cast<std::uint32_t>(texts.size());
    BITNET_CHECK(texts.add(text));
    return id;
  }

  [[nodiscard]] static std::size_t home_of(std::uint64_t pair) noexcept {
    pair *= 0x9E3779B97F4A7C15U;
    return static_cast<std::size_t>(pair ^ pair >> 32);
  }

  [[nodiscard]] joined find(std::uint32_t left, std::uint32_t right) const noexcept {
    const std::uint64_t pair = std::uint64_t{left} << 32 | right;
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = home_of(pair) & mask;; i = (i + 1) & mask) {
      if (slots_[i].pair == pair) return slots_[i].merge;
      if (slots_[i].pair == free_pair) return {};
    }
  }

  /// The first of equal pairs counts. False if too many pairs meet in one place.
  [[nodiscard]] bool insert(std::uint32_t left, std::uint32_t right, joined merge) noexcept {
    const std::uint64_t pair = std::uint64_t{left} << 32 | right;
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = home_of(pair) & mask;
    for (std::size_t probes = 0; probes < probe_limit; ++probes, i = (i + 1) & mask) {
      if (slots_[i].pair == pair) return true;
      if (slots_[i].pair != free_pair) continue;
      slots_[i] = {pair, merge};
      return true;
    }
    return false;
  }

  std::vector<slot> slots_ = std::vector<slot>(1);  ///< hash table, never full
  std::array<std::uint32_t, 256> byte_ids_{};
  std::uint32_t token_count_ = 0;
  bool whole_words_first_ = false;
};

}  // namespace text
BITNET_NAMESPACE_END
