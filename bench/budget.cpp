// SPDX-License-Identifier: Apache-2.0
// Steps in slices: how far they overrun their budget, and how much of it they use.
//   budget MODEL [THREADS] [SECONDS]
#include <bitnet/bitnet.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using session = bitnet::session<bitnet::dynamic_model>;
using milliseconds = std::chrono::duration<double, std::milli>;
using clock_type = std::chrono::steady_clock;

/// Milliseconds that every slice took, but the last one of a step, which may have little to do.
struct slices {
  std::vector<double> taken;
  double tokens_per_s = 0.0;

  void report(const char* what, std::size_t threads, double budget) {
    if (taken.empty()) return;
    double used = 0.0;
    for (double& t : taken) {
      used += std::min(t, budget) / budget / static_cast<double>(taken.size());
      t = std::max(0.0, t - budget);
    }
    std::sort(taken.begin(), taken.end());
    const auto at = [&](double share) {
      return taken[static_cast<std::size_t>(share * static_cast<double>(taken.size() - 1))];
    };
    std::printf(
        "%-8s %zu thread(s), %g ms: %6zu slices, used %4.1f %%, overrun p50 %.3f p99 %.3f "
        "p99.9 %.3f max %.3f ms, %.1f tokens/s\n",
        what, threads, budget, taken.size(), 100.0 * used, at(0.5), at(0.99), at(0.999),
        taken.back(), tokens_per_s);
  }
};

/// Steps to the end; false if something went wrong.
bool run(session& s, double budget, slices& out) {
  for (;;) {
    const auto start = clock_type::now();
    const auto state = s.step(milliseconds{budget});
    const double took = milliseconds{clock_type::now() - start}.count();
    if (!state) return false;
    if (*state == bitnet::step_state::done) return true;
    out.taken.push_back(took);
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
  if (argc < 2) {
    std::fputs("usage: budget MODEL [THREADS] [SECONDS]\n", stderr);
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
  for (const double budget : {1.0, 2.0, 4.0})
    for (const bool prefill : {false, true})
      if (!measure(*s, model->threads().concurrency(), budget, seconds, prefill)) return 1;
  return 0;
}
