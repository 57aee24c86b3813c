// SPDX-License-Identifier: Apache-2.0
// Metadata for fuzz targets: vocabularies, and keys with values that they should not have.
#pragma once

#include "frame.hpp"

#include <bitnet/gguf/writer.hpp>
#include <bitnet/text/bpe.hpp>
#include <bitnet/text/spm.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

/// A value of the input's choice. It is set before the model's own, which is then refused.
inline void set_hostile_key(decisions& d, bitnet::gguf::writer& w,
                            const std::string& architecture) {
  static constexpr std::string_view keys[] = {".embedding_length",
                                              ".block_count",
                                              ".feed_forward_length",
                                              ".attention.head_count",
                                              ".attention.head_count_kv",
                                              ".attention.key_length",
                                              ".attention.value_length",
                                              ".attention.layer_norm_rms_epsilon",
                                              ".context_length",
                                              ".rope.dimension_count",
                                              ".rope.freq_base",
                                              ".rope.scaling.type",
                                              ".rope.scaling.factor",
                                              ".rope.scale_linear",
                                              ".rope.scaling.original_context_length",
                                              ".rope.scaling.attn_factor",
                                              ".hidden_activation",
                                              ".expert_count",
                                              "general.architecture",
                                              "general.alignment",
                                              "split.count",
                                              "split.no",
                                              "tokenizer.ggml.model",
                                              "tokenizer.ggml.pre",
                                              "tokenizer.ggml.tokens",
                                              "tokenizer.ggml.scores",
                                              "tokenizer.ggml.token_type",
                                              "tokenizer.ggml.merges",
                                              "tokenizer.ggml.bos_token_id",
                                              "tokenizer.ggml.eos_token_id",
                                              "tokenizer.ggml.eot_token_id",
                                              "tokenizer.ggml.unknown_token_id",
                                              "tokenizer.ggml.padding_token_id",
                                              "tokenizer.ggml.add_bos_token",
                                              "tokenizer.ggml.add_eos_token",
                                              "tokenizer.ggml.add_space_prefix",
                                              "tokenizer.chat_template"};
  static constexpr float floats[] = {0.0F,
                                     -0.0F,
                                     1.0F,
                                     1.0000001F,
                                     -1.0F,
                                     1e-45F,
                                     1e-38F,
                                     1e38F,
                                     std::numeric_limits<float>::infinity(),
                                     std::numeric_limits<float>::quiet_NaN()};
  static constexpr std::uint64_t sizes[] = {
      0, 1, 2, 3, 256, 65536, 1U << 20, 1U << 30, 0xFFFFFFFFU, 0x7FFFFFFFFFFFFFFFU, ~0ULL};
  static constexpr std::string_view texts[] = {
      "",        "none",   "linear", "yarn",   "silu",         "relu2", "gpt2",        "llama",
      "default", "qwen35", "qwen2",  "BITNET", "<|im_start|>", "True",  "bitnet-b1.58"};

  const std::string_view name = d.one_of(keys);
  const std::string key = (name[0] == '.' ? architecture : std::string{}) + std::string{name};
  const auto set = [&](const auto& value) { return w.set(key, value); };
  bitnet::status done;
  switch (d.below(12)) {
    case 0:
      done = set(d.value<std::uint8_t>());
      break;
    case 1:
      done = set(static_cast<std::uint32_t>(d.one_of(sizes)));
      break;
    case 2:
      done = set(d.one_of(sizes));
      break;
    case 3:
      done = set(-static_cast<std::int64_t>(d.below(4)));
      break;
    case 4:
      done = set(d.value<std::uint16_t>());
      break;
    case 5:
      done = set(d.one_of(floats));
      break;
    case 6:
      done = set(d.value<double>());
      break;
    case 7:
      done = set(d.one_of(texts));
      break;
    case 8:
      done = set(d.text(16));
      break;
    case 9:
      done = set(d.below(2) == 1);
      break;
    case 10: {
      std::vector<std::string> list(d.below(9));
      for (std::string& s : list) s = d.text(8);
      done = set(list);
      break;
    }
    default: {
      std::vector<float> list(d.below(9));
      for (float& x : list) x = d.one_of(floats);
      done = set(list);
      break;
    }
  }
  static_cast<void>(static_cast<bool>(done));
}

/// The 256 bytes in the spelling of the kind, then tokens, merges and types of the input's choice.
inline void set_vocabulary(decisions& d, bitnet::gguf::writer& w) {
  static constexpr std::string_view names[] = {"<|begin_of_text|>",
                                               "<|end_of_text|>",
                                               "<|eot_id|>",
                                               "<|endoftext|>",
                                               "<|im_start|>",
                                               "<|im_end|>",
                                               "<s>",
                                               "</s>",
                                               "<unk>",
                                               "<eos>"};
  const bool bpe = d.below(2) == 0;
  std::vector<std::string> tokens;
  std::vector<std::string> merges;
  std::vector<std::int32_t> types;
  std::vector<float> scores;
  for (unsigned b = 0; b < 256; ++b) {
    const auto name = bitnet::text::byte_token_text(static_cast<unsigned char>(b));
    std::string text{name.data(), name.size()};
    if (bpe) {
      text.clear();
      bitnet::text::append_utf8(text, bitnet::text::byte_spelling[b]);
    }
    tokens.push_back(text);
    types.push_back(bpe ? 1 : 6);
    scores.push_back(0.0F);
  }
  for (std::size_t extra = d.below(12); extra > 0; --extra) {
    tokens.push_back(d.below(4) == 1 ? std::string{d.one_of(names)} : d.text(8));
    types.push_back(d.value<std::int8_t>());
    scores.push_back(static_cast<float>(d.value<std::int8_t>()));
  }
  for (std::size_t extra = d.below(8); extra > 0; --extra) merges.push_back(d.text(8));
  (void)w.set("tokenizer.ggml.model", bpe ? "gpt2" : "llama");
  (void)w.set("tokenizer.ggml.tokens", tokens);
  (void)w.set("tokenizer.ggml.token_type", types);
  if (bpe) {
    (void)w.set("tokenizer.ggml.merges", merges);
  } else {
    (void)w.set("tokenizer.ggml.scores", scores);
  }
  if (d.below(2) == 1) (void)w.set("tokenizer.ggml.bos_token_id", d.value<std::uint16_t>());
}

}  // namespace fuzz
