// SPDX-License-Identifier: Apache-2.0
// A sentence in, a command out, in time: robot_commands MODEL [--commands FILE] [--ms N] reads a
// sentence a line. Whatever the sentence says and whatever the model would like to answer, what
// comes out is a command of the list, as the model finished it, or "no command in time".
#include "vocabulary.hpp"

#include <bitnet/bitnet.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace robot {

using session = bitnet::session<bitnet::dynamic_model>;
using bitnet::sample::grammar;
using bitnet::sample::grammar_constraint;
using clock_type = std::chrono::steady_clock;
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

  /// The command that the sentence asks for; empty if there is none by `deadline`. It returns about
  /// then, whatever the sentence: the model works in slices and begins none that would end later.
  bitnet::result<std::string> understand(std::string_view sentence,
                                         clock_type::time_point deadline) {
    bitnet::step_budget budget{deadline - clock_type::now()};
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
    mind_.abandon();  // what the time was too short for
    // Half a command is none, and neither is one that could have gone on: "move north 1" may have
    // been about to become 12. A late one is none either.
    const bitnet::generate_result& said = talk.result_so_far();
    std::string command;
    if (state != bitnet::step_state::done || !said.whole || clock_type::now() > deadline)
      return command;
    for (std::size_t i = 0; i < *said.whole; ++i)
      command += model_->tokenizer().piece(said.tokens[i]);
    if (!command.empty()) command.erase(0, 1);  // the space behind "Command:"
    return command;
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

/// Prints a line now: whoever waits for it may sit behind a pipe.
void say(std::string_view line) {
  std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
  std::fflush(stdout);
}

bitnet::status serve(const char* path, const std::string& list, std::chrono::milliseconds time) {
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
  std::size_t sentences = 0, in_time = 0;
  double longest = 0.0;
  for (std::string line; read_line(line);) {
    const auto start = clock_type::now();
    BITNET_TRY(const std::string command, mind.understand(line, start + time));
    longest = std::max(longest, milliseconds{clock_type::now() - start}.count());
    ++sentences;
    if (command.empty()) {
      say("no command in time");
      continue;
    }
    if (!is_command(lines, command))  // cannot be; a careful robot looks once more
      return bitnet::error{bitnet::errc::unknown, "this is no command", command};
    ++in_time;
    say(command);
  }
  std::fprintf(stderr, "%zu sentences, %zu commands in time, %.1f ms at most\n", sentences, in_time,
               longest);
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

constexpr const char* help =
    "usage: robot_commands MODEL [--commands FILE] [--ms N]\n"
    "Reads sentences, one a line, and answers each with a command, or \"no command in time\".\n"
    "  --commands FILE  the commands, one a line; the word N stands for a number from 1 to 99\n"
    "  --ms N           time for each sentence, 0 to 3600000 ms (500)\n";

int main(int argc, char** argv) {
  if (argc == 2 && (std::string_view{argv[1]} == "--help" || std::string_view{argv[1]} == "-h")) {
    std::fputs(help, stdout);
    return 0;
  }
  std::string list{robot::default_commands};
  long milliseconds = 500;
  bool good = argc >= 2 && argc % 2 == 0;
  for (int i = 2; i + 1 < argc && good; i += 2) {
    const std::string_view option = argv[i], value = argv[i + 1];
    if (option == "--commands") {
      list.clear();
      if (!robot::read_file(argv[i + 1], list)) {
        std::fprintf(stderr, "cannot read %s\n", argv[i + 1]);
        return 1;
      }
    } else if (option == "--ms") {
      const auto [end, failed] =
          std::from_chars(value.data(), value.data() + value.size(), milliseconds);
      good = failed == std::errc{} && end == value.data() + value.size() && milliseconds >= 0 &&
             milliseconds <= 3600 * 1000;
    } else {
      good = false;
    }
  }
  if (!good) {
    std::fputs(help, stderr);
    return 2;
  }
  const auto done = robot::serve(argv[1], list, std::chrono::milliseconds{milliseconds});
  if (!done) std::fprintf(stderr, "%s\n", bitnet::to_string(done.error()).c_str());
  return done ? 0 : 1;
}
