// SPDX-License-Identifier: Apache-2.0
// The commands a robot knows: a list of lines, and the grammar that allows these and nothing else.
#pragma once

#include <bitnet/bitnet.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace robot {

/// The list that is built in; N stands for a number from 1 to 99.
inline constexpr std::string_view default_commands =
    "stop\ngo home\nmove north N\nmove south N\nmove east N\nmove west N\nturn left\nturn right\n"
    "turn N degrees\nopen gripper\nclose gripper\n";

/// The lines that are commands: not empty, and not comments, which begin with '#'.
inline std::vector<std::string_view> lines_of(std::string_view list) {
  std::vector<std::string_view> lines;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find('\n'), list.size());
    std::string_view line = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    if (!line.empty() && !line.starts_with('#')) lines.push_back(line);
  }
  return lines;
}

/// Whether the N at `i` stands alone, as a word.
inline bool is_number_place(std::string_view line, std::size_t i) {
  return line[i] == 'N' && (i == 0 || line[i - 1] == ' ') &&
         (i + 1 == line.size() || line[i + 1] == ' ');
}

/// A grammar for the lines. Each begins with the space that puts it behind "Command:".
inline std::string grammar_of(const std::vector<std::string_view>& lines) {
  std::string text = "number ::= [1-9] [0-9]?\nroot ::= ";
  bool first = true;
  for (const std::string_view line : lines) {
    text += first ? "\" " : "\n  | \" ";
    first = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (is_number_place(line, i)) {
        text += "\" number \"";
      } else {
        if (line[i] == '"' || line[i] == '\\') text += '\\';
        text += line[i];
      }
    }
    text += '"';
  }
  return text + '\n';
}

/// Whether `text` is one of the commands: the check that a careful robot makes once more.
inline bool is_command(const std::vector<std::string_view>& lines, std::string_view text) {
  for (const std::string_view line : lines) {
    std::size_t at = 0;
    bool same = true;
    for (std::size_t i = 0; i < line.size() && same; ++i) {
      if (is_number_place(line, i)) {
        const std::size_t start = at;
        while (at < text.size() && at < start + 2 && text[at] >= '0' && text[at] <= '9') ++at;
        same = at > start && text[start] != '0';
      } else {
        same = at < text.size() && text[at++] == line[i];
      }
    }
    if (same && at == text.size()) return true;
  }
  return false;
}

}  // namespace robot
