// SPDX-License-Identifier: Apache-2.0
// One conversation with a model: its sequence, its scratch memory, and the steps that extend it.
#pragma once

#include <bitnet/core/cancel.hpp>
#include <bitnet/core/executor.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/core/token.hpp>
#include <bitnet/engine/session_options.hpp>
#include <bitnet/engine/snapshot.hpp>
#include <bitnet/engine/step_runner.hpp>
#include <bitnet/nn/context.hpp>

#include <algorithm>
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

/// Owns the state of one sequence. It refers to a model and an executor, which must outlive it and
/// not move. Movable. One thread at a time may use a session; any number of sessions may share a
/// model. After make(), no call allocates.
///
/// What fails or is cancelled leaves the sequence as it was before the call.
template <language_model Model>
class session {
  using runner = detail::step_runner<Model>;

 public:
  using context_type = typename runner::context_type;
  using plan = session_plan;

  /// Exact bytes for these options on an executor of that concurrency: what make() takes.
  [[nodiscard]] static result<plan> measure(const Model& model, executor_ref threads,
                                            session_options options) noexcept {
    BITNET_CHECK(detail::complete(model.shape(), options));
    BITNET_TRY(auto rows, aligned_buffer<nn::step_row>::make(options.batch, "session rows"));
    return runner::measure(model, threads, options, rows.span());
  }

  /// Fails when an option is out of range or memory, or a page of the pool, is short.
  [[nodiscard]] static result<session> make(const Model& model, executor_ref threads,
                                            session_options options = {}) noexcept {
    BITNET_TRY(const auto need, measure(model, threads, options));
    BITNET_TRY(auto memory,
               aligned_buffer<std::byte>::uninitialized(need.total(), "session memory", true));
    return build(model, threads, options, std::move(memory), {}, nullptr);
  }

  /// The same in the caller's memory, at least measure().total() bytes of any alignment, which must
  /// outlive the session; nothing is allocated. errc::out_of_memory if it is smaller.
  [[nodiscard]] static result<session> make(const Model& model, executor_ref threads,
                                            const session_options& options,
                                            std::span<std::byte> memory) noexcept {
    return build(model, threads, options, {}, memory, nullptr);
  }

  /// A second session with the same sequence that goes on independently, on any thread, with its
  /// own threads. From a pool it gets whole pages of 256 positions shared, to be written by nobody
  /// again, and copies the rest; without a pool, and of what it will add, it has its own. It has
  /// the bits of a session that was fed the same tokens. A step in slices of this session stays
  /// where it is and is no part of the copy.
  [[nodiscard]] result<session> fork(executor_ref threads) const noexcept {
    BITNET_TRY(const auto need, measure(run_.model(), threads, run_.options()));
    BITNET_TRY(auto memory,
               aligned_buffer<std::byte>::uninitialized(need.total(), "session memory", true));
    return build(run_.model(), threads, run_.options(), std::move(memory), {}, this);
  }
  /// The same in the caller's memory.
  [[nodiscard]] result<session> fork(executor_ref threads,
                                     std::span<std::byte> memory) const noexcept {
    return build(run_.model(), threads, run_.options(), {}, memory, this);
  }

  /// Tokens that best() can give.
  static constexpr std::size_t max_best = runner::max_best;

  /// Appends tokens to the sequence; afterwards logits() and best() tell what follows the last one.
  /// errc::invalid_argument names a token outside the vocabulary or says that a step in slices has
  /// not ended, errc::context_full says that the tokens do not fit; errc::cancelled.
  [[nodiscard]] status feed(std::span<const token> tokens) noexcept {
    return feed_all(tokens, nullptr);
  }

  /// As feed, and calls on_logits(i, scores) for every token i of `tokens`, in order. The callback
  /// must not throw and not use the session.
  [[nodiscard]] status score(
      std::span<const token> tokens,
      function_ref<void(std::size_t, std::span<const float>)> on_logits) noexcept {
    return feed_all(tokens, &on_logits);
  }

  /// Begins to append tokens and to make ready what is wanted, in slices: see step(). Nothing
  /// changes but that this has begun; until it ends, logits() and best() give nothing, and feeding
  /// and rewinding are refused. No tokens: only what is wanted. Errors as for feed.
  [[nodiscard]] status begin(std::span<const token> tokens, step_wants wants = {}) noexcept {
    BITNET_CHECK(check(tokens));
    if (tokens.empty() && !seq_.ready() && (wants.best != 0 || wants.logits))
      return error{errc::invalid_argument, "there is no token yet that one could follow", "tokens"};
    start(tokens, wants);
    return {};
  }

  /// Does a slice of what begin() began. It may pause anywhere, inside a layer too, and at least
  /// one piece of work is done. When it gives step_state::done, the sequence is what feed() would
  /// have made it, to the bit. A piece of work is a run of 16-row tiles of a matrix, as many as are
  /// expected to fit by what such tiles took before, or at least one of them: a tile for 256 tokens
  /// takes tens of microseconds. Prompts are cut into batches of tokens that suit the budget.
  /// errc::cancelled ends it and leaves the sequence as it was before begin().
  [[nodiscard]] result<step_state> step(step_budget& budget) noexcept {
    if (!pending_.active) return step_state::done;
    return advance(budget, nullptr);
  }
  [[nodiscard]] result<step_state> step(step_budget&& budget) noexcept { return step(budget); }

  /// Whether a step has begun and not ended.
  [[nodiscard]] bool stepping() const noexcept { return pending_.active; }
  /// Forgets a step that has not ended; the sequence is as before begin().
  void abandon() noexcept {
    if (pending_.count != 0 && pending_.best_done) best_count_ = 0;  // they were of what is gone
    if (pending_.count != 0) logits_ = {};
    pending_ = {};
  }

  /// From now on work stops soon after `cancel`, which must outlive its use, is set: within a
  /// piece of about half a millisecond, or one tile of 16 rows where that takes longer. null ends
  /// that. While it is cancelled every step gives errc::cancelled, logits() and best() nothing that
  /// they had not computed before.
  void cancel_with(const cancel_token* cancel) noexcept { cancel_ = cancel; }

  /// Tokens that a session gains in a step together with others.
  struct turn {
    session* who;
    std::span<const token> tokens;
  };

  /// Feeds many sessions in shared passes over the weights: to each it is as if fed alone, to the
  /// bit, but weights are read once for all. The sessions are distinct, of one model and one type
  /// of KV cache, and none has a longer context than the first, whose threads, memory and cancel
  /// token do the work. Errors as for feed, and errc::invalid_argument; then no session has
  /// changed.
  [[nodiscard]] static status feed_together(std::span<const turn> turns) noexcept {
    if (turns.empty()) return {};
    BITNET_CHECK(check(turns));
    session& first = *turns.front().who;
    first.logits_ = {};  // they lie in the scratch
    step_budget budget = step_budget::unlimited();
    nn::step_progress progress;
    nn::step_control control{budget, first.cancel_, progress, first.run_.costs()};
    nn::step_control* const limit = first.cancel_ == nullptr ? nullptr : &control;
    std::size_t n = 0;
    for (const turn& t : turns) {
      detail::sequence& seq = t.who->seq_;
      std::copy(t.tokens.begin(), t.tokens.end(), seq.next_tokens().begin());
      for (std::size_t i = 0; i < t.tokens.size(); ++i) {
        first.run_.rows()[n++] = {t.tokens[i], seq.position() + i, &seq.cache(),
                                  i + 1 == t.tokens.size()};
        if (n == first.run_.options().batch && !first.run_rows(std::exchange(n, 0), turns, limit))
          return was_cancelled();
      }
    }
    if (n != 0 && !first.run_rows(n, turns, limit)) return was_cancelled();
    for (const turn& t : turns)
      if (!t.tokens.empty()) t.who->accept(t.tokens.size());
    return {};
  }

  /// Computes best(count) of many sessions in shared passes over the head; afterwards best() of up
  /// to that count costs nothing, until the session changes. The sessions are as in feed_together.
  static void best_together(std::span<session* const> sessions, std::size_t count) noexcept {
    count = sessions.empty() ? 0 : std::min({count, max_best, sessions.front()->vocab()});
    for (const session* s : sessions)
      if (s->stepping()) return;
    if (count == 0) return;
    session& first = *sessions.front();
    const std::size_t most = runner::rows_at_once(first.run_.options().batch);
    for (std::size_t i = 0; i < sessions.size(); i += most) {
      const auto some = sessions.subspan(i, std::min(most, sessions.size() - i));
      first.without_budget([&](nn::step_control* c) { return first.find_best(some, count, c); });
    }
  }

  /// Whether there is a next token to tell: not before the first feed, not after rewind, and not
  /// during a step in slices.
  [[nodiscard]] bool ready() const noexcept { return seq_.ready() && !pending_.active; }

  /// Scores of every token of the vocabulary as the next one, computed by the first call after a
  /// feed; empty unless ready(). Valid until the next call that is not const, except best().
  [[nodiscard]] std::span<const float> logits() noexcept {
    if (!ready()) return {};
    if (logits_.empty()) without_budget([&](nn::step_control* c) { return find_logits(c); });
    return logits_;
  }

  /// The `count` best next tokens, best first, at most max_best: what sorting logits() with
  /// better() gives, to the bit, but at half the cost where the model's head is screened. Fewer if
  /// fewer have a logit above -infinity, none unless ready(). Valid until the next call that is
  /// not const, except logits().
  [[nodiscard]] std::span<const scored_token> best(std::size_t count) noexcept {
    if (!ready()) return {};
    count = std::min({count, max_best, vocab()});
    if (count > best_count_) {
      session* const self = this;
      without_budget([&](nn::step_control* c) { return find_best({&self, 1}, count, c); });
    }
    count = std::min(count, best_count_);
    while (count != 0 && run_.best()[count - 1].id < 0) --count;
    return run_.best().first(count);
  }

  /// Size of the vocabulary: tokens are 0 .. vocab() - 1.
  [[nodiscard]] std::size_t vocab() const noexcept { return run_.vocab(); }
  /// Tokens in the sequence, and how many fit.
  [[nodiscard]] std::size_t position() const noexcept { return seq_.position(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return seq_.capacity(); }
  /// The tokens of the sequence. Valid until the next call that is not const.
  [[nodiscard]] std::span<const token> tokens() const noexcept { return seq_.tokens(); }

  /// Forgets all tokens from `position` on. errc::out_of_memory if pages shared with a forked
  /// session have to be replaced and the pool has none; then nothing has changed.
  [[nodiscard]] status rewind(std::size_t position) noexcept {
    BITNET_CHECK(idle());
    if (position > seq_.position())
      return error{errc::invalid_argument, "a session can only be rewound to a past position",
                   "position"};
    BITNET_CHECK(seq_.rewind(position));
    forget_scores();
    return {};
  }

  /// Makes sure that rewinding to `position` or a later one will not fail, by replacing pages that
  /// are shared with a forked session now. Errors as for rewind.
  [[nodiscard]] status unshare(std::size_t position) noexcept {
    return seq_.pages().unshare(std::min(position, seq_.position()));
  }

  /// Bytes that snapshot() writes now.
  [[nodiscard]] std::size_t snapshot_bytes() const noexcept {
    return static_cast<std::size_t>(
        detail::snapshot_size(shape(), seq_.cache().type(), position(), seq_.ready()).value_or(0));
  }
  /// Writes tokens, keys and values, and the last state to the start of `out`, so that restore()
  /// makes a session of this model go on from here with the same bits: in another process, on
  /// another machine, with other threads, sizes or instruction sets. Returns snapshot_bytes();
  /// errc::out_of_memory if `out` is smaller. A step in slices is no part of it. The format has a
  /// version of its own (engine/snapshot.hpp). What samplers and generations remember is theirs.
  [[nodiscard]] result<std::size_t> snapshot(std::span<std::byte> out) const noexcept {
    return detail::save_snapshot(seq_, shape(), run_.model().fingerprint(), out);
  }
  /// Takes over the sequence of a snapshot, which has to fill `bytes`. They may come from anywhere:
  /// errc::truncated; errc::malformed for damaged ones; errc::unsupported for another version;
  /// errc::invalid_argument for another model (other tensors, hyper-parameters or formats) or
  /// during a step in slices; errc::wrong_type for another type of keys and values;
  /// errc::context_full; errc::out_of_memory as for rewind. Then nothing has changed.
  [[nodiscard]] status restore(std::span<const std::byte> bytes) noexcept {
    BITNET_CHECK(idle());
    BITNET_CHECK(detail::restore_snapshot(bytes, seq_, shape(), run_.model().fingerprint()));
    forget_scores();
    return {};
  }

  /// From now on the time of every step is added to `profile`, which must outlive its use; null
  /// ends that. What callbacks of score() take counts as the rest of their step.
  void profile(nn::step_profile* profile) noexcept { run_.profile = profile; }

 private:
  using logits_callback = function_ref<void(std::size_t, std::span<const float>)>;
  using timed_step = nn::step_profile::scope;

  /// A step that has begun.
  struct pending_step {
    bool active = false;
    std::size_t count = 0;  ///< tokens, kept behind the sequence
    std::size_t fed = 0;
    std::size_t rows = 0;  ///< of the batch that is under way
    step_wants wants;
    bool best_done = false;
    bool logits_done = false;
    nn::step_progress progress;  ///< of the function that is under way
    /// Whether nothing is half done.
    [[nodiscard]] bool fresh() const noexcept { return progress.loops == 0 && progress.items == 0; }
  };

  session(const Model& model, executor_ref threads, const session_options& options) noexcept
      : run_{model, threads, options} {}

  [[nodiscard]] static result<session> build(const Model& model, executor_ref threads,
                                             session_options options,
                                             aligned_buffer<std::byte> owned,
                                             std::span<std::byte> memory,
                                             const session* like) noexcept {
    BITNET_CHECK(detail::complete(model.shape(), options));
    if (owned.size() != 0) memory = owned.span();
    arena temporary{memory};
    const auto rows = temporary.take<nn::step_row>(options.batch);
    if (rows.empty()) return too_small();
    BITNET_TRY(const auto need, runner::measure(model, threads, options, rows));
    if (memory.size() < need.total()) return too_small();
    session s{model, threads, options};
    s.memory_ = std::move(owned);
    s.seq_ = s.run_.use(memory, need.kv_bytes);
    if (like != nullptr) {
      BITNET_CHECK(s.seq_.copy_from(like->seq_));
    } else if (options.pool != nullptr) {
      BITNET_CHECK(s.seq_.pages().reserve());
    }
    return s;
  }
  static error too_small() noexcept {
    return {errc::out_of_memory, "the memory is smaller than session::measure says", "memory"};
  }
  static error was_cancelled() noexcept {
    return {errc::cancelled, "the step was cancelled; the session is as before it"};
  }

  [[nodiscard]] const nn::hparams& shape() const noexcept { return run_.model().shape(); }
  [[nodiscard]] status idle() const noexcept {
    if (pending_.active)
      return error{errc::invalid_argument,
                   "a step in slices has not ended; end it or abandon() it first", "session"};
    return {};
  }
  [[nodiscard]] status check(std::span<const token> tokens) const noexcept {
    BITNET_CHECK(idle());
    for (const token t : tokens)
      if (t < 0 || static_cast<std::size_t>(t) >= vocab())
        return error{errc::invalid_argument, "a token id is outside the vocabulary", "tokens"};
    if (tokens.size() > capacity() - position())
      return error{errc::context_full, "the tokens do not fit in the session's context", "tokens"};
    return {};
  }
  [[nodiscard]] static status check(std::span<const turn> turns) noexcept {
    const session& first = *turns.front().who;
    for (std::size_t i = 0; i < turns.size(); ++i) {
      const session& s = *turns[i].who;
      if (&s.run_.model() != &first.run_.model() ||
          s.seq_.cache().type() != first.seq_.cache().type() || s.capacity() > first.capacity())
        return error{errc::invalid_argument,
                     "sessions fed together need one model, one type of KV cache, and no context "
                     "above the first one's",
                     "sessions"};
      for (std::size_t j = 0; j < i; ++j)
        if (turns[j].who == &s)
          return error{errc::invalid_argument, "a session is in the same step twice", "sessions"};
      BITNET_CHECK(s.check(turns[i].tokens));
    }
    return {};
  }

  [[nodiscard]] status feed_all(std::span<const token> tokens,
                                logits_callback* on_logits) noexcept {
    BITNET_CHECK(check(tokens));
    if (tokens.empty()) return {};
    start(tokens, {});
    step_budget budget = step_budget::unlimited();
    BITNET_TRY([[maybe_unused]] const auto state, advance(budget, on_logits));
    return {};
  }

  void start(std::span<const token> tokens, step_wants wants) noexcept {
    std::copy(tokens.begin(), tokens.end(), seq_.next_tokens().begin());
    wants.best = std::min({wants.best, max_best, vocab()});
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

  [[nodiscard]] bool run_pending(const step_budget& budget, nn::step_control* limit,
                                 logits_callback* on_logits) noexcept {
    while (pending_.fed < pending_.count) {
      if (pending_.rows == 0)
        pending_.rows = std::min(batch_for(budget), pending_.count - pending_.fed);
      if (!run_batch(limit, on_logits)) return false;
      pending_.fed += std::exchange(pending_.rows, 0);
    }
    session* const self = this;
    if (!pending_.best_done) {
      if (!find_best({&self, 1}, pending_.wants.best, limit)) return false;
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
      run_.rows()[i] = {seq_.next_tokens()[first + i], position() + first + i, &seq_.cache(),
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

  /// Runs the first n rows, of the sessions of some turns.
  [[nodiscard]] bool run_rows(std::size_t n, std::span<const turn> turns,
                              nn::step_control* limit) noexcept {
    const timed_step timing{run_.profile};
    if (run_.profile != nullptr) run_.profile->count_step();
    auto c = run_.begin(n, limit, nn::step_control::first_place);
    const auto states = run_.model().hidden(c);
    if (stopped(limit)) return false;
    std::size_t at = 0;
    for (const nn::step_row& row : c.rows()) {
      if (!row.wants_logits) continue;
      for (const turn& t : turns)
        if (&t.who->seq_.cache() == row.cache) t.who->keep_state(states.row(at));
      ++at;
    }
    return true;
  }

  /// best(count) of the newest state of each session, in this one's scratch.
  [[nodiscard]] bool find_best(std::span<session* const> sessions, std::size_t count,
                               nn::step_control* limit) noexcept {
    const timed_step timing{run_.profile};
    auto c = run_.go_on(logits_.empty() ? run_.base() : after_logits_, sessions.size(), limit,
                        nn::step_control::head_place);
    const auto [states, lists] = run_.take_best(c, sessions.size(), count);
    for (std::size_t i = 0; i < sessions.size(); ++i)
      std::copy_n(sessions[i]->newest_state(), states.cols, states.row(i));
    run_.model().best(c, states, lists);
    if (stopped(limit)) return false;
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      std::copy_n(lists.row(i), count, sessions[i]->run_.best().data());
      sessions[i]->best_count_ = count;
    }
    return true;
  }

  /// Logits of the newest state.
  [[nodiscard]] bool find_logits(nn::step_control* limit) noexcept {
    const timed_step timing{run_.profile};
    auto c = run_.go_on(run_.base(), 1, limit, nn::step_control::logits_place);
    const auto scores = run_.model().logits(c, {newest_state(), 1, shape().dim});
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
  void without_budget(F&& f) noexcept {
    step_budget budget = step_budget::unlimited();
    nn::step_progress progress;
    nn::step_control control{budget, cancel_, progress, run_.costs()};
    static_cast<void>(f(cancel_ == nullptr ? nullptr : &control));
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
  void forget_scores() noexcept {
    logits_ = {};
    best_count_ = 0;
  }

  aligned_buffer<std::byte> memory_;  // if it is the session's own; outlives what lies there
  runner run_;
  detail::sequence seq_;
  const cancel_token* cancel_ = nullptr;
  pending_step pending_;
  std::span<const float> logits_;  // of the sequence's state, once asked for
  std::size_t after_logits_ = 0;   // where the scratch is free while there are logits
  std::size_t best_count_ = 0;     // how many best tokens are of that state
};

BITNET_NAMESPACE_END
