// SPDX-License-Identifier: Apache-2.0
// What a file's token lists prove about its vocabulary, whatever its other keys say.
#pragma once

#include <bitnet/engine/vocabulary.hpp>
#include <bitnet/text/pre_tokenizer_fit.hpp>
#include <bitnet/text/special_tokens.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// Vocabularies whose special tokens are known by name.
enum class vocabulary_family : std::uint8_t { other, llama3, qwen };

/// The tokens of a file, and which of them text can become. Refers to the metadata.
class vocabulary_evidence {
 public:
  /// Errors: those of reading the lists, errc::malformed for a token that occurs twice; what cannot
  /// be read at all cannot be repaired.
  [[nodiscard]] static result<vocabulary_evidence> read(const gguf::metadata& meta,
                                                        text::vocabulary_kind kind) {
    vocabulary_evidence e;
    e.kind_ = kind;
    text::vocabulary lists;
    BITNET_TRY(const auto tokens, meta.get<gguf::string_array>("tokenizer.ggml.tokens"));
    lists.tokens.assign(tokens.begin(), tokens.end());
    BITNET_CHECK(read_types(meta, lists));
    e.types_ = std::move(lists.types);
    std::size_t bytes = 0;
    for (const std::string_view token : lists.tokens) bytes += token.size();
    e.texts_.reserve(lists.tokens.size(), bytes);
    for (const std::string_view token : lists.tokens) BITNET_CHECK(e.texts_.add(token));
    if (kind == text::vocabulary_kind::bpe) BITNET_CHECK(e.find_reachable(meta));
    e.family_ = e.recognise();
    return e;
  }

  [[nodiscard]] text::vocabulary_kind kind() const noexcept { return kind_; }
  [[nodiscard]] vocabulary_family family() const noexcept { return family_; }
  [[nodiscard]] const text::pre_tokenizer_fit& fit() const noexcept { return fit_; }
  [[nodiscard]] std::size_t size() const noexcept { return texts_.size(); }
  [[nodiscard]] std::string_view operator[](text::token_id id) const noexcept {
    return texts_[static_cast<std::size_t>(id)];
  }
  /// As the file states them; empty if it does not.
  [[nodiscard]] std::span<const text::token_type> types() const noexcept { return types_; }

  /// The token of that text, whatever it is.
  [[nodiscard]] std::optional<text::token_id> find(std::string_view name) const noexcept {
    const std::uint32_t id = texts_.find(name);
    return id < size() ? std::optional{static_cast<text::token_id>(id)} : std::nullopt;
  }
  /// Whether plain text becomes this token: it is made by merges, or its type says so.
  [[nodiscard]] bool ordinary(text::token_id id) const noexcept {
    const auto i = static_cast<std::size_t>(id);
    if (kind_ == text::vocabulary_kind::bpe) return reachable_[i];
    return i < types_.size() &&
           (types_[i] == text::token_type::normal || types_[i] == text::token_type::byte);
  }
  /// The token of that text, unless it is one that text becomes: Qwen's vocabulary has "</s>" as a
  /// piece of markup. In SentencePiece vocabularies the name is all there is to go by.
  [[nodiscard]] std::optional<text::token_id> special(std::string_view name) const noexcept {
    const auto id = find(name);
    return id && kind_ == text::vocabulary_kind::bpe && ordinary(*id) ? std::nullopt : id;
  }
  /// The special token of these names, if there is exactly one.
  [[nodiscard]] std::optional<text::token_id> only(
      std::span<const std::string_view> names) const noexcept {
    std::optional<text::token_id> found;
    for (const std::string_view name : names) {
      const auto id = special(name);
      if (!id) continue;
      if (found) return std::nullopt;
      found = id;
    }
    return found;
  }

 private:
  /// Single characters and what merges make of them.
  [[nodiscard]] status find_reachable(const gguf::metadata& meta) {
    BITNET_TRY(const auto merges, meta.get<gguf::string_array>("tokenizer.ggml.merges"));
    reachable_.resize(size());
    for (std::size_t i = 0; i < size(); ++i)
      reachable_[i] =
          !texts_[i].empty() && text::decode_utf8(texts_[i], 0).size == texts_[i].size();
    std::string joined;
    for (const std::string_view merge : merges) {
      const std::size_t space = merge.find(' ', 1);
      if (space == std::string_view::npos) continue;  // the tokenizer refuses it by name
      joined.assign(merge.substr(0, space));
      joined += merge.substr(space + 1);
      const auto id = find(joined);
      if (!id || reachable_[static_cast<std::size_t>(*id)]) continue;
      reachable_[static_cast<std::size_t>(*id)] = true;
      fit_.add(joined);
    }
    return {};
  }

  [[nodiscard]] vocabulary_family recognise() const noexcept {
    if (kind_ != text::vocabulary_kind::bpe) return vocabulary_family::other;
    if (special("<|begin_of_text|>") && special("<|end_of_text|>") && special("<|eot_id|>"))
      return vocabulary_family::llama3;
    const auto first = special("<|endoftext|>");
    if (first && special("<|im_start|>") == *first + 1 && special("<|im_end|>") == *first + 2)
      return vocabulary_family::qwen;
    return vocabulary_family::other;
  }

  text::vocabulary_kind kind_ = text::vocabulary_kind::bpe;
  vocabulary_family family_ = vocabulary_family::other;
  text::string_table texts_;
  std::vector<text::token_type> types_;
  std::vector<bool> reachable_;  ///< byte-level vocabularies
  text::pre_tokenizer_fit fit_;
};

}  // namespace detail
BITNET_NAMESPACE_END
