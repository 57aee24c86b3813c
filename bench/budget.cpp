// SPDX-License-Identifier: Apache-2.0
// Steps in slices: how far they overrun their budget, and how much of it they use.
//   budget MODEL [THREADS] [SECONDS]
#include "timed_session.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#if defined(__unix__)
#include <sys/resource.h>
#endif

namespace {

using bench::clock_type;
using bench::milliseconds;
using bench::session;

/// How often the system took a core away from a thread of this process; 0 where nobody counts.
long preemptions() {
#if defined(__unix__)
  rusage used{};
  if (getrusage(RUSAGE_SELF, &used) == 0) return used.ru_nivcsw;
#endif
  return 0;
}

/// Milliseconds that every slice took, but the last one of a step, which may have little to do; and
/// of those in which the threads kept their cores, as far as the system tells: by preemptions and,
/// of one thread, by its processor time.
struct slices {
  std::vector<double> taken, undisturbed;
  double tokens_per_s = 0.0;

  void report(const char* what, std::size_t threads, double budget) {
    const double share = static_cast<double>(undisturbed.size()) /
                         static_cast<double>(std::max<std::size_t>(taken.size(), 1));
    report(what, threads, budget, taken);
    std::printf("  the %.1f %% in which no core was taken away:\n  ", 100.0 * share);
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

/// Steps to the end.
bitnet::status run(session& s, std::size_t threads, double budget, slices& out) {
  for (;;) {
    const long taken_away = preemptions();
    const std::clock_t used = std::clock();
    const auto start = clock_type::now();
    BITNET_TRY(const auto state, s.step(milliseconds{budget}));
    const double took = milliseconds{clock_type::now() - start}.count();
    const double busy = 1e3 * static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC;
    if (state == bitnet::step_state::done) return {};
    out.taken.push_back(took);
    if (preemptions() == taken_away && (threads != 1 || took - busy < 0.1))
      out.undisturbed.push_back(took);
  }
}

bitnet::status measure(session& s, std::size_t threads, double budget, double seconds,
                       bool prefill) {
  const auto prompt = bench::prompt_of(s, prefill ? 128 : 1);
  slices out, warm;
  std::size_t tokens = 0;
  BITNET_CHECK(s.rewind(0));
  BITNET_CHECK(s.begin(prompt, {.best = 1}));
  BITNET_CHECK(run(s, threads, budget, warm));
  const auto start = clock_type::now();
  double took = 0.0;
  while (took < seconds) {
    if (prefill || s.position() == s.capacity()) BITNET_CHECK(s.rewind(0));
    BITNET_CHECK(s.begin(prompt, {.best = 1}));
    BITNET_CHECK(run(s, threads, budget, out));
    tokens += prompt.size();
    took = milliseconds{clock_type::now() - start}.count() / 1e3;
  }
  out.tokens_per_s = static_cast<double>(tokens) / took;
  out.report(prefill ? "prefill" : "decode", threads, budget);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  return bench::with_session("budget", argc, argv,
                             [](session& s, std::size_t threads, double seconds) -> bitnet::status {
                               for (const double budget : {1.0, 2.0, 4.0})
                                 for (const bool prefill : {false, true})
                                   BITNET_CHECK(measure(s, threads, budget, seconds, prefill));
                               return {};
                             });
}
