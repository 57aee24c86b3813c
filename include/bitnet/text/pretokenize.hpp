// SPDX-License-Identifier: Apache-2.0
// Pre-tokenizers: hand-written scanners that cut text into the words that BPE works on.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/text/unicode.hpp>

#include <cstddef>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace text {

/// How a byte-level BPE vocabulary cuts text. The pattern of each, in the usual regex notation
/// with contractions C = 's|'t|'re|'ve|'m|'ll|'d:
///   gpt2      C | ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
///   llama3    (?i:C)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+
///             |\s+(?!\S)|\s+
///   qwen2     llama3 with \p{N} one at a time
///   qwen35    qwen2 with [\p{L}\p{M}] in the place of \p{L}
///   standard  runs of [\p{P}$+<=>^~|], then gpt2 between them, then numbers apart, then groups
///             of three ASCII digits: what a file without a pre-tokenizer gets
enum class pre_tokenizer : unsigned char { gpt2, llama3, qwen2, qwen35, standard };

/// The pre-tokenizer that a `tokenizer.ggml.pre` value names; an unknown name is refused.
[[nodiscard]] inline result<pre_tokenizer> find_pre_tokenizer(std::string_view name) noexcept {
  struct entry {
    std::string_view name;
    pre_tokenizer value;
  };
  static constexpr entry known[] = {
      {"llama-bpe", pre_tokenizer::llama3}, {"llama3", pre_tokenizer::llama3},
      {"llama-v3", pre_tokenizer::llama3},  {"falcon3", pre_tokenizer::llama3},
      {"falcon_e", pre_tokenizer::llama3},  {"falcon-e", pre_tokenizer::llama3},
      {"falcon-h1", pre_tokenizer::llama3}, {"qwen2", pre_tokenizer::qwen2},
      {"qwen35", pre_tokenizer::qwen35},    {"deepseek-r1-qwen", pre_tokenizer::qwen2},
      {"gpt-2", pre_tokenizer::gpt2},       {"default", pre_tokenizer::standard},
      {"", pre_tokenizer::standard}};
  for (const entry& e : known)
    if (e.name == name) return e.value;
  return error{errc::unknown,
               "unknown pre-tokenizer; known: llama-bpe, falcon3, falcon_e, qwen2, qwen35, gpt-2, "
               "default (`bitnet repair --pre` gives a file one of these)",
               name};
}

namespace detail {

/// A character as the scanners see it. Past the end of the text: size 0 and no class.
struct scanned {
  char32_t code = 0;
  std::size_t size = 0;
  char_class cls = char_class::other;

  [[nodiscard]] bool is(char_class c) const noexcept { return size != 0 && cls == c; }
  [[nodiscard]] bool newline() const noexcept {
    return size != 0 && (code == '\r' || code == '\n');
  }
};

[[nodiscard]] inline scanned scan(std::string_view text, std::size_t position) noexcept {
  if (position >= text.size()) return {};
  const auto byte = static_cast<unsigned char>(text[position]);
  if (byte < 0x80) return {byte, 1, unicode::low_classes[byte]};
  const decoded_char c = decode_utf8(text, position);
  return {c.code, c.size, class_of(c.code)};
}

/// End of the run of characters that satisfy `wanted`, from `position` on.
template <class Wanted>
[[nodiscard]] std::size_t run_end(std::string_view text, std::size_t position,
                                  Wanted wanted) noexcept {
  for (scanned c = scan(text, position); c.size != 0 && wanted(c); c = scan(text, position))
    position += c.size;
  return position;
}

/// Length in bytes of the contraction at `position`, or 0. English only, as in GPT-2.
[[nodiscard]] inline std::size_t contraction(std::string_view text, std::size_t position,
                                             bool ignore_case) noexcept {
  if (text[position] != '\'') return 0;
  const auto at = [&](std::size_t i) -> char {
    if (text.size() - position <= i) return '\0';
    const char c = text[position + i];
    return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char a = at(1);
  const char b = at(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  return 0;
}

/// Matches \s+(?!\S)|\s+ at `position`, where white space stands: a run keeps its last character
/// for the word that follows, unless that is all there is or nothing follows.
[[nodiscard]] inline std::size_t spaces_end(std::string_view text, std::size_t position) noexcept {
  std::size_t last = position;
  std::size_t end = position;
  for (scanned c = scan(text, end); c.is(char_class::whitespace); c = scan(text, end)) {
    last = end;
    end += c.size;
  }
  return end < text.size() && last > position ? last : end;
}

/// End of the word at `position` < text.size(), gpt2 pattern.
[[nodiscard]] inline std::size_t gpt2_word_end(std::string_view text,
                                               std::size_t position) noexcept {
  if (const std::size_t size = contraction(text, position, false)) return position + size;
  const scanned first = scan(text, position);
  const std::size_t start = first.code == ' ' ? position + 1 : position;
  const scanned c = first.code == ' ' ? scan(text, start) : first;
  if (c.size == 0 || c.cls == char_class::whitespace) return spaces_end(text, position);
  if (c.cls == char_class::letter || c.cls == char_class::number)
    return run_end(text, start, [&](const scanned& x) { return x.cls == c.cls; });
  return run_end(text, start, [](const scanned& x) {
    return x.cls != char_class::whitespace && x.cls != char_class::letter &&
           x.cls != char_class::number;
  });
}

/// What the llama3 family varies.
struct llama3_rules {
  unsigned digits;  ///< how many digits make a word, at most
  bool marks;       ///< combining marks count as letters
};

/// End of the word at `position` < text.size(), llama3 pattern.
[[nodiscard]] inline std::size_t llama3_word_end(std::string_view text, std::size_t position,
                                                 llama3_rules rules) noexcept {
  if (const std::size_t size = contraction(text, position, true)) return position + size;
  const auto letter = [&](const scanned& x) {
    return x.is(char_class::letter) || (rules.marks && x.is(char_class::mark));
  };
  const scanned c = scan(text, position);
  const scanned next = scan(text, position + c.size);
  if (letter(c)) return run_end(text, position, letter);
  if (c.cls == char_class::number) {
    std::size_t end = position + c.size;
    for (unsigned i = 1; i < rules.digits; ++i) {
      const scanned digit = scan(text, end);
      if (!digit.is(char_class::number)) break;
      end += digit.size;
    }
    return end;
  }
  if (!c.newline() && letter(next)) return run_end(text, position + c.size, letter);
  const auto sign = [&](const scanned& x) {
    return x.size != 0 && x.cls != char_class::whitespace && x.cls != char_class::number &&
           !letter(x);
  };
  if (sign(c) || (c.code == ' ' && sign(next))) {
    const std::size_t end = run_end(text, position + c.size, sign);
    return run_end(text, end, [](const scanned& x) { return x.newline(); });
  }
  // White space: up to the last line end of the run if it has one (\s*[\r\n]+).
  std::size_t end = position;
  std::size_t after_newline = 0;
  for (scanned x = c; x.is(char_class::whitespace); x = scan(text, end)) {
    end += x.size;
    if (x.newline()) after_newline = end;
  }
  return after_newline != 0 ? after_newline : spaces_end(text, position);
}

/// Third and fourth stage of the standard pattern: numbers apart, ASCII digits in threes.
template <class Word>
void split_numbers(std::string_view text, Word& word) {
  const auto number = [](const scanned& x) { return x.cls == char_class::number; };
  const auto ascii_digit = [&](std::size_t i) {
    return i < text.size() && text[i] >= '0' && text[i] <= '9';
  };
  std::size_t start = 0;
  const auto flush = [&](std::size_t end) {
    if (end > start) word(text.substr(start, end - start));
    start = end;
  };
  std::size_t position = 0;
  while (position < text.size()) {
    const scanned c = scan(text, position);
    if (!number(c)) {
      position += c.size;
      continue;
    }
    flush(position);
    const std::size_t end = run_end(text, position, number);
    while (position < end) {
      if (ascii_digit(position) && ascii_digit(position + 1) && ascii_digit(position + 2)) {
        flush(position);
        position += 3;
        flush(position);
      } else {
        position += scan(text, position).size;
      }
    }
    flush(end);
  }
  flush(text.size());
}

/// The standard pattern: punctuation apart, gpt2 words between, numbers apart.
template <class Word>
void split_standard(std::string_view text, Word& word) {
  const auto sign = [](const scanned& x) {
    return x.cls == char_class::punctuation ||
           (x.code < 0x80 &&
            std::string_view{"$+<=>^~|"}.find(static_cast<char>(x.code)) != std::string_view::npos);
  };
  const auto plain = [&](const scanned& x) { return !sign(x); };
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t signs = run_end(text, position, sign);
    if (signs > position) split_numbers(text.substr(position, signs - position), word);
    const std::size_t end = run_end(text, signs, plain);
    const std::string_view segment = text.substr(signs, end - signs);
    for (std::size_t i = 0; i < segment.size();) {
      const std::size_t stop = gpt2_word_end(segment, i);
      split_numbers(segment.substr(i, stop - i), word);
      i = stop;
    }
    position = end;
  }
}

}  // namespace detail

/// Calls `word(std::string_view)` for each word of `text`, in order; together they are the text.
/// Linear in the text. Bytes that begin no character count as signs.
template <class Word>
void split_words(pre_tokenizer kind, std::string_view text, Word word) {
  if (kind == pre_tokenizer::standard) return detail::split_standard(text, word);
  for (std::size_t position = 0; position < text.size();) {
    std::size_t end = 0;
    switch (kind) {
      case pre_tokenizer::gpt2:
        end = detail::gpt2_word_end(text, position);
        break;
      case pre_tokenizer::qwen2:
        end = detail::llama3_word_end(text, position, {.digits = 1, .marks = false});
        break;
      case pre_tokenizer::qwen35:
        end = detail::llama3_word_end(text, position, {.digits = 1, .marks = true});
        break;
      default:
        end = detail::llama3_word_end(text, position, {.digits = 3, .marks = false});
        break;
    }
    word(text.substr(position, end - position));
    position = end;
  }
}

}  // namespace text
BITNET_NAMESPACE_END
