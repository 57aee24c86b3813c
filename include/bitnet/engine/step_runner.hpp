// SPDX-License-Identifier: Apache-2.0
// Runs a model over rows in a session's memory: sizes it, divides it up, and knows what lies where.
#pragma once

#include <bitnet/core/executor.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/engine/sequence.hpp>
#include <bitnet/engine/session_options.hpp>
#include <bitnet/nn/context.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// The best tokens of several states, in scratch.
struct best_lists {
  nn::activations states;
  matrix_view<scored_token> lists;
};

/// A session's model, threads and memory without its sequence. What every step reuses lies behind
/// what is kept: rows, best tokens, costs, and the sequence's own memory.
template <language_model Model>
class step_runner {
 public:
  using context_type = nn::context<typename Model::kernels_type>;

  /// Tokens that can be the best ones.
  static constexpr std::size_t max_best = 256;
  /// Rows whose logits are computed together when every position is scored.
  static constexpr std::size_t logit_rows = 16;
  /// Sessions whose best tokens are found together: what the scratch of this batch was measured
  /// for.
  [[nodiscard]] static constexpr std::size_t rows_at_once(std::size_t batch) noexcept {
    return std::min<std::size_t>(batch, 8);
  }

  step_runner(const Model& model, executor_ref threads, const session_options& options) noexcept
      : model_{&model}, threads_{threads}, options_{options} {}

  /// Bytes for options that are complete. `rows` has options.batch places, used meanwhile.
  [[nodiscard]] static result<session_plan> measure(const Model& model, executor_ref threads,
                                                    const session_options& options,
                                                    std::span<nn::step_row> rows) noexcept {
    const nn::hparams& h = model.shape();
    auto kv = nn::kv_cache::bytes(h, options.context, options.kv);
    if (kv) kv = to_size(checked_align(*kv, cache_line));
    if (!kv) return error{errc::out_of_memory, "the KV cache does not fit in memory", "context"};
    if (sizeof(std::size_t) < 8 && threads.concurrency() != 1)
      return error{errc::unsupported, "with 32-bit addresses there is one thread", "threads"};

    const nn::kv_cache nothing{h, options.context, options.kv, nullptr, options.pool == nullptr};
    const nn::step_row any{.id = 0, .position = 0, .cache = &nothing, .wants_logits = true};
    std::fill(rows.begin(), rows.end(), any);
    step_runner dry{model, threads, options};
    dry.scratch_ = arena::measure();
    (void)dry.take_kept();
    auto c = dry.context(rows, rows.size(), nullptr, 0);
    auto state = model.hidden(c);
    (void)model.logits(c, state.slice(0, std::min(options.batch, logit_rows)));
    dry.scratch_.release(dry.base_);
    (void)model.logits(c, state.slice(0, 1));
    const auto [states, lists] = dry.take_best(c, rows_at_once(options.batch), max_best);
    model.best(c, states, lists);
    if (dry.scratch_.exhausted())
      return error{errc::out_of_memory, "a batch does not fit in memory", "batch"};
    return session_plan{options.pool == nullptr ? *kv : 0, dry.scratch_.peak() + cache_line};
  }

  /// Divides up `memory`, of the measured size, and gives the sequence its part.
  [[nodiscard]] sequence use(std::span<std::byte> memory, std::size_t kv_bytes) noexcept {
    scratch_ = arena{memory};
    const auto kv = scratch_.take<std::byte>(kv_bytes);
    const auto [own, table] = take_kept();
    std::construct_at(costs_);
    const nn::hparams& h = model_->shape();
    return {own, options_.pool == nullptr
                     ? nn::kv_pages{h, options_.context, options_.kv, table, kv}
                     : nn::kv_pages{h, options_.context, table, *options_.pool}};
  }

  [[nodiscard]] const Model& model() const noexcept { return *model_; }
  [[nodiscard]] const session_options& options() const noexcept { return options_; }
  [[nodiscard]] std::size_t vocab() const noexcept { return model_->shape().vocab; }
  [[nodiscard]] nn::step_row* rows() noexcept { return rows_.data(); }
  /// Where the best tokens of the sequence are kept, max_best places.
  [[nodiscard]] std::span<scored_token> best() noexcept { return best_; }
  [[nodiscard]] nn::step_costs& costs() noexcept { return *costs_; }

  /// A step over the first `count` rows: what was in the scratch is lost. `limit`, which may be
  /// null, accounts for its loops at `place`.
  [[nodiscard]] context_type begin(std::size_t count, nn::step_control* limit,
                                   std::size_t place) noexcept {
    scratch_.release(base_);
    return context(rows_.first(count), count, limit, place);
  }
  /// A function of the head over `count` states, in the scratch behind `mark`.
  [[nodiscard]] context_type go_on(std::size_t mark, std::size_t count, nn::step_control* limit,
                                   std::size_t place) noexcept {
    scratch_.release(mark);
    return context(rows_.first(1), count, limit, place);
  }
  [[nodiscard]] std::size_t mark() const noexcept { return scratch_.mark(); }
  [[nodiscard]] std::size_t base() const noexcept { return base_; }

  [[nodiscard]] best_lists take_best(context_type& c, std::size_t rows,
                                     std::size_t count) const noexcept {
    return {c.make(rows, model_->shape().dim),
            {c.template take<scored_token>(rows * count), rows, count}};
  }

  nn::step_profile* profile = nullptr;

 private:
  /// What the sequence keeps.
  struct kept {
    sequence::memory own;
    std::span<std::byte*> table;
  };
  [[nodiscard]] kept take_kept() noexcept {
    const std::size_t dim = model_->shape().dim;
    rows_ = scratch_.take<nn::step_row>(options_.batch);
    best_ = scratch_.take<scored_token>(max_best);
    costs_ = scratch_.take<nn::step_costs>(1).data();
    const auto tokens = scratch_.take<token>(options_.context);
    const auto state = scratch_.take<float>(dim);
    const auto next_state = scratch_.take<float>(dim);
    const auto table = scratch_.take<std::byte*>(nn::kv_cache::page_count(options_.context));
    base_ = scratch_.mark();
    return {{tokens, state, next_state}, table};
  }
  [[nodiscard]] context_type context(std::span<const nn::step_row> rows, std::size_t count,
                                     nn::step_control* limit, std::size_t place) noexcept {
    context_type c{model_->kernels(), threads_, scratch_, model_->shape(), rows};
    c.profile = profile;
    c.control = limit;
    if (limit != nullptr) limit->start(count, place);
    return c;
  }

  const Model* model_;
  executor_ref threads_;
  session_options options_;
  arena scratch_;
  std::span<nn::step_row> rows_;
  std::span<scored_token> best_;
  nn::step_costs* costs_ = nullptr;
  std::size_t base_ = 0;
};

}  // namespace detail
BITNET_NAMESPACE_END
