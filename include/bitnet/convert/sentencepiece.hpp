// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.model, a SentencePiece model: a protocol buffer of pieces, scores and settings.
#pragma once

#include <bitnet/convert/vocabulary.hpp>
#include <bitnet/core/bit_cast.hpp>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace convert {
namespace detail {

/// One field of a protocol buffer message.
struct proto_field {
  std::uint32_t number = 0;
  std::uint64_t integer = 0;  ///< varints, and the bits of fixed 32 and 64 bit values
  std::string_view bytes;     ///< strings and messages
};

/// Walks through a message. Never reads beyond it.
class proto_reader {
 public:
  explicit proto_reader(std::string_view message) : left_{message} {}

  [[nodiscard]] bool done() const noexcept { return left_.empty(); }
  /// The next field; nothing if the bytes are no message.
  [[nodiscard]] std::optional<proto_field> next() noexcept {
    const auto tag = varint();
    if (!tag || *tag >> 3U == 0 || *tag >> 3U > 0x1FFFFFFF) return std::nullopt;
    proto_field f;
    f.number = static_cast<std::uint32_t>(*tag >> 3U);
    switch (*tag & 7U) {
      case 0: {
        const auto n = varint();
        if (!n) return std::nullopt;
        f.integer = *n;
        return f;
      }
      case 1:
        return fixed(f, 8);
      case 2: {
        const auto n = varint();
        if (!n || *n > left_.size()) return std::nullopt;
        f.bytes = left_.substr(0, static_cast<std::size_t>(*n));
        left_.remove_prefix(f.bytes.size());
        return f;
      }
      case 5:
        return fixed(f, 4);
      default:
        return std::nullopt;
    }
  }

 private:
  [[nodiscard]] std::optional<proto_field> fixed(proto_field f, std::size_t size) noexcept {
    if (left_.size() < size) return std::nullopt;
    std::memcpy(&f.integer, left_.data(), size);
    left_.remove_prefix(size);
    return f;
  }
  [[nodiscard]] std::optional<std::uint64_t> varint() noexcept {
    std::uint64_t n = 0;
    for (unsigned shift = 0; shift < 64 && !left_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(left_.front());
      left_.remove_prefix(1);
      n |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return n;
    }
    return std::nullopt;
  }

  std::string_view left_;
};

/// What decides whether this library's SentencePiece does the same.
struct spm_settings {
  std::uint64_t model_type = 1;  ///< unigram
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool has_map = false;
};

[[nodiscard]] inline bool read_spm_settings(std::string_view message, bool trainer,
                                            spm_settings& s) {
  for (proto_reader r{message}; !r.done();) {
    const auto f = r.next();
    if (!f) return false;
    if (trainer) {
      if (f->number == 3) s.model_type = f->integer;
      continue;
    }
    if (f->number == 2) s.has_map = !f->bytes.empty();
    if (f->number == 3) s.add_dummy_prefix = f->integer != 0;
    if (f->number == 4) s.remove_extra_whitespaces = f->integer != 0;
    if (f->number == 5) s.escape_whitespaces = f->integer != 0;
  }
  return true;
}

[[nodiscard]] inline bool read_spm_piece(std::string_view message, vocabulary& v) {
  std::string_view text;
  float score = 0.0F;
  std::uint64_t type = 1;
  for (proto_reader r{message}; !r.done();) {
    const auto f = r.next();
    if (!f) return false;
    if (f->number == 1) text = f->bytes;
    if (f->number == 2) score = bit_cast<float>(static_cast<std::uint32_t>(f->integer));
    if (f->number == 3) type = f->integer;
  }
  if (text.empty() || type < 1 || type > 6 || score - score != 0.0F) return false;
  v.tokens.emplace_back(text);
  v.types.push_back(static_cast<text::token_type>(type));
  v.scores.push_back(score);
  return true;
}

}  // namespace detail

/// The vocabulary of a tokenizer.model, whose bytes are `model` and whose name is `file`. Refused:
/// bytes that are no such model; unigram models and normalizations, which this library does not
/// have.
[[nodiscard]] inline result<vocabulary> read_sentencepiece(std::string_view model,
                                                           std::string_view file) {
  const error damaged{errc::malformed, "the file is not a SentencePiece model", file};
  vocabulary v;
  v.kind = text::vocabulary_kind::sentencepiece;
  detail::spm_settings settings;
  for (detail::proto_reader r{model}; !r.done();) {
    const auto f = r.next();
    if (!f) return damaged;
    bool good = true;
    if (f->number == 1) good = detail::read_spm_piece(f->bytes, v);
    if (f->number == 2 || f->number == 3)
      good = detail::read_spm_settings(f->bytes, f->number == 2, settings);
    if (!good) return damaged;
  }
  if (v.tokens.empty()) return damaged;
  if (settings.model_type != 2)
    return error{errc::unsupported, "this kind of SentencePiece model is not supported; BPE is",
                 file};
  if (settings.has_map || settings.remove_extra_whitespaces || !settings.escape_whitespaces)
    return error{errc::unsupported, "normalization by SentencePiece is not supported", file};
  v.add_space_prefix = settings.add_dummy_prefix;
  for (std::size_t i = 0; i < v.types.size(); ++i)
    if (v.types[i] == text::token_type::unknown && !v.unk) v.unk = static_cast<text::token_id>(i);
  return v;
}

}  // namespace convert
BITNET_NAMESPACE_END
