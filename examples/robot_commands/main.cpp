// SPDX-License-Identifier: Apache-2.0
// A sentence in, a command out, in time: robot_commands MODEL [--commands FILE] [--ms N] reads a
// sentence a line. Whatever the sentence says and whatever the model would like to answer, what
// comes out is a command of the list, whole, or "no command in time".
#include "vocabulary.hpp"

#include <bitnet/bitnet.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace robot {

using session = bitnet::session<bitnet::dynamic_model>;
using bitnet::sample::grammar;
using bitnet::sample::grammar_constraint;
using milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::string_view instructions =
    "A robot is told what to do. Its command follows.\n"
    "Sentence: please wait\nCommand: stop\n"
    "Sentence: go up three fields\nCommand: move north 3\n"
    "Sentence: ";
constexpr std::size_t longest_sentence = 400;  // bytes; the rest is cut off
constexpr std::size_t longest_command = 60;
constexpr std::size_t most_tokens = 64;  // enough for a command, were it spelled byte by byte
constexpr std::size_t context = 512;

/// What came of a sentence.
struct answer {
  std::string command;  ///< empty: none in time
  bool cut = false;     ///< the time was up, and this is what was whole by then
};

/// Understands sentences with one model and one session. Refers to the model.
class interpreter {
 public:
  static bitnet::result<interpreter> make(const bitnet::dynamic_model& model,
                                          const bitnet::sample::token_trie& words,
                                          const grammar& commands) {
    BITNET_TRY(auto only, grammar_constraint::make(words, commands));
    BITNET_TRY(auto mind, session::make(model, model.threads(), {.context = context, .batch = 64}));
    interpreter i{model, std::move(only), std::move(mind)};
    BITNET_TRY(const auto prompt, model.tokenizer().encode(instructions));
    i.known_ = std::min(prompt.size(), context / 2);
    BITNET_CHECK(i.mind_.feed(std::span{prompt}.first(i.known_)));  // once, for all sentences
    return i;
  }

  /// At most about `time`, whatever the sentence: the model works in slices and is asked for no
  /// more of them than there is time for.
  bitnet::result<answer> understand(std::string_view sentence, std::chrono::microseconds time) {
    bitnet::step_budget budget{time};  // starts now
    // What the robot hears is text, never tokens of the model's own, and has one line.
    std::string line{sentence.substr(0, longest_sentence)};
    std::replace(line.begin(), line.end(), '\n', ' ');
    bitnet::text::encode_options plain;
    plain.add_special = false;
    std::vector<bitnet::token> prompt;
    BITNET_CHECK(model_->tokenizer().encode(line + "\nCommand:", plain, prompt));
    BITNET_CHECK(mind_.rewind(known_));
    // A sentence of many tokens loses its middle: how it begins and that it is over both matter.
    const std::size_t room = context - known_ - most_tokens;
    if (prompt.size() > room)
      prompt.erase(prompt.begin() + static_cast<std::ptrdiff_t>(room / 2),
                   prompt.end() - static_cast<std::ptrdiff_t>(room - room / 2));

    bitnet::generate_options options;
    options.max_tokens = most_tokens;
    options.constraint = only_;
    BITNET_TRY(auto talk,
               bitnet::generation<session>::make(mind_, model_->tokenizer(), prompt, options));
    BITNET_TRY(const auto state, talk.step(budget, [](std::string_view) { return true; }));
    answer out;
    out.cut = state == bitnet::step_state::more;
    mind_.abandon();  // what the time was too short for
    const bitnet::generate_result& said = talk.result_so_far();
    for (std::size_t i = 0; said.whole && i < *said.whole; ++i)
      out.command += model_->tokenizer().piece(said.tokens[i]);
    if (!out.command.empty()) out.command.erase(0, 1);  // the space behind "Command:"
    return out;
  }

 private:
  interpreter(const bitnet::dynamic_model& model, grammar_constraint only, session mind)
      : model_{&model}, only_{std::move(only)}, mind_{std::move(mind)} {}

  const bitnet::dynamic_model* model_;
  grammar_constraint only_;
  session mind_;
  std::size_t known_ = 0;  // tokens of the instructions
};

bool read_line(std::string& line) {
  line.clear();
  int c = std::getchar();
  if (c == EOF) return false;
  for (; c != EOF && c != '\n'; c = std::getchar())
    if (line.size() < longest_sentence) line += static_cast<char>(c);
  return true;
}

bitnet::status serve(const char* path, const std::string& list, std::chrono::microseconds time) {
  const std::vector<std::string_view> lines = lines_of(list);
  if (lines.empty())
    return bitnet::error{bitnet::errc::invalid_argument, "there is no command", "--commands"};
  for (const std::string_view line : lines)
    if (line.size() > longest_command)
      return bitnet::error{bitnet::errc::limit, "a command has at most 60 bytes", line};
  BITNET_TRY(const auto model, bitnet::open(path));
  BITNET_TRY(const auto words, bitnet::make_token_trie(model.tokenizer()));
  BITNET_TRY(const auto commands, grammar::make(grammar_of(lines)));
  BITNET_TRY(auto mind, interpreter::make(model, words, commands));
  std::size_t sentences = 0, in_time = 0, cut = 0;
  double longest = 0.0;
  for (std::string line; read_line(line);) {
    const auto start = std::chrono::steady_clock::now();
    BITNET_TRY(const answer said, mind.understand(line, time));
    const milliseconds took = std::chrono::steady_clock::now() - start;
    longest = std::max(longest, took.count());
    ++sentences;
    if (said.command.empty()) {
      std::puts("no command in time");
      continue;
    }
    if (said.cut) ++cut;
    if (!is_command(lines, said.command))
      return bitnet::error{bitnet::errc::unknown, "this is no command", said.command};
    ++in_time;
    std::puts(said.command.c_str());
  }
  std::fprintf(stderr, "%zu sentences, %zu commands (%zu of them cut short), %.1f ms at most\n",
               sentences, in_time, cut, longest);
  return {};
}

/// The whole file; false if it cannot be read.
bool read_file(const char* path, std::string& out) {
  std::FILE* f = std::fopen(path, "rb");
  if (f == nullptr) return false;
  char block[4096];
  for (std::size_t n; (n = std::fread(block, 1, sizeof block, f)) != 0;) out.append(block, n);
  const bool good = std::ferror(f) == 0;
  std::fclose(f);
  return good;
}

}  // namespace robot

int main(int argc, char** argv) {
  std::string list{robot::default_commands};
  long milliseconds = 500;
  bool good = argc >= 2 && argc % 2 == 0;
  for (int i = 2; i + 1 < argc && good; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--commands") {
      list.clear();
      good = robot::read_file(argv[i + 1], list);
      if (!good) std::fprintf(stderr, "cannot read %s\n", argv[i + 1]);
    } else if (option == "--ms") {
      milliseconds = std::strtol(argv[i + 1], nullptr, 10);
      good = milliseconds >= 0 && milliseconds <= 3600 * 1000;
    } else {
      good = false;
    }
  }
  if (!good) {
    std::fprintf(stderr, "usage: robot_commands MODEL [--commands FILE] [--ms 0..3600000]\n");
    return 2;
  }
  const auto done = robot::serve(argv[1], list, std::chrono::milliseconds{milliseconds});
  if (!done) std::fprintf(stderr, "%s\n", bitnet::to_string(done.error()).c_str());
  return done ? 0 : 1;
}
