// SPDX-License-Identifier: Apache-2.0
// The steps that extend a session's sequence: in one go or in slices, alone or with others, and the
// scores behind its last token.
#pragma once

#include <bitnet/core/cancel.hpp>
#include <bitnet/engine/sequence.hpp>
#include <bitnet/engine/step_runner.hpp>
#include <bitnet/nn/step_control.hpp>

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

BITNET_NAMESPACE_BEGIN

using nn::step_budget;

/// Whether a step in slices goes on.
enum class step_state : std::uint8_t { more, done };

/// What a step leaves ready to be asked for.
struct step_wants {
  std::size_t best = 0;  ///< best(count) of up to so many
  bool logits = false;
};

namespace detail {

/// A step that has begun: what is done of it. Its tokens lie behind the sequence.
struct pending_step {
  bool active = false;
  std::size_t count = 0;  ///< tokens
  std::size_t fed = 0;
  std::size_t rows = 0;  ///< of the batch that is under way
  step_wants wants;
  bool best_done = false;
  bool logits_done = false;
  nn::step_progress progress;  ///< of the function that is under way

  /// Whether nothing is half done.
  [[nodiscard]] bool fresh() const noexcept { return progress.loops == 0 && progress.items == 0; }
};

[[nodiscard]] inline error was_cancelled() noexcept {
  return {errc::cancelled, "the step was cancelled; the session is as before it"};
}

/// Everything of a session but the memory that it owns. Arguments are checked by the session. A
/// step becomes part of the sequence when it has ended; what fails or is cancelled before leaves
/// the sequence as it was.
template <language_model Model>
class stepper {
 public:
  using runner = step_runner<Model>;
  using logits_callback = function_ref<void(std::size_t, std::span<const float>)>;

  stepper(const Model& model, executor_ref threads, const session_options& options) noexcept
      : run_{model, threads, options} {}

  /// Divides up `memory`, of the size that runner::measure gave.
  void use(std::span<std::byte> memory, std::size_t kv_bytes) noexcept {
    seq_ = run_.use(memory, kv_bytes);
  }

  [[nodiscard]] runner& run() noexcept { return run_; }
  [[nodiscard]] const runner& run() const noexcept { return run_; }
  [[nodiscard]] sequence& seq() noexcept { return seq_; }
  [[nodiscard]] const sequence& seq() const noexcept { return seq_; }
  void cancel_with(const cancel_token* cancel) noexcept { cancel_ = cancel; }

  /// Whether a step has begun and not ended.
  [[nodiscard]] bool active() const noexcept { return pending_.active; }
  /// Of the pending step's tokens: those that have gone through the model, and all.
  [[nodiscard]] std::size_t fed() const noexcept { return pending_.fed; }
  [[nodiscard]] std::size_t count() const noexcept { return pending_.count; }
  /// Whether there are scores to ask for.
  [[nodiscard]] bool ready() const noexcept { return seq_.ready() && !pending_.active; }

  /// Begins a step.
  void start(std::span<const token> tokens, step_wants wants) noexcept {
    std::copy(tokens.begin(), tokens.end(), seq_.next_tokens().begin());
    wants.best = std::min({wants.best, runner::max_best, run_.vocab()});
    pending_ = {};
    pending_.active = true;
    pending_.count = tokens.size();
    pending_.wants = wants;
    pending_.best_done = wants.best == 0 || (tokens.empty() && wants.best <= best_count_);
    pending_.logits_done = !wants.logits || (tokens.empty() && !logits_.empty());
    if (!tokens.empty()) logits_ = {};  // they lie in the scratch
  }

  /// Goes on with the pending step while the budget lasts.
  [[nodiscard]] result<step_state> advance(step_budget& budget,
                                           logits_callback* on_logits) noexcept {
    nn::step_control control{budget, cancel_, pending_.progress, run_.costs()};
    // A step in slices needs it to know what is done, a whole one only to be stopped.
    const bool whole = !budget.limited() && pending_.fresh();
    nn::step_control* const limit = whole && cancel_ == nullptr ? nullptr : &control;
    if (!control.noticed() && run_pending(budget, limit, on_logits)) {
      if (pending_.count != 0) accept(pending_.count);
      pending_ = {};
      return step_state::done;
    }
    if (!control.cancelled()) return step_state::more;
    abandon();
    return was_cancelled();
  }

  /// Forgets the pending step.
  void abandon() noexcept {
    if (pending_.count != 0 && pending_.best_done) best_count_ = 0;  // they were of what is gone
    if (pending_.count != 0) logits_ = {};
    pending_ = {};
  }

  /// A step of many sequences in shared passes over the weights, in the memory and on the threads
  /// of the first. `at(i)` is the stepper of `turns[i]`, which has `tokens`.
  template <class Turn, class At>
  [[nodiscard]] static status together(std::span<const Turn> turns, At at) noexcept {
    stepper& first = at(0);
    first.logits_ = {};  // they lie in the scratch
    const auto run = [&](std::size_t rows) {
      return first.without_budget(
          [&](nn::step_control* limit) { return first.run_rows(rows, turns.size(), at, limit); });
    };
    std::size_t n = 0;
    for (std::size_t i = 0; i < turns.size(); ++i) {
      const std::span<const token> tokens = turns[i].tokens;
      sequence& seq = at(i).seq_;
      std::copy(tokens.begin(), tokens.end(), seq.next_tokens().begin());
      for (std::size_t t = 0; t < tokens.size(); ++t) {
        first.run_.rows()[n++] = {tokens[t], seq.position() + t, &seq.cache(),
                                  t + 1 == tokens.size()};
        if (n == first.run_.options().batch && !run(std::exchange(n, 0))) return was_cancelled();
      }
    }
    if (n != 0 && !run(n)) return was_cancelled();
    for (std::size_t i = 0; i < turns.size(); ++i)
      if (!turns[i].tokens.empty()) at(i).accept(turns[i].tokens.size());
    return {};
  }

  /// Finds the `count` best tokens of the steppers at(0) .. at(n - 1) in shared passes over the
  /// head, in the memory of the first.
  template <class At>
  static void best_together(std::size_t n, At at, std::size_t count) noexcept {
    stepper& first = at(0);
    const std::size_t most = runner::rows_at_once(first.run_.options().batch);
    for (std::size_t i = 0; i < n; i += most)
      first.without_budget([&](nn::step_control* limit) {
        return first.find_best(
            std::min(most, n - i), [&](std::size_t k) -> stepper& { return at(i + k); }, count,
            limit);
      });
  }

  /// Scores of the sequence's state: see session::logits() and best(), of a stepper that is ready.
  [[nodiscard]] std::span<const float> logits() noexcept {
    if (logits_.empty()) without_budget([&](nn::step_control* c) { return find_logits(c); });
    return logits_;
  }
  [[nodiscard]] std::span<const scored_token> best(std::size_t count) noexcept {
    count = std::min({count, runner::max_best, run_.vocab()});
    if (count > best_count_)
      without_budget([&](nn::step_control* c) { return find_own_best(count, c); });
    count = std::min(count, best_count_);
    while (count != 0 && run_.best()[count - 1].id < 0) --count;
    return run_.best().first(count);
  }
  /// The sequence has changed otherwise than by a step.
  void forget_scores() noexcept {
    logits_ = {};
    best_count_ = 0;
  }

 private:
  using timed_step = nn::step_profile::scope;

  [[nodiscard]] bool run_pending(const step_budget& budget, nn::step_control* limit,
                                 logits_callback* on_logits) noexcept {
    while (pending_.fed < pending_.count) {
      if (pending_.rows == 0)
        pending_.rows = std::min(batch_for(budget), pending_.count - pending_.fed);
      if (!run_batch(limit, on_logits)) return false;
      pending_.fed += std::exchange(pending_.rows, 0);
    }
    if (!pending_.best_done) {
      if (!find_own_best(pending_.wants.best, limit)) return false;
      pending_.best_done = true;
    }
    if (!pending_.logits_done) {
      if (!find_logits(limit)) return false;
      pending_.logits_done = true;
    }
    return true;
  }

  /// Tokens of a prompt to go through the model together: so many that, by what it took before, no
  /// tile takes more than a quarter of the budget.
  [[nodiscard]] std::size_t batch_for(const step_budget& budget) noexcept {
    const std::size_t most = run_.options().batch;
    if (!budget.timed()) return most;
    const double time = std::chrono::duration<double, std::nano>{budget.time()}.count() / 4;
    double each = 0.0;  // of the nearest smaller batch that is known: more tokens are cheaper
    std::size_t batch = 1;
    for (std::size_t n = 1; n <= most; n = n == most ? most + 1 : std::min(2 * n, most)) {
      const double known = static_cast<double>(run_.costs().longest(n));
      if (known > 0.0) each = known;
      if (each == 0.0 ? n <= 16 : each * static_cast<double>(n) <= time) batch = n;
    }
    return batch;
  }

  /// Runs the batch of the pending step; false if it was stopped.
  [[nodiscard]] bool run_batch(nn::step_control* limit, logits_callback* on_logits) noexcept {
    const timed_step timing{run_.profile};
    if (run_.profile != nullptr && pending_.progress.loops == 0) run_.profile->count_step();
    const std::size_t n = pending_.rows, first = pending_.fed;
    for (std::size_t i = 0; i < n; ++i)
      run_.rows()[i] = {seq_.next_tokens()[first + i], seq_.position() + first + i, &seq_.cache(),
                        on_logits != nullptr || first + i + 1 == pending_.count};
    auto c = run_.begin(n, limit, nn::step_control::first_place);
    const auto states = run_.model().hidden(c);
    if (stopped(limit)) return false;
    const std::size_t mark = run_.mark();
    for (std::size_t at = 0; on_logits != nullptr && at < states.rows; at += runner::logit_rows) {
      const std::size_t count = std::min(runner::logit_rows, states.rows - at);
      auto of_head = run_.go_on(mark, count, limit, nn::step_control::head_place);
      const auto scores = run_.model().logits(of_head, states.slice(at, count));
      if (stopped(limit)) return false;
      for (std::size_t r = 0; r < scores.rows; ++r) (*on_logits)(first + at + r, scores[r]);
    }
    if (states.rows != 0) keep_state(states.row(states.rows - 1));
    return true;
  }

  /// Runs the first n rows, which are of the sequences of at(0) .. at(steppers - 1).
  template <class At>
  [[nodiscard]] bool run_rows(std::size_t n, std::size_t steppers, At at,
                              nn::step_control* limit) noexcept {
    const timed_step timing{run_.profile};
    if (run_.profile != nullptr) run_.profile->count_step();
    auto c = run_.begin(n, limit, nn::step_control::first_place);
    const auto states = run_.model().hidden(c);
    if (stopped(limit)) return false;
    std::size_t next = 0;
    for (const nn::step_row& row : c.rows()) {
      if (!row.wants_logits) continue;
      for (std::size_t i = 0; i < steppers; ++i)
        if (&at(i).seq_.cache() == row.cache) at(i).keep_state(states.row(next));
      ++next;
    }
    return true;
  }

  /// The best tokens of the newest states of at(0) .. at(n - 1), in this one's scratch.
  template <class At>
  [[nodiscard]] bool find_best(std::size_t n, At at, std::size_t count,
                               nn::step_control* limit) noexcept {
    const timed_step timing{run_.profile};
    auto c = run_.go_on(logits_.empty() ? run_.base() : after_logits_, n, limit,
                        nn::step_control::head_place);
    const auto [states, lists] = run_.take_best(c, n, count);
    for (std::size_t i = 0; i < n; ++i)
      std::copy_n(at(i).newest_state(), states.cols, states.row(i));
    run_.model().best(c, states, lists);
    if (stopped(limit)) return false;
    for (std::size_t i = 0; i < n; ++i) {
      std::copy_n(lists.row(i), count, at(i).run_.best().data());
      at(i).best_count_ = count;
    }
    return true;
  }
  [[nodiscard]] bool find_own_best(std::size_t count, nn::step_control* limit) noexcept {
    return find_best(
        1, [this](std::size_t) -> stepper& { return *this; }, count, limit);
  }

  /// Logits of the newest state.
  [[nodiscard]] bool find_logits(nn::step_control* limit) noexcept {
    const timed_step timing{run_.profile};
    auto c = run_.go_on(run_.base(), 1, limit, nn::step_control::logits_place);
    const auto scores = run_.model().logits(c, {newest_state(), 1, run_.model().shape().dim});
    if (stopped(limit)) return false;
    logits_ = scores[0];
    after_logits_ = run_.mark();
    return true;
  }

  /// Whether a function of the step was stopped; if not, it has ended.
  [[nodiscard]] static bool stopped(nn::step_control* limit) noexcept {
    if (limit == nullptr) return false;
    if (!limit->stopped()) limit->end();
    return limit->stopped();
  }

  /// f(control), where the control only heeds the cancel token.
  template <class F>
  bool without_budget(F&& f) noexcept {
    step_budget budget = step_budget::unlimited();
    nn::step_progress progress;
    nn::step_control control{budget, cancel_, progress, run_.costs()};
    return f(cancel_ == nullptr ? nullptr : &control);
  }

  [[nodiscard]] float* newest_state() noexcept {
    return (pending_.count != 0 ? seq_.next_state() : seq_.state()).data();
  }
  void keep_state(const float* state) noexcept {
    std::copy_n(state, seq_.next_state().size(), seq_.next_state().begin());
  }
  void accept(std::size_t count) noexcept {
    seq_.accept(count);
    if (!(pending_.wants.best != 0 && pending_.best_done)) best_count_ = 0;
    if (!(pending_.wants.logits && pending_.logits_done)) logits_ = {};
  }

  runner run_;
  sequence seq_;
  const cancel_token* cancel_ = nullptr;
  pending_step pending_;
  std::span<const float> logits_;  // of the sequence's state, once asked for
  std::size_t after_logits_ = 0;   // where the scratch is free while there are logits
  std::size_t best_count_ = 0;     // how many best tokens are of that state
};

}  // namespace detail
BITNET_NAMESPACE_END
