// SPDX-License-Identifier: Apache-2.0
// What bin/budget and bin/cancel share: a program NAME MODEL [THREADS] [SECONDS] round a session.
#pragma once

#include <bitnet/bitnet.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace bench {

using session = bitnet::session<bitnet::dynamic_model>;
using milliseconds = std::chrono::duration<double, std::milli>;
using clock_type = std::chrono::steady_clock;

/// The program's exit code: that of measure(session, threads, seconds), with a context of 512, or
/// an error's, which is printed.
template <class F>
[[nodiscard]] int with_session(const char* name, int argc, char** argv, F&& measure) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s MODEL [THREADS] [SECONDS]\n", name);
    return 2;
  }
  bitnet::open_options options;
  options.threads = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1;
  const double seconds = argc > 3 ? std::strtod(argv[3], nullptr) : 10.0;
  const auto model = bitnet::open(argv[1], options);
  if (!model) {
    std::fprintf(stderr, "%s\n", bitnet::to_string(model.error()).c_str());
    return 1;
  }
  auto s = session::make(*model, model->threads(), {.context = 512});
  if (!s) return 1;
  return measure(*s, model->threads().concurrency(), seconds);
}

}  // namespace bench
