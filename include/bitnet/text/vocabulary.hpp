// SPDX-License-Identifier: Apache-2.0
// What a tokenizer is built from: a plain description of a vocabulary, borrowed from a file.
#pragma once

#include <bitnet/core/token.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

/// Index of a token in its vocabulary.
using token_id = bitnet::token;

/// Kind of a token; the values are those of `tokenizer.ggml.token_type`.
enum class token_type : std::uint8_t {
  undefined = 0,
  normal = 1,
  unknown = 2,       ///< stands for what the vocabulary cannot say
  control = 3,       ///< has a meaning instead of a text: BOS, end of turn, ...
  user_defined = 4,  ///< found in text before anything else
  unused = 5,
  byte = 6  ///< "<0xXX>", one byte
};

/// Tokenization algorithm.
enum class vocabulary_kind : std::uint8_t {
  bpe,           ///< byte-level byte pair encoding, `tokenizer.ggml.model` = gpt2
  sentencepiece  ///< SentencePiece with scores and byte fallback, `tokenizer.ggml.model` = llama
};

/// A vocabulary as files describe it. Every string is borrowed and need only live until
/// tokenizer::make returns. Fields that are not set take the default of the kind.
struct vocabulary {
  vocabulary_kind kind = vocabulary_kind::bpe;
  std::string_view pre;                  ///< pre-tokenizer of a BPE vocabulary, "" is "default"
  std::vector<std::string_view> tokens;  ///< text of token i, in the vocabulary's own spelling
  std::vector<float> scores;             ///< empty, or one for each token (SentencePiece)
  std::vector<token_type> types;         ///< empty (all normal), or one for each token
  std::vector<std::string_view> merges;  ///< "left right", best first (BPE)
  std::optional<token_id> bos, eos, eot, unk, pad;
  std::optional<bool> add_bos;           ///< put BOS before text
  std::optional<bool> add_eos;           ///< put EOS after text
  std::optional<bool> add_space_prefix;  ///< SentencePiece: treat text as if a space came before
};

}  // namespace text
BITNET_NAMESPACE_END
