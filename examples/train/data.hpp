// SPDX-License-Identifier: Apache-2.0
// From text files to a vocabulary and token files.
#pragma once

#include "options.hpp"

#include <bitnet/gguf/source.hpp>
#include <bitnet/text/tokenizer.hpp>
#include <bitnet/train/bpe_vocabulary.hpp>
#include <bitnet/train/dataset.hpp>

#include <cstdint>
#include <string>

namespace trainer {

/// What a run learns from and measures on. Token files are mapped.
struct dataset {
  bitnet::train::bpe_vocabulary vocabulary;
  bitnet::text::tokenizer tokenizer;
  bitnet::gguf::mapped_file train_file, valid_file;
  bitnet::train::token_data train{std::span<const bitnet::token>{}};
  bitnet::train::token_data valid{std::span<const bitnet::token>{}};
  double bytes_per_token = 0.0;   ///< of the held-out text
  std::uint64_t fingerprint = 0;  ///< of vocabulary and tokens
};

/// Trains the vocabulary and writes `folder`/train.tokens and valid.tokens. The same options and
/// files give the same bytes. Throws cli::failure.
[[nodiscard]] dataset prepare(const options& o, const std::string& folder);

}  // namespace trainer
