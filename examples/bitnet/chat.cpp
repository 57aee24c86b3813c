// SPDX-License-Identifier: Apache-2.0
// `bitnet run --chat` without a prompt: a conversation at the keyboard.
#include "chat.hpp"

#include "failure.hpp"
#include "terminal.hpp"

#include <optional>

namespace cli {
namespace {

using namespace std::chrono_literals;
using chat = bitnet::chat<session>;

/// Gives the answer to what was said; Ctrl-C before its first word takes the message back.
void answer(chat& talk, const session& s) {
  std::optional<progress> bar{"reading"};
  const auto show = [&](std::string_view piece) {
    bar.reset();
    put(piece);
    return !interrupted();
  };
  while (talk.answering()) {
    (void)check(talk.step(100ms, show), "cannot generate");
    if (bar && interrupted()) {
      talk.abandon();
      note("note: the message was taken back");
    }
    if (bar) bar->update(s.under_way().fed, s.under_way().all);
  }
}

}  // namespace

bitnet::text::chat_format chat_format_of(const bitnet::dynamic_model& model) {
  const auto format = check(bitnet::chat_format_of(model.document()), "--chat");
  if (format == bitnet::text::chat_format::plain)
    note(
        "note: the file names no chat format, so messages are used as plain text; `bitnet repair "
        "--chat-template` gives it one");
  return format;
}

void converse(const bitnet::dynamic_model& model, session& s, const std::string& system,
              const bitnet::generate_options& options) {
  chat talk{s, model.tokenizer(), chat_format_of(model), system};
  for (std::string line; ask(line);) {
    if (line.empty()) continue;
    clear_interrupt();
    const auto said = talk.say(line, options);
    if (!said && said.error().code() == bitnet::errc::context_full)
      throw failure{exit_code::general, "the message does not fit in the context\nhint: raise -c"};
    check(said, "cannot go on");
    if (talk.forgotten() != 0)
      note("note: the context is full, so the oldest messages are forgotten");
    answer(talk, s);
    put("\n");
  }
  clear_interrupt();
}

}  // namespace cli
