// SPDX-License-Identifier: Apache-2.0
// `bitnet logits`: raw scores of every position, for comparisons with other engines.
#include "commands.hpp"
#include "failure.hpp"
#include "input.hpp"
#include "model.hpp"
#include "terminal.hpp"

#include <cmath>
#include <cstring>
#include <exception>

namespace cli {
namespace {

/// Takes the scores: a file that appears when it is whole, or stdout.
class score_output {
 public:
  explicit score_output(const std::string& path) : path_{path} {
    if (path != "-")
      file_ = std::make_unique<bitnet::gguf::file_sink>(
          check(bitnet::gguf::file_sink::create(path), "cannot write the scores"));
  }
  void write(std::span<const float> scores) {
    const auto bytes = std::as_bytes(scores);
    if (file_ == nullptr) {
      put({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    } else {
      check(file_->write(bytes), "cannot write " + cli::quoted(path_));
    }
  }
  void finish() {
    if (file_ != nullptr) check(file_->commit(), "cannot write " + cli::quoted(path_));
  }

 private:
  std::string path_;
  std::unique_ptr<bitnet::gguf::file_sink> file_;
};

}  // namespace

void logits(const logits_options& options) {
  if (options.tokens.empty() && options.file.empty())
    usage_error("there are no tokens: give ids with --tokens 1,2,3 or -f FILE");
  const auto tokens = parse_ids(options.file.empty() ? options.tokens : read_file(options.file));
  if (tokens.empty()) usage_error("the list of token ids is empty");

  const auto model = open_model(options.model);
  const std::size_t context = options.memory.context == 0 ? tokens.size() : options.memory.context;
  session s = open_session(model, options.memory, context);
  score_output out{options.output};
  progress bar{"scoring"};
  const stopwatch watch;
  std::size_t scored = 0;
  std::size_t not_finite = 0;
  std::exception_ptr failed;  // nothing may be thrown through the library
  const auto take = [&](std::size_t, std::span<const float> scores) {
    if (failed) return;
    for (const float x : scores) not_finite += std::isfinite(x) ? 0U : 1U;
    try {
      out.write(scores);
    } catch (...) {
      failed = std::current_exception();
    }
    ++scored;
    bar.update(scored, tokens.size());
  };
  for (std::size_t done = 0; done < tokens.size();) {
    stop_if_interrupted();
    const std::size_t n = std::min(options.memory.batch, tokens.size() - done);
    check(s.score(std::span{tokens}.subspan(done, n), take), "cannot score");
    if (failed) std::rethrow_exception(failed);
    done += n;
  }
  out.finish();
  bar.clear();
  const double seconds = watch.seconds();
  note(std::to_string(scored) + " positions x " + std::to_string(model.shape().vocab) +
       " scores in " + number(seconds, 2) + " s (" +
       number(static_cast<double>(scored) / seconds, 1) + " positions/s, " +
       std::string{model.isa()} + ", " + std::to_string(model.threads().concurrency()) +
       " threads)");
  if (not_finite != 0)
    note("warning: " + std::to_string(not_finite) + " scores are not finite; the model is broken");
}

}  // namespace cli
