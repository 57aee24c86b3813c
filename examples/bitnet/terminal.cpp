// SPDX-License-Identifier: Apache-2.0
// Terminal output and signals of the command line app.
#include "terminal.hpp"

#include "failure.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <string>

#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>
#endif

namespace cli {
namespace {

volatile std::sig_atomic_t interrupt_count = 0;

void on_interrupt(int signal_number) {
  interrupt_count = interrupt_count + 1;
  // The second time the user means it.
  std::signal(signal_number, interrupt_count > 1 ? SIG_DFL : on_interrupt);
}

}  // namespace

bool watched() noexcept {
#if defined(_WIN32)
  static const bool is_terminal = _isatty(_fileno(stderr)) != 0;
#else
  static const bool is_terminal = isatty(STDERR_FILENO) != 0;
#endif
  return is_terminal;
}

void note(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

void print_error(std::string_view message) {
  std::fflush(stdout);
  const bool colour = watched();
  std::fprintf(stderr, "%serror:%s %.*s\n", colour ? "\x1b[1;31m" : "", colour ? "\x1b[0m" : "",
               static_cast<int>(message.size()), message.data());
}

void catch_interrupts() noexcept {
  std::signal(SIGINT, on_interrupt);
#if defined(SIGPIPE)
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is noticed by put()
#endif
#if defined(SIGXFSZ)
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is noticed like a full disk
#endif
}

bool interrupted() noexcept { return interrupt_count != 0; }

void clear_interrupt() noexcept { interrupt_count = 0; }

bool ask(std::string& line) {
#if defined(_WIN32)
  const bool keyboard = _isatty(_fileno(stdin)) != 0;
#else
  const bool keyboard = isatty(STDIN_FILENO) != 0;
#endif
  if (keyboard) std::fputs(watched() ? "\x1b[1m>\x1b[0m " : "> ", stderr);
  return static_cast<bool>(std::getline(std::cin, line));
}

void stop_if_interrupted() {
  if (interrupted()) throw failure{exit_code::interrupted, "interrupted"};
}

void put(std::string_view text) {
  if (text.empty()) return;
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return;
  if (errno == ENOSPC) throw failure{exit_code::file, "stdout cannot be written: no space left"};
  throw failure{exit_code::interrupted, "stdout was closed or cannot be written"};
}

void progress::update(std::uint64_t done, std::uint64_t total, std::string_view suffix) {
  if (!watched()) return;
  constexpr double patience = 0.3;
  constexpr double interval = 0.08;
  const double now = watch_.seconds();
  if (now < patience || (visible_ && now - drawn_ < interval && done != total)) return;
  drawn_ = now;
  visible_ = true;
  constexpr int width = 30;
  const double share = total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
  const int filled = static_cast<int>(std::clamp(share, 0.0, 1.0) * width);
  std::string bar(static_cast<std::size_t>(filled), '#');
  bar.resize(width, '.');
  std::fprintf(stderr, "\r\x1b[2K%s [%s] %3.0f %% %.*s", label_.c_str(), bar.c_str(), 100.0 * share,
               static_cast<int>(suffix.size()), suffix.data());
  std::fflush(stderr);
}

void progress::clear() {
  if (!visible_) return;
  std::fputs("\r\x1b[2K", stderr);
  std::fflush(stderr);
  visible_ = false;
}

std::string number(double x, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, x);
  return text;
}

std::string bytes_text(std::uint64_t bytes) {
  static constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  double x = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (x >= 999.5 && unit + 1 < std::size(units)) {
    x /= 1000.0;
    ++unit;
  }
  const int digits = unit == 0 ? 0 : x < 9.995 ? 2 : x < 99.95 ? 1 : 0;
  return number(x, digits) + ' ' + units[unit];
}

}  // namespace cli
