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

/// A document, or part of a long one.
struct passage {
  std::string_view text;
  bool continues = false;  ///< the document of the passage before
  bool held_out = false;
};

/// The passages of all files, in order; which of them are held out.
class passages {
 public:
  explicit passages(const options& o) : o_{o} {
    each([&](const passage& p) {
      ++count_;
      held_ += p.held_out ? 1U : 0U;
      return bitnet::status{};
    });
    if (o.valid.empty() && held_ == 0 && count_ > 1 && o.held_out > 0.0) {
      last_is_held_out_ = true;
      ++held_;
    }
    if (held_ == count_) throw cli::failure{cli::exit_code::usage, "the text files hold no text"};
    if (held_ == 0)
      throw cli::failure{cli::exit_code::usage,
                         "there is too little text to hold some out, to measure on: give --valid"};
  }
  [[nodiscard]] std::uint64_t to_learn() const noexcept { return count_ - held_; }
  [[nodiscard]] std::uint64_t held_out() const noexcept { return held_; }

  /// Calls f(passage) for all; ends with Ctrl-C.
  template <class F>
  void each(F f) const {
    std::uint64_t index = 0;
    for (const std::string& path : o_.text)
      read(path, [&](std::string_view text, bool continues) {
        const bool held = o_.valid.empty() && (train::held_out(index, o_.held_out, o_.seed) ||
                                               (last_is_held_out_ && index + 1 == count_));
        ++index;
        return f(passage{text, continues, held});
      });
    if (!o_.valid.empty())
      read(o_.valid, [&](std::string_view text, bool continues) {
        return f(passage{text, continues, true});
      });
  }

 private:
  template <class F>
  void read(const std::string& path, F f) const {
    constexpr std::size_t most = 16384;  // longer documents are worked on, and held out, in parts
    const std::string doing = "reading " + cli::quoted(path);
    const auto file = check(gguf::mapped_file::open(path), doing);
    check(train::each_document(train::text_of(file), o_.separator,
                               [&](std::string_view document) {
                                 cli::stop_if_interrupted();
                                 return train::each_passage(document, most, f);
                               }),
          doing);
  }

  const options& o_;
  std::uint64_t count_ = 0, held_ = 0;
  bool last_is_held_out_ = false;
};

/// Writes the tokens of documents, each behind the token that ends texts.
class token_file {
 public:
  token_file(const std::string& path, const train::bpe_vocabulary& vocabulary)
      : doing_{"writing " + cli::quoted(path)},
        sink_{check(gguf::file_sink::create(path), doing_)},
        writer_{check(train::token_writer<gguf::file_sink>::make(
                          sink_, static_cast<std::uint32_t>(vocabulary.tokens.size())),
                      doing_)},
        end_{vocabulary.end_of_text} {}

  /// `joined`: what was added last is the passage before.
  [[nodiscard]] bitnet::status add(const bitnet::text::tokenizer& tokenizer, std::string_view text,
                                   bool joined) {
    train::token_list tokens{end_};
    BITNET_CHECK(tokens.add(tokenizer, text));
    const auto all = tokens.tokens();
    return writer_.write(all.subspan(joined ? 1 : 0, all.size() - (joined ? 2 : 1)));
  }
  void finish() {
    check(writer_.write(std::span{&end_, 1}), doing_);
    check(writer_.finish(), doing_);
    check(sink_.commit(), doing_);
  }

 private:
  std::string doing_;
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
  const passages text{o};
  std::uint64_t held_bytes = 0;
  text.each([&](const passage& p) {
    if (p.held_out) {
      held_bytes += p.text.size();
    } else {
      learner.add(p.text);
    }
    return bitnet::status{};
  });
  d.vocabulary = check(learner.train(), "making a vocabulary");
  d.tokenizer = check(bitnet::text::tokenizer::make(d.vocabulary.view()), "making a vocabulary");

  const std::string train_path = folder + "/train.tokens", valid_path = folder + "/valid.tokens";
  token_file train_out{train_path, d.vocabulary}, valid_out{valid_path, d.vocabulary};
  bool before = false;
  text.each([&](const passage& p) {
    const bool joined = p.continues && p.held_out == before;
    before = p.held_out;
    return (p.held_out ? valid_out : train_out).add(d.tokenizer, p.text, joined);
  });
  train_out.finish();
  valid_out.finish();
  open_tokens(train_path, d.train_file, d.train);
  open_tokens(valid_path, d.valid_file, d.valid);
  d.bytes_per_token = static_cast<double>(held_bytes) / static_cast<double>(d.valid.size());
  d.fingerprint = bitnet::checksum(d.train_file.bytes(), bitnet::checksum(d.valid_file.bytes()));
  for (const std::string& merge : d.vocabulary.merges)
    d.fingerprint = bitnet::checksum(std::as_bytes(std::span{merge}), d.fingerprint);
  const std::size_t vocab = d.vocabulary.tokens.size();
  cli::note("data: " + std::to_string(text.to_learn()) + " documents, " +
            std::to_string(d.train.size()) + " tokens; held out " +
            std::to_string(text.held_out()) + ", " + std::to_string(d.valid.size()) +
            " tokens of " + cli::number(d.bytes_per_token, 2) + " bytes; vocabulary " +
            std::to_string(vocab) + (vocab < o.vocab ? ": the text has no more to merge" : ""));
  if (d.train.size() <= o.length)
    cli::usage_error("the text has " + std::to_string(d.train.size()) +
                     " tokens to learn from, too few for a row of --length " +
                     std::to_string(o.length) + ": give more text or a smaller --length");
  return d;
}

}  // namespace trainer
