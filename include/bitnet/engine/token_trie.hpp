// SPDX-License-Identifier: Apache-2.0
// The vocabulary of a tokenizer in the form that constraints on generated text need.
#pragma once

#include <bitnet/sample/token_trie.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <string_view>

BITNET_NAMESPACE_BEGIN

/// Tokens by the bytes that they stand for, as generate() shows them: control tokens by none. Made
/// once for a model and shared by all constraints; about 10 MB for 128 thousand tokens. The
/// tokenizer is not referred to afterwards.
[[nodiscard]] inline result<sample::token_trie> make_token_trie(const text::tokenizer& t) {
  return sample::token_trie::make(
      t.size(), [&](token id) { return t.is_control(id) ? std::string_view{} : t.piece(id); },
      [&](token id) { return t.is_end_of_generation(id); });
}

BITNET_NAMESPACE_END
