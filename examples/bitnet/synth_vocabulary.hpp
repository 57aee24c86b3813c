// SPDX-License-Identifier: Apache-2.0
// A valid byte-level vocabulary of any size, for models with random weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cli {

/// Which family's special tokens a vocabulary imitates.
enum class vocabulary_style { llama3, qwen };

/// What a GGUF file says of its tokenizer.
struct synth_vocabulary {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<std::string> merges;
  std::string pre;
  std::string chat_template;
  std::uint32_t bos = 0;
  std::uint32_t eos = 0;
  std::uint32_t pad = 0;
  bool add_bos = false;
};

/// `size` tokens: the 256 bytes, words of two to four letters with the merges that make them, and
/// from `first_special` on (at least 256) special tokens.
[[nodiscard]] synth_vocabulary make_vocabulary(vocabulary_style style, std::size_t size,
                                               std::size_t first_special);

}  // namespace cli
