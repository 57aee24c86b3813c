// SPDX-License-Identifier: Apache-2.0
// Chats in the format that a model was tuned for.
#pragma once

#include "model.hpp"

namespace cli {

/// The model's chat format, with a note if it has none; throws failure if it is an unknown one.
[[nodiscard]] bitnet::text::chat_format chat_format_of(const bitnet::dynamic_model& model);

/// Answers line after line of stdin. The session keeps what it knows: only new text is read.
/// Ctrl-C ends an answer.
void converse(const bitnet::dynamic_model& model, session& s, const std::string& system,
              const bitnet::generate_options& options);

}  // namespace cli
