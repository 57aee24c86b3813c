// SPDX-License-Identifier: Apache-2.0
// What bin/budget and bin/cancel share: a program NAME MODEL [THREADS] [SECONDS] round a session.
#pragma once

#include <bitnet/bitnet.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace bench {

using session = bitnet::session<bitnet::dynamic_model>;
using milliseconds = std::chrono::duration<double, std::milli>;
using clock_type = std::chrono::steady_clock;

/// A prompt of `count` tokens that any vocabulary has.
[[nodiscard]] inline std::vector<bitnet::token> prompt_of(const session& s, std::size_t count) {
  std::vector<bitnet::token> tokens;
  for (std::size_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<bitnet::token>((100 + 17 * i) % s.vocab()));
  return tokens;
}

/// A positive number from the command line, or 0 if the text is none.
[[nodiscard]] inline double positive(const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  return end != text && *end == '\0' && value > 0.0 && value < 1e6 ? value : 0.0;
}

/// measure(session, threads, seconds), a status, with a context of 512.
template <class F>
[[nodiscard]] bitnet::status run_session(const char* path, std::size_t threads, double seconds,
                                         F&& measure) {
  bitnet::open_options options;
  options.threads = threads;
  BITNET_TRY(const auto model, bitnet::open(path, options));
  BITNET_TRY(auto s, session::make(model, model.threads(), {.context = 512}));
  return measure(s, model.threads().concurrency(), seconds);
}

/// The program: reads its arguments, measures, prints an error if there is one; the exit code.
template <class F>
[[nodiscard]] int with_session(const char* name, int argc, char** argv, F&& measure) {
  const double threads = argc > 2 ? positive(argv[2]) : 1.0;
  const double seconds = argc > 3 ? positive(argv[3]) : 10.0;
  if (argc < 2 || argc > 4 || argv[1][0] == '-' || threads < 1.0 || seconds == 0.0) {
    std::fprintf(stderr, "usage: %s MODEL [THREADS, 1] [SECONDS of each measurement, 10]\n", name);
    return 2;
  }
  const auto done = run_session(argv[1], static_cast<std::size_t>(threads), seconds, measure);
  if (done) return 0;
  std::fprintf(stderr, "%s: %s\n", name, bitnet::to_string(done.error()).c_str());
  return 1;
}

}  // namespace bench
