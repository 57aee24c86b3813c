// SPDX-License-Identifier: Apache-2.0
// Cancelling a prompt that is being read: how long after cancel() the call returns.
//   cancel MODEL [THREADS] [SECONDS]
#include "timed_session.hpp"

#include <algorithm>
#include <cstdio>
#include <thread>
#include <vector>

namespace {

using bench::clock_type;
using bench::milliseconds;
using bench::session;

/// Milliseconds from cancel() to the return of feed(), where it was cancelled; a negative number if
/// the session was not as before, or feed() ended by itself.
double cancel_once(session& s, bitnet::cancel_token& flag, std::span<const bitnet::token> prompt,
                   milliseconds after) {
  clock_type::time_point asked;
  std::thread other{[&] {
    std::this_thread::sleep_for(after);
    asked = clock_type::now();
    flag.cancel();
  }};
  const auto fed = s.feed(prompt);
  const auto back = clock_type::now();
  other.join();
  flag.reset();
  if (fed || fed.error().code() != bitnet::errc::cancelled || s.position() != 0) return -1.0;
  return milliseconds{back - asked}.count();
}

/// Cancels prompts for some seconds and prints how long that took; the exit code.
int measure(session& s, std::size_t threads, double seconds) {
  bitnet::cancel_token flag;
  s.cancel_with(&flag);
  std::vector<bitnet::token> prompt;
  for (int i = 0; i < 256; ++i) prompt.push_back(100 + 17 * i % 1000);

  // Costs of tiles are learnt meanwhile; one whole prompt says how much there is to cancel.
  const auto start = clock_type::now();
  if (!s.feed(prompt) || !s.rewind(0)) return 1;
  const double whole = milliseconds{clock_type::now() - start}.count();
  const bitnet::counter_random random{1};
  std::vector<double> times;
  const auto begin = clock_type::now();
  for (std::uint64_t i = 0; milliseconds{clock_type::now() - begin}.count() < 1e3 * seconds; ++i) {
    // Anywhere in a few layers, which are all alike, so that there are many in that time.
    const double after = std::min(60.0, whole / 2) * static_cast<double>(random.uniform(0, i));
    times.push_back(cancel_once(s, flag, prompt, milliseconds{after}));
  }
  std::sort(times.begin(), times.end());
  if (times.empty() || times.front() < 0.0) {
    std::fputs("error: a prompt was not cancelled, or left the session changed\n", stderr);
    return 1;
  }
  const auto at = [&](double share) {
    return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
  };
  std::printf(
      "%zu thread(s): %zu prompts of %zu tokens (%.0f ms each) cancelled, back after p50 %.3f p99 "
      "%.3f p99.9 %.3f max %.3f ms\n",
      threads, times.size(), prompt.size(), whole, at(0.5), at(0.99), at(0.999), times.back());
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return bench::with_session("cancel", argc, argv, measure); }
