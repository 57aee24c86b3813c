// SPDX-License-Identifier: Apache-2.0
// A conversation in the format that a model was tuned for.
#pragma once

#include "model.hpp"

#include <bitnet/text/chat.hpp>

#include <optional>
#include <string>
#include <vector>

namespace cli {

/// The messages so far and the prompt that they make. Refers to the model.
class conversation {
 public:
  /// Recognises the model's chat format; throws failure if it is an unknown one.
  conversation(const bitnet::dynamic_model& model, const std::string& system);

  /// Token ids of everything said so far, up to where the model's answer begins; with a text, the
  /// user says that first.
  [[nodiscard]] std::vector<bitnet::token> prompt(const std::optional<std::string>& text = {});
  void add_answer(const std::string& text) { messages_.push_back({"assistant", text}); }
  /// Forgets the oldest message of the user and its answer; false if only the last one is left.
  bool forget_oldest();

 private:
  struct message {
    std::string role, content;
  };
  const bitnet::dynamic_model* model_;
  bitnet::text::chat_format format_ = bitnet::text::chat_format::plain;
  std::vector<message> messages_;
};

}  // namespace cli
