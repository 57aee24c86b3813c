// SPDX-License-Identifier: Apache-2.0
// Training: the optimizer and the schedules as written down, the same bits for every number of
// threads and after a restart, accumulation, and that it learns.
#include "finite_differences.hpp"

#include <bitnet/core/thread_pool.hpp>
#include <bitnet/train/trainer.hpp>

#include <cstring>

using namespace bitnet;
using namespace bitnet::train;

namespace {

trainer_options small() {
  nn::hparams h;
  h.dim = 64;
  h.layers = 2;
  h.heads = 4;
  h.kv_heads = 2;
  h.head_dim = 16;
  h.ffn = 96;
  h.vocab = 40;
  h.context = 100;
  trainer_options o;
  o.model = configured<float>(architecture::bitnet_b158, h, weights<absmean_ternary>());
  o.tokens = 600;
  o.seed = 5;
  o.schedule.steps = 40;
  o.schedule.warmup = 3;
  o.schedule.rate = 4e-3;
  return o;
}

/// Counts up by 3: each token follows from the one before.
struct lesson {
  std::vector<token> inputs, targets;
  int rows, length;
  lesson(int r, int l, int seed) : rows{r}, length{l} {
    for (int i = 0; i < r * l; ++i) {
      const int x = (i % l * 3 + i / l * 7 + seed) % 40;
      inputs.push_back(x);
      targets.push_back((x + 3) % 40);
    }
  }
  [[nodiscard]] batch view() const { return {rows, length, inputs, targets}; }
};

std::vector<float> values_after(executor_ref threads, int steps) {
  auto t = trainer::make(small(), threads);
  REQUIRE(t);
  for (int i = 0; i < steps; ++i) {
    const lesson data{6, 100, i};  // three pieces of work
    REQUIRE(t->step(data.view()));
  }
  std::vector<float> all;
  for (const auto& a : t->state()) all.insert(all.end(), a.values.begin(), a.values.end());
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("every number of threads gives the same bits") {
  serial_executor serial;
  const auto one = values_after(serial, 3);
  CHECK(same_bits(one, values_after(serial, 3)));
  for (const std::size_t n : {2U, 3U, 5U}) {
    auto pool = thread_pool::make({.threads = n});
    REQUIRE(pool);
    CHECK(same_bits(one, values_after(*pool, 3)));
  }
}

TEST_CASE("a run that was stopped goes on with the same bits") {
  serial_executor serial;
  const auto whole = values_after(serial, 5);
  auto first = trainer::make(small(), serial);
  REQUIRE(first);
  for (int i = 0; i < 2; ++i) REQUIRE(first->step(lesson{6, 100, i}.view()));

  auto options = small();
  options.seed = 99;  // what it starts from does not matter
  auto second = trainer::make(options, serial);
  REQUIRE(second);
  const auto from = first->state(), to = second->state();
  REQUIRE(from.size() == to.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    CHECK(from[i].name == to[i].name);
    std::copy(from[i].values.begin(), from[i].values.end(), to[i].values.begin());
  }
  second->restored(first->steps());
  for (int i = 2; i < 5; ++i) REQUIRE(second->step(lesson{6, 100, i}.view()));
  CHECK(second->steps() == 5);
  std::vector<float> all;
  for (const auto& a : second->state()) all.insert(all.end(), a.values.begin(), a.values.end());
  CHECK(same_bits(all, whole));
}

TEST_CASE("it learns, and what it learned is in logits") {
  serial_executor serial;
  auto options = small();
  options.schedule.steps = 80;
  auto t = trainer::make(options, serial);
  REQUIRE(t);
  double first = 0.0, last = 0.0;
  for (int i = 0; i < 80; ++i) {
    const auto report = t->step(lesson{3, 40, i}.view());
    REQUIRE(report);
    (i == 0 ? first : last) = report->loss.mean();
    CHECK(report->loss.count == 120);
  }
  CHECK(first > 3.5);  // ln 40 = 3.69
  CHECK(last < 1.0);
  const std::vector<token> tokens{7, 10, 13, 16};
  const auto logits = t->model().logits(tokens);
  REQUIRE(logits);
  const auto end = logits->end();
  CHECK(std::max_element(end - 40, end) - (end - 40) == 19);
}

TEST_CASE("several batches of a step count as one") {
  serial_executor serial;
  auto options = small();
  options.model =
      configured<float>(architecture::llama, options.model.shape, weights<no_quantizer>());
  auto one = trainer::make(options, serial), parts = trainer::make(options, serial);
  REQUIRE(one);
  REQUIRE(parts);
  lesson data{4, 30, 1};
  for (std::size_t i = 0; i < 45; ++i) data.targets[i] = -1;  // parts of unequal weight
  const batch whole = data.view();
  const batch half[] = {{2, 30, whole.inputs.first(60), whole.targets.first(60)},
                        {2, 30, whole.inputs.last(60), whole.targets.last(60)}};
  const auto a = one->step(whole), b = parts->step(half);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(a->loss.count == 75);
  CHECK(b->loss.count == 75);
  CHECK(a->loss.total == doctest::Approx(b->loss.total));
  CHECK(a->gradient_norm == doctest::Approx(b->gradient_norm).epsilon(1e-4));
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < one->model().gradients().size(); ++i) {
    const double x = static_cast<double>(one->model().gradients()[i]);
    difference += std::pow(x - static_cast<double>(parts->model().gradients()[i]), 2);
    size += x * x;
  }
  CHECK(difference <= 1e-9 * size);
}

TEST_CASE("AdamW follows its formula; norms do not decay") {
  serial_executor serial;
  nn::hparams h = small().model.shape;
  const parameter_list list{architecture::llama, h};
  auto a = adamw<double>::make(list.size(), {.beta1 = 0.5F, .beta2 = 0.75F, .eps = 1e-8F});
  REQUIRE(a);
  auto w = train_test::numbers(list.size(), 1);
  const auto g1 = train_test::numbers(list.size(), 2), g2 = train_test::numbers(list.size(), 3);
  const auto start = w;
  a->step(serial, list, w, g1, 0.5, 1, 0.01, 0.1);
  a->step(serial, list, w, g2, 1.0, 2, 0.02, 0.1);
  for (const std::size_t index : {list.embedding(), list.block(1).attn_norm, list.block(1).down}) {
    const parameter& p = list[index];
    const double decay = p.kind == parameter_kind::norm ? 0.0 : 0.1;
    const std::size_t i = p.offset + p.size() / 2;
    double x = start[i], g = g1[i] * 0.5;
    double m = 0.5 * g, v = 0.25 * g * g;
    x -= 0.01 * (decay * x + m / 0.5 / (std::sqrt(v / 0.25) + 1e-8));
    g = g2[i];
    m = 0.5 * m + 0.5 * g;
    v = 0.75 * v + 0.25 * g * g;
    x -= 0.02 * (decay * x + m / 0.75 / (std::sqrt(v / 0.4375) + 1e-8));
    CHECK(w[i] == doctest::Approx(x).epsilon(1e-7));
  }
}

TEST_CASE("a step takes the clipped gradient, and rate and decay from the schedule") {
  serial_executor serial;
  auto options = small();
  options.schedule.steps = 2;  // the second of two stages is the second step
  options.schedule.warmup = 0;
  options.schedule.two_stages = true;
  const lesson data{3, 40, 1};
  for (const double clip : {0.0, 1e-3, 1e3}) {
    options.clip_norm = clip;
    auto t = trainer::make(options, serial);
    REQUIRE(t);
    const parameter p = t->model().parameters()[t->model().parameters().block(1).down];
    const std::size_t index = t->model().parameters().block(1).down;
    const std::size_t count = t->model().parameters().all().size();
    const auto array = [&](std::size_t i) {
      const auto values = t->state()[i].values;
      return std::vector<float>{values.begin(), values.end()};
    };
    for (int i = 0; i < 2; ++i) {
      const auto before = array(index), first_before = array(count + index);
      const auto report = t->step(data.view());
      REQUIRE(report);
      CHECK(report->rates.weight_decay == (i == 0 ? 0.1 : 0.0));
      const double norm = report->gradient_norm;
      CHECK(norm > 1e-3);
      const double factor = clip > 0.0 && norm > clip ? clip / norm : 1.0;
      const auto after = array(index), first = array(count + index),
                 second = array(2 * count + index);
      for (std::size_t k = 0; k < after.size(); k += 97) {
        const auto real = [](float x) { return static_cast<double>(x); };
        const double g = real(t->model().gradients()[p.offset + k]) * factor;
        const double b1 = real(options.optimizer.beta1), b2 = real(options.optimizer.beta2);
        const double moment = b1 * real(first_before[k]) + (1.0 - b1) * g;
        CHECK(real(first[k]) == doctest::Approx(moment).epsilon(1e-4));
        const double m = moment / (1.0 - std::pow(b1, i + 1));
        const double v = real(second[k]) / (1.0 - std::pow(b2, i + 1));
        const double change = m / (std::sqrt(v) + real(options.optimizer.eps)) +
                              report->rates.weight_decay * real(before[k]);
        CHECK(std::abs(real(after[k]) - (real(before[k]) - report->rates.rate * change)) < 1e-6);
      }
    }
  }
}

namespace {

/// A quantizer that stops all gradients.
struct stopped {
  static constexpr std::string_view name = "stopped";
  static constexpr quant::format_id format = quant::format_id::i2_s;
  static float quantize(matrix_view<const float> w, matrix_view<float> out) noexcept {
    return absmean_ternary::quantize(w, out);
  }
  static void backward(matrix_view<const float>, matrix_view<float> dw) noexcept {
    for (std::size_t r = 0; r < dw.rows; ++r) std::fill_n(dw.row(r), dw.cols, 0.0F);
  }
};

}  // namespace

TEST_CASE("a step asks the quantizer what it does to gradients") {
  serial_executor serial;
  auto options = small();
  options.model = configured<float>(architecture::llama, options.model.shape, weights<stopped>());
  options.schedule.weight_decay = 0.0;
  auto t = trainer::make(options, serial);
  REQUIRE(t);
  const auto list = t->model().parameters().all();
  const std::vector<float> before{t->model().values().begin(), t->model().values().end()};
  for (int i = 0; i < 2; ++i) REQUIRE(t->step(lesson{3, 40, i}.view()));
  for (const parameter& p : list) {
    const auto after = t->model().values().subspan(p.offset, p.size());
    const bool same = std::equal(after.begin(), after.end(),
                                 before.begin() + static_cast<std::ptrdiff_t>(p.offset));
    CHECK(same == (p.kind == parameter_kind::matrix));
  }
}

TEST_CASE("schedules") {
  train::schedule s;
  s.steps = 1000;
  s.warmup = 100;
  s.rate = 1.0;
  s.final_share = 0.1;
  CHECK(s.at(1).rate == doctest::Approx(0.01));
  CHECK(s.at(50).rate == doctest::Approx(0.5));
  CHECK(s.at(100).rate == doctest::Approx(1.0));
  CHECK(s.at(550).rate == doctest::Approx(0.55));
  CHECK(s.at(1000).rate == doctest::Approx(0.1));
  CHECK(s.at(5000).rate == doctest::Approx(0.1));
  CHECK(s.at(1000).weight_decay == doctest::Approx(0.1));

  s.two_stages = true;
  s.final_share = 0.0;
  CHECK(s.at(100).rate == doctest::Approx(1.0));
  CHECK(s.at(500).weight_decay == doctest::Approx(0.1));
  CHECK(s.at(501).weight_decay == 0.0);
  CHECK(s.at(500).rate == doctest::Approx(500.0 / 900));
  CHECK(s.at(501).rate == doctest::Approx(499.0 / 900 * 2 / 3));
  CHECK(s.at(1000).rate == doctest::Approx(0.0));
}

TEST_CASE("options out of range are refused by name") {
  serial_executor serial;
  const auto refused = [&](auto change, std::string_view what) {
    auto o = small();
    change(o);
    const auto t = trainer::make(o, serial);
    REQUIRE(!t);
    CHECK(t.error().code() == errc::invalid_argument);
    CHECK(t.error().what() == what);
  };
  refused([](auto& o) { o.schedule.steps = 0; }, "steps");
  refused([](auto& o) { o.schedule.warmup = 41; }, "warmup");
  refused([](auto& o) { o.schedule.rate = -1.0; }, "rate");
  refused([](auto& o) { o.schedule.rate = std::nan(""); }, "rate");
  refused([](auto& o) { o.optimizer.beta2 = 1.0F; }, "adamw");
  refused([](auto& o) { o.clip_norm = std::nan(""); }, "clip_norm");
  refused([](auto& o) { o.tokens = 0; }, "tokens");
  auto t = trainer::make(small(), serial);
  REQUIRE(t);
  CHECK(!t->step(std::span<const batch>{}));
  lesson masked{1, 5, 0};
  std::fill(masked.targets.begin(), masked.targets.end(), -1);
  CHECK(!t->step(masked.view()));
  t->model().values()[0] = std::nanf("");
  t->model().refresh();
  const auto nan = t->step(lesson{1, 40, 0}.view());
  REQUIRE(!nan);
  CHECK(nan.error().what() == "loss");
  CHECK(t->steps() == 0);
}
