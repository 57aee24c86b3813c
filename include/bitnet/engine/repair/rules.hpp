// SPDX-License-Identifier: Apache-2.0
// Which metadata of published files are known to go missing or wrong, and what decides the right
// ones.
#pragma once

#include <bitnet/engine/repair/token_rules.hpp>
#include <bitnet/text/chat_template.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// The tokenizer model. One that is absent shows in which lists are there.
[[nodiscard]] inline result<text::vocabulary_kind> fix_tokenizer_model(repair_draft& draft) {
  constexpr std::string_view key = "tokenizer.ggml.model";
  const auto& meta = draft.meta;
  if (!meta.contains(key)) {
    const bool merges = meta.contains("tokenizer.ggml.merges");
    if (!merges && !meta.contains("tokenizer.ggml.scores"))
      return error{errc::missing, "the file holds no vocabulary that can be repaired", key};
    draft.set(key, std::string{merges ? "gpt2" : "llama"},
              merges ? "the vocabulary has merges, as byte-level ones do"
                     : "the vocabulary has scores and no merges, as SentencePiece ones do");
    return merges ? text::vocabulary_kind::bpe : text::vocabulary_kind::sentencepiece;
  }
  BITNET_TRY(const auto model, meta.get<std::string_view>(key));
  if (model == "gpt2") return text::vocabulary_kind::bpe;
  if (model == "llama") return text::vocabulary_kind::sentencepiece;
  return error{errc::unknown, "unknown tokenizer model; known: gpt2, llama", model,
               meta.find(key)->offset()};
}

/// "cuts 57 of 1234 merged tokens".
[[nodiscard]] inline std::string cuts_text(const text::pre_tokenizer_fit& fit,
                                           text::pre_tokenizer kind) {
  return "cuts " + std::to_string(fit.cut(kind)) + " of " + std::to_string(fit.tokens()) +
         " merged tokens";
}

/// The pre-tokenizer of a byte-level vocabulary: "" where it stays open.
[[nodiscard]] inline result<std::string_view> fix_pre_tokenizer(repair_draft& draft) {
  constexpr std::string_view key = "tokenizer.ggml.pre";
  const text::pre_tokenizer_fit& fit = draft.tokens.fit();
  if (!draft.options.pre.empty()) {
    if (const auto known = text::find_pre_tokenizer(draft.options.pre); !known)
      return known.error();
    draft.set(key, std::string{draft.options.pre}, repair_draft::as_asked);
    return draft.options.pre;
  }
  if (draft.tokens.kind() != text::vocabulary_kind::bpe) return std::string_view{};

  // What the vocabulary's special tokens, or the architecture, say it is.
  std::string_view proven;
  std::string why;
  if (draft.tokens.family() == vocabulary_family::llama3) {
    proven = "llama-bpe";
    why = "the vocabulary has the special tokens of Llama 3";
  } else if (draft.tokens.family() == vocabulary_family::qwen && draft.architecture == "qwen3") {
    proven = "qwen2";
    why = "the vocabulary has the special tokens of Qwen";
  } else if (draft.is_b158()) {
    proven = "llama-bpe";
    why = "models of this architecture have the vocabulary of Llama 3";
  }
  const auto proven_kind =
      proven.empty() ? text::pre_tokenizer::standard : *text::find_pre_tokenizer(proven);
  if (!proven.empty() && fit.contradicts(proven_kind)) proven = {};

  const std::string_view stated = draft.text_of(key);
  const auto kind = text::find_pre_tokenizer(stated);
  const bool unknown = !kind;
  if (kind && !stated.empty()) {
    if (proven.empty() || !fit.prefers(proven_kind, *kind)) return stated;
    why += "; " + quoted_text(stated) + " " + cuts_text(fit, *kind) + ", which text then never " +
           "becomes, and " + std::string{proven} + " " + std::to_string(fit.cut(proven_kind));
  }
  if (proven.empty() || unknown) {
    std::string problem = unknown ? "this pre-tokenizer is not known"
                                  : "it is missing, and engines then cut text by a default";
    if (unknown && !proven.empty()) {
      problem += "; " + why + ", whose is " + std::string{proven};
    } else {
      problem += "; of the known ones ";
      for (const std::string_view name : {"llama-bpe", "qwen2", "qwen35", "gpt-2", "default"})
        problem += (name == "llama-bpe" ? "" : ", ") + std::string{name} + " " +
                   cuts_text(fit, *text::find_pre_tokenizer(name)).substr(5);
    }
    draft.ask(key, std::move(problem), "pre");
    return std::string_view{};
  }
  draft.set(key, std::string{proven}, std::move(why));
  return proven;
}

/// The chat template; returns the format that it has after the repair, if that is known.
[[nodiscard]] inline std::optional<text::chat_format> fix_chat_template(repair_draft& draft,
                                                                        std::string_view pre) {
  constexpr std::string_view key = "tokenizer.chat_template";
  const auto format_of = [&](std::string_view text) -> std::optional<text::chat_format> {
    const auto format = text::recognise_chat(text, draft.architecture, pre);
    return format ? std::optional{*format} : std::nullopt;
  };
  if (!draft.options.chat_template.empty()) {
    draft.set(key, std::string{draft.options.chat_template}, repair_draft::as_asked);
    return format_of(draft.options.chat_template);
  }
  const std::string_view stated = draft.text_of(key);
  // The placeholder of the published BitNet files neither names their roles nor ends their turns.
  const bool placeholder = stated.find("BITNET") != std::string_view::npos &&
                           stated.find("<|eot_id|>") == std::string_view::npos;
  if (!stated.empty() && !placeholder) return format_of(stated);
  if ((placeholder || draft.is_b158()) && draft.tokens.special("<|eot_id|>")) {
    draft.set(key, std::string{text::chat_template_of(text::chat_format::bitnet)},
              placeholder ? "a placeholder: the model was trained with 'User: ...<|eot_id|>'"
                          : "missing: the model was trained with 'User: ...<|eot_id|>'");
    return text::chat_format::bitnet;
  }
  if (draft.meta.contains(key)) {
    draft.ask(key,
              placeholder ? "a placeholder, of another model than this" : "it holds no template",
              "chat_template");
  } else if (draft.tokens.special("<|im_start|>") || draft.tokens.special("<|start_header_id|>")) {
    draft.out.notes.push_back(
        "the file has no chat template, which is right for a model that does not chat; otherwise "
        "name its format: " +
        std::string{draft.tokens.special("<|im_start|>") ? "chatml" : "llama3"} +
        " has tokens in this vocabulary");
  }
  return std::nullopt;
}

/// Scores mean nothing in byte-level vocabularies, but wrong ones keep them from being read.
inline void fix_scores(repair_draft& draft) {
  constexpr std::string_view key = "tokenizer.ggml.scores";
  if (draft.tokens.kind() != text::vocabulary_kind::bpe) return;
  text::vocabulary lists;
  lists.tokens.resize(draft.tokens.size());
  if (!read_scores(draft.meta, lists))
    draft.remove(key, "they are not a number for each token; byte-level vocabularies need none");
}

/// Files of BitNet-b1.58-2B-4T that were written as `bitnet`, whose default is another activation.
inline void fix_activation(repair_draft& draft) {
  constexpr std::string_view key = "bitnet.hidden_activation";
  if (draft.architecture != "bitnet" || draft.meta.contains(key)) return;
  const auto is = [&](std::string_view name, std::uint64_t wanted) {
    const gguf::metadata_value* value = draft.meta.find("bitnet." + std::string{name});
    return value != nullptr && value->as<std::uint64_t>().value_or(0) == wanted;
  };
  if (is("block_count", 30) && is("embedding_length", 2560) && is("feed_forward_length", 6912) &&
      draft.tokens.family() == vocabulary_family::llama3)
    draft.set(key, std::string{"relu2"},
              "shape and vocabulary are those of BitNet-b1.58-2B-4T, which has squared ReLU");
}

/// Keys that the user sets or leaves out.
[[nodiscard]] inline status set_keys(repair_draft& draft) {
  const auto may_change = [](std::string_view key) -> status {
    if (key.empty() || key.starts_with("split."))
      return error{errc::invalid_argument, "this key cannot be set", key};
    return {};
  };
  for (const auto& [key, value] : draft.options.set) {
    BITNET_CHECK(may_change(key));
    draft.set(key, value, repair_draft::as_asked);
  }
  for (const std::string& key : draft.options.remove) {
    BITNET_CHECK(may_change(key));
    draft.remove(key, repair_draft::as_asked);
  }
  // What is asked for is no question any more.
  std::erase_if(draft.out.open, [&](const open_question& q) {
    const auto& removed = draft.options.remove;
    const auto& set = draft.options.set;
    return std::find(removed.begin(), removed.end(), q.key) != removed.end() ||
           std::any_of(set.begin(), set.end(), [&](const auto& s) { return s.first == q.key; });
  });
  return {};
}

/// Applies one rule after the other; later ones see what earlier ones decided.
[[nodiscard]] inline result<metadata_repair> find_repair(const gguf::metadata& meta,
                                                         const repair_options& options) {
  repair_draft draft{meta, options};
  BITNET_TRY(const text::vocabulary_kind kind, fix_tokenizer_model(draft));
  BITNET_TRY(draft.tokens, vocabulary_evidence::read(meta, kind));
  draft.architecture = draft.text_of("general.architecture");
  BITNET_TRY(const std::string_view pre, fix_pre_tokenizer(draft));
  const auto format = fix_chat_template(draft, pre);
  BITNET_CHECK(token_rules::apply(draft, format));
  fix_scores(draft);
  fix_activation(draft);
  BITNET_CHECK(set_keys(draft));
  return std::move(draft.out);
}

}  // namespace detail
BITNET_NAMESPACE_END
