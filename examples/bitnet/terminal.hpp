// SPDX-License-Identifier: Apache-2.0
// What the app shows while it works: a progress bar, plain statistics, and a clean end on Ctrl-C.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace cli {

/// Whether a person watches stderr; bars and colours appear only then.
[[nodiscard]] bool watched() noexcept;

/// Writes a line of statistics or notes to stderr.
void note(const std::string& line);
/// Writes "error: ..." to stderr, in red for people.
void print_error(std::string_view message);

/// From now on Ctrl-C sets a flag; a second one ends the process.
void catch_interrupts() noexcept;
[[nodiscard]] bool interrupted() noexcept;
/// Forgets a Ctrl-C that has been dealt with.
void clear_interrupt() noexcept;
/// Throws failure{exit_code::interrupted} after Ctrl-C.
void stop_if_interrupted();

/// Shows a prompt to a person at the keyboard and reads a line; false at the end of the input.
[[nodiscard]] bool ask(std::string& line);

/// Writes results to stdout at once; throws failure{interrupted} if nobody reads them any more.
void put(std::string_view text);

/// Seconds since construction.
class stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(clock::now() - start_).count();
  }

 private:
  using clock = std::chrono::steady_clock;
  clock::time_point start_ = clock::now();
};

/// A line on stderr that shows how far some work is; invisible for work of less than 0.3 s and when
/// nobody watches. Gone when the object is.
class progress {
 public:
  explicit progress(std::string label) : label_{std::move(label)} {}
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() { clear(); }

  /// `suffix` is shown behind the bar.
  void update(std::uint64_t done, std::uint64_t total, std::string_view suffix = {});
  void clear();

 private:
  std::string label_;
  stopwatch watch_;
  double drawn_ = 0.0;
  bool visible_ = false;
};

/// "1.19 GB", "64 B": decimal units, three digits.
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);
/// A number with the given digits after the point.
[[nodiscard]] std::string number(double x, int digits);

}  // namespace cli
