// SPDX-License-Identifier: Apache-2.0
// Texts put together from pieces, for messages.
#pragma once

#include <bitnet/config.hpp>

#include <charconv>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

BITNET_NAMESPACE_BEGIN

/// A text, which is borrowed, or a number to be written in decimal.
class text_piece {
 public:
  text_piece(const char* text) noexcept : text_{text} {}
  text_piece(std::string_view text) noexcept : text_{text} {}
  text_piece(const std::string& text) noexcept : text_{text} {}
  template <std::unsigned_integral N>
  text_piece(N number) noexcept : number_{number}, is_number_{true} {}

  void append_to(std::string& to) const {
    if (!is_number_) {
      to += text_;
      return;
    }
    char digits[20];
    to.append(digits, std::to_chars(digits, digits + sizeof digits, number_).ptr);
  }

 private:
  std::string_view text_;
  std::uint64_t number_ = 0;
  bool is_number_ = false;
};

/// The pieces, one behind the other. A call: a chain of + would be inlined at every message.
[[nodiscard]] BITNET_NOINLINE inline std::string concat(std::initializer_list<text_piece> pieces) {
  std::string text;
  for (const text_piece& p : pieces) p.append_to(text);
  return text;
}

BITNET_NAMESPACE_END
