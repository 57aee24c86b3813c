// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any vocabulary either is refused or encodes and decodes any text.
#include "frame.hpp"

#include <bitnet/text/stop.hpp>
#include <bitnet/text/stream.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace bitnet::text;
using fuzz::require;

/// Lines up to an empty one, or to the end. A line's first byte says what it is.
struct input {
  std::vector<std::string> tokens;
  std::vector<std::string_view> merges;
  std::vector<token_type> types;
  std::vector<float> scores;
  std::string_view text;
};

input read(std::string_view bytes, bool bpe) {
  input in;
  for (unsigned b = 0; b < 256; ++b) {
    const auto name = byte_token_text(static_cast<unsigned char>(b));
    std::string text{name.data(), name.size()};
    if (bpe) {
      text.clear();
      append_utf8(text, byte_spelling[b]);
    }
    in.tokens.push_back(text);
    in.types.push_back(bpe ? token_type::normal : token_type::byte);
    in.scores.push_back(0);
  }
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
    if (line.empty()) break;
    const auto first = static_cast<unsigned char>(line[0]);
    if (first == '+') {
      in.merges.push_back(line.substr(1));
      continue;
    }
    in.tokens.emplace_back(line.substr(1));
    in.types.push_back(static_cast<token_type>(1 + first % 4));
    in.scores.push_back(static_cast<float>(first / 4));
  }
  in.text = bytes;
  return in;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::uint8_t options = data[0];
  const bool bpe = (options & 1) != 0;
  const input in = read({reinterpret_cast<const char*>(data + 1), size - 1}, bpe);
  vocabulary v;
  v.kind = bpe ? vocabulary_kind::bpe : vocabulary_kind::sentencepiece;
  constexpr std::string_view names[] = {"gpt-2", "llama-bpe", "qwen35", "default"};
  v.pre = names[options >> 1 & 3];
  v.tokens.assign(in.tokens.begin(), in.tokens.end());
  v.types = in.types;
  v.scores = in.scores;
  v.merges = in.merges;
  const auto t = tokenizer::make(v);
  if (!t) return 0;

  encode_options how{.add_special = (options & 8) != 0,
                     .parse_special = (options & 16) != 0,
                     .nfc = (options & 32) != 0};
  std::vector<token_id> ids;
  require(static_cast<bool>(t->encode(in.text, how, ids)));
  for (const token_id id : ids) require(t->valid(id));
  (void)t->decode(ids, {.clean_spaces = true});

  how = {.add_special = false, .parse_special = how.parse_special, .invalid = invalid_utf8::keep};
  ids.clear();
  require(static_cast<bool>(t->encode(in.text, how, ids)));
  const std::string decoded = t->decode(ids);
  if (bpe) require(decoded == in.text);

  // The stream gives the same, whole characters at a time, and the stop strings cut it.
  auto stops = stop_matcher::make(std::vector<std::string>{"ab",
                                                           "\xC3\xA9"
                                                           "c"});
  require(static_cast<bool>(stops));
  utf8_stream stream;
  std::string shown;
  const auto show = [&](std::string_view s) {
    shown += s;
    return true;
  };
  const auto cut = [&](std::string_view s) { return stops->push(s, show); };
  bool going = true;
  for (std::size_t i = 0; i < ids.size() && going; ++i) going = stream.push(t->piece(ids[i]), cut);
  if (going && stream.flush(cut)) (void)stops->flush(show);
  require(shown.find("ab") == std::string::npos);
  std::string storage;
  require(repair_utf8(shown, storage) == shown);
  return 0;
}
