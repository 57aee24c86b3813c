// SPDX-License-Identifier: Apache-2.0
// From messages to prompts.
#include "chat.hpp"

#include "failure.hpp"
#include "terminal.hpp"

namespace cli {

conversation::conversation(const bitnet::dynamic_model& model, const std::string& system)
    : model_{&model} {
  const auto& meta = model.document().meta();
  const auto key = [&](const char* name) {
    return check(meta.get_or<std::string_view>(name, ""), "cannot read the chat format");
  };
  format_ = check(bitnet::text::recognise_chat(key("tokenizer.chat_template"), model.architecture(),
                                               key("tokenizer.ggml.pre")),
                  "--chat");
  if (format_ == bitnet::text::chat_format::plain)
    note(
        "note: the file names no chat format, so messages are used as plain text; `bitnet repair "
        "--chat-template` gives it one");
  if (!system.empty()) messages_.push_back({"system", system});
}

std::vector<bitnet::token> conversation::prompt(const std::optional<std::string>& text) {
  if (text) messages_.push_back({"user", *text});
  std::vector<bitnet::text::chat_message> views;
  for (const message& m : messages_) views.push_back({m.role, m.content});
  const auto parts = check(bitnet::text::render_chat(format_, views), "--chat");
  std::vector<bitnet::token> ids;
  check(bitnet::text::encode_chat(model_->tokenizer(), parts, ids), "cannot tokenize");
  return ids;
}

bool conversation::forget_oldest() {
  const bool system = !messages_.empty() && messages_.front().role == "system";
  const std::ptrdiff_t first = system ? 1 : 0;
  if (messages_.size() < static_cast<std::size_t>(first) + 3) return false;
  messages_.erase(messages_.begin() + first, messages_.begin() + first + 2);
  return true;
}

}  // namespace cli
