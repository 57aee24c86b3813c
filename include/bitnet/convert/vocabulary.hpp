// SPDX-License-Identifier: Apache-2.0
// A vocabulary on its way into a GGUF file, and what both kinds of tokenizer files share.
#pragma once

#include <bitnet/convert/json.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/gguf/writer.hpp>
#include <bitnet/text/special_tokens.hpp>
#include <bitnet/text/vocabulary.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace convert {

/// Owns its strings; text::vocabulary borrows them.
struct vocabulary {
  text::vocabulary_kind kind = text::vocabulary_kind::bpe;
  std::string pre;
  std::vector<std::string> tokens;  ///< an empty one is a hole in the numbering
  std::vector<text::token_type> types;
  std::vector<float> scores;        ///< SentencePiece
  std::vector<std::string> merges;  ///< BPE
  std::optional<text::token_id> bos, eos, eot, unk, pad;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::string chat_template;
  std::vector<std::string> notes;  ///< what was left out, for people

  /// Makes room for token `id`, which nothing else may have. errc::limit for ids over 2^21.
  [[nodiscard]] status add(std::uint64_t id, std::string_view token, text::token_type type,
                           json::value from) {
    constexpr std::uint64_t most = std::uint64_t{1} << 21;
    if (id >= most) return from.wrong(errc::limit, "a token's id is over this library's limit");
    if (token.empty()) return from.wrong(errc::malformed, "a token without a text");
    reserve(static_cast<std::size_t>(id) + 1);
    if (!tokens[static_cast<std::size_t>(id)].empty())
      return from.wrong(errc::malformed, "two tokens have the same id");
    set(static_cast<std::size_t>(id), token, type);
    return {};
  }
  void set(std::size_t id, std::string_view token, text::token_type type) {
    tokens[id] = token;
    types[id] = type;
  }
  void reserve(std::size_t count) {
    if (tokens.size() >= count) return;
    tokens.resize(count);
    types.resize(count, text::token_type::unused);
    if (kind == text::vocabulary_kind::sentencepiece) scores.resize(count, -1000.0F);
  }

  [[nodiscard]] std::optional<text::token_id> find(std::string_view token) const {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      if (tokens[i] == token) return static_cast<text::token_id>(i);
    return std::nullopt;
  }

  /// The same as the tokenizer reads it, to try it out.
  [[nodiscard]] text::vocabulary view() const {
    text::vocabulary v;
    v.kind = kind;
    v.pre = pre;
    v.tokens.assign(tokens.begin(), tokens.end());
    v.types = types;
    v.scores = scores;
    v.merges.assign(merges.begin(), merges.end());
    v.bos = bos, v.eos = eos, v.eot = eot, v.unk = unk, v.pad = pad;
    v.add_bos = add_bos, v.add_eos = add_eos, v.add_space_prefix = add_space_prefix;
    return v;
  }
};

/// Kind of a token that was added to a vocabulary.
[[nodiscard]] inline text::token_type added_type(std::string_view token, bool special) noexcept {
  return special || text::looks_special(token) ? text::token_type::control
                                               : text::token_type::user_defined;
}

/// Replaces U+2581, SentencePiece's space, by one.
[[nodiscard]] inline std::string with_spaces(std::string_view token) {
  constexpr std::string_view mark = "\xE2\x96\x81";
  std::string out;
  for (std::size_t i = 0; i < token.size();) {
    const bool space = token.substr(i).starts_with(mark);
    out.push_back(space ? ' ' : token[i]);
    i += space ? mark.size() : 1;
  }
  return out;
}

/// Sets the tokenizer's keys.
[[nodiscard]] inline status write_vocabulary(const vocabulary& v, gguf::writer& w) {
  const bool bpe = v.kind == text::vocabulary_kind::bpe;
  BITNET_CHECK(w.set("tokenizer.ggml.model", bpe ? "gpt2" : "llama"));
  BITNET_CHECK(w.set("tokenizer.ggml.pre", bpe ? v.pre : std::string{"default"}));
  BITNET_CHECK(w.set("tokenizer.ggml.tokens", v.tokens));
  std::vector<std::int32_t> types;
  for (const text::token_type t : v.types) types.push_back(static_cast<std::int32_t>(t));
  BITNET_CHECK(w.set("tokenizer.ggml.token_type", types));
  if (bpe) {
    BITNET_CHECK(w.set("tokenizer.ggml.merges", v.merges));
  } else {
    BITNET_CHECK(w.set("tokenizer.ggml.scores", v.scores));
  }
  const std::pair<std::string_view, std::optional<text::token_id>> ids[] = {
      {"tokenizer.ggml.bos_token_id", v.bos},
      {"tokenizer.ggml.eos_token_id", v.eos},
      {"tokenizer.ggml.eot_token_id", v.eot},
      {"tokenizer.ggml.unknown_token_id", v.unk},
      {"tokenizer.ggml.padding_token_id", v.pad}};
  for (const auto& [key, id] : ids)
    if (id) BITNET_CHECK(w.set(key, static_cast<std::uint32_t>(*id)));
  const std::pair<std::string_view, std::optional<bool>> flags[] = {
      {"tokenizer.ggml.add_bos_token", v.add_bos},
      {"tokenizer.ggml.add_eos_token", v.add_eos},
      {"tokenizer.ggml.add_space_prefix", v.add_space_prefix}};
  for (const auto& [key, flag] : flags)
    if (flag) BITNET_CHECK(w.set(key, *flag));
  if (!v.chat_template.empty()) BITNET_CHECK(w.set("tokenizer.chat_template", v.chat_template));
  return {};
}

}  // namespace convert
BITNET_NAMESPACE_END
