// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.json: byte-level BPE, and SentencePiece vocabularies written as BPE.
#pragma once

#include <bitnet/convert/pre_tokenizer.hpp>
#include <bitnet/convert/vocabulary.hpp>
#include <bitnet/text/bpe.hpp>
#include <bitnet/text/pretokenize.hpp>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace convert {
namespace detail {

inline constexpr std::string_view spm_mark = "\xE2\x96\x81";

/// A part of a tokenizer that this library does not have, by its type.
[[nodiscard]] inline error refuse_step(json::value step, const char* message) {
  const std::string_view type = step.find("type").value_or(step).text();
  return {errc::unsupported, message, "tokenizer.json: " + std::string{type}, step.offset()};
}

/// Reads one file. `pre` is the pre-tokenizer that the user states, empty to recognise it.
class tokenizer_reader {
 public:
  tokenizer_reader(const json::document& d, std::string_view pre)
      : root_{json::root(d)}, pre_{pre} {}

  [[nodiscard]] result<vocabulary> run() {
    BITNET_TRY(const auto model, root_.get<json::value>("model"));
    BITNET_TRY(const bool bytes, model.get_or<bool>("byte_fallback", false));
    BITNET_CHECK(check_model(model));
    v_.kind = bytes ? text::vocabulary_kind::sentencepiece : text::vocabulary_kind::bpe;
    BITNET_CHECK(read_tokens(model));
    BITNET_CHECK(read_added());
    BITNET_TRY(const auto merges, model.get<json::value>("merges"));
    BITNET_CHECK(read_merges(merges));
    if (bytes) {
      BITNET_CHECK(read_spaces());
      BITNET_CHECK(score_merges(merges));
    } else {
      BITNET_CHECK(read_cutting(model));
    }
    BITNET_CHECK(read_template());
    return std::move(v_);
  }

 private:
  [[nodiscard]] status check_model(json::value model) const {
    BITNET_TRY(const auto type, model.get<std::string_view>("type"));
    if (type != "BPE") return refuse_step(model, "this kind of tokenizer is not supported; BPE is");
    for (const json::value field : model) {
      constexpr std::string_view known[] = {"type",
                                            "vocab",
                                            "merges",
                                            "unk_token",
                                            "fuse_unk",
                                            "byte_fallback",
                                            "ignore_merges",
                                            "dropout",
                                            "continuing_subword_prefix",
                                            "end_of_word_suffix"};
      const auto* const at = std::find(std::begin(known), std::end(known), field.key());
      if (at == std::end(known)) return field.wrong(errc::unknown, "this setting is not known");
      const bool set = !field.is(json::kind::null) && !field.text().empty();
      if (set && std::distance(std::begin(known), at) >= 7 && field.text() != "0.0")
        return field.wrong(errc::unsupported, "this setting of BPE is not supported");
    }
    return {};
  }

  [[nodiscard]] status read_tokens(json::value model) {
    BITNET_TRY(const auto vocab, model.get<json::value>("vocab"));
    if (!vocab.is(json::kind::object))
      return vocab.wrong(errc::wrong_type, "an object of tokens and ids is expected");
    BITNET_TRY(const auto unk, model.get_or<std::string_view>("unk_token", ""));
    const bool spm = v_.kind == text::vocabulary_kind::sentencepiece;
    ids_.reserve(vocab.size());
    for (const json::value entry : vocab) {
      BITNET_TRY(const auto id, entry.as<std::uint64_t>());
      const std::string_view token = entry.key();
      const bool byte =
          spm && token.size() == 6 && token.starts_with("<0x") && token.ends_with('>');
      const bool unknown = spm && !unk.empty() && token == unk;
      BITNET_CHECK(v_.add(id, token,
                          byte      ? text::token_type::byte
                          : unknown ? text::token_type::unknown
                                    : text::token_type::normal,
                          entry));
      if (unknown) v_.unk = static_cast<text::token_id>(id);
      ids_.emplace(token, static_cast<std::uint32_t>(id));
    }
    return {};
  }

  [[nodiscard]] status read_added() {
    BITNET_TRY(const auto added, root_.get_optional<json::value>("added_tokens"));
    if (!added) return {};
    for (const json::value entry : *added) {
      BITNET_TRY(const auto id, entry.get<std::uint64_t>("id"));
      BITNET_TRY(const auto token, entry.get<std::string_view>("content"));
      BITNET_TRY(const bool special, entry.get_or<bool>("special", false));
      BITNET_CHECK(check_matching(entry, token, special));
      const auto known = ids_.find(token);
      const text::token_type type = added_type(token, special);
      const bool user = type == text::token_type::user_defined;
      const bool spm = v_.kind == text::vocabulary_kind::sentencepiece;
      const std::string text = user && spm ? with_spaces(token) : std::string{token};
      if (known == ids_.end()) {
        BITNET_CHECK(v_.add(id, text, type, entry));
        ids_.emplace(token, static_cast<std::uint32_t>(id));
      } else if (known->second != id) {
        return entry.find("id")->wrong(errc::malformed,
                                       "the vocabulary has another id for this token");
      } else if (v_.types[known->second] != text::token_type::unknown) {
        v_.set(known->second, text, type);
      }
    }
    return {};
  }

  /// Rules about what is around an added token. Engines apply none to control tokens.
  [[nodiscard]] status check_matching(json::value entry, std::string_view token, bool special) {
    for (const std::string_view rule : {"single_word", "lstrip", "rstrip"}) {
      BITNET_TRY(const bool set, entry.get_or<bool>(rule, false));
      if (!set) continue;
      if (!special && !text::looks_special(token))
        return entry.find(rule)->wrong(errc::unsupported,
                                       "tokens that take spaces or words around them are not "
                                       "supported");
      v_.notes.push_back(std::string{token} + ": " + std::string{rule} + " is not kept");
    }
    return {};
  }

  /// Both spellings: "a b", and ["a", "b"].
  [[nodiscard]] status read_merges(json::value merges) {
    if (!merges.is(json::kind::array))
      return merges.wrong(errc::wrong_type, "a list of merges is expected");
    v_.merges.reserve(merges.size());
    for (const json::value merge : merges) {
      if (merge.is(json::kind::string)) {
        const std::size_t space = merge.text().find(' ', 1);
        if (space == std::string_view::npos || space + 1 == merge.text().size() ||
            merge.text().find(' ', space + 1) != std::string_view::npos)
          return merge.wrong(errc::malformed, "a merge is two texts with a space between");
        v_.merges.emplace_back(merge.text());
        continue;
      }
      if (!merge.is(json::kind::array) || merge.size() != 2)
        return merge.wrong(errc::malformed, "a merge is two texts");
      std::string pair;
      for (const json::value part : merge) {
        BITNET_TRY(const auto text, part.as<std::string_view>());
        if (text.empty() || text.find(' ') != std::string_view::npos)
          return merge.wrong(errc::unsupported, "a part of a merge is empty or has a space");
        pair.append(pair.empty() ? "" : " ").append(text);
      }
      v_.merges.push_back(std::move(pair));
    }
    return {};
  }

  // ---- byte-level ----

  [[nodiscard]] status read_cutting(json::value model) {
    BITNET_TRY(const auto normalizer, root_.get_optional<json::value>("normalizer"));
    // Engines leave composing characters to their callers; see text::encode_options::nfc.
    if (normalizer && !has_text(*normalizer, "type", "NFC"))
      return refuse_step(*normalizer, "this normalizer is not supported");
    if (normalizer) v_.notes.push_back("NFC normalization is left to who encodes");
    if (pre_.empty()) {
      BITNET_TRY(const auto name, recognise_pre_tokenizer(root_));
      v_.pre = name;
    } else {
      v_.pre = pre_;
    }
    BITNET_TRY(const auto pre, text::find_pre_tokenizer(v_.pre));
    BITNET_TRY(const bool stated, model.get_or<bool>("ignore_merges", false));
    const bool implied = pre == text::pre_tokenizer::llama3;
    if (stated != implied) BITNET_CHECK(check_whole_words(model));
    return {};
  }

  /// GGUF has no key for ignore_merges (whole words that are tokens are not merged): the
  /// pre-tokenizer's name implies it. Where a file says otherwise it must make no difference, which
  /// is so if merging spells every token as itself.
  [[nodiscard]] status check_whole_words(json::value model) const {
    text::string_table texts;
    for (std::size_t i = 0; i < v_.tokens.size(); ++i)
      BITNET_CHECK(texts.add(v_.tokens[i].empty() ? "\n" + std::to_string(i) : v_.tokens[i]));
    const std::vector<std::string_view> merges(v_.merges.begin(), v_.merges.end());
    BITNET_TRY(const auto bpe, text::bpe_merges::make(merges, texts, false));
    text::merge_chain chain;
    std::string word;
    std::string spelled;
    std::vector<text::token_id> ids;
    for (std::size_t i = 0; i < v_.tokens.size(); ++i) {
      if (v_.types[i] != text::token_type::normal) continue;
      word.clear();
      ids.clear();
      text::append_spelled_bytes(word, v_.tokens[i]);
      bpe.encode(word, texts, chain, spelled, ids);
      if (ids.size() != 1 || static_cast<std::size_t>(ids[0]) != i)
        return error{
            errc::unsupported,
            "ignore_merges is not as this pre-tokenizer has it, and matters for this token",
            v_.tokens[i], model.offset()};
    }
    return {};
  }

  // ---- SentencePiece ----

  /// Whether a space is put before text; spaces must become U+2581 and nothing else happen.
  [[nodiscard]] status read_spaces() {
    BITNET_TRY(const auto normalizer, root_.get_optional<json::value>("normalizer"));
    BITNET_TRY(const auto pre, root_.get_optional<json::value>("pre_tokenizer"));
    bool replaced = false;
    v_.add_space_prefix = false;
    const auto normalize = [&](json::value step) -> status {
      if (has_text(step, "type", "Prepend") && has_text(step, "prepend", spm_mark)) {
        v_.add_space_prefix = true;
        return {};
      }
      const auto pattern = step.find("pattern");
      replaced = has_text(step, "type", "Replace") && has_text(step, "content", spm_mark) &&
                 pattern && has_text(*pattern, "String", " ");
      if (!replaced) return refuse_step(step, "this normalizer is not supported");
      return {};
    };
    if (normalizer && has_text(*normalizer, "type", "Sequence")) {
      BITNET_TRY(const auto steps, normalizer->get<json::value>("normalizers"));
      for (const json::value step : steps) BITNET_CHECK(normalize(step));
    } else if (normalizer) {
      BITNET_CHECK(normalize(*normalizer));
    }
    if (pre) {
      if (!has_text(*pre, "type", "Metaspace") || !has_text(*pre, "replacement", spm_mark) ||
          !has_text(*pre, "split", "false"))
        return refuse_step(*pre, "this pre-tokenizer is not supported");
      replaced = true;
      v_.add_space_prefix = !has_text(*pre, "prepend_scheme", "never");
    }
    if (!replaced)
      return root_.wrong(errc::unsupported, "a tokenizer with bytes must replace spaces by U+2581");
    return {};
  }

  /// SentencePiece merges what has the highest score, so the order of the merges becomes scores.
  /// Merges to the same token stand together, else no scores could say the same.
  [[nodiscard]] status score_merges(json::value merges) {
    std::vector<bool> scored(v_.tokens.size());
    std::size_t last = v_.tokens.size();
    float rank = 0.0F;
    std::string text;
    for (std::size_t i = 0; i < v_.merges.size(); ++i) {
      const std::string& merge = v_.merges[i];
      const std::size_t space = merge.find(' ', 1);
      text.assign(merge, 0, space).append(merge, space + 1);
      const auto token = ids_.find(text);
      if (token == ids_.end())
        return error{errc::malformed, "a merge makes no token", text, merges.offset()};
      if (token->second == last) continue;
      last = token->second;
      if (scored[last])
        return error{errc::unsupported,
                     "merges to this token do not stand together, which scores cannot express",
                     text, merges.offset()};
      scored[last] = true;
      v_.scores[last] = -rank;
      rank += 1.0F;
    }
    for (std::size_t i = 0; i < v_.tokens.size(); ++i) {
      const bool plain = v_.types[i] == text::token_type::normal;
      if (!scored[i]) v_.scores[i] = plain ? -rank : 0.0F;
    }
    v_.merges.clear();
    return {};
  }

  // ---- what is put around a text ----

  [[nodiscard]] status read_template() {
    BITNET_TRY(const auto post, root_.get_optional<json::value>("post_processor"));
    if (!post) return {};
    if (!has_text(*post, "type", "Sequence")) return read_processor(*post);
    BITNET_TRY(const auto steps, post->get<json::value>("processors"));
    for (const json::value step : steps) BITNET_CHECK(read_processor(step));
    return {};
  }

  [[nodiscard]] status read_processor(json::value step) {
    if (has_text(step, "type", "ByteLevel")) return {};
    if (!has_text(step, "type", "TemplateProcessing"))
      return refuse_step(step, "this post-processor is not supported");
    BITNET_TRY(const auto single, step.get<json::value>("single"));
    bool behind = false;
    v_.add_bos = v_.add_eos = false;
    for (const json::value part : single) {
      if (part.find("Sequence")) {
        behind = true;
        continue;
      }
      const auto token = part.find("SpecialToken");
      const auto id = token ? token->find("id") : std::nullopt;
      const auto known = id ? ids_.find(id->text()) : ids_.end();
      auto& flag = behind ? v_.add_eos : v_.add_bos;
      if (known == ids_.end() || *flag)
        return part.wrong(errc::unsupported, "this template is not supported");
      flag = true;
      (behind ? v_.eos : v_.bos) = static_cast<text::token_id>(known->second);
    }
    return {};
  }

  json::value root_;
  std::string pre_;
  vocabulary v_;
  std::unordered_map<std::string_view, std::uint32_t> ids_;
};

}  // namespace detail

/// The vocabulary of a tokenizer.json. Settings that change ids and have no counterpart in GGUF
/// (normalizers, pre-tokenizers, models other than BPE) are refused by name. `pre` names the
/// pre-tokenizer of a byte-level one whose own is not recognised; empty to recognise it.
[[nodiscard]] inline result<vocabulary> read_tokenizer_json(const json::document& parsed,
                                                            std::string_view pre = {}) {
  return detail::tokenizer_reader{parsed, pre}.run();
}

}  // namespace convert
BITNET_NAMESPACE_END
