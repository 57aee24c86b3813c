// SPDX-License-Identifier: Apache-2.0
// Reading of texts and token ids.
#include "input.hpp"

#include "failure.hpp"

#include <charconv>
#include <cstdio>
#include <memory>

#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif

namespace cli {
namespace {

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    switch (text[++i]) {
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case '\\':
        out += '\\';
        break;
      case '\'':
        out += '\'';
        break;
      case '"':
        out += '"';
        break;
      default:
        out.append({'\\', text[i]});
        break;
    }
  }
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string read_file(const std::string& path) {
  struct closer {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  std::unique_ptr<std::FILE, closer> owner;
  std::FILE* in = stdin;
  if (path != "-") {
    owner.reset(std::fopen(path.c_str(), "rb"));
    in = owner.get();
  }
#if defined(_WIN32)
  if (path == "-") _setmode(_fileno(stdin), _O_BINARY);
#endif
  if (in == nullptr)
    throw failure{exit_code::file, "cannot read " + cli::quoted(path) +
                                       "\nhint: check that the path is right and readable"};
  std::string text;
  char block[65536];
  for (std::size_t n = 0; (n = std::fread(block, 1, sizeof block, in)) != 0;) text.append(block, n);
  if (std::ferror(in) != 0)
    throw failure{exit_code::file, "cannot read " + cli::quoted(path) + " to its end"};
  return text;
}

std::string read_text(const text_options& options) {
  if (options.prompt) return options.escape ? unescape(*options.prompt) : *options.prompt;
  if (!options.file.empty()) return read_file(options.file);
  usage_error("there is no text: give one with -p TEXT, -f FILE, or -f - for stdin");
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

std::string from_hex(std::string_view digits, std::size_t line) {
  while (!digits.empty() && (digits.back() == '\r' || digits.back() == ' '))
    digits.remove_suffix(1);
  std::string bytes;
  if (digits == "-") return bytes;
  bytes.reserve(digits.size() / 2);
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    const int high = hex_digit(digits[i]);
    const int low = i + 1 < digits.size() ? hex_digit(digits[i + 1]) : -1;
    if (high < 0 || low < 0)
      usage_error("line " + std::to_string(line) + " of the input is not made of hex bytes");
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

std::vector<bitnet::token> parse_ids(std::string_view text) {
  constexpr std::string_view separators = ", \t\r\n";
  std::vector<bitnet::token> ids;
  for (;;) {
    const std::size_t begin = text.find_first_not_of(separators);
    if (begin == std::string_view::npos) return ids;
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(separators));
    bitnet::token id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc{} || end != word.data() + word.size())
      usage_error(cli::quoted(word.substr(0, 40)) +
                  " is not a token id; give numbers with commas between them");
    ids.push_back(id);
    text.remove_prefix(word.size());
  }
}

}  // namespace cli
