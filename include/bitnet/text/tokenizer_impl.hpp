// SPDX-License-Identifier: Apache-2.0
// Definitions of text::tokenizer: building the tables, encoding and decoding.
#pragma once

#include <bitnet/text/tokenizer.hpp>

BITNET_NAMESPACE_BEGIN
namespace text {

inline result<tokenizer> tokenizer::make(const vocabulary& v) {
  tokenizer t;
  t.kind_ = v.kind;
  const bool bpe = v.kind == vocabulary_kind::bpe;
  if (bpe) {
    BITNET_TRY(t.pre_, find_pre_tokenizer(v.pre));
  }
  const bool llama3 = bpe && t.pre_ == pre_tokenizer::llama3;
  t.add_bos_ = v.add_bos.value_or(llama3 || !bpe);
  t.add_eos_ = v.add_eos.value_or(false);
  t.add_space_prefix_ = !bpe && v.add_space_prefix.value_or(true);
  t.clean_spaces_ = bpe && t.pre_ != pre_tokenizer::qwen2 && t.pre_ != pre_tokenizer::qwen35;

  BITNET_CHECK(t.read_tokens(v));
  BITNET_CHECK(t.read_special_ids(v));
  t.recognise_names();
  t.make_pieces();
  for (std::size_t id = 0; id < t.size(); ++id) {
    const std::uint8_t flags = t.flags_[id];
    const auto number = static_cast<std::uint32_t>(id);
    if ((flags & (flag_hidden | flag_user)) == 0) continue;
    BITNET_CHECK(t.all_special_.add(number, t.texts_));
    if ((flags & flag_hidden) == 0) {
      BITNET_CHECK(t.user_defined_.add(number, t.texts_));
    }
  }
  if (bpe) {
    BITNET_TRY(t.merges_, bpe_merges::make(v.merges, t.texts_, llama3));
  } else {
    t.scores_ = spm_scores::make(t.texts_, v.scores, t.unk_);
  }
  return t;
}

inline status tokenizer::read_tokens(const vocabulary& v) {
  const std::size_t count = v.tokens.size();
  if (count == 0 || count > static_cast<std::size_t>(std::numeric_limits<token_id>::max()) / 2)
    return error{errc::malformed, "the number of tokens is out of range", "tokenizer.ggml.tokens"};
  if (!v.scores.empty() && v.scores.size() != count)
    return error{errc::malformed, "there must be as many scores as tokens",
                 "tokenizer.ggml.scores"};
  if (!v.types.empty() && v.types.size() != count)
    return error{errc::malformed, "there must be as many types as tokens",
                 "tokenizer.ggml.token_type"};
  std::size_t bytes = 0;
  for (const std::string_view token : v.tokens) bytes += token.size();
  texts_.reserve(count, bytes);
  for (const std::string_view token : v.tokens) BITNET_CHECK(texts_.add(token));

  flags_.resize(count, flag_normal);
  for (std::size_t i = 0; i < v.types.size(); ++i) {
    switch (v.types[i]) {
      case token_type::normal:
        flags_[i] = flag_normal;
        break;
      case token_type::unknown:
        flags_[i] = flag_unknown;
        break;
      case token_type::control:
        flags_[i] = flag_control;
        break;
      case token_type::user_defined:
        flags_[i] = flag_user;
        break;
      case token_type::byte:
        flags_[i] = flag_byte;
        break;
      default:
        flags_[i] = 0;
        break;  // undefined, unused, and what later files may invent
    }
  }
  return {};
}

inline status tokenizer::read_special_ids(const vocabulary& v) {
  struct entry {
    std::string_view key;
    std::optional<token_id> stated;
    std::optional<token_id>* id;
    token_id otherwise;  // SentencePiece's own numbering; -1: none
  };
  const bool spm = kind_ == vocabulary_kind::sentencepiece;
  const entry entries[] = {{"tokenizer.ggml.bos_token_id", v.bos, &bos_, spm ? 1 : -1},
                           {"tokenizer.ggml.eos_token_id", v.eos, &eos_, spm ? 2 : -1},
                           {"tokenizer.ggml.eot_token_id", v.eot, &eot_, -1},
                           {"tokenizer.ggml.unknown_token_id", v.unk, &unk_, spm ? 0 : -1},
                           {"tokenizer.ggml.padding_token_id", v.pad, &pad_, -1}};
  for (const entry& e : entries) {
    if (e.stated && !valid(*e.stated))
      return error{errc::malformed, "the id is not in the vocabulary", e.key};
    *e.id = e.stated;
    if (!e.stated && valid(e.otherwise)) *e.id = e.otherwise;
  }
  add_bos_ = add_bos_ && bos_.has_value();
  add_eos_ = add_eos_ && eos_.has_value();
  return {};
}

inline void tokenizer::recognise_names() {
  const auto mark = [this](std::optional<token_id> id, unsigned flags) {
    if (!id) return;
    std::uint8_t& f = flags_[static_cast<std::size_t>(*id)];
    f = static_cast<std::uint8_t>(f | flags);
  };
  for (std::size_t i = 0; i < std::size(special::end_of_turn) && !eot_; ++i)
    eot_ = find(special::end_of_turn[i]);
  for (const std::string_view name : special::end_of_generation)
    mark(find(name), flag_control | flag_end);
  for (std::size_t row = 0; row < std::size(special::fill_in_the_middle); ++row) {
    for (const std::string_view name : special::fill_in_the_middle[row]) {
      const std::optional<token_id> id = find(name);
      mark(id, row < special::first_ending_row ? flag_control : flag_control | flag_end);
      if (id) break;
    }
  }
  mark(eos_, flag_end);
  mark(eot_, flag_end);
}

inline void tokenizer::make_pieces() {
  std::size_t bytes = 0;
  for (std::size_t id = 0; id < size(); ++id) bytes += texts_[id].size();
  pieces_.reserve(size(), bytes);
  const auto digit = [](char c) {
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c - '0';
  };
  std::string piece;
  for (std::size_t id = 0; id < size(); ++id) {
    const std::string_view text = texts_[id];
    const std::uint8_t flags = flags_[id];
    piece.clear();
    if ((flags & (flag_hidden | flag_user)) != 0) {
      piece = text;
    } else if ((flags & flag_byte) != 0) {
      if (text.size() == 6)
        piece.push_back(static_cast<char>(digit(text[3]) * 16 + digit(text[4])));
    } else if ((flags & flag_normal) != 0 && kind_ == vocabulary_kind::bpe) {
      append_spelled_bytes(piece, text);
    } else if ((flags & flag_normal) != 0) {
      std::size_t done = 0;
      for (std::size_t i = text.find(spm_space); i != std::string_view::npos;
           i = text.find(spm_space, done)) {
        piece.append(text.substr(done, i - done)).push_back(' ');
        done = i + spm_space.size();
      }
      piece.append(text.substr(done));
    }
    pieces_.push_back(piece);
  }
}

inline status tokenizer::encode(std::string_view text, const encode_options& options,
                                std::vector<token_id>& out) const {
  // Positions are 32 bits wide, escaping can make a text three times as long, and merging one
  // long run takes some fifty bytes for each of its characters.
  if (text.size() >= std::size_t{1} << 28)
    return error{errc::limit, "the text is too long to be encoded at once", "text"};
  merge_chain chain;
  if (options.add_special && add_bos_) out.push_back(*bos_);
  bool first_or_after_special = true;
  const special_matcher& matcher = options.parse_special ? all_special_ : user_defined_;
  matcher.split(text, texts_, [&](const fragment& f) {
    if (f.token >= 0) {
      out.push_back(f.token);
    } else if (kind_ == vocabulary_kind::bpe) {
      encode_bpe(f.text, options, chain, out);
    } else {
      encode_spm(f.text, options, add_space_prefix_ && first_or_after_special, chain, out);
    }
    first_or_after_special = f.token >= 0;
  });
  if (options.add_special && add_eos_) out.push_back(*eos_);
  return {};
}

inline void tokenizer::encode_bpe(std::string_view text, const encode_options& options,
                                  merge_chain& chain, std::vector<token_id>& out) const {
  std::string repaired;
  std::string composed;
  std::string spelled;
  if (options.invalid == invalid_utf8::replace) text = repair_utf8(text, repaired);
  if (options.nfc) text = to_nfc(text, composed);
  split_words(pre_, text,
              [&](std::string_view word) { merges_.encode(word, texts_, chain, spelled, out); });
}

inline void tokenizer::encode_spm(std::string_view text, const encode_options& options,
                                  bool space_before, merge_chain& chain,
                                  std::vector<token_id>& out) const {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 2);
  if (space_before) escaped.append(spm_space);
  for (const char c : text) {
    if (c == ' ') {
      escaped.append(spm_space);
    } else {
      escaped.push_back(c);
    }
  }
  scores_.encode(escaped, options.invalid == invalid_utf8::replace, texts_, chain, out);
}

namespace detail {

/// Drops the spaces that word-based tokenizers put before punctuation and contractions, in the
/// three passes that the engines make.
inline void clean_spaces(std::string& s) {
  const auto rewrite = [&s](auto rule) {
    std::string out;
    for (std::size_t i = 0; i < s.size(); ++i) {
      const auto at = [&](std::size_t k) { return i + k < s.size() ? s[i + k] : '\0'; };
      const bool after_space = i > 0 && s[i - 1] == ' ' && !out.empty() && out.back() == ' ';
      const std::size_t skip = after_space ? rule(at(0), at(1), at(2), out) : 0;
      out.push_back(s[i]);
      i += skip;
    }
    s = std::move(out);
  };
  rewrite([](char a, char, char, std::string& out) -> std::size_t {
    if (a == '?' || a == '!' || a == '.' || a == ',') out.pop_back();
    return 0;
  });
  rewrite([](char a, char b, char, std::string& out) -> std::size_t {
    if (a != '\'' || b != ' ') return 0;
    out.pop_back();
    return 1;
  });
  rewrite([](char a, char b, char c, std::string& out) -> std::size_t {
    const bool is_short = b == 's' || b == 'm';
    const bool is_long = (b == 'r' || b == 'v') && c == 'e';
    if (a == '\'' && (is_short || is_long)) out.pop_back();
    return 0;
  });
}

}  // namespace detail

inline std::string tokenizer::decode(std::span<const token_id> ids,
                                     const decode_options& options) const {
  std::string out;
  bool at_start = add_space_prefix_;
  for (const token_id id : ids) {
    if (!options.render_special && is_control(id)) continue;
    std::string_view p = piece(id);
    if (at_start && p.starts_with(' ')) p.remove_prefix(1);
    at_start = false;
    out.append(p);
  }
  if (options.clean_spaces && clean_spaces_) detail::clean_spaces(out);
  return out;
}

}  // namespace text
BITNET_NAMESPACE_END
