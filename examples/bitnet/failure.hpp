// SPDX-License-Identifier: Apache-2.0
// Failures of the command line app: an exit code for each class, and messages that say what to do.
#pragma once

#include <bitnet/core/result.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace cli {

/// What the process returns; part of the app's interface (see exit_code_help).
enum class exit_code : int {
  ok = 0,
  general = 1,      ///< none of the others, for example a full context
  usage = 2,        ///< options that are wrong or do not go together
  file = 3,         ///< a file that cannot be read or written, or is no valid GGUF file
  unsupported = 4,  ///< a valid file whose model this build cannot run
  memory = 5,
  interrupted = 6  ///< Ctrl-C, or output that nobody reads any more
};

inline constexpr const char* exit_code_help =
    "Exit codes: 0 success; 1 other failures, for example a full context; 2 wrong options;\n"
    "3 a file that cannot be read or written or is not a valid GGUF model; 4 a valid model that\n"
    "this program cannot run; 5 not enough memory; 6 interrupted.";

/// The one exception of the app; main() prints it and returns its code.
class failure : public std::runtime_error {
 public:
  failure(exit_code code, const std::string& message) : std::runtime_error{message}, code_{code} {}
  [[nodiscard]] exit_code code() const noexcept { return code_; }

 private:
  exit_code code_;
};

[[nodiscard]] inline exit_code code_of(bitnet::errc code) noexcept {
  using bitnet::errc;
  switch (code) {
    case errc::io:
    case errc::not_gguf:
    case errc::truncated:
    case errc::malformed:
    case errc::limit:
    case errc::missing:
    case errc::wrong_type:
    case errc::shape:
      return exit_code::file;
    case errc::unsupported:
    case errc::unknown:
      return exit_code::unsupported;
    case errc::out_of_memory:
      return exit_code::memory;
    case errc::invalid_argument:
      return exit_code::usage;
    case errc::cancelled:
      return exit_code::interrupted;
    case errc::context_full:
      return exit_code::general;
  }
  return exit_code::general;
}

/// What a user can do about a class of errors; empty where the message says it all.
[[nodiscard]] inline const char* advice(bitnet::errc code) noexcept {
  using bitnet::errc;
  switch (code) {
    case errc::io:
      return "check that the path is right, that you may read and write there, and that the disk "
             "is not full";
    case errc::not_gguf:
      return "give a model in GGUF format (a .gguf file)";
    case errc::truncated:
      return "the file is probably incomplete: download or copy it again";
    case errc::malformed:
    case errc::limit:
    case errc::missing:
    case errc::wrong_type:
    case errc::shape:
      return "the file is damaged or was written by a faulty converter; `bitnet inspect` shows "
             "what is in it, `bitnet repair` corrects known faults of its metadata";
    case errc::unsupported:
    case errc::unknown:
      return "convert the model to a form that is supported, or use another one";
    case errc::out_of_memory:
      return "a smaller context (-c), batch (-b) or --kv q8 takes less";
    case errc::context_full:
      return "raise -c, or give a shorter prompt";
    case errc::invalid_argument:
      return "see --help";
    case errc::cancelled:
      return "";
  }
  return "";
}

/// advice() or what a command says instead.
using advice_of = const char* (*)(bitnet::errc);

/// 'text', for messages.
[[nodiscard]] inline std::string quoted(std::string_view text) {
  std::string out{'\''};
  out += text;
  out += '\'';
  return out;
}

[[noreturn]] inline void usage_error(const std::string& message) {
  throw failure{exit_code::usage, message};
}

/// Throws a library error: what was being done, what went wrong, and what helps.
[[noreturn]] inline void fail(const bitnet::error& e, const std::string& doing,
                              advice_of hints = advice) {
  std::string message = doing + ": " + to_string(e);
  const std::string hint = hints(e.code());
  if (!hint.empty()) message += "\nhint: " + hint;
  throw failure{code_of(e.code()), message};
}

/// The value of a result; throws its error otherwise.
template <class T>
[[nodiscard]] T check(bitnet::result<T> r, const std::string& doing, advice_of hints = advice) {
  if (!r) fail(r.error(), doing, hints);
  return *std::move(r);
}
inline void check(const bitnet::status& s, const std::string& doing, advice_of hints = advice) {
  if (!s) fail(s.error(), doing, hints);
}

}  // namespace cli
