// SPDX-License-Identifier: Apache-2.0
// From text files to batches: documents of a text, their tokens, and what is held out.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/core/random.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/text/tokenizer.hpp>
#include <bitnet/train/batch_source.hpp>
#include <bitnet/train/token_file.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Calls document(std::string_view) for each part of `text` between separators, without the white
/// space round it, as long as that returns a success; empty parts are left out.
template <class F>
[[nodiscard]] status each_document(std::string_view text, std::string_view separator, F document) {
  if (separator.empty()) return error{errc::invalid_argument, "the separator is empty"};
  constexpr std::string_view space = " \t\r\n";
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    std::string_view part = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + separator.size());
    const std::size_t first = part.find_first_not_of(space);
    if (first == std::string_view::npos) continue;
    part = part.substr(first, part.find_last_not_of(space) - first + 1);
    BITNET_CHECK(document(part));
  }
  return {};
}

/// Calls passage(std::string_view, bool continues) for pieces of a document of at most `most` bytes
/// each, of about the same size, as long as that returns a success: a document of any length is
/// worked on in little memory. Cuts are behind line ends, else behind spaces, else between
/// characters; `continues` is false for the first piece.
template <class F>
[[nodiscard]] status each_passage(std::string_view document, std::size_t most, F passage) {
  if (most < 8) return error{errc::invalid_argument, "passages are too short", "most"};
  bool continues = false;
  while (!document.empty()) {
    std::size_t size = document.size() / ceil_div(document.size(), most);
    if (size < document.size()) {
      const std::string_view head = document.substr(0, size);
      std::size_t cut = head.rfind('\n');
      if (cut == std::string_view::npos || cut < size / 2) cut = head.rfind(' ');
      if (cut != std::string_view::npos && cut >= size / 2) {
        size = cut + 1;
      } else {  // bytes of 10xxxxxx continue a character; text that is no UTF-8 is cut anywhere
        std::size_t begin = size;
        while (begin + 4 > size && (static_cast<unsigned char>(document[begin]) & 0xC0U) == 0x80U)
          --begin;
        if (begin + 4 > size) size = begin;
      }
    }
    BITNET_CHECK(passage(document.substr(0, size), continues));
    document = document.substr(size);
    continues = true;
  }
  return {};
}

/// The bytes of a mapped file as text.
[[nodiscard]] inline std::string_view text_of(const gguf::mapped_file& file) noexcept {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

/// Whether document number `index` is kept from training, to measure on: a share of all, chosen by
/// seed and number alone, so that more text behind changes nothing.
[[nodiscard]] inline bool held_out(std::uint64_t index, double share, std::uint64_t seed) noexcept {
  constexpr std::uint64_t stream = 0x68656c64;  // "held"
  return static_cast<double>(counter_random{seed}.uniform(stream, index)) < share;
}

/// Tokens of documents: each behind the token that ends a text, and that token once more behind the
/// last.
class token_list {
 public:
  explicit token_list(text::token_id end_of_text) : tokens_{end_of_text} {}

  /// Errors are those of tokenizer::encode. Bytes that are not UTF-8 are kept.
  [[nodiscard]] status add(const text::tokenizer& tokenizer, std::string_view document) {
    text::encode_options plain;
    plain.add_special = false;
    plain.invalid = text::invalid_utf8::keep;
    BITNET_CHECK(tokenizer.encode(document, plain, tokens_));
    tokens_.push_back(tokens_.front());
    return {};
  }
  [[nodiscard]] std::span<const token> tokens() const noexcept { return tokens_; }

 private:
  std::vector<token> tokens_;
};

}  // namespace train
BITNET_NAMESPACE_END
