// SPDX-License-Identifier: Apache-2.0
// From text files to a vocabulary and token files.
#include "data.hpp"

#include "../bitnet/failure.hpp"
#include "../bitnet/terminal.hpp"

#include <bitnet/gguf/sink.hpp>
#include <bitnet/train/bpe_trainer.hpp>

#include <string_view>
#include <utility>

namespace trainer {
namespace {

namespace gguf = bitnet::gguf;
namespace train = bitnet::train;

using cli::check;

/// Calls f(document, held_out) for all documents of all files.
template <class F>
void each_text(const options& o, F f) {
  const auto read = [&](const std::string& path, auto document) {
    const auto file = check(gguf::mapped_file::open(path), "reading " + cli::quoted(path));
    check(train::each_document(train::text_of(file), o.separator, document),
          "reading " + cli::quoted(path));
  };
  std::uint64_t index = 0;
  for (const std::string& path : o.text)
    read(path, [&](std::string_view document) {
      return f(document, o.valid.empty() && train::held_out(index++, o.held_out, o.seed));
    });
  if (!o.valid.empty()) read(o.valid, [&](std::string_view document) { return f(document, true); });
}

/// Writes tokens of documents, each behind the token that ends texts.
class token_file {
 public:
  token_file(const std::string& path, const train::bpe_vocabulary& vocabulary)
      : sink_{check(gguf::file_sink::create(path), "writing " + cli::quoted(path))},
        writer_{check(train::token_writer<gguf::file_sink>::make(
                          sink_, static_cast<std::uint32_t>(vocabulary.tokens.size())),
                      "writing tokens")},
        end_{vocabulary.end_of_text} {}

  [[nodiscard]] bitnet::status add(const bitnet::text::tokenizer& tokenizer,
                                   std::string_view document) {
    train::token_list tokens{end_};
    BITNET_CHECK(tokens.add(tokenizer, document));
    const auto all = tokens.tokens();
    return writer_.write(all.first(all.size() - 1));
  }
  void finish() {
    check(writer_.write(std::span{&end_, 1}), "writing tokens");
    check(writer_.finish(), "writing tokens");
    check(sink_.commit(), "writing tokens");
  }

 private:
  gguf::file_sink sink_;
  train::token_writer<gguf::file_sink> writer_;
  bitnet::token end_;
};

void open_tokens(const std::string& path, gguf::mapped_file& file, train::token_data& tokens) {
  file = check(gguf::mapped_file::open(path), "reading " + cli::quoted(path));
  tokens = check(train::token_data::view(file.bytes()), "reading " + cli::quoted(path));
}

}  // namespace

dataset prepare(const options& o, const std::string& folder) {
  dataset d;
  train::bpe_options bpe;
  bpe.size = o.vocab;
  auto learner = check(train::bpe_trainer::make(bpe), "making a vocabulary");
  std::uint64_t documents = 0, held = 0, held_bytes = 0;
  each_text(o, [&](std::string_view document, bool held_out) {
    ++(held_out ? held : documents);
    if (held_out) held_bytes += document.size();
    if (!held_out) learner.add(document);
    return bitnet::status{};
  });
  if (documents == 0) throw cli::failure{cli::exit_code::usage, "the text files hold no text"};
  if (held == 0)
    throw cli::failure{cli::exit_code::usage,
                       "no document is held out to measure on: give --valid, raise --held-out, or "
                       "put --separator between the documents"};
  d.vocabulary = check(learner.train(), "making a vocabulary");
  d.tokenizer = check(bitnet::text::tokenizer::make(d.vocabulary.view()), "making a vocabulary");

  const std::string train_path = folder + "/train.tokens", valid_path = folder + "/valid.tokens";
  token_file train_out{train_path, d.vocabulary}, valid_out{valid_path, d.vocabulary};
  each_text(o, [&](std::string_view document, bool held_out) {
    return (held_out ? valid_out : train_out).add(d.tokenizer, document);
  });
  train_out.finish();
  valid_out.finish();
  open_tokens(train_path, d.train_file, d.train);
  open_tokens(valid_path, d.valid_file, d.valid);
  d.bytes_per_token = static_cast<double>(held_bytes) / static_cast<double>(d.valid.size());
  d.fingerprint = bitnet::checksum(d.train_file.bytes(), bitnet::checksum(d.valid_file.bytes()));
  for (const std::string& merge : d.vocabulary.merges)
    d.fingerprint = bitnet::checksum(std::as_bytes(std::span{merge}), d.fingerprint);
  cli::note("data: " + std::to_string(documents) + " documents, " + std::to_string(d.train.size()) +
            " tokens; held out " + std::to_string(held) + ", " + std::to_string(d.valid.size()) +
            " tokens of " + cli::number(d.bytes_per_token, 2) + " bytes; vocabulary " +
            std::to_string(d.vocabulary.tokens.size()));
  return d;
}

}  // namespace trainer
