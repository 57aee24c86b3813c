// SPDX-License-Identifier: Apache-2.0
// Words, merges and special tokens of synthetic vocabularies.
#include "synth_vocabulary.hpp"

#include <bitnet/text/chat_template.hpp>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace cli {
namespace {

namespace text = bitnet::text;

constexpr std::string_view letters = "etaoinshrdlucmfwypvbgkjqxz";

void append_utf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else {
    out += static_cast<char>(0xc0U | code >> 6U);
    out += static_cast<char>(0x80U | (code & 0x3fU));
  }
}

/// The visible characters that stand for bytes in byte-level BPE: printable bytes for themselves,
/// the others for code points from 256 on. In the order of GPT-2's vocabulary.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> tokens;
  const auto printable = [](unsigned b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  };
  const auto add = [&](unsigned code) { append_utf8(tokens.emplace_back(), code); };
  for (unsigned b = 0; b < 256; ++b)
    if (printable(b)) add(b);
  unsigned next = 256;
  for (unsigned b = 0; b < 256; ++b)
    if (!printable(b)) add(next++);
  return tokens;
}

/// Word number `index` of those with `size` letters.
std::string word(std::size_t index, std::size_t size) {
  std::string w(size, ' ');
  for (std::size_t i = size; i-- > 0; index /= letters.size())
    w[i] = letters[index % letters.size()];
  return w;
}

/// Place of a word among the merges: shorter words first, then in the order of their letters.
std::size_t rank_of(std::string_view w) {
  std::size_t index = 0;
  std::size_t shorter = 0;
  std::size_t count = 1;
  for (const char c : w) {
    shorter += count;
    count *= letters.size();
    index = index * letters.size() + letters.find(c);
  }
  return shorter + index;
}

/// The two parts that BPE has in its hands just before it makes the word: the best merge first, as
/// the tokenizer does it, among merges that are all made by this function.
std::pair<std::string, std::string> split_word(const std::string& w) {
  std::vector<std::string> parts;
  for (const char c : w) parts.emplace_back(1, c);
  while (parts.size() > 2) {
    std::size_t best = parts.size();
    std::size_t best_rank = ~std::size_t{0};
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const std::string joined = parts[i] + parts[i + 1];
      if (joined.size() > 2 && split_word(joined).first != parts[i]) continue;
      if (const std::size_t rank = rank_of(joined); rank < best_rank) {
        best = i;
        best_rank = rank;
      }
    }
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  return {parts[0], parts[1]};
}

/// Special tokens in order; the ones after these are reserved.
std::vector<std::string> special_names(vocabulary_style style) {
  if (style == vocabulary_style::qwen) return {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  std::vector<std::string> names(10);
  names[0] = "<|begin_of_text|>";
  names[1] = "<|end_of_text|>";
  names[6] = "<|start_header_id|>";
  names[7] = "<|end_header_id|>";
  names[9] = "<|eot_id|>";
  return names;
}

}  // namespace

synth_vocabulary make_vocabulary(vocabulary_style style, std::size_t size,
                                 std::size_t first_special) {
  constexpr std::int32_t normal = 1;
  constexpr std::int32_t control = 3;
  synth_vocabulary v;
  v.tokens = byte_tokens();
  v.tokens.reserve(size);
  std::size_t count = letters.size();
  for (std::size_t length = 2; v.tokens.size() < first_special; ++length) {
    count *= letters.size();
    for (std::size_t i = 0; i < count && v.tokens.size() < first_special; ++i) {
      const std::string w = word(i, length);
      const auto [left, right] = split_word(w);
      v.merges.push_back(left + ' ' + right);
      v.tokens.push_back(w);
    }
  }
  v.types.assign(first_special, normal);
  const auto names = special_names(style);
  for (std::size_t i = 0; v.tokens.size() < size; ++i) {
    v.tokens.push_back(i < names.size() && !names[i].empty()
                           ? names[i]
                           : "<|reserved_special_token_" + std::to_string(i) + "|>");
    v.types.push_back(control);
  }
  const auto first = static_cast<std::uint32_t>(first_special);
  if (style == vocabulary_style::qwen) {
    v.pre = "qwen2";
    v.bos = v.pad = first;
    v.eos = first + 2;
    v.chat_template = text::chat_template_of(text::chat_format::chatml);
  } else {
    v.pre = "llama-bpe";
    v.bos = first;
    v.eos = v.pad = first + 1;
    v.add_bos = true;
    v.chat_template = text::chat_template_of(text::chat_format::bitnet);
  }
  return v;
}

}  // namespace cli
