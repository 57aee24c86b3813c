// SPDX-License-Identifier: Apache-2.0
// Recognising chat templates and rendering messages.
#include "support.hpp"

#include <bitnet/text/chat_template.hpp>

using namespace text_test;
using namespace bitnet::text;

namespace {

const std::vector<chat_message> conversation{
    {"system", "Be kind."}, {"user", " Hi! "}, {"assistant", "Hello."}, {"user", "Bye"}};

std::string render(chat_format format) {
  const auto parts = render_chat(format, conversation);
  REQUIRE(parts);
  return bitnet::text::to_string(*parts);
}

chat_format recognised(std::string_view text, std::string_view arch = "llama",
                       std::string_view pre = {}) {
  const auto format = recognise_chat(text, arch, pre);
  CHECK(format);
  return format ? *format : chat_format::plain;
}

}  // namespace

TEST_CASE("chat templates are recognised by their signatures") {
  // The template of the published BitNet b1.58 2B4T file, a placeholder.
  CHECK(recognised("{% for message in messages %}{% if message['role'] == 'user' %}{{ 'Human: ' + "
                   "message['content'] + '\\n\\nBITNETAssistant: ' + eos_token }}{% endif %}",
                   "bitnet-b1.58") == chat_format::bitnet);
  // The one that it was trained with.
  CHECK(
      recognised("{% set content = message['role'] | capitalize + ': '+ message['content'] | trim "
                 "+ '<|eot_id|>' %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}",
                 "bitnet-b1.58") == chat_format::bitnet);
  CHECK(recognised("{{'<|im_start|>' + message['role']}}") == chat_format::chatml);
  CHECK(recognised("'<|start_header_id|>' + role + '<|end_header_id|>'") == chat_format::llama3);
  CHECK(recognised("[INST] <<SYS>>") == chat_format::llama2);
  CHECK(recognised("'<|user|>\\n' '<|assistant|>\\n'") == chat_format::falcon3);
  CHECK(recognised("user assistant", "llama", "falcon_e") == chat_format::falcon_e);
  CHECK(recognised("") == chat_format::plain);
  CHECK(recognised("", "bitnet-25") == chat_format::bitnet);
  const auto unknown = recognise_chat("{{ '<start_of_turn>' }}", "gemma");
  REQUIRE(!unknown);
  CHECK(unknown.error().code() == bitnet::errc::unknown);
  CHECK(unknown.error().what() == "tokenizer.chat_template");
}

TEST_CASE("templates of the published tokenizers") {
  const auto shared = shared_data("tokenizers");
  if (!shared) return;
  const auto config = [&](const char* name) {
    return read_file(*shared / "tokenizers" / name / "tokenizer_config.json");
  };
  CHECK(recognised(config("qwen3"), "qwen3") == chat_format::chatml);
  CHECK(recognised(config("Llama3-8B-1.58-100B"), "llama") == chat_format::llama3);
}

TEST_CASE("templates of this library are recognised as what they say") {
  for (std::size_t i = 0; i < std::size(chat_format_names); ++i) {
    const auto format = static_cast<chat_format>(i);
    const bool falcon_e = format == chat_format::falcon_e;
    CHECK(recognised(chat_template_of(format), "llama", falcon_e ? "falcon_e" : "") == format);
    const bool ends_turns =
        chat_template_of(format).find(end_of_turn(format)) != std::string_view::npos;
    CHECK(ends_turns == (format != chat_format::falcon3));
  }
}

TEST_CASE("messages become the prompt of each format") {
  CHECK(render(chat_format::bitnet) ==
        "System: Be kind.<|eot_id|>User: Hi!<|eot_id|>Assistant: Hello.<|eot_id|>"
        "User: Bye<|eot_id|>Assistant: ");
  CHECK(render(chat_format::chatml) ==
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n Hi! <|im_end|>\n"
        "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n");
  CHECK(render(chat_format::llama3) ==
        "<|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi!<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n");
  CHECK(render(chat_format::llama2) ==
        "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi! [/INST] Hello. </s><s>[INST] Bye [/INST]");
  CHECK(render(chat_format::falcon3) ==
        "<|system|>\nBe kind.\n<|user|>\n Hi! \n<|assistant|>\nHello.\n<|user|>\nBye\n"
        "<|assistant|>\n");
  CHECK(render(chat_format::falcon_e) ==
        "systemBe kind.\nuser Hi! \nassistantHello.\nuserBye\nassistant\n");
  CHECK(render(chat_format::plain) == "Be kind.\n Hi! \nHello.\nBye\n");
}

TEST_CASE("roles and names that are none are errors") {
  const std::vector<chat_message> odd{{"wizard", "Hi"}};
  const auto parts = render_chat(chat_format::chatml, odd);
  REQUIRE(!parts);
  CHECK(parts.error().what() == "wizard");
  CHECK(*find_chat_format("llama3") == chat_format::llama3);
  CHECK(find_chat_format("llama4").error().code() == bitnet::errc::invalid_argument);
  for (const auto name : chat_format_names) CHECK(name_of(*find_chat_format(name)) == name);
}

TEST_CASE("a prompt encodes like its text, but contents cannot hold special tokens") {
  const auto shared = shared_data("conformance/vocab");
  if (!shared) return;
  const struct {
    const char* file;
    chat_format format;
  } cases[] = {{"llama3", chat_format::llama3},
               {"llama3", chat_format::bitnet},
               {"qwen3", chat_format::chatml},
               {"llama-spm", chat_format::llama2}};
  for (const auto& c : cases) {
    const auto t =
        read_tokenizer(*shared / "conformance/vocab" / (std::string{c.file} + "-vocab.gguf"));
    if (!t) continue;
    const auto parts = render_chat(c.format, conversation);
    REQUIRE(parts);
    std::vector<token_id> ids;
    CHECK(encode_chat(*t, *parts, ids));
    CHECK(ids == encode(*t, bitnet::text::to_string(*parts), {.parse_special = true}));
    if (!end_of_turn(c.format).empty()) {
      const auto end = t->find(end_of_turn(c.format));
      REQUIRE(end);
      CHECK(t->is_end_of_generation(*end));
      const std::string text = "x" + std::string{end_of_turn(c.format)} + "y";
      const std::vector<chat_message> hostile{{"user", text}};
      const auto count = [&](const std::vector<chat_message>& messages) {
        std::vector<token_id> out;
        const auto prompt = render_chat(c.format, messages);
        REQUIRE(prompt);
        CHECK(encode_chat(*t, *prompt, out));
        return std::count(out.begin(), out.end(), *end);
      };
      CHECK(count(hostile) == count({{"user", "xy"}}));
    }
  }
}
