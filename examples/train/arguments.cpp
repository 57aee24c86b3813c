// SPDX-License-Identifier: Apache-2.0
// The options of bitnet-train. The only file that sees CLI11, which is slow to compile.
#include "options.hpp"

#include "../bitnet/failure.hpp"

#include <CLI/CLI.hpp>

#include <iostream>
#include <string>

namespace trainer {
namespace {

void data_arguments(CLI::App& app, options& o) {
  app.add_option("text", o.text, "Text files to learn from")->type_name("FILE");
  app.add_option(
         "-o,--output", o.output,
         "Model to write (GGUF). FILE.run/ beside it gets the checkpoint, tokens and losses")
      ->type_name("FILE");
  app.add_option("--valid", o.valid, "Text to measure on, which is not learned")->type_name("FILE");
  app.add_option("--held-out", o.held_out,
                 "Without --valid: the share of the documents that is kept to measure on")
      ->check(CLI::Range(0.0, 0.5))
      ->capture_default_str();
  app.add_option("--separator", o.separator, "What stands between documents in the files")
      ->capture_default_str();
  app.add_option("--name", o.name, "The model's name in its file");
  app.add_option("--plot", o.plot, "Picture of the losses to write (SVG)")->type_name("FILE");
  app.add_option(
         "--compare", o.compare,
         "NAME=FILE.run/losses.csv: another run's losses, for the plot; several times. Without "
         "text only the plot is made")
      ->type_name("RUN")
      ->take_all()
      ->expected(1);
  auto* resume =
      app.add_flag("--resume", o.resume, "Go on from FILE.run/checkpoint if there is one");
  app.add_flag("--force", o.force, "Start over: replace FILE and the run beside it")
      ->excludes(resume);
}

void model_arguments(CLI::App& app, options& o) {
  const auto size = CLI::Range(1, 1 << 18);
  app.add_option("-a,--arch", o.architecture, "Architecture: bitnet-b1.58, bitnet, llama, qwen3")
      ->check(CLI::IsMember({"bitnet-b1.58", "bitnet", "llama", "qwen3"}))
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("-q,--quantizer", o.quantizer,
                 "How weights are rounded: ternary, binary, centered-binary, grouped-ternary, "
                 "grouped-binary, none, or mine (my_quantizer.hpp)")
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--vocab", o.vocab, "Tokens of the vocabulary that is made from the text")
      ->check(CLI::Range(257, 65536))
      ->capture_default_str();
  app.add_option("--dim", o.dim, "Width")->check(size)->capture_default_str();
  app.add_option("--layers", o.layers, "Blocks")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--heads", o.heads, "Query heads; --dim is a multiple of it")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--kv-heads", o.kv_heads, "Key and value heads; --heads is a multiple of it")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--ffn", o.ffn, "Width of the feed-forward layers")
      ->check(size)
      ->capture_default_str();
  app.add_option("--rope-base", o.rope_base, "Base of the rotary embedding")
      ->check(CLI::Range(2.0, 1e9))
      ->capture_default_str();
  app.add_option("--type", o.type,
                 "Type of the matrices in the file: i2_s, tq2_0, tq1_0 (ternary), q1_0 (binary), "
                 "q2_0, f16, f32; the default is the quantizer's own")
      ->type_name("TYPE");
  app.add_option("--embedding", o.embedding, "Type of the embedding, which is the head too")
      ->check(CLI::IsMember({"f16", "q8_0", "f32"}))
      ->capture_default_str()
      ->type_name("TYPE");
}

void run_arguments(CLI::App& app, options& o) {
  // Also what keeps a minus sign from becoming a huge number.
  const auto count = [](std::int64_t least) {
    return CLI::Range(least, std::int64_t{1} << 40, "0 or more");
  };
  auto* steps =
      app.add_option("-n,--steps", o.steps, "Steps to train")->check(count(1))->type_name("N");
  app.add_option("-m,--minutes", o.minutes,
                 "Train about so long: the number of steps comes from the speed of the first ones")
      ->check(CLI::Range(0.01, 1e6))
      ->excludes(steps);
  app.add_option("--session-minutes", o.session_minutes,
                 "Stop with a checkpoint after so long, to go on with --resume; the model of that "
                 "moment is written")
      ->check(CLI::Range(0.01, 1e6));
  app.add_option("-b,--batch", o.batch, "Rows of a batch")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  app.add_option("--accumulate", o.accumulate,
                 "Batches of a step: more tokens for a step in the memory of one batch")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("-l,--length", o.length, "Tokens of a row: the model's context")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--lr", o.rate, "Highest learning rate")
      ->check(CLI::Range(1e-12, 10.0))
      ->capture_default_str();
  app.add_option("--weight-decay", o.weight_decay, "Weight decay")
      ->check(CLI::Range(0.0, 10.0))
      ->capture_default_str();
  app.add_option("--warmup", o.warmup, "Steps until the highest rate")
      ->check(count(0))
      ->capture_default_str();
  app.add_option("--schedule", o.schedule,
                 "two-stage: as BitNet b1.58, the rate falls linearly, and in the middle it drops "
                 "and weight decay ends; cosine")
      ->check(CLI::IsMember({"two-stage", "cosine"}))
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--clip", o.clip, "Largest norm of the gradient; 0: any")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  app.add_option("--noise", o.noise,
                 "Share of the inputs that is replaced by random tokens: for small texts that are "
                 "passed over many times")
      ->check(CLI::Range(0.0, 0.9))
      ->capture_default_str();
  app.add_option("-s,--seed", o.seed, "Random seed; the same one gives the same model")
      ->check(count(0))
      ->capture_default_str();
  app.add_option("-t,--threads", o.threads, "Threads; 0: one for each hardware thread")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--eval-every", o.eval_every, "Steps between measurements on held-out text")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  app.add_option("--sample-every", o.sample_every, "Steps between samples; 0: at the end alone")
      ->check(count(0))
      ->capture_default_str();
  app.add_option("--checkpoint-minutes", o.checkpoint_minutes, "Minutes between checkpoints")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_option("-p,--prompt", o.prompt, "What samples continue")->capture_default_str();
}

/// Text, output and time are needed for training, but not to plot the losses of earlier runs.
void check_together(const options& o) {
  if (o.text.empty() && !o.plot.empty() && !o.compare.empty()) return;
  if (o.text.empty()) throw CLI::RequiredError("a text file to learn from");
  if (o.output.empty()) throw CLI::RequiredError("-o");
  if (o.steps == 0 && o.minutes == 0.0)
    throw CLI::RequiredError("how long to train: --steps or --minutes");
}

}  // namespace

request parse(int argc, char** argv) {
  request r;
  options& o = r.settings;
  CLI::App app{
      "Trains a small 1-bit or ternary language model on text files and writes it as a GGUF file.",
      "bitnet-train"};
  data_arguments(app, o);
  model_arguments(app, o);
  run_arguments(app, o);
  app.footer(
      "Example: bitnet-train stories.txt -o stories.gguf --minutes 10 --plot losses.svg\n"
      "Ctrl-C saves a checkpoint; the same command with --resume goes on with the same bits.\n"
      "Samples go to stdout, progress to stderr.\n\n"
      "Exit codes: 0 success; 1 other failures; 2 wrong options; 3 a file that cannot be read or\n"
      "written; 5 not enough memory; 6 interrupted, with a checkpoint.");
  try {
    app.parse(argc, argv);
    check_together(o);
    r.run = true;
  } catch (const CLI::ParseError& e) {
    const bool help = e.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
    app.exit(e, std::cout, std::cerr);
    r.status = static_cast<int>(help ? cli::exit_code::ok : cli::exit_code::usage);
  }
  return r;
}

}  // namespace trainer
