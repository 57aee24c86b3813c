// SPDX-License-Identifier: Apache-2.0
// What bitnet-train is told on its command line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace trainer {

struct options {
  // What to learn from, and where everything goes.
  std::vector<std::string> text;
  std::string valid;  ///< held-out text; empty: a share of the documents
  double held_out = 0.03;
  std::string separator = "<|endoftext|>";
  std::string output;
  std::string name;  ///< general.name
  std::string plot;
  std::vector<std::string> compare;  ///< loss tables of other runs, for the plot
  bool resume = false;
  bool force = false;  ///< replace an older model and its run

  // The model.
  std::string architecture = "bitnet-b1.58";
  std::string quantizer = "ternary";
  std::size_t vocab = 2048;
  std::size_t dim = 256;
  std::size_t layers = 6;
  std::size_t heads = 8;
  std::size_t kv_heads = 4;
  std::size_t ffn = 512;
  double rope_base = 10000.0;
  std::string type;  ///< of matrices; empty: what the quantizer asks for
  std::string embedding = "f16";

  // The run.
  std::size_t batch = 16;
  std::size_t length = 256;
  std::size_t accumulate = 1;  ///< batches of a step
  std::uint64_t steps = 0;     ///< 0: from minutes
  double minutes = 0.0;
  double session_minutes = 0.0;  ///< stop with a checkpoint, to go on later; 0: no
  double rate = 3e-3;
  double weight_decay = 0.1;
  std::uint64_t warmup = 100;
  std::string schedule = "two-stage";
  double clip = 1.0;
  double noise = 0.0;  ///< share of inputs replaced by random tokens
  std::uint64_t seed = 1;
  std::size_t threads = 1;
  std::uint64_t eval_every = 250;
  std::uint64_t sample_every = 1000;
  double checkpoint_minutes = 2.0;
  std::string prompt = "Once upon a time";
};

/// What the command line asks for: `run` is false after --help or a complaint.
struct request {
  options settings;
  bool run = false;
  int status = 0;
};
[[nodiscard]] request parse(int argc, char** argv);

}  // namespace trainer
