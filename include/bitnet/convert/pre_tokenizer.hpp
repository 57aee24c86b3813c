// SPDX-License-Identifier: Apache-2.0
// Recognises the pre-tokenizer of a tokenizer.json by what it does, and names it as GGUF does.
#pragma once

#include <bitnet/convert/json.hpp>

#include <iterator>
#include <string>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace convert {

namespace detail {

/// Patterns by which published tokenizers cut text (see text::pre_tokenizer), as they spell them.
struct known_pattern {
  std::string_view regex;
  std::string_view name;
};
inline constexpr known_pattern known_patterns[] = {
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     "llama-bpe"},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     "qwen2"},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
     R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     "qwen35"},
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "gpt-2"},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "gpt-2"}};

[[nodiscard]] inline bool has_text(json::value object, std::string_view key,
                                   std::string_view wanted) {
  const auto v = object.find(key);
  return v && v->text() == wanted;
}

/// ByteLevel without a space before the text; `cuts` says whether it applies GPT-2's pattern.
[[nodiscard]] inline bool is_byte_level(json::value step, bool cuts) {
  const auto regex = step.find("use_regex");
  return has_text(step, "type", "ByteLevel") && has_text(step, "add_prefix_space", "false") &&
         (regex ? regex->text() == "true" : true) == cuts;
}

/// The name for one pattern followed by ByteLevel; empty if it is not known.
[[nodiscard]] inline std::string_view name_of_split(json::value split) {
  const auto pattern = split.find("pattern");
  const auto regex = pattern ? pattern->find("Regex") : std::nullopt;
  if (!regex || !has_text(split, "type", "Split")) return {};
  // Cutting out what matches, and keeping what matches by throwing the rest away, are the same for
  // patterns that match everything.
  const bool isolated =
      has_text(split, "behavior", "Isolated") && has_text(split, "invert", "false");
  const bool kept = has_text(split, "behavior", "Removed") && has_text(split, "invert", "true");
  if (!isolated && !kept) return {};
  for (const known_pattern& k : known_patterns)
    if (k.regex == regex->text()) return k.name;
  return {};
}

[[nodiscard]] inline std::string_view name_of_steps(json::value steps) {
  const auto at = [&](std::size_t n) {
    auto it = steps.begin();
    while (n-- > 0) ++it;
    return *it;
  };
  if (steps.size() == 1) return is_byte_level(at(0), true) ? "gpt-2" : std::string_view{};
  if (steps.size() == 2 && is_byte_level(at(1), false)) return name_of_split(at(0));
  return {};
}

}  // namespace detail

/// The value of tokenizer.ggml.pre for the pre_tokenizer of a byte-level tokenizer.json. One that
/// is not known is refused with errc::unknown and its pattern.
[[nodiscard]] inline result<std::string_view> recognise_pre_tokenizer(json::value root) {
  BITNET_TRY(const auto pre, root.get<json::value>("pre_tokenizer"));
  std::string_view name;
  std::string what;
  if (detail::has_text(pre, "type", "Sequence")) {
    BITNET_TRY(const auto steps, pre.get<json::value>("pretokenizers"));
    if (steps.is(json::kind::array) && steps.size() > 0) name = detail::name_of_steps(steps);
    for (const json::value step : steps) {
      const auto pattern = step.find("pattern");
      const auto regex = pattern ? pattern->find("Regex") : std::nullopt;
      if (!what.empty()) what += ' ';
      what += regex ? regex->text() : step.find("type").value_or(step).text();
    }
  } else if (detail::is_byte_level(pre, true)) {
    name = "gpt-2";
  } else {
    what = pre.find("type").value_or(pre).text();
  }
  if (name.empty())
    return error{errc::unknown,
                 "this pre-tokenizer is not known; if it does the same as a known one, name that "
                 "one (--pre)",
                 what, pre.offset()};
  return name;
}

}  // namespace convert
BITNET_NAMESPACE_END
