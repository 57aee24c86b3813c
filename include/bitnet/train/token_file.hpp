// SPDX-License-Identifier: Apache-2.0
// Tokens on disk: written piece by piece, checked as a whole, read through a mapping.
#pragma once

#include <bitnet/core/checksum.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/core/token.hpp>
#include <bitnet/gguf/writer.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

namespace detail {

/// A token file: this, the tokens as little-endian 16-bit or 32-bit numbers, and a trailer.
struct token_file_head {
  std::array<char, 8> magic = {'b', 'i', 't', 'n', 't', 'o', 'k', 's'};
  std::uint32_t version = 1;
  std::uint32_t width = 2;  ///< bytes of a token
  std::uint32_t vocab = 0;
  std::uint32_t reserved = 0;
};
struct token_file_tail {
  std::uint64_t count = 0;
  std::uint64_t sum = 0;  ///< of the head, then of pieces of token_piece bytes
};
static_assert(sizeof(token_file_head) == 24 && sizeof(token_file_tail) == 16);
inline constexpr std::size_t token_piece = std::size_t{1} << 20;

}  // namespace detail

/// Writes a token file piece by piece.
template <gguf::byte_sink Sink>
class token_writer {
 public:
  /// `sink` must outlive the writer. errc::invalid_argument for a vocabulary without tokens.
  [[nodiscard]] static result<token_writer> make(Sink& sink, std::uint32_t vocab) {
    static_assert(std::endian::native == std::endian::little);
    if (vocab == 0 || vocab > (1U << 24))
      return error{errc::invalid_argument, "the vocabulary's size is out of range", "vocab"};
    token_writer w{sink, vocab};
    detail::token_file_head head;
    head.width = w.width_;
    head.vocab = vocab;
    const auto bytes = std::as_bytes(std::span{&head, 1});
    w.tail_.sum = checksum(bytes);
    BITNET_CHECK(sink.write(bytes));
    w.piece_.reserve(detail::token_piece);
    return w;
  }
  /// errc::invalid_argument for a token that is not in the vocabulary; errors of the sink.
  [[nodiscard]] status write(std::span<const token> tokens) {
    for (const token t : tokens) {
      if (t < 0 || static_cast<std::uint32_t>(t) >= vocab_)
        return error{errc::invalid_argument, "a token is not in the vocabulary", "tokens"};
      const auto id = static_cast<std::uint32_t>(t);
      const auto bytes = std::as_bytes(std::span{&id, 1}).first(width_);
      piece_.insert(piece_.end(), bytes.begin(), bytes.end());
      ++tail_.count;
      if (piece_.size() == detail::token_piece) BITNET_CHECK(flush());
    }
    return {};
  }
  /// Must be called once, at the end, before the sink is committed.
  [[nodiscard]] status finish() {
    BITNET_CHECK(flush());
    return sink_->write(std::as_bytes(std::span{&tail_, 1}));
  }

 private:
  token_writer(Sink& sink, std::uint32_t vocab)
      : sink_{&sink}, vocab_{vocab}, width_{vocab <= 65536 ? 2U : 4U} {}

  [[nodiscard]] status flush() {
    if (piece_.empty()) return {};
    tail_.sum = checksum(piece_, tail_.sum);
    BITNET_CHECK(sink_->write(piece_));
    piece_.clear();
    return {};
  }

  Sink* sink_;
  std::uint32_t vocab_;
  std::uint32_t width_;
  std::vector<std::byte> piece_;
  detail::token_file_tail tail_;
};

/// Tokens to train on or to measure with: those of a token file, mapped, or of a list. Copies are
/// cheap where `list` is not used. Any number of threads may read.
class token_data {
 public:
  /// Borrows a list of tokens.
  explicit token_data(std::span<const token> tokens) noexcept
      : bytes_{std::as_bytes(tokens)}, count_{tokens.size()}, width_{4} {}

  /// A token file in memory that outlives this. Errors: errc::truncated, malformed (magic, sizes,
  /// checksum, a token outside the vocabulary), unsupported (version). Reads it once.
  [[nodiscard]] static result<token_data> view(std::span<const std::byte> file) {
    token_data d{std::span<const token>{}};
    detail::token_file_head head;
    detail::token_file_tail tail;
    if (file.size() < sizeof head + sizeof tail)
      return error{errc::truncated, "the file is shorter than a token file can be", "tokens"};
    std::memcpy(&head, file.data(), sizeof head);
    std::memcpy(&tail, file.data() + file.size() - sizeof tail, sizeof tail);
    if (head.magic != detail::token_file_head{}.magic)
      return error{errc::malformed, "the file is no token file", "magic", 0};
    if (head.version != 1)
      return error{errc::unsupported, "this version of token files is not known", "version", 8};
    if (head.vocab == 0 || head.vocab > (1U << 24) || head.width != (head.vocab <= 65536 ? 2U : 4U))
      return error{errc::malformed, "width and vocabulary contradict each other", "width", 12};
    d.bytes_ = file.subspan(sizeof head, file.size() - sizeof head - sizeof tail);
    d.width_ = head.width;
    d.vocab_ = head.vocab;
    if (d.bytes_.size() % d.width_ != 0 || d.bytes_.size() / d.width_ != tail.count)
      return error{errc::malformed, "there are not as many tokens as the file says", "count",
                   file.size() - sizeof tail};
    d.count_ = static_cast<std::size_t>(tail.count);
    std::uint64_t sum = checksum(file.first(sizeof head));
    for (std::size_t at = 0; at < d.bytes_.size(); at += detail::token_piece)
      sum =
          checksum(d.bytes_.subspan(at, std::min(detail::token_piece, d.bytes_.size() - at)), sum);
    if (sum != tail.sum)
      return error{errc::malformed, "the checksum is wrong: the file is damaged", "tokens"};
    for (std::size_t i = 0; i < d.count_; ++i)
      if (static_cast<std::uint32_t>(d[i]) >= d.vocab_)
        return error{errc::malformed, "a token is not in the vocabulary", "tokens",
                     sizeof head + i * d.width_};
    return d;
  }

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  /// Size of the vocabulary that a file names; 0 for a list.
  [[nodiscard]] std::uint32_t vocab() const noexcept { return vocab_; }
  [[nodiscard]] token operator[](std::size_t i) const noexcept {
    std::uint32_t id = 0;
    std::memcpy(&id, bytes_.data() + i * width_, width_);
    return static_cast<token>(id);
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t count_ = 0;
  std::uint32_t width_ = 4;
  std::uint32_t vocab_ = 0;
};

}  // namespace train
BITNET_NAMESPACE_END
