// SPDX-License-Identifier: Apache-2.0
// Texts and token ids from the command line, from files and from stdin.
#pragma once

#include "commands.hpp"

#include <bitnet/core/token.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace cli {

/// All bytes of a file; "-" is stdin. Throws failure.
[[nodiscard]] std::string read_file(const std::string& path);

/// The text that the options name; a usage failure if they name none.
[[nodiscard]] std::string read_text(const text_options& options);

/// Lines of a text, without their ends; what follows the last line end is a line if not empty.
[[nodiscard]] std::vector<std::string_view> lines_of(std::string_view text);

/// Bytes written as pairs of hex digits; "-" and "" are no bytes. `line` is for the message.
[[nodiscard]] std::string from_hex(std::string_view digits, std::size_t line);

/// Numbers with commas or white space between them.
[[nodiscard]] std::vector<bitnet::token> parse_ids(std::string_view text);

}  // namespace cli
