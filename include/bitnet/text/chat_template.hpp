// SPDX-License-Identifier: Apache-2.0
// Chat templates (Jinja) that say the formats of chat.hpp, for files that lack one or have a wrong
// one. This library never executes them; other programs do.
#pragma once

#include <bitnet/text/chat.hpp>

#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace text {

/// A template that renders messages as render_chat() does; empty for `plain`, which needs none.
/// recognise_chat() gives the format back. BOS is not in it: encoding adds that where the
/// vocabulary asks for it.
[[nodiscard]] constexpr std::string_view chat_template_of(chat_format format) noexcept {
  switch (format) {
    case chat_format::plain:
      return {};
    case chat_format::chatml:
      return R"({% for message in messages %})"
             R"({{ '<|im_start|>' + message['role'] + '\n' + message['content'])"
             R"( + '<|im_end|>\n' }})"
             R"({% endfor %})"
             R"({% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})";
    case chat_format::llama2:
      return R"({% set at = namespace(turn=false, first=true) %})"
             R"({% for message in messages %})"
             R"({% if message['role'] == 'assistant' %})"
             R"({{ ' ' + message['content'] | trim + ' </s>' }}{% set at.turn = false %})"
             R"({% else %})"
             R"({% if not at.turn %})"
             R"({% if not at.first %}{{ '<s>' }}{% endif %}{{ '[INST] ' }})"
             R"({% set at.turn = true %}{% set at.first = false %})"
             R"({% endif %})"
             R"({% if message['role'] == 'system' %})"
             R"({{ '<<SYS>>\n' + message['content'] | trim + '\n<</SYS>>\n\n' }})"
             R"({% else %}{{ message['content'] | trim + ' [/INST]' }}{% endif %})"
             R"({% endif %})"
             R"({% endfor %})";
    case chat_format::llama3:
      return R"({% for message in messages %})"
             R"({{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n')"
             R"( + message['content'] | trim + '<|eot_id|>' }})"
             R"({% endfor %})"
             R"({% if add_generation_prompt %})"
             R"({{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %})";
    case chat_format::bitnet:
      // The comment is for engines that know this format by that word and do not run templates.
      return R"({# BITNET #})"
             R"({% for message in messages %})"
             R"({{ message['role'] | capitalize + ': ' + message['content'] | trim)"
             R"( + '<|eot_id|>' }})"
             R"({% endfor %})"
             R"({% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %})";
    case chat_format::falcon3:
      return R"({% for message in messages %})"
             R"({% if message['role'] == 'system' %}{{ '<|system|>' }})"
             R"({% elif message['role'] == 'user' %}{{ '<|user|>' }})"
             R"({% else %}{{ '<|assistant|>' }}{% endif %})"
             R"({{ '\n' + message['content'] + '\n' }})"
             R"({% endfor %})"
             R"({% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %})";
    case chat_format::falcon_e:  // roles are "system", "user" and "assistant"
      return R"({# user, assistant #})"
             R"({% for message in messages %})"
             R"({{ message['role'] + message['content'] + '\n' }})"
             R"({% endfor %})"
             R"({% if add_generation_prompt %}{{ 'assistant\n' }}{% endif %})";
  }
  return {};
}

}  // namespace text
BITNET_NAMESPACE_END
