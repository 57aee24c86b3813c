// SPDX-License-Identifier: Apache-2.0
// Cancelling a prompt that is being read: how long after cancel() the call returns.
//   cancel MODEL [THREADS] [SECONDS]
#include "timed_session.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <thread>
#include <vector>

namespace {

using bench::clock_type;
using bench::milliseconds;
using bench::session;

/// Milliseconds from cancel() to the return of feed(), which has to leave the session as before;
/// nothing if feed() ended before.
bitnet::result<std::optional<double>> cancel_once(session& s, bitnet::cancel_token& flag,
                                                  std::span<const bitnet::token> prompt,
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
  if (fed) {
    BITNET_CHECK(s.rewind(0));
    return std::optional<double>{};
  }
  if (fed.error().code() != bitnet::errc::cancelled) return fed.error();
  if (s.position() != 0)
    return bitnet::error{bitnet::errc::unknown, "a cancelled prompt left the session changed"};
  return std::optional{milliseconds{back - asked}.count()};
}

/// Milliseconds that a whole prompt takes: the best of three, so that the costs of tiles are
/// learnt.
bitnet::result<double> time_whole(session& s, std::span<const bitnet::token> prompt) {
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const auto start = clock_type::now();
    BITNET_CHECK(s.feed(prompt));
    best = std::min(best, milliseconds{clock_type::now() - start}.count());
    BITNET_CHECK(s.rewind(0));
  }
  return best;
}

/// Cancels prompts for some seconds and prints how long that took.
bitnet::status measure(session& s, std::size_t threads, double seconds) {
  const auto prompt = bench::prompt_of(s, 256);
  BITNET_TRY(const double heedless, time_whole(s, prompt));
  bitnet::cancel_token flag;
  s.cancel_with(&flag);
  BITNET_TRY(const double whole, time_whole(s, prompt));
  const bitnet::counter_random random{1};
  std::vector<double> times;
  const auto begin = clock_type::now();
  for (std::uint64_t i = 0; milliseconds{clock_type::now() - begin}.count() < 1e3 * seconds; ++i) {
    // Anywhere in a few layers, which are all alike, so that there are many in that time.
    const double after = std::min(60.0, whole / 2) * static_cast<double>(random.uniform(0, i));
    BITNET_TRY(const auto time, cancel_once(s, flag, prompt, milliseconds{after}));
    if (time) times.push_back(*time);
  }
  std::sort(times.begin(), times.end());
  if (times.empty())
    return bitnet::error{bitnet::errc::unknown,
                         "no prompt was cancelled in time: a larger model "
                         "takes longer to read one"};
  const auto at = [&](double share) {
    return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
  };
  std::printf(
      "%zu thread(s): %zu prompts of %zu tokens (%.0f ms each, %.0f without a token to cancel by) "
      "cancelled, back after p50 %.3f p99 %.3f p99.9 %.3f max %.3f ms\n",
      threads, times.size(), prompt.size(), whole, heedless, at(0.5), at(0.99), at(0.999),
      times.back());
  return {};
}

}  // namespace

int main(int argc, char** argv) { return bench::with_session("cancel", argc, argv, measure); }
