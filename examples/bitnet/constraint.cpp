// SPDX-License-Identifier: Apache-2.0
// From options to constraints.
#include "constraint.hpp"

#include "failure.hpp"
#include "input.hpp"

#include <utility>

namespace cli {

namespace sample = bitnet::sample;

/// A language, a vocabulary and the constraint that refers to both.
template <class Language>
struct text_constraint::held {
  Language language;
  sample::token_trie vocabulary;
  std::optional<sample::language_constraint<Language>> constraint = {};

  static std::shared_ptr<held> make(const bitnet::text::tokenizer& tokenizer, Language language,
                                    const char* option) {
    auto h = std::make_shared<held>(std::move(language),
                                    check(bitnet::make_token_trie(tokenizer), option));
    h->constraint.emplace(
        check(sample::language_constraint<Language>::make(h->vocabulary, h->language), option));
    return h;
  }
  held(Language l, sample::token_trie v) : language{std::move(l)}, vocabulary{std::move(v)} {}
};

text_constraint::text_constraint(const bitnet::text::tokenizer& tokenizer,
                                 const std::string& grammar_file,
                                 const std::vector<std::string>& choices) {
  if (!choices.empty()) {
    auto h = held<sample::choices>::make(
        tokenizer, check(sample::choices::make(choices), "--choice"), "--choice");
    ref_ = *h->constraint;
    held_ = std::move(h);
  } else if (!grammar_file.empty()) {
    text_options file;
    file.file = grammar_file;
    auto grammar = sample::grammar::make(read_text(file));
    if (!grammar) usage_error("--grammar " + grammar_file + ": " + to_string(grammar.error()));
    auto h = held<sample::grammar>::make(tokenizer, *std::move(grammar), "--grammar");
    ref_ = *h->constraint;
    held_ = std::move(h);
  }
}

}  // namespace cli
