// SPDX-License-Identifier: Apache-2.0
// One conversation with a model: its KV cache, its scratch memory, and the steps that extend it.
#pragma once

#include <bitnet/core/executor.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/core/token.hpp>
#include <bitnet/nn/context.hpp>

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

BITNET_NAMESPACE_BEGIN

/// What a session runs: a loaded model of fixed type, or the type-erased one of dynamic.hpp.
template <class M>
concept language_model = requires(const M& m, nn::context<typename M::kernels_type>& c,
                                  nn::activations state) {
  { m.shape() } -> std::convertible_to<const nn::hparams&>;
  { m.kernels() } -> std::same_as<typename M::kernels_type>;
  { m.hidden(c) } -> std::same_as<nn::activations>;
  { m.logits(c, state) } -> std::same_as<nn::activations>;
  m.best(c, state, matrix_view<scored_token>{});
};

/// Sizes of a session; everything is allocated when it is made.
struct session_options {
  std::size_t context = 0;  ///< positions; 0: the model's trained context, at most 4096
  std::size_t batch = 256;  ///< prompt tokens that go through the model together, 1 .. 4096
  nn::kv_type kv = nn::kv_type::f16;
};

/// Owns the state of one sequence. It refers to a model and an executor, which must outlive it and
/// not move. Movable. One thread at a time may use a session; any number of sessions may share a
/// model. After make(), no call allocates.
template <language_model Model>
class session {
 public:
  using context_type = nn::context<typename Model::kernels_type>;

  /// What a session will take, before it is made.
  struct plan {
    std::size_t kv_bytes = 0;
    std::size_t scratch_bytes = 0;
    [[nodiscard]] std::size_t total() const noexcept { return kv_bytes + scratch_bytes; }
  };

  /// Exact bytes for these options on an executor of that concurrency.
  [[nodiscard]] static result<plan> measure(const Model& model, executor_ref threads,
                                            session_options options) noexcept {
    BITNET_CHECK(complete(model, options));
    const nn::hparams& h = model.shape();
    auto kv = nn::kv_cache::bytes(h, options.context, options.kv);
    if (kv) kv = checked_align(*kv, cache_line);
    if (!kv || *kv > std::numeric_limits<std::size_t>::max() / 2)
      return error{errc::out_of_memory, "the KV cache does not fit in memory", "context"};

    const nn::kv_cache nothing{h, options.context, options.kv, {}};
    const nn::step_row any{.id = 0, .position = 0, .cache = &nothing, .wants_logits = true};
    BITNET_TRY(auto rows, aligned_buffer<nn::step_row>::make(options.batch, "session rows"));
    std::fill(rows.span().begin(), rows.span().end(), any);
    arena dry = arena::measure();
    (void)take_kept(dry, options.batch, h.dim);
    const std::size_t base = dry.mark();
    context_type c{model.kernels(), threads, dry, h, rows.span()};
    auto state = model.hidden(c);
    (void)model.logits(c, state.slice(0, std::min(options.batch, logit_rows)));
    dry.release(base);
    (void)model.logits(c, state.slice(0, 1));
    const auto [states, lists] = take_best(c, h.dim, rows_at_once(options.batch), max_best);
    model.best(c, states, lists);
    return plan{static_cast<std::size_t>(*kv), dry.peak() + cache_line};
  }

  /// Fails when an option is out of range or memory is short.
  [[nodiscard]] static result<session> make(const Model& model, executor_ref threads,
                                            session_options options = {}) noexcept {
    BITNET_TRY(const auto need, measure(model, threads, options));
    BITNET_TRY(auto memory,
               aligned_buffer<std::byte>::uninitialized(need.total(), "session memory"));
    BITNET_CHECK(complete(model, options));
    session s{model, threads, options};
    s.memory_ = std::move(memory);
    s.cache_ = nn::kv_cache{model.shape(), options.context, options.kv, s.memory_.span()};
    s.scratch_ = arena{s.memory_.span().subspan(need.kv_bytes)};
    const std::size_t dim = model.shape().dim;
    const auto [rows, best, state] = take_kept(s.scratch_, options.batch, dim);
    s.rows_ = rows;
    s.best_ = best;
    s.state_ = {state.data(), 1, dim};
    s.base_ = s.scratch_.mark();
    return s;
  }

  /// Tokens that best() can give.
  static constexpr std::size_t max_best = 256;

  /// Appends tokens to the sequence; afterwards logits() and best() tell what follows the last one.
  /// errc::invalid_argument names a token outside the vocabulary, errc::context_full says that the
  /// tokens do not fit; in both cases nothing has changed.
  [[nodiscard]] status feed(std::span<const token> tokens) noexcept { return run(tokens, nullptr); }

  /// As feed, and calls on_logits(i, scores) for every token i of `tokens`, in order. The callback
  /// must not throw and not use the session.
  [[nodiscard]] status score(
      std::span<const token> tokens,
      function_ref<void(std::size_t, std::span<const float>)> on_logits) noexcept {
    return run(tokens, &on_logits);
  }

  /// Tokens that a session gains in a step together with others.
  struct turn {
    session* who;
    std::span<const token> tokens;
  };

  /// Feeds many sessions in shared passes over the weights: to each it is as if fed alone, to the
  /// bit, but weights are read once for all. The sessions are distinct, of one model and one type
  /// of KV cache, and none has a longer context than the first, whose threads and memory do the
  /// work. Errors as for feed, and errc::invalid_argument; then no session has changed.
  [[nodiscard]] static status feed_together(std::span<const turn> turns) noexcept {
    if (turns.empty()) return {};
    session& first = *turns.front().who;
    for (std::size_t i = 0; i < turns.size(); ++i) {
      const session& s = *turns[i].who;
      if (s.model_ != first.model_ || s.cache_.type() != first.cache_.type() ||
          s.capacity() > first.capacity())
        return error{errc::invalid_argument,
                     "sessions fed together need one model, one type of KV cache, and no context "
                     "above the first one's",
                     "sessions"};
      for (std::size_t j = 0; j < i; ++j)
        if (turns[j].who == &s)
          return error{errc::invalid_argument, "a session is in the same step twice", "sessions"};
      BITNET_CHECK(s.check(turns[i].tokens));
    }
    std::size_t n = 0;
    for (const turn& t : turns) {
      session& s = *t.who;
      if (!t.tokens.empty()) s.forget_scores(false);
      for (std::size_t i = 0; i < t.tokens.size(); ++i) {
        first.rows_[n++] = {t.tokens[i], s.position_++, &s.cache_, i + 1 == t.tokens.size()};
        if (n == first.batch_) first.finish_rows(std::exchange(n, 0), turns);
      }
    }
    if (n != 0) first.finish_rows(n, turns);
    return {};
  }

  /// Computes best(count) of many sessions in shared passes over the head; afterwards best() of up
  /// to that count costs nothing, until the session changes. The sessions are as in feed_together.
  static void best_together(std::span<session* const> sessions, std::size_t count) noexcept {
    count = sessions.empty() ? 0 : std::min({count, max_best, sessions.front()->vocab()});
    if (count == 0) return;
    const std::size_t most = rows_at_once(sessions.front()->batch_);
    for (std::size_t i = 0; i < sessions.size(); i += most)
      sessions.front()->find_best(sessions.subspan(i, std::min(most, sessions.size() - i)), count);
  }

  /// Whether there is a next token to tell: not before the first feed and not after rewind.
  [[nodiscard]] bool ready() const noexcept { return ready_; }

  /// Scores of every token of the vocabulary as the next one, computed by the first call after a
  /// feed; empty unless ready(). Valid until the next call that is not const, except best().
  [[nodiscard]] std::span<const float> logits() noexcept {
    if (logits_.empty() && ready_) {
      scratch_.release(base_);
      const timed_step timing{profile_};
      auto c = context(1);
      logits_ = model_->logits(c, state_)[0];
      after_logits_ = scratch_.mark();
    }
    return logits_;
  }

  /// The `count` best next tokens, best first, at most max_best: what sorting logits() with
  /// better() gives, to the bit, but at half the cost where the model's head is screened. Fewer if
  /// fewer have a logit above -infinity, none unless ready(). Valid until the next call that is
  /// not const, except logits().
  [[nodiscard]] std::span<const scored_token> best(std::size_t count) noexcept {
    if (!ready_) return {};
    count = std::min({count, max_best, vocab()});
    if (count > best_count_) {
      session* const self = this;
      find_best({&self, 1}, count);
    }
    while (count != 0 && best_[count - 1].id < 0) --count;
    return best_.first(count);
  }

  /// Size of the vocabulary: tokens are 0 .. vocab() - 1.
  [[nodiscard]] std::size_t vocab() const noexcept { return model_->shape().vocab; }
  /// Tokens in the sequence, and how many fit.
  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return cache_.capacity(); }

  /// Forgets all tokens from `position` on.
  [[nodiscard]] status rewind(std::size_t position) noexcept {
    if (position > position_)
      return error{errc::invalid_argument, "a session can only be rewound to a past position",
                   "position"};
    position_ = position;
    forget_scores(false);
    return {};
  }

  /// From now on the time of every step is added to `profile`, which must outlive its use; null
  /// ends that. What callbacks of score() take counts as the rest of their step.
  void profile(nn::step_profile* profile) noexcept { profile_ = profile; }

 private:
  using logits_callback = function_ref<void(std::size_t, std::span<const float>)>;

  /// Rows whose logits are computed together when every position is scored.
  static constexpr std::size_t logit_rows = 16;
  /// Sessions whose best tokens are found together: what the scratch of this batch was measured
  /// for.
  [[nodiscard]] static constexpr std::size_t rows_at_once(std::size_t batch) noexcept {
    return std::min<std::size_t>(batch, 8);
  }

  /// What lies at the start of the scratch and outlives steps.
  struct kept_memory {
    std::span<nn::step_row> rows;
    std::span<scored_token> best;
    std::span<float> state;
  };
  [[nodiscard]] static kept_memory take_kept(arena& scratch, std::size_t batch,
                                             std::size_t dim) noexcept {
    return {scratch.take<nn::step_row>(batch), scratch.take<scored_token>(max_best),
            scratch.take<float>(dim)};
  }

  session(const Model& model, executor_ref threads, const session_options& options) noexcept
      : model_{&model}, threads_{threads}, batch_{options.batch} {}

  /// Checks options and replaces a context of 0.
  [[nodiscard]] static status complete(const Model& model, session_options& options) noexcept {
    if (options.batch < 1 || options.batch > 4096)
      return error{errc::invalid_argument, "the batch must be 1 to 4096 tokens", "batch"};
    if (options.context == 0)
      options.context =
          std::min<std::size_t>(std::max<std::size_t>(model.shape().context, 1), 4096);
    if (options.context > (std::size_t{1} << 24))
      return error{errc::limit, "the context may have at most 2^24 positions", "context"};
    options.batch = std::min(options.batch, options.context);
    return {};
  }

  [[nodiscard]] status check(std::span<const token> tokens) const noexcept {
    for (const token t : tokens)
      if (t < 0 || static_cast<std::size_t>(t) >= vocab())
        return error{errc::invalid_argument, "a token id is outside the vocabulary", "tokens"};
    if (tokens.size() > capacity() - position_)
      return error{errc::context_full, "the tokens do not fit in the session's context", "tokens"};
    return {};
  }

  [[nodiscard]] status run(std::span<const token> tokens, logits_callback* on_logits) noexcept {
    BITNET_CHECK(check(tokens));
    if (!tokens.empty()) forget_scores(false);
    for (std::size_t done = 0; done < tokens.size();) {
      const std::size_t n = std::min(batch_, tokens.size() - done);
      for (std::size_t i = 0; i < n; ++i)
        rows_[i] = {tokens[done + i], position_++, &cache_,
                    on_logits != nullptr || done + i + 1 == tokens.size()};
      step(n, on_logits, done);
      done += n;
    }
    return {};
  }

  /// Runs rows_[0, n), all of this session, the first one being token `index` of the caller's.
  void step(std::size_t n, logits_callback* on_logits, std::size_t index) noexcept {
    const timed_step timing{profile_};
    auto c = context(n);
    const auto states = run_rows(c);
    const std::size_t mark = scratch_.mark();
    for (std::size_t at = 0; on_logits != nullptr && at < states.rows; at += logit_rows) {
      scratch_.release(mark);
      const auto scores =
          model_->logits(c, states.slice(at, std::min(logit_rows, states.rows - at)));
      for (std::size_t r = 0; r < scores.rows; ++r) (*on_logits)(index + at + r, scores[r]);
    }
    if (states.rows != 0) keep_state(states.row(states.rows - 1));
  }

  /// Runs rows_[0, n) of the sessions of some turns.
  void finish_rows(std::size_t n, std::span<const turn> turns) noexcept {
    const timed_step timing{profile_};
    auto c = context(n);
    const auto states = run_rows(c);
    std::size_t at = 0;
    for (const nn::step_row& row : std::span{rows_.data(), n}) {
      if (!row.wants_logits) continue;
      for (const turn& t : turns)
        if (&t.who->cache_ == row.cache) t.who->keep_state(states.row(at));
      ++at;
    }
  }

  [[nodiscard]] nn::activations run_rows(context_type& c) noexcept {
    scratch_.release(base_);
    logits_ = {};  // they lay there
    if (profile_ != nullptr) profile_->count_step();
    return model_->hidden(c);
  }

  void keep_state(const float* state) noexcept {
    std::copy_n(state, state_.cols, state_.data);
    forget_scores(true);
  }
  void forget_scores(bool ready) noexcept {
    ready_ = ready;
    logits_ = {};
    best_count_ = 0;
  }

  /// The scratch of find_best: states and lists of the sessions.
  struct best_lists {
    nn::activations states;
    matrix_view<scored_token> lists;
  };
  [[nodiscard]] static best_lists take_best(context_type& c, std::size_t dim, std::size_t rows,
                                            std::size_t count) noexcept {
    return {c.make(rows, dim), {c.template take<scored_token>(rows * count), rows, count}};
  }

  /// best(count) of each session, in this one's scratch.
  void find_best(std::span<session* const> sessions, std::size_t count) noexcept {
    scratch_.release(logits_.empty() ? base_ : after_logits_);
    const timed_step timing{profile_};
    auto c = context(1);
    const auto [states, lists] = take_best(c, state_.cols, sessions.size(), count);
    for (std::size_t i = 0; i < sessions.size(); ++i)
      std::copy_n(sessions[i]->state_.data, states.cols, states.row(i));
    model_->best(c, states, lists);
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      std::copy_n(lists.row(i), count, sessions[i]->best_.data());
      sessions[i]->best_count_ = count;
    }
  }

  [[nodiscard]] context_type context(std::size_t rows) noexcept {
    context_type c{model_->kernels(), threads_, scratch_, model_->shape(),
                   std::span<const nn::step_row>{rows_.data(), rows}};
    c.profile = profile_;
    return c;
  }

  using timed_step = nn::step_profile::scope;

  const Model* model_;
  executor_ref threads_;
  nn::step_profile* profile_ = nullptr;
  aligned_buffer<std::byte> memory_;
  nn::kv_cache cache_;
  arena scratch_;
  std::span<nn::step_row> rows_;
  std::span<scored_token> best_;
  nn::activations state_;          // [1][dim], of the last token
  std::span<const float> logits_;  // of that state, once asked for
  std::size_t best_count_ = 0;     // how many of best_ are of that state
  bool ready_ = false;             // there is such a state
  std::size_t base_ = 0;           // marks in the scratch: what every step reuses begins here,
  std::size_t after_logits_ = 0;   // or here while there are logits
  std::size_t batch_;
  std::size_t position_ = 0;
};

BITNET_NAMESPACE_END
