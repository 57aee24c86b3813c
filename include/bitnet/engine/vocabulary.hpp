// SPDX-License-Identifier: Apache-2.0
// Reads the tokenizer of a GGUF file: metadata keys become a text::vocabulary.
#pragma once

#include <bitnet/core/concat.hpp>
#include <bitnet/core/log.hpp>
#include <bitnet/gguf/metadata.hpp>
#include <bitnet/text/pretokenize.hpp>
#include <bitnet/text/vocabulary.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

BITNET_NAMESPACE_BEGIN

namespace detail {

/// Pre-tokenizer of a BPE file. The published BitNet files lack the key and mean llama-bpe.
[[nodiscard]] inline result<std::string_view> read_pre_tokenizer(const gguf::metadata& meta,
                                                                 log_sink log) {
  constexpr std::string_view key = "tokenizer.ggml.pre";
  BITNET_TRY(const auto stated, meta.get_optional<std::string_view>(key));
  if (stated) {
    if (const auto known = text::find_pre_tokenizer(*stated); !known) return known.error();
    return *stated;
  }
  BITNET_TRY(const auto arch, meta.get_or<std::string_view>("general.architecture", ""));
  const bool bitnet = arch == "bitnet" || arch == "bitnet-25" || arch == "bitnet-b1.58";
  const std::string_view assumed = bitnet ? "llama-bpe" : "default";
  if (log.wants(log_level::warning))
    log(log_level::warning, concat({"the file has no ", key, ": ", assumed,
                                    " is assumed; `bitnet repair` writes a copy that has one"}));
  return assumed;
}

/// An optional token id, which must be in the vocabulary. The value -1 is some writers' "none".
[[nodiscard]] inline result<std::optional<text::token_id>> read_token_id(const gguf::metadata& meta,
                                                                         std::string_view key,
                                                                         std::size_t tokens) {
  const gguf::metadata_value* value = meta.find(key);
  if (value == nullptr) return std::optional<text::token_id>{};
  BITNET_TRY(const std::int64_t id, value->as<std::int64_t>(key));
  if (id == -1 || id == 0xFFFFFFFF) return std::optional<text::token_id>{};
  if (id < 0 || static_cast<std::uint64_t>(id) >= tokens)
    return error{errc::malformed,
                 "the id is not in the vocabulary; `bitnet repair` can correct or remove it", key,
                 value->offset()};
  return std::optional<text::token_id>{static_cast<text::token_id>(id)};
}

/// Scores, which some files store as integers.
[[nodiscard]] inline status read_scores(const gguf::metadata& meta, text::vocabulary& v) {
  constexpr std::string_view key = "tokenizer.ggml.scores";
  const gguf::metadata_value* value = meta.find(key);
  if (value == nullptr) return {};
  if (value->element_type() == gguf::value_type::i32) {
    BITNET_TRY(const auto scores, value->as<gguf::array_view<std::int32_t>>(key));
    for (const std::int32_t score : scores) v.scores.push_back(static_cast<float>(score));
  } else {
    BITNET_TRY(const auto scores, value->as<gguf::array_view<float>>(key));
    v.scores.assign(scores.begin(), scores.end());
  }
  if (v.scores.size() != v.tokens.size())
    return error{errc::malformed, "there must be as many scores as tokens", key, value->offset()};
  return {};
}

[[nodiscard]] inline status read_types(const gguf::metadata& meta, text::vocabulary& v) {
  constexpr std::string_view key = "tokenizer.ggml.token_type";
  const gguf::metadata_value* value = meta.find(key);
  if (value == nullptr) return {};
  BITNET_TRY(const auto types, value->as<gguf::array_view<std::int32_t>>(key));
  if (types.size() != v.tokens.size())
    return error{errc::malformed, "there must be as many types as tokens", key, value->offset()};
  v.types.reserve(types.size());
  for (const std::int32_t type : types)
    v.types.push_back(type >= 0 && type <= 6 ? static_cast<text::token_type>(type)
                                             : text::token_type::undefined);
  return {};
}

}  // namespace detail

/// The vocabulary that a file describes. Its strings lie in the file's bytes, so it must not
/// outlive them (a tokenizer made from it may). Errors name the key: errc::missing, wrong_type,
/// malformed (lists of unequal length, ids outside the vocabulary), unknown (a tokenizer model or
/// pre-tokenizer that this library does not have). `log` is told of what had to be assumed.
[[nodiscard]] inline result<text::vocabulary> read_vocabulary(const gguf::metadata& meta,
                                                              log_sink log = {}) {
  text::vocabulary v;
  constexpr std::string_view model_key = "tokenizer.ggml.model";
  BITNET_TRY(const auto model, meta.get<std::string_view>(model_key));
  if (model != "gpt2" && model != "llama")
    return error{errc::unknown, "unknown tokenizer model; known: gpt2, llama", model,
                 meta.find(model_key)->offset()};
  v.kind = model == "gpt2" ? text::vocabulary_kind::bpe : text::vocabulary_kind::sentencepiece;

  BITNET_TRY(const auto tokens, meta.get<gguf::string_array>("tokenizer.ggml.tokens"));
  v.tokens.assign(tokens.begin(), tokens.end());
  BITNET_CHECK(detail::read_scores(meta, v));
  BITNET_CHECK(detail::read_types(meta, v));
  if (v.kind == text::vocabulary_kind::bpe) {
    BITNET_TRY(v.pre, detail::read_pre_tokenizer(meta, log));
    BITNET_TRY(const auto merges, meta.get<gguf::string_array>("tokenizer.ggml.merges"));
    v.merges.assign(merges.begin(), merges.end());
  }

  struct id_entry {
    std::string_view key;
    std::optional<text::token_id>* id;
  };
  const id_entry ids[] = {{"tokenizer.ggml.bos_token_id", &v.bos},
                          {"tokenizer.ggml.eos_token_id", &v.eos},
                          {"tokenizer.ggml.eot_token_id", &v.eot},
                          {"tokenizer.ggml.unknown_token_id", &v.unk},
                          {"tokenizer.ggml.padding_token_id", &v.pad}};
  for (const id_entry& e : ids) {
    BITNET_TRY(*e.id, detail::read_token_id(meta, e.key, v.tokens.size()));
  }
  BITNET_TRY(v.add_bos, meta.get_optional<bool>("tokenizer.ggml.add_bos_token"));
  BITNET_TRY(v.add_eos, meta.get_optional<bool>("tokenizer.ggml.add_eos_token"));
  BITNET_TRY(v.add_space_prefix, meta.get_optional<bool>("tokenizer.ggml.add_space_prefix"));
  return v;
}

BITNET_NAMESPACE_END
