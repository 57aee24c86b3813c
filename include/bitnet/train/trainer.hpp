// SPDX-License-Identifier: Apache-2.0
// A model with an optimizer and a schedule: one call for each step of training.
#pragma once

#include <bitnet/train/adamw.hpp>
#include <bitnet/train/model.hpp>
#include <bitnet/train/schedule.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

template <class T>
struct basic_trainer_options {
  model_config<T> model;
  adamw_options optimizer;
  train::schedule schedule;
  double clip_norm = 1.0;     ///< gradients are scaled to this norm at most; 0: never
  std::size_t tokens = 2048;  ///< most tokens of a batch (rows * length): memory is for that many
  std::uint64_t seed = 0;
  float deviation = 0.02F;  ///< standard deviation of the first weights
};

/// What a step did.
struct step_report {
  loss_sum loss;
  double gradient_norm = 0.0;  ///< before clipping
  step_rates rates;
};

/// Everything that a run of training changes. The same options, batches and state give the same
/// bits, with every number of threads. Not thread safe; move-only; the executor must outlive it.
template <class T>
class basic_trainer {
 public:
  /// Errors: those of basic_model::make, adamw::make and check(schedule).
  [[nodiscard]] static result<basic_trainer> make(const basic_trainer_options<T>& options,
                                                  executor_ref threads) {
    BITNET_CHECK(check(options.schedule));
    if (!(options.clip_norm >= 0.0))
      return error{errc::invalid_argument, "the number is out of range", "clip_norm"};
    BITNET_TRY(auto made, basic_model<T>::make(options.model, threads, options.tokens, options.seed,
                                               options.deviation));
    BITNET_TRY(auto optimizer, adamw<T>::make(made.values().size(), options.optimizer));
    return basic_trainer{options, std::move(made), std::move(optimizer)};
  }

  [[nodiscard]] basic_model<T>& model() noexcept { return model_; }
  [[nodiscard]] const basic_model<T>& model() const noexcept { return model_; }
  [[nodiscard]] const basic_trainer_options<T>& options() const noexcept { return options_; }
  /// Steps done.
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }

  /// One step of the optimizer on the mean loss over the targets of all `batches`: several are
  /// accumulated, and count as one large batch. errc::invalid_argument as for
  /// basic_model::loss_and_gradients, and for a loss that is no number any more; then parameters
  /// and optimizer are as before.
  [[nodiscard]] result<step_report> step(std::span<const batch> batches) {
    std::size_t count = 0;
    for (const batch& b : batches) count += count_targets(b);
    if (count == 0)
      return error{errc::invalid_argument, "there is nothing to learn in the batches", "batches"};
    step_report report;
    report.rates = options_.schedule.at(steps_ + 1);
    model_.clear_gradients();
    for (const batch& b : batches) {
      BITNET_TRY(const loss_sum loss, model_.loss_and_gradients(b, T{1} / static_cast<T>(count)));
      report.loss.total += loss.total;
      report.loss.count += loss.count;
    }
    model_.finish_gradients();
    const std::span<const T> gradients = std::as_const(model_).gradients();
    report.gradient_norm = std::sqrt(squared_norm(model_.threads(), gradients));
    if (!std::isfinite(report.gradient_norm) || !std::isfinite(report.loss.total))
      return error{errc::invalid_argument,
                   "the loss or its gradient is infinite or not a number: lower the rate", "loss"};
    const double clip = options_.clip_norm;
    const bool clipped = clip > 0.0 && report.gradient_norm > clip;
    optimizer_.step(model_.threads(), model_.parameters(), model_.values(), gradients,
                    clipped ? static_cast<T>(clip / report.gradient_norm) : T{1}, ++steps_,
                    report.rates.rate, report.rates.weight_decay);
    model_.refresh();
    return report;
  }
  [[nodiscard]] result<step_report> step(const batch& b) { return step(std::span{&b, 1}); }

  /// All that has to be kept to go on later, besides steps(): parameters under their names, and
  /// the optimizer's moments as "adamw.first.NAME" and "adamw.second.NAME". Values may be written;
  /// then call restored(). The spans are valid as long as the trainer.
  [[nodiscard]] std::vector<basic_named_array<T>> state() {
    std::vector<basic_named_array<T>> all;
    const auto add = [&](std::string_view prefix, std::span<T> values) {
      for (const parameter& p : model_.parameters().all())
        all.push_back({std::string{prefix} + p.name, values.subspan(p.offset, p.size())});
    };
    add("", model_.values());
    add("adamw.first.", optimizer_.first.span());
    add("adamw.second.", optimizer_.second.span());
    return all;
  }
  /// Goes on from a state that was written to the arrays of state() after `steps` steps.
  void restored(std::uint64_t steps) {
    steps_ = steps;
    model_.refresh();
  }

 private:
  basic_trainer(const basic_trainer_options<T>& options, basic_model<T> model, adamw<T> optimizer)
      : options_{options}, model_{std::move(model)}, optimizer_{std::move(optimizer)} {}

  basic_trainer_options<T> options_;
  basic_model<T> model_;
  adamw<T> optimizer_;
  std::uint64_t steps_ = 0;
};

using trainer_options = basic_trainer_options<float>;
using trainer = basic_trainer<float>;

}  // namespace train
BITNET_NAMESPACE_END
