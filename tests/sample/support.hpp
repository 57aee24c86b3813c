// SPDX-License-Identifier: Apache-2.0
// Small vocabularies and texts for tests of constraints.
#pragma once

#include <bitnet/sample/constraint.hpp>

#include "doctest.hpp"

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace sample_test {

using bitnet::token;
namespace sample = bitnet::sample;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

/// Pieces as tokens 0, 1, 2 ...; the piece "<end>" ends a text.
inline sample::token_trie trie_of(const std::vector<std::string>& pieces) {
  auto made = sample::token_trie::make(
      pieces.size(),
      [&](token id) { return std::string_view{pieces[static_cast<std::size_t>(id)]}; },
      [&](token id) { return pieces[static_cast<std::size_t>(id)] == "<end>"; });
  REQUIRE(made);
  return *std::move(made);
}

/// All 256 bytes, what `more` adds, and a token that ends a text.
inline sample::token_trie byte_trie(const std::vector<std::string>& more = {}) {
  std::vector<std::string> pieces;
  for (int b = 0; b < 256; ++b) pieces.emplace_back(1, static_cast<char>(b));
  pieces.insert(pieces.end(), more.begin(), more.end());
  pieces.emplace_back("<end>");
  return trie_of(pieces);
}

/// Whether `text`, byte by byte, is allowed and whole.
template <class Constraint>
bool matches(Constraint& c, const sample::token_trie& bytes, std::string_view text) {
  c.reset();
  for (const char b : text)
    if (!c.accept(static_cast<unsigned char>(b))) return false;
  return c.complete() && (c.finished() || c.allowed().contains(bytes.ends()[0]));
}

inline std::vector<token> members(const sample::token_set& set) {
  std::vector<token> ids;
  for (std::size_t i = 0; i < set.vocab(); ++i)
    if (set.contains(static_cast<token>(i))) ids.push_back(static_cast<token>(i));
  return ids;
}

}  // namespace sample_test
