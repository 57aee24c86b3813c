// SPDX-License-Identifier: Apache-2.0
// What --grammar and --choice let a text be.
#pragma once

#include <bitnet/engine/token_trie.hpp>
#include <bitnet/sample/constraint.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cli {

/// Owns a constraint and what it refers to; none if there is neither grammar nor choices.
class text_constraint {
 public:
  /// Throws failure: a grammar with mistakes, or one that the vocabulary cannot spell.
  text_constraint(const bitnet::text::tokenizer& tokenizer, const std::string& grammar_file,
                  const std::vector<std::string>& choices);
  text_constraint(const text_constraint&) = delete;
  text_constraint& operator=(const text_constraint&) = delete;

  /// Valid as long as this object.
  [[nodiscard]] std::optional<bitnet::constraint_ref> ref() const noexcept { return ref_; }

 private:
  template <class Language>
  struct held;
  std::shared_ptr<void> held_;
  std::optional<bitnet::constraint_ref> ref_;
};

}  // namespace cli
