// SPDX-License-Identifier: Apache-2.0
// `bitnet tokenize`: token ids of texts.
#include "commands.hpp"
#include "failure.hpp"
#include "input.hpp"
#include "model.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

namespace cli {
namespace {

using ids = std::vector<bitnet::token>;

std::string line_of(const ids& tokens) {
  std::string line;
  for (const bitnet::token t : tokens) {
    if (!line.empty()) line += ' ';
    line += std::to_string(t);
  }
  return line + '\n';
}

/// The bytes of a token, safe to print on one line.
std::string printable(std::string_view piece) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out.append({'\\', 'x', digits[byte / 16], digits[byte % 16]});
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

void tokenize(const tokenize_options& options) {
  const std::string input = read_text(options.text);
  const bitnet::text::tokenizer tokenizer = open_tokenizer(options.path);
  bitnet::text::encode_options o;
  o.add_special = !options.no_bos;
  o.parse_special = options.parse_special;
  o.nfc = options.nfc;
  o.invalid =
      options.keep_invalid ? bitnet::text::invalid_utf8::keep : bitnet::text::invalid_utf8::replace;

  std::vector<ids> texts;
  const stopwatch watch;
  const auto add = [&](std::string_view text) {
    texts.push_back(check(tokenizer.encode(text, o), "cannot tokenize"));
  };
  if (options.lines || options.hex) {
    progress bar{"tokenizing"};
    const auto lines = lines_of(input);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      stop_if_interrupted();
      if (options.hex) {
        add(from_hex(lines[i], i + 1));
      } else {
        add(lines[i]);
      }
      bar.update(i + 1, lines.size());
    }
  } else {
    add(input);
  }
  const double seconds = watch.seconds();

  std::size_t count = 0;
  for (const ids& tokens : texts) count += tokens.size();
  if (options.json) {
    nlohmann::ordered_json out;
    if (options.lines || options.hex) {
      out["lines"] = texts;
    } else {
      out["ids"] = texts.front();
    }
    out["tokens"] = count;
    out["vocabulary"] = tokenizer.size();
    put(out.dump() + '\n');
  } else {
    std::string out;
    for (const ids& tokens : texts) {
      if (!options.pieces) {
        out += line_of(tokens);
        continue;
      }
      for (const bitnet::token t : tokens)
        out += std::to_string(t) + "\t'" + printable(tokenizer.piece(t)) + "'\n";
    }
    put(out);
  }
  note(std::to_string(count) + " tokens from " + std::to_string(input.size()) + " bytes in " +
       number(seconds * 1000.0, 1) + " ms");
}

}  // namespace cli
