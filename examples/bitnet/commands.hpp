// SPDX-License-Identifier: Apache-2.0
// The commands of the app and their options: arguments.cpp fills these in, a file each runs one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cli {

/// How a model is opened.
struct model_options {
  std::string path;
  std::string isa;  ///< empty: the best that the machine has
  std::size_t threads = 0;
  bool exact = false;
  bool i2_s_arm = false;
  bool screen_head = true;  ///< the best next tokens at half the cost, for a copy of the head
  std::string activations = "auto";
  bool verbose = false;  ///< say how the model was loaded
};

/// Sizes of a session; a context of 0 is chosen by the command.
struct memory_options {
  std::size_t context = 0;
  std::size_t batch = 256;
  std::string kv = "f16";
};

/// Where a text comes from; file "-" is stdin.
struct text_options {
  std::optional<std::string> prompt;
  std::string file;
  bool escape = false;  ///< backslash sequences in `prompt` are interpreted
};

struct run_options {
  model_options model;
  memory_options memory;
  text_options text;
  std::int64_t predict = 256;  ///< below 0: until the end of the text or of the context
  float temperature = 0.8F;
  std::size_t top_k = 40;
  float top_p = 0.95F;
  float min_p = 0.05F;
  float repeat_penalty = 1.0F;
  std::size_t repeat_last_n = 64;
  std::int64_t seed = -1;  ///< below 0: a new one each time
  std::vector<std::string> stop;
  std::string grammar;               ///< file that says what the text may be
  std::vector<std::string> choices;  ///< or the strings that it may be
  bool chat = false;
  std::string system;
  bool ignore_eos = false;
  bool no_bos = false;
  bool parse_special = false;
  bool display_prompt = true;  ///< not in a chat
  bool json = false;
};

struct tokenize_options {
  std::string path;
  text_options text;
  bool no_bos = false;
  bool parse_special = false;
  bool lines = false;
  bool hex = false;
  bool pieces = false;
  bool nfc = false;
  bool keep_invalid = false;
  bool json = false;
};

struct logits_options {
  model_options model;
  memory_options memory;
  std::string tokens;
  std::string file;
  std::string output;
};

struct perplexity_options {
  model_options model;
  memory_options memory;
  text_options text;
  std::size_t chunks = 0;  ///< 0: all
  bool json = false;
};

struct inspect_options {
  std::string path;
  std::size_t context = 0;
  bool tensors = false;
  bool no_stats = false;
  bool json = false;
};

struct bench_options {
  model_options model;
  memory_options memory;
  std::size_t prompt = 128;
  std::size_t predict = 32;
  std::size_t depth = 0;  ///< tokens in the context before those that are timed
  std::size_t repeat = 3;
  std::size_t sessions = 1;  ///< sequences that are also decoded together; 1: none
  bool all_scores = false;   ///< every step computes the scores of the whole vocabulary
  bool no_limits = false;
  bool json = false;
};

struct synth_options {
  std::string shape = "2b4t";
  std::string type;          ///< empty: the shape's own
  std::string architecture;  ///< empty: the shape's own
  std::string embedding;     ///< empty: the shape's own
  std::string head;          ///< empty: the embedding
  std::string output;
  std::uint64_t seed = 1;
  bool json = false;
};

struct tile_options {
  std::string input;
  std::string output;
  std::size_t threads = 0;
  bool i2_s_arm = false;
  bool force = false;
  bool json = false;
};

/// Types by the names of gguf::name_of(); empty: the default.
struct quantize_command_options {
  std::string input;
  std::string output;
  std::string type;
  std::string embedding;
  std::string head;
  std::string fallback;
  std::size_t threads = 0;
  bool i2_s_arm = false;
  bool force = false;
  bool json = false;
};

struct convert_options {
  std::string input;
  std::string output;
  std::string type;       ///< empty: the checkpoint's, I2_S for ternary matrices
  std::string embedding;  ///< empty: the checkpoint's
  std::string head;       ///< empty: the checkpoint's
  std::string pre;
  std::string name;  ///< empty: the folder's
  bool absmean = false;
  std::size_t threads = 0;
  bool force = false;
  bool json = false;
};

/// Tokens by number or text; see bitnet::repair_options.
struct repair_command_options {
  std::string input;
  std::string output;  ///< may be empty with dry_run
  std::string pre;
  std::string chat_template;  ///< name of a format, or a file
  std::string bos, eos, eot, unk, pad;
  std::optional<bool> add_bos, add_eos;
  std::vector<std::string> set;     ///< KEY=TYPE:VALUE
  std::vector<std::string> remove;  ///< keys
  bool dry_run = false;
  bool force = false;
  bool json = false;
};

void run(const run_options& options);
void tokenize(const tokenize_options& options);
void logits(const logits_options& options);
void perplexity(const perplexity_options& options);
void inspect(const inspect_options& options);
void bench(const bench_options& options);
void synth(const synth_options& options);
void tile(const tile_options& options);
void quantize(const quantize_command_options& options);
void convert(const convert_options& options);
void repair(const repair_command_options& options);

}  // namespace cli
