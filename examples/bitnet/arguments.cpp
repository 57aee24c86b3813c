// SPDX-License-Identifier: Apache-2.0
// The options of every command. The only file that sees CLI11, which is slow to compile.
#include "arguments.hpp"

#include "commands.hpp"
#include "failure.hpp"
#include "types.hpp"

#include <CLI/CLI.hpp>

#include <bitnet/config.hpp>

#include <iostream>
#include <memory>
#include <string>

namespace cli {
namespace {

std::string version_text() {
  return "bitnet.hpp " + std::to_string(BITNET_VERSION_MAJOR) + '.' +
         std::to_string(BITNET_VERSION_MINOR) + '.' + std::to_string(BITNET_VERSION_PATCH);
}

void add_i2s_order(CLI::App& app, bool& arm) {
  app.add_option_function<std::string>(
         "--i2s-order", [&arm](const std::string& order) { arm = order == "arm"; },
         "Order of I2_S weights: canonical, or arm for files that bitnet.cpp wrote on ARM")
      ->check(CLI::IsMember({"canonical", "arm"}))
      ->type_name("NAME");
}

void add_threads(CLI::App& app, std::size_t& threads) {
  app.add_option("-t,--threads", threads, "Threads; 0: one for each hardware thread")
      ->check(CLI::Range(0, 1024));
}

void add_force(CLI::App& app, bool& force) {
  app.add_flag("-f,--force", force, "Replace a file of that name");
}

void add_model(CLI::App& app, model_options& o, bool arithmetic = true) {
  app.add_option("-m,--model", o.path, "Model file (GGUF)")->required()->type_name("FILE");
  add_threads(app, o.threads);
  app.add_option("--isa", o.isa,
                 "Kernel family: scalar, avx2, avx_vnni, avx512, avx512_vnni, avx512_vbmi; the "
                 "default is the "
                 "best that this machine has")
      ->type_name("NAME");
  app.add_flag("--verbose", o.verbose, "Say which kernels were chosen and what loading took");
  if (!arithmetic) return;
  app.add_flag("--exact", o.exact,
               "Reference arithmetic: weights and activations in float. Slow; for comparisons");
  add_i2s_order(app, o.i2_s_arm);
  app.add_option("--activations", o.activations,
                 "How inputs of quantized matrices are rounded: auto, as the formats ask for; "
                 "token, block: int8 with a scale for each token or 32 values; planes: nearly "
                 "exact")
      ->check(CLI::IsMember({"auto", "token", "block", "planes"}))
      ->type_name("NAME");
}

void add_memory(CLI::App& app, memory_options& o, const char* context_help) {
  app.add_option("-c,--ctx-size", o.context, context_help)->check(CLI::Range(0, 1 << 24));
  app.add_option("-b,--batch-size", o.batch, "Prompt tokens that go through the model together")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--kv", o.kv,
                 "Type of cached keys and values; q8, int8 with a scale for each head, takes half "
                 "the memory of f16")
      ->check(CLI::IsMember({"f16", "f32", "q8"}))
      ->capture_default_str()
      ->type_name("TYPE");
}

void add_text(CLI::App& app, text_options& o, const char* what) {
  auto* prompt = app.add_option("-p,--prompt", o.prompt, what)->type_name("TEXT");
  app.add_option("-f,--file", o.file, "Read the text from a file; - is stdin")
      ->excludes(prompt)
      ->type_name("FILE");
  app.add_flag("-e,--escape", o.escape, "Interpret \\n, \\t, \\\\ and the like in -p");
}

void add_json(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "Write one JSON object to stdout, for machines");
}

/// Adds a command and binds its options to it.
template <class Options>
CLI::App* add_command(CLI::App& app, request& r, const char* name, const char* help,
                      void (*command)(const Options&), void (*options)(CLI::App&, Options&)) {
  auto o = std::make_shared<Options>();
  auto* sub = app.add_subcommand(name, help);
  options(*sub, *o);
  const std::string footer = sub->get_footer();
  sub->footer((footer.empty() ? "" : footer + "\n\n") + exit_code_help);
  sub->callback([&r, o, command] { r.command = [o, command] { command(*o); }; });
  return sub;
}

void run_arguments(CLI::App& app, run_options& o) {
  add_model(app, o.model);
  add_text(app, o.text, "Text to continue");
  app.add_option("-n,--predict,--n-predict", o.predict,
                 "Most tokens to generate; -1: until the text or the context ends")
      ->check(CLI::Range(-1, 1 << 24))
      ->capture_default_str();
  add_memory(app, o.memory, "Context in tokens; 0: what the model was trained for, at most 4096");
  app.add_option("--temp", o.temperature, "Temperature; 0 always takes the likeliest token")
      ->check(CLI::Range(0.0, 1000.0))
      ->capture_default_str();
  app.add_option("--top-k", o.top_k, "Sample from the K likeliest tokens; 0: from all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  app.add_option("--top-p", o.top_p, "Sample from the likeliest tokens that hold this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--min-p", o.min_p, "Drop tokens below this share of the likeliest one's")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--repeat-penalty", o.repeat_penalty,
                 "Divide scores of recent tokens by this; 1: off")
      ->check(CLI::Range(0.01, 100.0))
      ->capture_default_str();
  app.add_option("--repeat-last-n", o.repeat_last_n, "Tokens that count as recent")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  app.add_option("-s,--seed", o.seed, "Random seed; -1: another one each time")
      ->capture_default_str();
  app.add_option("-r,--stop", o.stop, "End before this text; may be given several times")
      ->type_name("TEXT")
      ->take_all()
      ->expected(1);
  auto* grammar = app.add_option("--grammar", o.grammar,
                                 "Generate only what the grammar in this file (GBNF) allows")
                      ->type_name("FILE");
  app.add_option("--choice", o.choices,
                 "Generate exactly this text, or another that is given so; it follows the prompt "
                 "directly, so it often begins with a space")
      ->type_name("TEXT")
      ->take_all()
      ->expected(1)
      ->excludes(grammar);
  app.add_flag("--chat", o.chat,
               "Put the prompt into the model's chat format, as a user's message; without a "
               "prompt: hold a conversation, a message a line");
  app.add_option("--system", o.system, "System message of the chat")
      ->needs("--chat")
      ->type_name("TEXT");
  app.add_flag("--ignore-eos", o.ignore_eos, "Go on after the model ends its text");
  app.add_flag("--no-bos", o.no_bos, "Do not put the beginning-of-text token first");
  app.add_flag("--parse-special", o.parse_special, "Recognise special tokens in the prompt");
  app.add_flag("!--no-display-prompt", o.display_prompt,
               "Write only the continuation, without the prompt before it");
  add_json(app, o.json);
}

void tokenize_arguments(CLI::App& app, tokenize_options& o) {
  app.add_option("-m,--model", o.path, "Model or vocabulary file (GGUF)")
      ->required()
      ->type_name("FILE");
  add_text(app, o.text, "Text to tokenize");
  app.add_flag("--no-bos", o.no_bos, "Do not add the special tokens that the vocabulary asks for");
  app.add_flag("--parse-special", o.parse_special, "Recognise special tokens in the text");
  app.add_flag("--lines", o.lines, "Every line of the input is a text: one line of ids for each");
  app.add_flag("--hex", o.hex, "Every line of the input is a text in hex bytes (implies --lines)");
  auto* pieces = app.add_flag("--pieces", o.pieces, "Show a token a line, with the text it is for");
  app.add_flag("--nfc", o.nfc, "Compose characters first, as the original tokenizer of Qwen does");
  app.add_flag("--keep-invalid", o.keep_invalid,
               "Keep bytes that are not UTF-8; the default makes each one U+FFFD");
  app.add_flag("--json", o.json, "Write one JSON object to stdout, for machines")->excludes(pieces);
}

void logits_arguments(CLI::App& app, logits_options& o) {
  add_model(app, o.model);
  auto* tokens = app.add_option("--tokens", o.tokens, "Token ids: 1,2,3")->type_name("IDS");
  app.add_option("-f,--file", o.file, "Read the token ids from a file; - is stdin")
      ->excludes(tokens)
      ->type_name("FILE");
  app.add_option("-o,--output", o.output,
                 "Where the scores go: for every token, one little-endian float32 for each entry "
                 "of the vocabulary; - is stdout")
      ->required()
      ->type_name("FILE");
  add_memory(app, o.memory, "Context in tokens; 0: as many as there are tokens");
}

void perplexity_arguments(CLI::App& app, perplexity_options& o) {
  add_model(app, o.model);
  add_text(app, o.text, "Text to score");
  add_memory(app, o.memory, "Tokens in a chunk; 0: 512");
  app.add_option("--chunks", o.chunks, "Score only that many chunks; 0: all");
  add_json(app, o.json);
}

void inspect_arguments(CLI::App& app, inspect_options& o) {
  app.add_option("model,-m,--model", o.path, "Model or vocabulary file (GGUF)")
      ->required()
      ->type_name("FILE");
  app.add_option("-c,--ctx-size", o.context,
                 "Context of the memory plan; 0: what the model was trained for, at most 4096")
      ->check(CLI::Range(0, 1 << 24));
  app.add_flag("--tensors", o.tensors, "List every tensor");
  app.add_flag("--no-stats", o.no_stats, "Do not read the weights: no norms");
  add_json(app, o.json);
}

void bench_arguments(CLI::App& app, bench_options& o) {
  add_model(app, o.model);
  app.add_option("-p,--n-prompt", o.prompt, "Tokens of the prompt; 0: no prefill")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("-n,--n-gen", o.predict, "Tokens to decode; 0: no decoding")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("-d,--depth", o.depth, "Tokens in the context before those that are timed")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("-r,--repetitions", o.repeat, "Repetitions; the best one counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--sessions", o.sessions,
                 "Also decode so many sequences together, a token of each in a step")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  add_memory(app, o.memory, "Context in tokens; 0: as many as are needed");
  app.add_flag(
      "--all-scores", o.all_scores,
      "Compute every token's score in each step; the default is the 40 best, which is what "
      "sampling takes");
  app.add_flag("--no-limits", o.no_limits, "Do not measure the machine's own limits");
  add_json(app, o.json);
}

void synth_arguments(CLI::App& app, synth_options& o) {
  app.add_option("--shape", o.shape, "Shape: 2b4t (BitNet-b1.58-2B-4T), bonsai-1.7b, or tiny")
      ->check(CLI::IsMember({"2b4t", "bonsai-1.7b", "tiny"}))
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option(
         "--type", o.type,
         "Type of the matrices: " + written_type_names() + " (default: i2_s, for bonsai-1.7b q1_0)")
      ->type_name("TYPE");
  app.add_option("--arch", o.architecture,
                 "Architecture: bitnet-b1.58, bitnet, llama, qwen3 (default: the shape's own)")
      ->check(CLI::IsMember({"bitnet-b1.58", "bitnet-25", "bitnet", "llama", "qwen3"}))
      ->type_name("NAME");
  app.add_option("--embedding", o.embedding,
                 "Type of the token embedding (default: f16, for bonsai-1.7b that of --type)")
      ->type_name("TYPE");
  app.add_option("--head", o.head,
                 "Type of an output head of its own (default: the embedding is the head)")
      ->type_name("TYPE");
  app.add_option("-s,--seed", o.seed, "Random seed; the same one gives the same file")
      ->capture_default_str();
  app.add_option("-o,--output", o.output, "File to write (GGUF)")->required()->type_name("FILE");
  add_json(app, o.json);
}

void tile_arguments(CLI::App& app, tile_options& o) {
  app.add_option("model", o.input, "Model file (GGUF), or the first part of a split one")
      ->required()
      ->type_name("FILE");
  app.add_option("-o,--output", o.output, "File to write (GGUF)")->required()->type_name("FILE");
  add_force(app, o.force);
  add_threads(app, o.threads);
  add_i2s_order(app, o.i2_s_arm);
  add_json(app, o.json);
  app.footer(
      "The file holds the same model, its matrices in the order in which the kernels read them and "
      "the int8\ncopy of the output head made. It is used where it is mapped: opening takes "
      "milliseconds, and its pages are\nshared by all processes that run it. Other programs refuse "
      "it, so keep the original.");
}

void quantize_arguments(CLI::App& app, quantize_command_options& o) {
  app.add_option("input", o.input, "Model file (GGUF), or the first part of a split one")
      ->required()
      ->type_name("FILE");
  app.add_option("output,-o,--output", o.output, "File to write (GGUF); never the input")
      ->required()
      ->type_name("FILE");
  add_force(app, o.force);
  app.add_option("--type", o.type, "Type of the matrices: " + written_type_names())
      ->required()
      ->type_name("TYPE");
  app.add_option("--embedding", o.embedding,
                 "Type of the token embedding. Default: that of --type if it has six bits or more, "
                 "else as it is")
      ->type_name("TYPE");
  app.add_option("--head", o.head, "Type of an output head of its own; the same default")
      ->type_name("TYPE");
  app.add_option("--fallback", o.fallback,
                 "Type of matrices whose rows are no whole blocks of --type; without it such a "
                 "model is refused")
      ->type_name("TYPE");
  add_threads(app, o.threads);
  add_i2s_order(app, o.i2_s_arm);
  add_json(app, o.json);
  app.footer(
      "Weights that the new type can say are kept exactly: ternary ones in i2_s, tq1_0, tq2_0, "
      "iq2_bn, q8_0 and so\non, if their scales are half-precision numbers or the type has f32 "
      "scales (i2_s, iq2_bn, f32). That is verified\nby decoding, and each tensor is listed as "
      "exact or with its error. Matrices that are not ternary become so\naround their mean "
      "magnitude, the quantizer of BitNet b1.58: right for a model that was trained with it, ruin "
      "for\nothers. Norms, scales and biases are copied.");
}

void convert_arguments(CLI::App& app, convert_options& o) {
  app.add_option("folder", o.input,
                 "Folder of a Hugging Face model: config.json, tokenizer.json or tokenizer.model, "
                 "and safetensors in one file or many")
      ->required()
      ->type_name("DIR");
  app.add_option("-o,--output", o.output, "File to write (GGUF)")->required()->type_name("FILE");
  app.add_option("--type", o.type,
                 "Type of the blocks' matrices: " + written_type_names() +
                     " (default: i2_s for ternary models, for others what the folder has)")
      ->type_name("TYPE");
  app.add_option("--embedding", o.embedding,
                 "Type of the token embedding (default: what the folder has)")
      ->type_name("TYPE");
  app.add_option("--head", o.head, "Type of the output head (default: what the folder has)")
      ->type_name("TYPE");
  app.add_option("--pre", o.pre,
                 "Pre-tokenizer that does the same as the folder's, where that is not recognised: "
                 "llama-bpe, falcon3, falcon_e, qwen2, qwen35, gpt-2, default")
      ->type_name("NAME");
  app.add_option("--name", o.name, "Name of the model (default: the folder's)")->type_name("NAME");
  app.add_flag("--absmean", o.absmean,
               "The matrices are master weights: round each to -1, 0, 1 times its mean magnitude, "
               "as BitNet training does, where config.json does not say so");
  add_force(app, o.force);
  add_threads(app, o.threads);
  add_json(app, o.json);
  app.footer(
      "Converts BitNetForCausalLM, BitnetForCausalLM, LlamaForCausalLM and Qwen3ForCausalLM: "
      "packed "
      "1.58-bit weights\n(exactly), BF16 or F16 master weights of BitNet models (rounded as in "
      "training), and plain weights (as they are,\nor as --type says; how far each tensor moved is "
      "reported). Nothing is guessed: what a GGUF file cannot say or\nthis program cannot run is "
      "refused by name. One tensor's piece is in memory at a time.");
}

void repair_arguments(CLI::App& app, repair_command_options& o) {
  app.add_option("input", o.input,
                 "Model or vocabulary file (GGUF), or the first part of a split one")
      ->required()
      ->type_name("FILE");
  app.add_option("output,-o,--output", o.output, "File to write (GGUF); never the input")
      ->type_name("FILE");
  app.add_flag("-n,--dry-run", o.dry_run, "Show what would change and write nothing");
  add_force(app, o.force);
  app.add_option("--pre", o.pre,
                 "Pre-tokenizer: llama-bpe, falcon3, falcon_e, qwen2, qwen35, gpt-2, default")
      ->type_name("NAME");
  app.add_option("--chat-template", o.chat_template,
                 "Chat template: the name of a format (chatml, llama2, llama3, bitnet, falcon3, "
                 "falcon_e), or a file with a template")
      ->type_name("NAME");
  const auto token = [&](const char* name, std::string& value, const char* what) {
    app.add_option(name, value, what)->type_name("TOKEN");
  };
  token("--bos", o.bos, "Token that begins texts: its number or text; none: leave the key out");
  token("--eos", o.eos, "Token that ends texts");
  token("--eot", o.eot, "Token that ends a turn of a chat");
  token("--unk", o.unk, "Token for what the vocabulary cannot say");
  token("--pad", o.pad, "Token to fill with");
  const auto either = [&](const std::string& name, std::optional<bool>& value, const char* what) {
    auto* yes = app.add_flag_callback(
        "--" + name, [&value] { value = true; }, what);
    app.add_flag_callback(
           "--no-" + name, [&value] { value = false; }, "The opposite")
        ->excludes(yes);
  };
  either("add-bos", o.add_bos, "Texts begin with BOS");
  either("add-eos", o.add_eos, "Texts end with EOS");
  const auto keys = [&](const char* name, std::vector<std::string>& value, const char* what) {
    return app.add_option(name, value, what)->take_all()->expected(1);
  };
  keys("--set", o.set,
       "Set any key; types are string, bool, u8 to u64, i8 to i64, f32, f64. May be given several "
       "times")
      ->type_name("KEY=TYPE:VALUE");
  keys("--remove", o.remove, "Leave a key out; may be given several times")->type_name("KEY");
  add_json(app, o.json);
  app.footer(
      "Finds what published files are known to lack or to have wrong: the pre-tokenizer, the chat "
      "template, ids of\nspecial tokens, whether texts begin with BOS, types of special tokens, "
      "the "
      "activation of BitNet-b1.58-2B-4T.\nIt says what it changes and what proves it; what the "
      "file "
      "does not decide it asks for, by option, and then writes\nnothing (exit code 1). Where "
      "nothing "
      "is wrong it says so and writes nothing (0). Tensors are copied as they are.");
}

}  // namespace

request parse(int argc, char** argv) {
  request r;
  CLI::App app{"Runs 1-bit and ternary language models (GGUF files) on the CPU.", "bitnet"};
  app.set_version_flag("--version", version_text());
  app.require_subcommand(1);
  add_command(app, r, "run", "Generate text", run, run_arguments);
  add_command(app, r, "tokenize", "Turn text into token ids", tokenize, tokenize_arguments);
  add_command(app, r, "logits", "Write the scores of every position", logits, logits_arguments);
  add_command(app, r, "perplexity", "Measure how well the model predicts a text", perplexity,
              perplexity_arguments);
  add_command(app, r, "inspect", "Show what is in a model file", inspect, inspect_arguments);
  add_command(app, r, "bench", "Measure speed, as a share of the machine's limits", bench,
              bench_arguments);
  add_command(app, r, "synth", "Write a model with random weights, to measure without a download",
              synth, synth_arguments);
  add_command(app, r, "tile", "Write a model in the order of the kernels, which opens at once",
              tile, tile_arguments);
  add_command(app, r, "quantize", "Write a model with its matrices in another format", quantize,
              quantize_arguments);
  add_command(app, r, "convert", "Make a model file from a Hugging Face folder", convert,
              convert_arguments);
  add_command(app, r, "repair", "Write a model with missing and wrong metadata put right", repair,
              repair_arguments);
  // Last, since commands would inherit it.
  app.footer(std::string{"Results go to stdout, statistics and progress to stderr. `bitnet COMMAND "
                         "--help` explains a command.\n\n"} +
             exit_code_help);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const bool help = e.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
    if (argc <= 1) {
      std::cerr << app.help();
    } else {
      app.exit(e, std::cout, std::cerr);
    }
    r.command = nullptr;
    r.status = static_cast<int>(help ? exit_code::ok : exit_code::usage);
  }
  return r;
}

}  // namespace cli
