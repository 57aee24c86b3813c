// SPDX-License-Identifier: Apache-2.0
// Whole models, synthetic: prefill and decoding on one thread and on all. Full-size files are
// measured by `bitnet bench`.
#include "models.hpp"

#include <memory>

namespace {

using bitnet::kernels::best_table;
using bitnet::kernels::kernel_table;
using session = bitnet::session<bench::model>;

constexpr std::size_t prompt_tokens = 128;
constexpr std::size_t most_decoded = 256;

/// Multiply-adds of the matrices for a token that wants no logits.
double multiply_adds(const bitnet::nn::hparams& h) {
  return static_cast<double>(h.layers * h.dim * (2 * h.q_dim() + 2 * h.kv_dim() + 3 * h.ffn));
}

void fed(benchmark::State& s, const bitnet::status& done) {
  if (!done) s.SkipWithError("cannot run the model");
}

void prefill(benchmark::State& s, const bench::model_size& size, const kernel_table& k,
             bitnet::executor_ref threads) {
  const auto model = bench::load(bitnet::gguf::view(bench::model_file(size)), threads, k);
  auto running = bench::value_of(session::make(model, threads, {.context = prompt_tokens}));
  const std::vector<bitnet::token> prompt(prompt_tokens, 1);
  for ([[maybe_unused]] auto _ : s) {
    fed(s, running.rewind(0));
    fed(s, running.feed(prompt));
    benchmark::DoNotOptimize(running.best(1).data());
  }
  bench::work w;
  w.products = multiply_adds(model.shape()) * static_cast<double>(prompt_tokens);
  bench::report(s, threads, k.isa, w);
  s.counters["tokens/s"] =
      benchmark::Counter{static_cast<double>(prompt_tokens) * static_cast<double>(s.iterations()),
                         benchmark::Counter::kIsRate};
}

void decode(benchmark::State& s, const bench::model_size& size, const kernel_table& k,
            bitnet::executor_ref threads) {
  const auto model = bench::load(bitnet::gguf::view(bench::model_file(size)), threads, k);
  auto running = bench::value_of(session::make(model, threads, {.context = most_decoded}));
  const bitnet::token one = 1;
  for ([[maybe_unused]] auto _ : s) {
    if (running.position() == most_decoded) fed(s, running.rewind(0));
    fed(s, running.feed({&one, 1}));
    benchmark::DoNotOptimize(running.best(1).data());
  }
  bench::work w;
  w.bytes = static_cast<double>(model.bytes_per_token());
  w.products =
      multiply_adds(model.shape()) + static_cast<double>(model.shape().dim * model.shape().vocab);
  bench::report(s, threads, k.isa, w);
  s.counters["tokens/s"] =
      benchmark::Counter{static_cast<double>(s.iterations()), benchmark::Counter::kIsRate};
}

void add_all(const kernel_table& k, bool all_threads) {
  for (const bench::model_size& size : bench::model_sizes) {
    const std::string name = "model/" + std::string{k.isa} + '/' + size.name;
    const std::string suffix = all_threads ? "/all_threads" : "";
    const auto add = [&](const std::string& what, auto run) {
      auto* added = bench::add(name + what + suffix, [run, &size, &k, all_threads](auto& s) {
        bitnet::serial_executor here;
        run(s, size, k, all_threads ? bitnet::executor_ref{bench::all_threads()} : here);
      });
      if (all_threads) added->UseRealTime();
    };
    add("/prefill_" + std::to_string(prompt_tokens), prefill);
    add("/decode", decode);
  }
}

void add_all() {
  bench::for_each_isa([](const kernel_table& k) {
    if (k.isa != "scalar") add_all(k, false);
  });
  add_all(best_table(), true);
}

}  // namespace

int main(int argc, char** argv) { return bench::main(argc, argv, add_all); }
