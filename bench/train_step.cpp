// SPDX-License-Identifier: Apache-2.0
// How fast training is: train_step [threads [steps]] prints the best step's tokens a second.
//
// The model and batch are those of train_torch.py, which runs this program beside PyTorch:
//   g++ -std=c++20 -O3 -march=native -Iinclude -isystem /usr/include/eigen3 bench/train_step.cpp
//     -pthread -o train_step
#include <bitnet/core/random.hpp>
#include <bitnet/core/thread_pool.hpp>
#include <bitnet/train/trainer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

int main(int argc, char** argv) {
  namespace train = bitnet::train;
  const auto argument = [&](int i, int otherwise) {
    return argc > i ? std::max(1, std::atoi(argv[i])) : otherwise;
  };
  const int threads = argument(1, 1), steps = argument(2, 8);
  constexpr int rows = 8, length = 256;

  bitnet::nn::hparams shape;
  shape.vocab = 1792;
  shape.dim = 256;
  shape.layers = 6;
  shape.heads = 8;
  shape.kv_heads = 4;
  shape.head_dim = 32;
  shape.ffn = 512;
  shape.context = length;
  shape.norm_eps = 1e-5F;
  train::trainer_options options;
  options.model = train::configured<float>(train::architecture::bitnet_b158, shape,
                                           train::weights<train::absmean_ternary>());
  options.model.embedding = bitnet::quant::format_id::f32;
  options.tokens = rows * length;

  auto pool = bitnet::thread_pool::make({.threads = static_cast<std::size_t>(threads)});
  if (!pool) return EXIT_FAILURE;
  auto trainer = train::trainer::make(options, *pool);
  if (!trainer) return EXIT_FAILURE;
  std::vector<bitnet::token> inputs, targets;
  const bitnet::counter_random random{1};
  for (std::size_t i = 0; i < options.tokens; ++i) {
    const auto any = [&](std::uint64_t stream) {
      return static_cast<bitnet::token>(random.uniform(stream, i) * 1792.0F);
    };
    inputs.push_back(any(0));
    targets.push_back(any(1));
  }
  using clock = std::chrono::steady_clock;
  double wall = 1e9, processor = 1e9, loss = 0.0;
  for (int i = 0; i < steps; ++i) {
    const auto begin = clock::now();
    const std::clock_t used = std::clock();
    const auto report = trainer->step(train::batch{rows, length, inputs, targets});
    if (!report) return EXIT_FAILURE;
    loss = report->loss.mean();
    wall = std::min(wall, std::chrono::duration<double>(clock::now() - begin).count());
    processor = std::min(processor, double(std::clock() - used) / CLOCKS_PER_SEC);
  }
  std::printf("bitnet.hpp, %.2f M parameters, %d x %d tokens, %d threads\n",
              static_cast<double>(trainer->model().values().size()) / 1e6, rows, length, threads);
  std::printf(
      "loss %.4f; best of %d steps: %.0f tokens/s, %.0f tokens for each second of processor "
      "time\n",
      loss, steps, static_cast<double>(options.tokens) / wall,
      static_cast<double>(options.tokens) / processor);
}
