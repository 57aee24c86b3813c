// SPDX-License-Identifier: Apache-2.0
// Turns the bytes of tokens, which may end inside a character, into a stream of whole characters.
#pragma once

#include <bitnet/core/function_ref.hpp>
#include <bitnet/text/unicode.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace text {

/// Receives text. Returning false asks the sender to stop.
using text_sink = function_ref<bool(std::string_view)>;

/// Passes on whole UTF-8 characters and holds back the beginning of one until its rest comes. What
/// comes out is valid UTF-8 always: bytes that can belong to no character come out as U+FFFD, one
/// for each broken sequence (as the Unicode Standard recommends, section 3.9). Does not allocate.
/// One stream of text, one object; not thread safe.
class utf8_stream {
 public:
  /// Passes on what `bytes` completes, in order, in as few calls as it can; views are valid during
  /// the call only. Returns false once the sink has: the rest of `bytes` is then dropped.
  bool push(std::string_view bytes, text_sink sink) {
    bool going = true;
    std::size_t start = 0;  // of what is complete but not passed on yet
    for (std::size_t i = 0; i < bytes.size() && going; ++i) {
      const auto byte = static_cast<unsigned char>(bytes[i]);
      if (missing_ != 0 && (byte < lowest_ || byte > highest_)) {
        going = flush(sink);
        start = i;
        if (!going) break;
      }
      if (missing_ == 0) {
        if (byte < 0x80) continue;
        going = pass(bytes.substr(start, i - start), sink);
        start = i + 1;
        if (going) going = begin(byte, sink);
        continue;
      }
      held_[held_size_++] = bytes[i];
      lowest_ = 0x80;
      highest_ = 0xBF;
      start = i + 1;
      if (--missing_ == 0) {
        going = pass({held_.data(), held_size_}, sink);
        held_size_ = 0;
      }
    }
    if (going && start < bytes.size()) going = pass(bytes.substr(start), sink);
    return going;
  }

  /// Ends the stream: an unfinished character comes out as U+FFFD.
  bool flush(text_sink sink) {
    const bool broken = missing_ != 0;
    reset();
    return broken ? sink(replacement) : true;
  }

  /// Forgets what is held back.
  void reset() noexcept {
    missing_ = 0;
    held_size_ = 0;
  }

  /// Bytes held back: 0 to 3.
  [[nodiscard]] std::size_t pending() const noexcept { return held_size_; }

 private:
  static constexpr std::string_view replacement = "\xEF\xBF\xBD";

  static bool pass(std::string_view text, text_sink sink) { return text.empty() || sink(text); }

  /// Takes a byte from 0x80 on as the first of a character.
  bool begin(unsigned char byte, text_sink sink) {
    if (byte < 0xC2 || byte > 0xF4) return sink(replacement);
    missing_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    // The second byte's range leaves out overlong forms, surrogates and what exceeds U+10FFFF.
    lowest_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    highest_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    held_[0] = static_cast<char>(byte);
    held_size_ = 1;
    return true;
  }

  std::array<char, 4> held_{};
  std::size_t held_size_ = 0;
  unsigned missing_ = 0;  ///< bytes that the character still lacks
  unsigned char lowest_ = 0x80;
  unsigned char highest_ = 0xBF;
};

}  // namespace text
BITNET_NAMESPACE_END
