// SPDX-License-Identifier: Apache-2.0
// A run of training: from options to a model file.
#include "run.hpp"

#include "data.hpp"
#include "export.hpp"
#include "files.hpp"
#include "history.hpp"
#include "setup.hpp"

#include "../bitnet/failure.hpp"
#include "../bitnet/terminal.hpp"

#include <bitnet/core/thread_pool.hpp>
#include <bitnet/train/checkpoint.hpp>
#include <bitnet/train/trainer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>

namespace trainer {
namespace {

namespace train = bitnet::train;

using cli::check;

std::string clock_text(double seconds) {
  const auto s = static_cast<std::int64_t>(std::max(0.0, std::min(seconds, 1e9)));
  char text[64];
  std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", static_cast<long long>(s / 3600),
                static_cast<long long>(s / 60 % 60), static_cast<long long>(s % 60));
  return s < 3600 ? text + 2 : text;
}

std::string percent(double share) { return cli::number(100.0 * share, 3) + " %"; }

/// Everything between the first step and the last.
class training {
 public:
  training(const options& o, std::string folder)
      : o_{o},
        folder_{std::move(folder)},
        data_{prepare(o, folder_)},
        pool_{check(bitnet::thread_pool::make({.threads = o.threads}), "starting threads")},
        batches_{check(train::batch_source::make(data_.train, static_cast<int>(o.batch),
                                                 static_cast<int>(o.length), o.seed,
                                                 static_cast<float>(o.noise)),
                       "making batches")} {
    config_.model = model_of(o, data_.vocabulary.tokens.size());
    config_.clip_norm = o.clip;
    config_.tokens = o.batch * o.length;
    config_.seed = o.seed;
    config_.schedule.rate = o.rate;
    config_.schedule.weight_decay = o.weight_decay;
    config_.schedule.two_stages = o.schedule == "two-stage";
    config_.schedule.final_share = config_.schedule.two_stages ? 0.0 : 0.05;
    std::optional<train::checkpoint> saved;
    if (o.resume && std::filesystem::exists(checkpoint_path()))
      saved = check(train::checkpoint::open(checkpoint_path()), "reading the checkpoint");
    plan_steps(saved ? &saved->info() : nullptr);
    trainer_.emplace(make_trainer());
    // Better now than after hours: types that cannot hold such matrices are refused here.
    static_cast<void>(to_gguf(o_, data_, trainer_->model()));
    if (const double lost = loss_of_type(trainer_->model()); lost > 0.02)
      cli::usage_error("--type " + o.type + " cannot hold weights of the quantizer " +
                       cli::quoted(o.quantizer) + ": they would be off by " + percent(lost) +
                       "; leave --type out, or `bitnet quantize` the finished model");
    best_.assign(values().begin(), values().end());
    if (saved) restore(*saved);
    note_shape();
  }

  void go() {
    begin_ = watch_.seconds();
    std::optional<cli::progress> bar{std::in_place, "training"};
    while (trainer_->steps() < config_.schedule.steps && !out_of_time() && !cli::interrupted()) {
      const auto report = check(trainer_->step(batches_of(trainer_->steps())), "training");
      const std::uint64_t step = trainer_->steps();
      loss_.total += report.loss.total;
      loss_.count += report.loss.count;
      bar->update(step, config_.schedule.steps, progress_text());
      const bool last = step == config_.schedule.steps;
      if (step % o_.eval_every != 0 && !last) {
        save_at_times();
        continue;
      }
      bar.reset();
      measure();
      if (o_.sample_every != 0 && step % o_.sample_every == 0 && !last) show_sample();
      save_at_times();
      bar.emplace("training");
    }
  }

  /// Saves, and writes the best model so far.
  void finish() {
    save();
    if (log_.rows.empty()) measure();
    write_tables();
    std::swap_ranges(best_.begin(), best_.end(), values().begin());
    trainer_->model().refresh();
    const auto bytes = to_gguf(o_, data_, trainer_->model());
    const double lost = loss_of_type(trainer_->model());
    write_file(o_.output, bytes);
    std::swap_ranges(best_.begin(), best_.end(), values().begin());
    trainer_->model().refresh();
    const double loss = log_.best();
    if (lost > 0.0)
      cli::note("weights in the file are off by " + percent(lost) +
                ", since its type cannot say all that was trained");
    cli::note("wrote " + o_.output + ": " + cli::bytes_text(bytes.size()) + ", held-out loss " +
              cli::number(loss, 4) + " nats a token, " +
              cli::number(loss / std::log(2.0) / data_.bytes_per_token, 4) + " bits a byte");
    for (const float temperature : {0.0F, 0.7F})
      cli::put(sample(bytes, o_.prompt, o_.length, temperature, o_.seed) + "\n\n");
    if (cli::interrupted())
      throw cli::failure{cli::exit_code::interrupted,
                         "interrupted; the same command with --resume goes on"};
    if (trainer_->steps() < config_.schedule.steps)
      cli::note("stopped for now at step " + std::to_string(trainer_->steps()) + " of " +
                std::to_string(config_.schedule.steps) + "; --resume goes on");
  }

 private:
  [[nodiscard]] std::string checkpoint_path() const { return folder_ + "/checkpoint"; }
  [[nodiscard]] std::string settings() const {
    return settings_of(o_, data_, config_.schedule.steps);
  }
  [[nodiscard]] train::trainer make_trainer() {
    auto made = train::trainer::make(config_, pool_);
    if (!made && made.error().code() == bitnet::errc::out_of_memory)
      throw cli::failure{cli::exit_code::memory,
                         "not enough memory for the model and a step of it: a smaller --batch with "
                         "--accumulate, --length, --dim or --layers takes less"};
    return check(std::move(made), "making the model");
  }
  /// The batches of a step: copies, since the source has memory for one.
  [[nodiscard]] std::span<const train::batch> batches_of(std::uint64_t step) {
    step_.clear();
    tokens_.resize(2 * o_.accumulate);
    for (std::size_t i = 0; i < o_.accumulate; ++i) {
      const train::batch b = batches_.at(step * o_.accumulate + i);
      std::vector<bitnet::token>&inputs = tokens_[2 * i], &targets = tokens_[2 * i + 1];
      inputs.assign(b.inputs.begin(), b.inputs.end());
      targets.assign(b.targets.begin(), b.targets.end());
      step_.push_back({b.rows, b.length, inputs, targets});
    }
    return step_;
  }
  [[nodiscard]] double step_tokens() const {
    return static_cast<double>(config_.tokens * o_.accumulate);
  }
  [[nodiscard]] double passes(std::uint64_t steps) const {
    return batches_.passes(steps * o_.accumulate);
  }
  [[nodiscard]] std::span<float> values() { return trainer_->model().values(); }

  /// How many steps: told, as the checkpoint says, or from the speed of this machine.
  void plan_steps(const train::checkpoint_info* saved) {
    std::uint64_t steps = o_.steps;
    if (saved != nullptr && steps == 0) {
      const std::size_t at = saved->settings.find("\nsteps=");
      if (at != std::string::npos)
        steps = std::strtoull(saved->settings.c_str() + at + 7, nullptr, 10);
    }
    if (steps == 0) steps = steps_in(o_.minutes * 60.0);
    config_.schedule.steps = std::max<std::uint64_t>(1, steps);
    config_.schedule.warmup = std::min(o_.warmup, config_.schedule.steps / 2);
  }
  [[nodiscard]] std::uint64_t steps_in(double seconds) {
    auto probe = make_trainer();
    const auto step_once = [&](std::uint64_t i) {
      static_cast<void>(check(probe.step(batches_of(i)), "training"));
    };
    step_once(0);  // not timed: memory is touched for the first time
    cli::stopwatch watch;
    std::uint64_t steps = 0;
    do {
      step_once(++steps);
    } while (watch.seconds() < std::min(5.0, 0.1 * seconds));
    const double step = watch.seconds() / static_cast<double>(steps);
    // Measuring costs a forward pass, a third of a step.
    const double measure = step / 3.0 * static_cast<double>(data_.valid.size()) / step_tokens();
    return static_cast<std::uint64_t>(seconds /
                                      (step + measure / static_cast<double>(o_.eval_every)));
  }

  [[nodiscard]] std::vector<train::named_array> arrays() {
    auto all = trainer_->state();
    all.push_back({"run.best", best_});
    return all;
  }
  void restore(const train::checkpoint& saved) {
    const std::string& text = saved.info().settings;
    const std::string own = settings();
    if (text.compare(0, own.size(), own) != 0 || text.compare(own.size(), 1, "\n") != 0)
      throw cli::failure{cli::exit_code::usage,
                         "the checkpoint in " + cli::quoted(folder_) +
                             " is of a run with other options or text; give the options of then, "
                             "or start anew without --resume"};
    check(saved.restore(arrays()), "reading the checkpoint");
    trainer_->restored(saved.info().step);
    std::size_t begin = own.size() + 1;  // the line of the losses that are not in a row yet
    char* end = nullptr;
    loss_.total = std::strtod(text.c_str() + begin, &end);
    loss_.count = static_cast<std::size_t>(std::strtoull(end, nullptr, 10));
    begin = std::min(text.find('\n', begin), text.size());
    log_ = history::from_csv(text.substr(begin));
    before_ = log_.rows.empty() ? 0.0 : log_.rows.back().seconds;
    first_step_ = saved.info().step;
    cli::note("going on at step " + std::to_string(first_step_));
  }
  void save() {
    char unmeasured[64];
    std::snprintf(unmeasured, sizeof unmeasured, "%.17g %zu\n", loss_.total, loss_.count);
    check(train::save_checkpoint(
              checkpoint_path(),
              {trainer_->steps(), settings() + '\n' + unmeasured + log_.to_csv()}, arrays()),
          "saving a checkpoint");
    saved_ = watch_.seconds();
  }
  void save_at_times() {
    if (watch_.seconds() - saved_ > o_.checkpoint_minutes * 60.0) save();
  }
  [[nodiscard]] bool out_of_time() const {
    return o_.session_minutes > 0.0 && watch_.seconds() > o_.session_minutes * 60.0;
  }

  void measure() {
    const double begin = watch_.seconds();
    train::loss_sum sum;
    check(train::each_batch(data_.valid, static_cast<int>(o_.batch), static_cast<int>(o_.length),
                            [&](const train::batch& b) -> bitnet::status {
                              BITNET_TRY(const auto loss, trainer_->model().evaluate(b));
                              sum.total += loss.total;
                              sum.count += loss.count;
                              return {};
                            }),
          "measuring");
    measuring_ += watch_.seconds() - begin;
    const double before = log_.best();
    log_.rows.push_back({trainer_->steps(), loss_.mean(), sum.mean(), before_ + watch_.seconds()});
    loss_ = {};
    if (sum.mean() < before) std::copy(values().begin(), values().end(), best_.begin());
    const measurement& m = log_.rows.back();
    cli::note("step " + std::to_string(m.step) + '/' + std::to_string(config_.schedule.steps) +
              ": " + progress_text() + ", training " + cli::number(m.train, 3) + ", held out " +
              cli::number(m.valid, 4) + (m.valid <= log_.best() ? " (best)" : "") + ", " +
              cli::number(passes(m.step), 1) + " passes");
    write_tables();
  }
  [[nodiscard]] std::string progress_text() const {
    const double steps = static_cast<double>(trainer_->steps() - first_step_);
    const double seconds = std::max(1e-9, watch_.seconds() - begin_);
    const double rate = steps / std::max(1e-9, seconds - measuring_);
    const double left = static_cast<double>(config_.schedule.steps - trainer_->steps()) * seconds /
                        std::max(1.0, steps);
    std::string text =
        cli::number(rate * step_tokens(), 0) + " tokens/s, " + clock_text(left) + " left";
    if (loss_.count != 0) text = "loss " + cli::number(loss_.mean(), 3) + ", " + text;
    return text;
  }

  void show_sample() {
    const auto bytes = to_gguf(o_, data_, trainer_->model());
    cli::put(
        sample(bytes, o_.prompt, std::min<std::size_t>(o_.length, 96), 0.7F, trainer_->steps()) +
        "\n\n");
  }

  void write_tables() {
    write_file(folder_ + "/losses.csv", log_.to_csv());
    if (o_.plot.empty()) return;
    std::vector<train::plot_series> plot;
    log_.add_to(plot, o_.name.empty() ? o_.quantizer : o_.name);
    plot_runs(o_, std::move(plot));
  }

  void note_shape() const {
    std::size_t matrices = 0;
    for (const train::parameter& p : trainer_->model().parameters().all())
      if (p.kind == train::parameter_kind::matrix) matrices += p.size();
    const std::size_t all = trainer_->model().parameters().size();
    cli::note("model: " + o_.architecture + ", " + cli::number(static_cast<double>(all) / 1e6, 2) +
              " M parameters, of which " + cli::number(static_cast<double>(matrices) / 1e6, 2) +
              " M " + o_.quantizer + "; " + std::to_string(config_.schedule.steps) + " steps of " +
              cli::number(step_tokens(), 0) + " tokens, " +
              cli::number(passes(config_.schedule.steps), 1) + " passes over the text");
  }

  const options& o_;
  std::string folder_;
  dataset data_;
  bitnet::thread_pool pool_;
  train::batch_source batches_;
  std::vector<train::batch> step_;                  ///< of batches_of()
  std::vector<std::vector<bitnet::token>> tokens_;  ///< of them
  train::trainer_options config_;
  std::optional<train::trainer> trainer_;
  std::vector<float> best_;  ///< parameters of the lowest held-out loss
  history log_;
  train::loss_sum loss_;  ///< since the last measurement
  cli::stopwatch watch_;
  double saved_ = 0.0;      ///< time of the last checkpoint
  double before_ = 0.0;     ///< seconds of the run before this process
  double begin_ = 0.0;      ///< time of this process's first step
  double measuring_ = 0.0;  ///< seconds of it on the held-out text, which count as no training
  std::uint64_t first_step_ = 0;
};

}  // namespace

void run(const options& o) {
  if (o.text.empty()) return plot_runs(o, {});
  const std::string folder = o.output + ".run";
  static_cast<void>(model_of(o, o.vocab));  // wrong options are found before any work
  check_files(o, folder);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw cli::failure{cli::exit_code::file,
                       "cannot make the folder " + cli::quoted(folder) + ": " + error.message()};
  training t{o, folder};
  t.go();
  t.finish();
}

}  // namespace trainer
