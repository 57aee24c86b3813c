// SPDX-License-Identifier: Apache-2.0
// From text to token ids and back, for every kind of vocabulary. Ids equal those of llama.cpp.
#pragma once

#include <bitnet/text/bpe.hpp>
#include <bitnet/text/nfc.hpp>
#include <bitnet/text/pretokenize.hpp>
#include <bitnet/text/special_tokens.hpp>
#include <bitnet/text/spm.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

/// What becomes of bytes that are not UTF-8.
enum class invalid_utf8 : std::uint8_t {
  replace,  ///< as in llama.cpp: BPE makes each U+FFFD and shortens overlong forms; SentencePiece
            ///< keeps them as bytes, along with what follows in the place of a missing byte
  keep      ///< the bytes are kept and nothing else changes: decoding gives the text back
};

struct encode_options {
  bool add_special = true;     ///< BOS and EOS, if the vocabulary asks for them
  bool parse_special = false;  ///< control tokens in the text are recognised; never for user input
  invalid_utf8 invalid = invalid_utf8::replace;
  bool nfc = false;  ///< BPE: compose characters first, as the original tokenizer of Qwen does
};

struct decode_options {
  bool render_special = true;  ///< control and unknown tokens appear as their text
  bool clean_spaces = false;   ///< no space before punctuation and 's, 'm, 're, 've, if the
                               ///< vocabulary is of those that are decoded so
};

/// Tokenizer of one vocabulary. Immutable after make: any number of threads may share it.
class tokenizer {
 public:
  /// Checks `v` and builds the tables. Nothing in `v` is referred to afterwards. Errors name the
  /// metadata key or the token: errc::malformed (list lengths, ids out of range, a token twice, a
  /// merge that is none), errc::unknown (pre-tokenizer), errc::limit (sizes of a hostile file).
  [[nodiscard]] static result<tokenizer> make(const vocabulary& v);

  /// Appends the ids of `text`. errc::limit if it is 256 MiB or longer. n log n in its size.
  [[nodiscard]] status encode(std::string_view text, const encode_options& options,
                              std::vector<token_id>& out) const;

  /// The ids of `text`.
  [[nodiscard]] result<std::vector<token_id>> encode(std::string_view text,
                                                     const encode_options& options = {}) const {
    std::vector<token_id> ids;
    BITNET_CHECK(encode(text, options, ids));
    return ids;
  }

  /// Bytes that a token stands for, special tokens as their text; empty for unused tokens and for
  /// ids that are none. They may begin or end inside a character (see utf8_stream). The view lives
  /// as long as the tokenizer.
  [[nodiscard]] std::string_view piece(token_id id) const noexcept {
    return valid(id) ? pieces_[static_cast<std::size_t>(id)] : std::string_view{};
  }

  /// Text of `ids`. The space that SentencePiece puts before text is taken away again.
  [[nodiscard]] std::string decode(std::span<const token_id> ids,
                                   const decode_options& options = {}) const;

  [[nodiscard]] std::size_t size() const noexcept { return flags_.size(); }
  [[nodiscard]] bool valid(token_id id) const noexcept {
    return id >= 0 && static_cast<std::size_t>(id) < size();
  }
  [[nodiscard]] std::optional<token_id> bos() const noexcept { return bos_; }
  [[nodiscard]] std::optional<token_id> eos() const noexcept { return eos_; }
  [[nodiscard]] std::optional<token_id> eot() const noexcept { return eot_; }
  [[nodiscard]] std::optional<token_id> unk() const noexcept { return unk_; }
  [[nodiscard]] std::optional<token_id> pad() const noexcept { return pad_; }
  [[nodiscard]] bool adds_bos() const noexcept { return add_bos_; }
  [[nodiscard]] bool adds_eos() const noexcept { return add_eos_; }
  [[nodiscard]] vocabulary_kind kind() const noexcept { return kind_; }

  /// EOS, end of turn, and every token whose name says that it ends a text.
  [[nodiscard]] bool is_end_of_generation(token_id id) const noexcept { return has(id, flag_end); }
  /// Control and unknown tokens: those that decode_options::render_special hides.
  [[nodiscard]] bool is_control(token_id id) const noexcept { return has(id, flag_hidden); }

  /// The token whose text is exactly `text`, spelled as in the vocabulary.
  [[nodiscard]] std::optional<token_id> find(std::string_view text) const noexcept {
    const std::uint32_t id = texts_.find(text);
    if (id >= size()) return std::nullopt;
    return static_cast<token_id>(id);
  }

 private:
  static constexpr std::uint8_t flag_normal = 1;
  static constexpr std::uint8_t flag_control = 2;
  static constexpr std::uint8_t flag_unknown = 4;
  static constexpr std::uint8_t flag_user = 8;
  static constexpr std::uint8_t flag_byte = 16;
  static constexpr std::uint8_t flag_end = 32;
  static constexpr std::uint8_t flag_hidden = flag_control | flag_unknown;

  [[nodiscard]] bool has(token_id id, std::uint8_t flags) const noexcept {
    return valid(id) && (flags_[static_cast<std::size_t>(id)] & flags) != 0;
  }

  status read_tokens(const vocabulary& v);
  status read_special_ids(const vocabulary& v);
  void recognise_names();
  void make_pieces();
  void encode_bpe(std::string_view text, const encode_options& options, merge_chain& chain,
                  std::vector<token_id>& out) const;
  void encode_spm(std::string_view text, const encode_options& options, bool space_before,
                  merge_chain& chain, std::vector<token_id>& out) const;

  vocabulary_kind kind_ = vocabulary_kind::bpe;
  pre_tokenizer pre_ = pre_tokenizer::standard;
  bool add_bos_ = false;
  bool add_eos_ = false;
  bool add_space_prefix_ = false;
  bool clean_spaces_ = false;
  std::optional<token_id> bos_, eos_, eot_, unk_, pad_;
  string_table texts_;               ///< tokens as the file spells them, then symbols of merges
  string_list pieces_;               ///< tokens as bytes
  std::vector<std::uint8_t> flags_;  ///< by token
  bpe_merges merges_;
  spm_scores scores_;
  special_matcher user_defined_;  ///< looked for always
  special_matcher all_special_;   ///< looked for with parse_special
};

}  // namespace text
BITNET_NAMESPACE_END

#include <bitnet/text/tokenizer_impl.hpp>
