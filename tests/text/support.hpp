// SPDX-License-Identifier: Apache-2.0
// Vocabularies, texts and expected ids for the tokenizer tests.
#pragma once

#include "doctest.hpp"

#include <bitnet/engine/vocabulary.hpp>
#include <bitnet/gguf/parser.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace text_test {

using bitnet::text::token_id;

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

inline std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::ifstream in{path};
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// The shared data, or nothing with a message that says so.
inline std::optional<std::filesystem::path> shared_data(const char* what) {
  const std::filesystem::path path{BITNET_SHARED_DIR};
  if (!path.empty() && std::filesystem::exists(path / what)) return path;
  MESSAGE("the shared data are not here: not tested with ", what);
  return std::nullopt;
}

inline std::filesystem::path own_data() { return std::filesystem::path{BITNET_TEST_DATA_DIR}; }

inline std::string unhex(std::string_view line) {
  std::string bytes;
  if (line == "-") return bytes;
  for (std::size_t i = 0; i + 1 < line.size(); i += 2)
    bytes.push_back(
        static_cast<char>(std::strtol(std::string{line.substr(i, 2)}.c_str(), nullptr, 16)));
  return bytes;
}

inline std::string hex(std::string_view bytes) {
  if (bytes.empty()) return "-";
  std::string line;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    line += "0123456789abcdef"[byte >> 4];
    line += "0123456789abcdef"[byte & 15];
  }
  return line;
}

/// Ids as the golden files write them.
inline std::string to_line(std::span<const token_id> ids) {
  if (ids.empty()) return "-";
  std::string line;
  for (const token_id id : ids) {
    if (!line.empty()) line += ' ';
    line += std::to_string(id);
  }
  return line;
}

inline std::vector<token_id> read_ids(std::string_view numbers) {
  std::string clean{numbers};
  for (char& c : clean)
    if (c == ',') c = ' ';
  std::istringstream in{clean};
  return {std::istream_iterator<token_id>{in}, {}};
}

/// What follows `"key":` in a JSON text, up to `close`, from `start` on; advances `start`.
inline std::string_view json_value(std::string_view json, std::string_view key, char open,
                                   char close, std::size_t& start) {
  start = json.find("\"" + std::string{key} + "\"", start);
  if (start == std::string_view::npos) return {};
  start = json.find(open, start + key.size() + 2) + 1;
  const std::size_t end = json.find(close, start);
  const std::string_view value = json.substr(start, end - start);
  start = end;
  return value;
}

/// The tokenizer of a GGUF file, with pre-tokenizer `pre` in the place of the file's own unless it
/// is empty; fails the test if there is none.
inline std::optional<bitnet::text::tokenizer> read_tokenizer(const std::filesystem::path& path,
                                                             std::string_view pre = {}) {
  const std::string bytes = read_file(path);
  const auto file = bitnet::gguf::parse(std::as_bytes(std::span{bytes}));
  CHECK_MESSAGE(file, path.string());
  if (!file) return std::nullopt;
  auto vocabulary = bitnet::read_vocabulary(file->meta());
  CHECK_MESSAGE(vocabulary, path.string());
  if (!vocabulary) return std::nullopt;
  if (!pre.empty()) vocabulary->pre = pre;
  auto made = bitnet::text::tokenizer::make(*vocabulary);
  CHECK_MESSAGE(made, path.string());
  if (!made) return std::nullopt;
  return *std::move(made);
}

inline std::vector<token_id> encode(const bitnet::text::tokenizer& t, std::string_view text,
                                    const bitnet::text::encode_options& options = {}) {
  std::vector<token_id> ids;
  CHECK(t.encode(text, options, ids));
  return ids;
}

}  // namespace text_test
