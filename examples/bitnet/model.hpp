// SPDX-License-Identifier: Apache-2.0
// Opening models for the commands.
#pragma once

#include "commands.hpp"

#include <bitnet/bitnet.hpp>

#include <string>

namespace cli {

using session = bitnet::session<bitnet::dynamic_model>;

/// Opens a model and shows how far that is. Throws failure.
[[nodiscard]] bitnet::dynamic_model open_model(const model_options& options);

/// What --kv names.
[[nodiscard]] bitnet::nn::kv_type kv_type_of(const memory_options& options);

/// A session of `context` positions (0: the library's choice).
[[nodiscard]] session open_session(const bitnet::dynamic_model& model,
                                   const memory_options& options, std::size_t context);

/// The tokenizer of a file, which may hold nothing else.
[[nodiscard]] bitnet::text::tokenizer open_tokenizer(const std::string& path);

/// Feeds tokens and shows how far that is; stops on Ctrl-C.
void feed(session& s, std::span<const bitnet::token> tokens, std::size_t batch);

/// Multiply-adds with weights for a token that wants no logits.
[[nodiscard]] double multiply_adds(const bitnet::nn::hparams& h);

}  // namespace cli
