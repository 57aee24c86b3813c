// SPDX-License-Identifier: Apache-2.0
// The messages of a chat, and the prompt that they make.
#pragma once

#include <bitnet/text/chat.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

/// What was said so far: a system message if there is one, then turns of a user and an assistant.
/// Owns the messages; refers to the tokenizer, which must outlive it and not move.
class conversation {
 public:
  struct message {
    std::string role, content;  ///< the roles of chat_message
  };

  /// An empty `system` is no message.
  conversation(const tokenizer& vocabulary, chat_format format, std::string_view system = {})
      : tokenizer_{&vocabulary}, format_{format} {
    if (!system.empty()) add("system", system);
  }

  void user(std::string_view content) { add("user", content); }
  void assistant(std::string_view content) { add("assistant", content); }

  /// Forgets the oldest message of the user and the answer to it; false if only the last one is
  /// left. The system message stays.
  bool forget_oldest() {
    const std::size_t first = !messages_.empty() && messages_.front().role == "system" ? 1 : 0;
    if (messages_.size() < first + 3) return false;
    const auto begin = messages_.begin() + static_cast<std::ptrdiff_t>(first);
    messages_.erase(begin, begin + 2);
    return true;
  }

  /// Ids of everything said so far, up to where the assistant's answer begins. Errors: those of the
  /// tokenizer.
  [[nodiscard]] result<std::vector<token_id>> prompt() const {
    std::vector<chat_message> views;
    views.reserve(messages_.size());
    for (const message& m : messages_) views.push_back({m.role, m.content});
    BITNET_TRY(const auto parts, render_chat(format_, views));
    std::vector<token_id> ids;
    BITNET_CHECK(encode_chat(*tokenizer_, parts, ids));
    return ids;
  }

  [[nodiscard]] std::span<const message> messages() const noexcept { return messages_; }
  [[nodiscard]] chat_format format() const noexcept { return format_; }
  [[nodiscard]] const tokenizer& vocabulary() const noexcept { return *tokenizer_; }

 private:
  void add(std::string_view role, std::string_view content) {
    messages_.push_back({std::string{role}, std::string{content}});
  }

  const tokenizer* tokenizer_;
  chat_format format_;
  std::vector<message> messages_;
};

}  // namespace text
BITNET_NAMESPACE_END
