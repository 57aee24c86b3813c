// SPDX-License-Identifier: Apache-2.0
// Chat formats: which one a file's template means, and how messages become a prompt.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

/// The chat formats of the model families that this library runs. A template in a file is a program
/// (Jinja); it is recognised by its signature, never executed.
enum class chat_format : std::uint8_t {
  plain,    ///< no format: contents one after another, a line each
  chatml,   ///< <|im_start|>user\nHi<|im_end|>\n (Qwen, Bonsai)
  llama2,   ///< [INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST]
  llama3,   ///< <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>
  bitnet,   ///< User: Hi<|eot_id|>Assistant: (BitNet b1.58 2B4T)
  falcon3,  ///< <|user|>\nHi\n<|assistant|>\n
  falcon_e  ///< userHi\nassistant\n, as its engines write it
};

/// Names of the formats, for options and messages; index is the value.
inline constexpr std::string_view chat_format_names[] = {"plain",  "chatml",  "llama2",  "llama3",
                                                         "bitnet", "falcon3", "falcon_e"};

[[nodiscard]] constexpr std::string_view name_of(chat_format format) noexcept {
  return chat_format_names[static_cast<std::size_t>(format)];
}

/// The format of that name; errc::invalid_argument if there is none.
[[nodiscard]] inline result<chat_format> find_chat_format(std::string_view name) noexcept {
  for (std::size_t i = 0; i < std::size(chat_format_names); ++i)
    if (chat_format_names[i] == name) return static_cast<chat_format>(i);
  return error{errc::invalid_argument,
               "unknown chat format; known: plain, chatml, llama2, llama3, bitnet, falcon3, "
               "falcon_e",
               name};
}

/// The format that a file means: `chat_template` and `architecture` are its metadata
/// (tokenizer.chat_template, general.architecture), `pre` its pre-tokenizer, each "" if absent.
/// A template with "BITNET" is the placeholder of published BitNet files and means `bitnet`, as no
/// template does for those architectures. errc::unknown for a template of another kind.
[[nodiscard]] inline result<chat_format> recognise_chat(std::string_view chat_template,
                                                        std::string_view architecture,
                                                        std::string_view pre = {}) noexcept {
  const auto has = [&](std::string_view s) {
    return chat_template.find(s) != std::string_view::npos;
  };
  const bool b158 = architecture == "bitnet-b1.58" || architecture == "bitnet-25";
  const bool falcon_e = pre == "falcon_e" || pre == "falcon-e";
  if (chat_template.empty())
    return b158 ? chat_format::bitnet : falcon_e ? chat_format::falcon_e : chat_format::plain;
  if (has("BITNET")) return chat_format::bitnet;
  if (has("<|im_start|>")) return chat_format::chatml;
  if (has("<|start_header_id|>") && has("<|end_header_id|>")) return chat_format::llama3;
  if (has("[INST]") && has("<<SYS>>")) return chat_format::llama2;
  if (has("<|assistant|>") && has("<|user|>") && !has("<|end|>")) return chat_format::falcon3;
  if (has("Assistant: ") && has("<|eot_id|>")) return chat_format::bitnet;
  if (falcon_e && has("assistant") && has("user")) return chat_format::falcon_e;
  return error{errc::unknown,
               "the chat template is of no known kind; choose one of plain, chatml, llama2, "
               "llama3, bitnet, falcon3, falcon_e (`bitnet repair --chat-template` gives a file "
               "one)",
               "tokenizer.chat_template"};
}

/// Text of the token that ends a turn, or "" where the vocabulary's own EOS does. It is a stop
/// string for engines that do not go by tokenizer::is_end_of_generation.
[[nodiscard]] constexpr std::string_view end_of_turn(chat_format format) noexcept {
  switch (format) {
    case chat_format::chatml:
      return "<|im_end|>";
    case chat_format::llama2:
      return "</s>";
    case chat_format::llama3:
    case chat_format::bitnet:
      return "<|eot_id|>";
    case chat_format::falcon3:
      return "<|endoftext|>";
    default:
      return {};
  }
}

/// A message; `role` is "system", "user" or "assistant".
struct chat_message {
  std::string_view role;
  std::string_view content;
};

/// A piece of a prompt. `special` pieces are the format's own tokens; what users wrote never is, so
/// a message cannot smuggle in an end of turn.
struct chat_part {
  std::string text;
  bool special = false;
};

namespace detail {

[[nodiscard]] inline std::string_view trimmed(std::string_view s) noexcept {
  constexpr std::string_view blank = " \t\n\v\f\r";
  const std::size_t first = s.find_first_not_of(blank);
  return first == std::string_view::npos ? std::string_view{}
                                         : s.substr(first, s.find_last_not_of(blank) - first + 1);
}

/// Collects parts, neighbours of one kind as one.
class prompt_builder {
 public:
  prompt_builder& text(std::string_view s) { return add(s, false); }
  prompt_builder& token(std::string_view s) { return add(s, true); }
  [[nodiscard]] std::vector<chat_part> take() noexcept { return std::move(parts_); }

 private:
  prompt_builder& add(std::string_view s, bool special) {
    if (s.empty()) return *this;
    if (special || parts_.empty() || parts_.back().special) {
      parts_.push_back({std::string{s}, special});
    } else {
      parts_.back().text += s;
    }
    return *this;
  }
  std::vector<chat_part> parts_;
};

[[nodiscard]] inline std::string_view bitnet_name(std::string_view role) noexcept {
  return role == "system" ? "System: " : role == "user" ? "User: " : "Assistant: ";
}

inline void render_message(prompt_builder& out, chat_format format, const chat_message& m) {
  switch (format) {
    case chat_format::plain:
      out.text(m.content).text("\n");
      break;
    case chat_format::chatml:
      out.token("<|im_start|>")
          .text(m.role)
          .text("\n")
          .text(m.content)
          .token("<|im_end|>")
          .text("\n");
      break;
    case chat_format::llama3:
      out.token("<|start_header_id|>").text(m.role).token("<|end_header_id|>");
      out.text("\n\n").text(trimmed(m.content)).token("<|eot_id|>");
      break;
    case chat_format::bitnet:
      out.text(bitnet_name(m.role)).text(trimmed(m.content)).token("<|eot_id|>");
      break;
    case chat_format::falcon3:
      out.token(m.role == "system" ? "<|system|>"
                : m.role == "user" ? "<|user|>"
                                   : "<|assistant|>");
      out.text("\n").text(m.content).text("\n");
      break;
    case chat_format::falcon_e:
      out.text(m.role).text(m.content).text("\n");
      break;
    case chat_format::llama2:
      break;  // a turn there is two messages: see render_llama2
  }
}

inline void render_llama2(prompt_builder& out, std::span<const chat_message> messages) {
  bool in_turn = false;
  bool first_turn = true;
  for (const chat_message& m : messages) {
    if (m.role == "assistant") {
      out.text(" ").text(trimmed(m.content)).text(" ").token("</s>");
      in_turn = false;
      continue;
    }
    if (!in_turn) {
      if (!first_turn) out.token("<s>");  // the first BOS is the tokenizer's
      out.text("[INST] ");
      in_turn = true;
      first_turn = false;
    }
    if (m.role == "system") {
      out.text("<<SYS>>\n").text(trimmed(m.content)).text("\n<</SYS>>\n\n");
    } else {
      out.text(trimmed(m.content)).text(" [/INST]");
    }
  }
}

}  // namespace detail

/// The prompt for `messages`, without BOS, which encoding adds. With `generation_prompt` it ends
/// where the assistant's answer begins. errc::invalid_argument names a role that is none.
[[nodiscard]] inline result<std::vector<chat_part>> render_chat(
    chat_format format, std::span<const chat_message> messages, bool generation_prompt = true) {
  for (const chat_message& m : messages)
    if (m.role != "system" && m.role != "user" && m.role != "assistant")
      return error{errc::invalid_argument, "a role is system, user or assistant", m.role};
  detail::prompt_builder out;
  if (format == chat_format::llama2) {
    detail::render_llama2(out, messages);
    return out.take();
  }
  for (const chat_message& m : messages) detail::render_message(out, format, m);
  if (generation_prompt) {
    switch (format) {
      case chat_format::chatml:
        out.token("<|im_start|>").text("assistant\n");
        break;
      case chat_format::llama3:
        out.token("<|start_header_id|>").text("assistant").token("<|end_header_id|>").text("\n\n");
        break;
      case chat_format::bitnet:
        out.text("Assistant: ");
        break;
      case chat_format::falcon3:
        out.token("<|assistant|>").text("\n");
        break;
      case chat_format::falcon_e:
        out.text("assistant\n");
        break;
      default:
        break;
    }
  }
  return out.take();
}

/// A prompt as one text, as people read it.
[[nodiscard]] inline std::string to_string(std::span<const chat_part> prompt) {
  std::string s;
  for (const chat_part& part : prompt) s += part.text;
  return s;
}

/// Appends the ids of a prompt: BOS if the vocabulary asks for it, the format's tokens as such, and
/// everything else as ordinary text. A token that the vocabulary lacks is ordinary text too.
[[nodiscard]] inline status encode_chat(const tokenizer& t, std::span<const chat_part> prompt,
                                        std::vector<token_id>& out) {
  if (t.adds_bos()) out.push_back(*t.bos());
  const encode_options as_text{.add_special = false, .parse_special = false};
  std::string run;
  for (const chat_part& part : prompt) {
    const auto id = part.special ? t.find(part.text) : std::nullopt;
    if (!id) {
      run += part.text;
      continue;
    }
    BITNET_CHECK(t.encode(run, as_text, out));
    run.clear();
    out.push_back(*id);
  }
  return t.encode(run, as_text, out);
}

}  // namespace text
BITNET_NAMESPACE_END
