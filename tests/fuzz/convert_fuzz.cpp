// SPDX-License-Identifier: Apache-2.0
// Feeds bytes to the readers of foreign files: safetensors tables, JSON configurations and
// vocabularies, SentencePiece models. The first byte chooses which.
#include "frame.hpp"

#include <bitnet/convert/config.hpp>
#include <bitnet/convert/safetensors.hpp>
#include <bitnet/convert/sentencepiece.hpp>
#include <bitnet/convert/tokenizer_json.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace {

using namespace bitnet;
using fuzz::require;

constexpr std::size_t most_bytes = 8192;
constexpr unsigned readers = 4;

constexpr std::string_view valid[readers] = {
    R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],)"
    R"("data_offsets":[8,9]}}123456789)",
    R"({"architectures":["LlamaForCausalLM"],"hidden_act":"silu","hidden_size":64,)"
    R"("num_hidden_layers":2,"intermediate_size":128,"num_attention_heads":4,"vocab_size":99,)"
    R"("max_position_embeddings":128,"rms_norm_eps":1e-5,"rope_theta":5e5,"rope_scaling":)"
    R"({"rope_type":"yarn","factor":4.0},"quantization_config":{"quant_method":"bitnet"}})",
    R"({"added_tokens":[{"id":2,"content":"<s>","special":true}],"normalizer":{"type":"Replace",)"
    R"("pattern":{"String":" "},"content":"\u2581"},"post_processor":{"type":"TemplateProcessing",)"
    R"("single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{}}]},"model":{"type":"BPE",)"
    R"("byte_fallback":true,"vocab":{"a":0,"aa":1,"b":3},"merges":["a a"]}})",
    "\x0a\x08\x0a\x01\x61\x15\x00\x00\x80\x3f\x12\x02\x18\x02\x1a\x02\x20\x00"};

void check_error(const error& e) { require(!to_string(e).empty()); }

/// A vocabulary that was read is one that can be tried: lists of one length, and no crash.
void try_vocabulary(const result<convert::vocabulary>& v) {
  if (!v) return check_error(v.error());
  require(v->tokens.size() == v->types.size());
  if (v->tokens.size() > 100'000) return;
  if (const auto t = text::tokenizer::make(v->view()))
    require(static_cast<bool>(t->encode("aab c")));
}

void read_table(std::span<const std::uint8_t> bytes) {
  // The length of the table is that of its JSON, so that mutations reach behind it.
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  const std::uint64_t length = text.rfind('}') == std::string_view::npos ? 0 : text.rfind('}') + 1;
  std::vector<std::byte> file(sizeof length + bytes.size());
  std::memcpy(file.data(), &length, sizeof length);
  if (!bytes.empty()) std::memcpy(file.data() + sizeof length, bytes.data(), bytes.size());
  for (const std::span<const std::byte> whole :
       {std::span<const std::byte>{file}, std::as_bytes(bytes)}) {
    const auto tensors = convert::read_safetensors(whole, "file");
    if (!tensors) {
      check_error(tensors.error());
      continue;
    }
    for (const auto& t : *tensors)
      require(t.offset <= whole.size() && t.data.size() <= whole.size() - t.offset);
  }
}

}  // namespace

/// Starts from a valid input of one of the readers now and then.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  return fuzz::mutate({data, max_size}, size, most_bytes, seed, 16,
                      [](std::span<std::uint8_t> room, unsigned number) -> std::size_t {
                        const std::string_view start = valid[number % readers];
                        if (start.size() >= room.size()) return 0;
                        room[0] = static_cast<std::uint8_t>(number % readers);
                        return 1 +
                               fuzz::start_from(room.subspan(1), std::as_bytes(std::span{start}));
                      });
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  size = std::min(size, most_bytes);
  const std::span<const std::uint8_t> bytes{data + 1, size - 1};
  const std::string_view text{reinterpret_cast<const char*>(data + 1), size - 1};
  if (data[0] % readers == 0) {
    read_table(bytes);
  } else if (data[0] % readers == 3) {
    try_vocabulary(convert::read_sentencepiece(text, "file"));
  } else if (const auto parsed = convert::json::parse(text, "file"); !parsed) {
    check_error(parsed.error());
  } else if (data[0] % readers == 1) {
    const auto config = convert::read_config(*parsed);
    if (!config) check_error(config.error());
  } else {
    try_vocabulary(convert::read_tokenizer_json(*parsed, "gpt-2"));
  }
  return 0;
}
