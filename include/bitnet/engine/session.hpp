// SPDX-License-Identifier: Apache-2.0
// One conversation with a model: its memory, and the calls that extend, ask, save and copy it.
#pragma once

#include <bitnet/core/cancel.hpp>
#include <bitnet/core/executor.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/core/token.hpp>
#include <bitnet/engine/session_options.hpp>
#include <bitnet/engine/snapshot.hpp>
#include <bitnet/engine/stepper.hpp>

#include <algorithm>
#include <span>
#include <utility>

BITNET_NAMESPACE_BEGIN

/// Owns the state of one sequence. It refers to a model and an executor, which must outlive it and
/// not move. Movable. One thread at a time may use a session; any number of sessions may share a
/// model. After make(), no call allocates.
///
/// What fails or is cancelled leaves the sequence as it was before the call.
template <language_model Model>
class session {
  using stepper = detail::stepper<Model>;
  using runner = typename stepper::runner;

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
    BITNET_TRY(const auto need, measure(run().model(), threads, run().options()));
    BITNET_TRY(auto memory,
               aligned_buffer<std::byte>::uninitialized(need.total(), "session memory", true));
    return build(run().model(), threads, run().options(), std::move(memory), {}, this);
  }
  /// The same in the caller's memory.
  [[nodiscard]] result<session> fork(executor_ref threads,
                                     std::span<std::byte> memory) const noexcept {
    return build(run().model(), threads, run().options(), {}, memory, this);
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
    BITNET_CHECK(accepts(tokens));
    if (tokens.empty() && !seq().ready() && (wants.best != 0 || wants.logits))
      return error{errc::invalid_argument, "there is no token yet that one could follow", "tokens"};
    steps_.start(tokens, wants);
    return {};
  }

  /// Does a slice of what begin() began. It may pause anywhere, inside a layer too, and at least
  /// one piece of work is done. When it gives step_state::done, the sequence is what feed() would
  /// have made it, to the bit. A piece of work is a run of 16-row tiles of a matrix, as many as are
  /// expected to fit by what such tiles took before, or at least one of them: a tile for 256 tokens
  /// takes tens of microseconds. Prompts are cut into batches of tokens that suit the budget.
  /// errc::cancelled ends it and leaves the sequence as it was before begin().
  [[nodiscard]] result<step_state> step(step_budget& budget) noexcept {
    if (!stepping()) return step_state::done;
    return steps_.advance(budget, nullptr);
  }
  [[nodiscard]] result<step_state> step(step_budget&& budget) noexcept { return step(budget); }

  /// Whether a step has begun and not ended.
  [[nodiscard]] bool stepping() const noexcept { return steps_.active(); }
  /// How far the step under way is, for progress bars: of its `all` tokens `fed` have gone through
  /// the model. Zeros unless stepping().
  struct step_tokens {
    std::size_t fed = 0, all = 0;
  };
  [[nodiscard]] step_tokens under_way() const noexcept { return {steps_.fed(), steps_.count()}; }
  /// Forgets a step that has not ended; the sequence is as before begin().
  void abandon() noexcept { steps_.abandon(); }

  /// From now on work stops soon after `cancel`, which must outlive its use, is set: no thread
  /// begins more than a tenth of a millisecond's work, or one tile of 16 rows where that takes
  /// longer. null ends that. While it is cancelled every step gives errc::cancelled, logits() and
  /// best() nothing that they had not computed before.
  void cancel_with(const cancel_token* cancel) noexcept { steps_.cancel_with(cancel); }

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
    BITNET_CHECK(accepts(turns));
    return stepper::together(turns,
                             [&](std::size_t i) -> stepper& { return turns[i].who->steps_; });
  }

  /// Computes best(count) of many sessions in shared passes over the head; afterwards best() of up
  /// to that count costs nothing, until the session changes. The sessions are as in feed_together.
  static void best_together(std::span<session* const> sessions, std::size_t count) noexcept {
    count = sessions.empty() ? 0 : std::min({count, max_best, sessions.front()->vocab()});
    for (const session* s : sessions)
      if (s->stepping()) return;
    if (count == 0) return;
    stepper::best_together(
        sessions.size(), [&](std::size_t i) -> stepper& { return sessions[i]->steps_; }, count);
  }

  /// Whether there is a next token to tell: not before the first feed, not after rewind, and not
  /// during a step in slices.
  [[nodiscard]] bool ready() const noexcept { return steps_.ready(); }

  /// Scores of every token of the vocabulary as the next one, computed by the first call after a
  /// feed; empty unless ready(). Valid until the next call that is not const, except best().
  [[nodiscard]] std::span<const float> logits() noexcept {
    return ready() ? steps_.logits() : std::span<const float>{};
  }

  /// The `count` best next tokens, best first, at most max_best: what sorting logits() with
  /// better() gives, to the bit, but at half the cost where the model's head is screened. Fewer if
  /// fewer have a logit above -infinity, none unless ready(). Valid until the next call that is
  /// not const, except logits().
  [[nodiscard]] std::span<const scored_token> best(std::size_t count) noexcept {
    return ready() ? steps_.best(count) : std::span<const scored_token>{};
  }

  /// Size of the vocabulary: tokens are 0 .. vocab() - 1.
  [[nodiscard]] std::size_t vocab() const noexcept { return run().vocab(); }
  /// Tokens in the sequence, and how many fit.
  [[nodiscard]] std::size_t position() const noexcept { return seq().position(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return seq().capacity(); }
  /// The tokens of the sequence. Valid until the next call that is not const.
  [[nodiscard]] std::span<const token> tokens() const noexcept { return seq().tokens(); }

  /// Forgets all tokens from `position` on. errc::out_of_memory if pages shared with a forked
  /// session have to be replaced and the pool has none; then nothing has changed.
  [[nodiscard]] status rewind(std::size_t position) noexcept {
    BITNET_CHECK(idle());
    if (position > seq().position())
      return error{errc::invalid_argument, "a session can only be rewound to a past position",
                   "position"};
    BITNET_CHECK(steps_.seq().rewind(position));
    steps_.forget_scores();
    return {};
  }

  /// Forgets what does not begin like `tokens`: the longest common prefix stays, without the last
  /// of `tokens`, so that there is one left to feed. Returns how many stay. This is how a prompt
  /// reuses what is known of it, whoever fed it. Errors as for rewind.
  [[nodiscard]] result<std::size_t> keep_common(std::span<const token> tokens) noexcept {
    const auto held = seq().tokens();
    const std::size_t most = std::min(held.size(), tokens.empty() ? 0 : tokens.size() - 1);
    const auto end = held.begin() + static_cast<std::ptrdiff_t>(most);
    const auto common = static_cast<std::size_t>(
        std::mismatch(held.begin(), end, tokens.begin()).first - held.begin());
    BITNET_CHECK(rewind(common));
    return common;
  }

  /// Makes sure that rewinding to `position` or a later one will not fail, by replacing pages that
  /// are shared with a forked session now. Errors as for rewind.
  [[nodiscard]] status unshare(std::size_t position) noexcept {
    return steps_.seq().pages().unshare(std::min(position, seq().position()));
  }

  /// Bytes that snapshot() writes now.
  [[nodiscard]] std::size_t snapshot_bytes() const noexcept {
    return static_cast<std::size_t>(
        detail::snapshot_size(shape(), seq().cache().type(), position(), seq().ready())
            .value_or(0));
  }
  /// Writes tokens, keys and values, and the last state to the start of `out`, so that restore()
  /// makes a session of this model go on from here with the same bits: in another process, on
  /// another machine, with other threads, sizes or instruction sets. Returns snapshot_bytes();
  /// errc::out_of_memory if `out` is smaller. A step in slices is no part of it. The format has a
  /// version of its own (engine/snapshot.hpp). What samplers and generations remember is theirs.
  [[nodiscard]] result<std::size_t> snapshot(std::span<std::byte> out) const noexcept {
    return detail::save_snapshot(seq(), shape(), run().model().fingerprint(), out);
  }
  /// Takes over the sequence of a snapshot, which has to fill `bytes`. They may come from anywhere:
  /// errc::truncated; errc::malformed for damaged ones; errc::unsupported for another version;
  /// errc::invalid_argument for another model (other tensors, hyper-parameters or formats) or
  /// during a step in slices; errc::wrong_type for another type of keys and values;
  /// errc::context_full; errc::out_of_memory as for rewind. Then nothing has changed.
  [[nodiscard]] status restore(std::span<const std::byte> bytes) noexcept {
    BITNET_CHECK(idle());
    BITNET_CHECK(
        detail::restore_snapshot(bytes, steps_.seq(), shape(), run().model().fingerprint()));
    steps_.forget_scores();
    return {};
  }

  /// From now on the time of every step is added to `profile`, which must outlive its use; null
  /// ends that. What callbacks of score() take counts as the rest of their step.
  void profile(nn::step_profile* profile) noexcept { steps_.run().profile = profile; }

 private:
  using logits_callback = typename stepper::logits_callback;

  session(const Model& model, executor_ref threads, const session_options& options) noexcept
      : steps_{model, threads, options} {}

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
    s.steps_.use(memory, need.kv_bytes);
    if (like != nullptr) {
      BITNET_CHECK(s.steps_.seq().copy_from(like->seq()));
    } else if (options.pool != nullptr) {
      BITNET_CHECK(s.steps_.seq().pages().reserve());
    }
    return s;
  }
  static error too_small() noexcept {
    return {errc::out_of_memory, "the memory is smaller than session::measure says", "memory"};
  }

  [[nodiscard]] const runner& run() const noexcept { return steps_.run(); }
  [[nodiscard]] const detail::sequence& seq() const noexcept { return steps_.seq(); }
  [[nodiscard]] const nn::hparams& shape() const noexcept { return run().model().shape(); }
  [[nodiscard]] status idle() const noexcept {
    if (stepping())
      return error{errc::invalid_argument,
                   "a step in slices has not ended; end it or abandon() it first", "session"};
    return {};
  }
  [[nodiscard]] status accepts(std::span<const token> tokens) const noexcept {
    BITNET_CHECK(idle());
    for (const token t : tokens)
      if (t < 0 || static_cast<std::size_t>(t) >= vocab())
        return error{errc::invalid_argument, "a token id is outside the vocabulary", "tokens"};
    if (tokens.size() > capacity() - position())
      return error{errc::context_full, "the tokens do not fit in the session's context", "tokens"};
    return {};
  }
  [[nodiscard]] static status accepts(std::span<const turn> turns) noexcept {
    const session& first = *turns.front().who;
    for (std::size_t i = 0; i < turns.size(); ++i) {
      const session& s = *turns[i].who;
      if (&s.run().model() != &first.run().model() ||
          s.seq().cache().type() != first.seq().cache().type() || s.capacity() > first.capacity())
        return error{errc::invalid_argument,
                     "sessions fed together need one model, one type of KV cache, and no context "
                     "above the first one's",
                     "sessions"};
      for (std::size_t j = 0; j < i; ++j)
        if (turns[j].who == &s)
          return error{errc::invalid_argument, "a session is in the same step twice", "sessions"};
      BITNET_CHECK(s.accepts(turns[i].tokens));
    }
    return {};
  }

  [[nodiscard]] status feed_all(std::span<const token> tokens,
                                logits_callback* on_logits) noexcept {
    BITNET_CHECK(accepts(tokens));
    if (tokens.empty()) return {};
    steps_.start(tokens, {});
    step_budget budget = step_budget::unlimited();
    BITNET_TRY([[maybe_unused]] const auto state, steps_.advance(budget, on_logits));
    return {};
  }

  aligned_buffer<std::byte> memory_;  // if it is the session's own; outlives what lies there
  stepper steps_;
};

BITNET_NAMESPACE_END
