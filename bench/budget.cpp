// SPDX-License-Identifier: Apache-2.0
// Steps in slices: how far they overrun their budget, and how much of it they use.
//   budget MODEL [THREADS] [SECONDS]
#include "timed_session.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

namespace {

using bench::clock_type;
using bench::milliseconds;
using bench::session;

/// Milliseconds that every slice took, but the last one of a step, which may have little to do; and
/// of those in which the thread kept its core, as far as one thread's processor time tells.
struct slices {
  std::vector<double> taken, undisturbed;
  double tokens_per_s = 0.0;

  void report(const char* what, std::size_t threads, double budget) {
    const double share = static_cast<double>(undisturbed.size()) /
                         static_cast<double>(std::max<std::size_t>(taken.size(), 1));
    report(what, threads, budget, taken);
    if (threads != 1) return;
    std::printf("  the %.1f %% in which it kept its core:\n  ", 100.0 * share);
    report(what, threads, budget, undisturbed);
  }
  void report(const char* what, std::size_t threads, double budget,
              std::vector<double>& times) const {
    if (times.empty()) return;
    double used = 0.0;
    for (double& t : times) {
      used += std::min(t, budget) / budget / static_cast<double>(times.size());
      t = std::max(0.0, t - budget);
    }
    std::sort(times.begin(), times.end());
    const auto at = [&](double share) {
      return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
    };
    std::printf(
        "%-8s %zu thread(s), %g ms: %6zu slices, used %4.1f %%, overrun p50 %.3f p99 %.3f "
        "p99.9 %.3f max %.3f ms, %.1f tokens/s\n",
        what, threads, budget, times.size(), 100.0 * used, at(0.5), at(0.99), at(0.999),
        times.back(), tokens_per_s);
  }
};

/// Steps to the end; false if something went wrong.
bool run(session& s, double budget, slices& out) {
  for (;;) {
    const std::clock_t used = std::clock();
    const auto start = clock_type::now();
    const auto state = s.step(milliseconds{budget});
    const double took = milliseconds{clock_type::now() - start}.count();
    const double busy = 1e3 * static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC;
    if (!state) return false;
    if (*state == bitnet::step_state::done) return true;
    out.taken.push_back(took);
    if (took - busy < 0.1) out.undisturbed.push_back(took);
  }
}

bool measure(session& s, std::size_t threads, double budget, double seconds, bool prefill) {
  std::vector<bitnet::token> prompt;
  for (int i = 0; i < (prefill ? 128 : 1); ++i) prompt.push_back(100 + 17 * i);
  slices out, warm;
  std::size_t tokens = 0;
  if (!s.rewind(0) || !s.begin(prompt, {.best = 1}) || !run(s, budget, warm)) return false;
  const auto start = clock_type::now();
  double took = 0.0;
  while (took < seconds) {
    if ((prefill || s.position() == s.capacity()) && !s.rewind(0)) return false;
    if (!s.begin(prompt, {.best = 1}) || !run(s, budget, out)) return false;
    tokens += prompt.size();
    took = milliseconds{clock_type::now() - start}.count() / 1e3;
  }
  out.tokens_per_s = static_cast<double>(tokens) / took;
  out.report(prefill ? "prefill" : "decode", threads, budget);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::with_session("budget", argc, argv,
                             [](session& s, std::size_t threads, double seconds) {
                               for (const double budget : {1.0, 2.0, 4.0})
                                 for (const bool prefill : {false, true})
                                   if (!measure(s, threads, budget, seconds, prefill)) return 1;
                               return 0;
                             });
}
