// SPDX-License-Identifier: Apache-2.0
// A vocabulary that owns its strings: what BPE training makes and a model's file keeps.
#pragma once

#include <bitnet/gguf/writer.hpp>
#include <bitnet/text/vocabulary.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

/// A byte-level BPE vocabulary with one control token, which ends a document and stands before the
/// first: the model learns to begin and to end. Token texts and merges are spelled as GPT-2 does.
struct bpe_vocabulary {
  std::string pre = "gpt-2";         ///< value of tokenizer.ggml.pre
  std::vector<std::string> tokens;   ///< the text of token i
  std::vector<std::string> merges;   ///< "left right", best first
  text::token_id end_of_text = 256;  ///< BOS and EOS

  /// Borrows from this, for text::tokenizer::make.
  [[nodiscard]] text::vocabulary view() const {
    text::vocabulary v;
    v.kind = text::vocabulary_kind::bpe;
    v.pre = pre;
    v.tokens.assign(tokens.begin(), tokens.end());
    v.types.assign(tokens.size(), text::token_type::normal);
    if (end_of_text >= 0 && static_cast<std::size_t>(end_of_text) < tokens.size())
      v.types[static_cast<std::size_t>(end_of_text)] = text::token_type::control;
    v.merges.assign(merges.begin(), merges.end());
    v.bos = v.eos = end_of_text;
    v.add_bos = true;
    v.add_eos = false;
    return v;
  }
};

/// Sets the tokenizer.ggml keys of a BPE vocabulary. Errors are those of writer::set;
/// errc::unsupported for another kind of vocabulary.
[[nodiscard]] inline status write_vocabulary(gguf::writer& file, const text::vocabulary& v) {
  if (v.kind != text::vocabulary_kind::bpe)
    return error{errc::unsupported, "only BPE vocabularies are written", "tokenizer.ggml.model"};
  BITNET_CHECK(file.set("tokenizer.ggml.model", "gpt2"));
  BITNET_CHECK(file.set("tokenizer.ggml.pre", v.pre.empty() ? std::string_view{"default"} : v.pre));
  BITNET_CHECK(file.set("tokenizer.ggml.tokens", v.tokens));
  std::vector<std::int32_t> types;
  types.reserve(v.types.size());
  for (const text::token_type t : v.types) types.push_back(static_cast<std::int32_t>(t));
  BITNET_CHECK(file.set("tokenizer.ggml.token_type", types));
  BITNET_CHECK(file.set("tokenizer.ggml.merges", v.merges));
  const auto set_id = [&](std::string_view key, const auto& id) -> status {
    return id ? file.set(key, static_cast<std::uint32_t>(*id)) : status{};
  };
  BITNET_CHECK(set_id("tokenizer.ggml.bos_token_id", v.bos));
  BITNET_CHECK(set_id("tokenizer.ggml.eos_token_id", v.eos));
  if (v.add_bos) BITNET_CHECK(file.set("tokenizer.ggml.add_bos_token", *v.add_bos));
  if (v.add_eos) BITNET_CHECK(file.set("tokenizer.ggml.add_eos_token", *v.add_eos));
  return {};
}

}  // namespace train
BITNET_NAMESPACE_END
