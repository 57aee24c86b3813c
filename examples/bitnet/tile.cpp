// SPDX-License-Identifier: Apache-2.0
// `bitnet tile`: the same model in a file that is used where it is mapped.
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

#include <bitnet/core/thread_pool.hpp>
#include <bitnet/engine/dynamic.hpp>
#include <bitnet/engine/tile_model.hpp>

#include <algorithm>

namespace cli {
namespace {

std::size_t count_tiled(const bitnet::gguf::document& document) {
  return static_cast<std::size_t>(
      std::count_if(document.tensors().begin(), document.tensors().end(),
                    [](const auto* t) { return bitnet::gguf::as_tiled(t->type).has_value(); }));
}

}  // namespace

void tile(const tile_options& options) {
  refuse_existing(options.output, options.force);
  const stopwatch watch;
  const std::string doing = "cannot tile " + cli::quoted(options.input);
  const auto model =
      check(bitnet::gguf::open(options.input), "cannot open " + cli::quoted(options.input));
  bitnet::open_options loading;
  loading.threads = options.threads;
  loading.i2_s_arm = options.i2_s_arm;
  // What would not load is not worth writing.
  static_cast<void>(check(bitnet::plan(model, loading), doing));

  auto threads =
      check(bitnet::thread_pool::make({.threads = options.threads}), "cannot start threads");
  output_file sink{options.output, model.mappings()};
  progress bar{"writing " + options.output};
  const auto show = [&](std::uint64_t done, std::uint64_t total) {
    bar.update(done, total, bytes_text(sink.bytes()));
  };
  loading.progress = show;
  check(bitnet::write_tiled(model, sink, threads, loading), doing);
  sink.commit();
  bar.clear();

  std::uint64_t before = 0;
  for (const auto& part : model.parts()) before += part.size();
  const auto written = check(bitnet::gguf::open(options.output), "cannot read the new model");
  if (options.json) {
    nlohmann::ordered_json out;
    out["file"] = options.output;
    out["tiled_tensors"] = count_tiled(written);
    out["tensors"] = written.tensors().size();
    out["bytes"] = sink.bytes();
    out["original_bytes"] = before;
    out["seconds"] = watch.seconds();
    put(out.dump() + '\n');
  }
  note("wrote " + cli::quoted(options.output) + ": " + std::to_string(count_tiled(written)) +
       " of " + std::to_string(written.tensors().size()) + " tensors tiled, " +
       bytes_text(sink.bytes()) + " (from " + bytes_text(before) + "), in " +
       number(watch.seconds(), 1) + " s");
}

}  // namespace cli
