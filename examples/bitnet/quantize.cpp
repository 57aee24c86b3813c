// SPDX-License-Identifier: Apache-2.0
// `bitnet quantize`: the same model with its matrices in another format, and what that costs.
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "terminal.hpp"
#include "types.hpp"

#include <nlohmann/json.hpp>

#include <bitnet/core/thread_pool.hpp>
#include <bitnet/engine/quantize_model.hpp>

#include <cmath>
#include <cstdio>

namespace cli {
namespace {

using bitnet::gguf::tensor_type;

/// All converted tensors together.
struct totals {
  std::size_t converted = 0, exact = 0;
  std::uint64_t weights = 0;
  double squares = 0.0, errors = 0.0;

  void add(const bitnet::quantized_tensor& t) {
    if (t.copied) return;
    ++converted;
    exact += t.exact ? 1U : 0U;
    weights += t.weights;
    squares += t.squares;
    errors += t.errors;
  }
  [[nodiscard]] double relative_error() const {
    return errors == 0.0 ? 0.0 : std::sqrt(errors / squares);
  }
};

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g %%", 100.0 * share);
  return text;
}

void show_tensor(const bitnet::quantized_tensor& t) {
  const std::string from{bitnet::gguf::name_of(t.from)};
  const std::string to{bitnet::gguf::name_of(t.to)};
  std::string what = t.copied  ? "as it was"
                     : t.exact ? "exact"
                               : "relative RMS error " + percent(t.relative_error());
  if (t.fell_back) what += ", fallback";
  char line[256];
  std::snprintf(line, sizeof line, "%-40.*s %14s  %s\n", static_cast<int>(t.name.size()),
                t.name.data(), (t.copied ? from : from + " > " + to).c_str(), what.c_str());
  put(line);
}

nlohmann::ordered_json tensor_json(const bitnet::quantized_tensor& t) {
  nlohmann::ordered_json j;
  j["name"] = t.name;
  j["from"] = bitnet::gguf::name_of(t.from);
  j["to"] = bitnet::gguf::name_of(t.to);
  j["copied"] = t.copied;
  j["exact"] = t.exact;
  j["relative_error"] = t.relative_error();
  j["fallback"] = t.fell_back;
  return j;
}

}  // namespace

void quantize(const quantize_command_options& options) {
  bitnet::quantize_options wanted;
  wanted.matrices = written_type(options.type);
  wanted.embedding = written_type_if_named(options.embedding);
  wanted.head = written_type_if_named(options.head);
  wanted.fallback = written_type_if_named(options.fallback);
  wanted.i2_s_arm = options.i2_s_arm;
  refuse_existing(options.output, options.force);

  const stopwatch watch;
  const std::string doing = "cannot quantize " + cli::quoted(options.input);
  const auto model =
      check(bitnet::gguf::open(options.input), "cannot open " + cli::quoted(options.input));
  auto threads =
      check(bitnet::thread_pool::make({.threads = options.threads}), "cannot start threads");
  output_file sink{options.output, model.mappings()};
  progress bar{"writing " + options.output};
  const auto show = [&](std::uint64_t done, std::uint64_t total) {
    const double rate = static_cast<double>(done) / std::max(watch.seconds(), 1e-3);
    bar.update(done, total, bytes_text(static_cast<std::uint64_t>(rate)) + "/s");
  };
  wanted.progress = show;
  const auto report = check(bitnet::write_quantized(model, sink, threads, wanted), doing);
  sink.commit();
  bar.clear();

  const double seconds = watch.seconds();
  totals all;
  std::uint64_t before = 0;
  for (const auto& part : model.parts()) before += part.size();
  for (const auto& t : report) all.add(t);
  const double rate = static_cast<double>(before) / seconds / 1e6;
  if (options.json) {
    nlohmann::ordered_json out;
    out["file"] = options.output;
    out["type"] = options.type;
    out["tensors"] = nlohmann::ordered_json::array();
    for (const auto& t : report) out["tensors"].push_back(tensor_json(t));
    out["converted"] = all.converted;
    out["exact"] = all.exact;
    out["relative_error"] = all.relative_error();
    out["weights"] = all.weights;
    out["bytes"] = sink.bytes();
    out["original_bytes"] = before;
    out["seconds"] = seconds;
    out["mb_per_s"] = rate;
    put(out.dump() + '\n');
  } else {
    for (const auto& t : report) show_tensor(t);
  }
  note("wrote " + cli::quoted(options.output) + ": " + std::to_string(all.converted) + " of " +
       std::to_string(report.size()) + " tensors converted, " +
       (all.converted == all.exact
            ? std::string{"all exactly"}
            : std::to_string(all.exact) + " exactly, relative RMS error of all " +
                  percent(all.relative_error())) +
       "; " + bytes_text(sink.bytes()) + " (from " + bytes_text(before) + "), in " +
       number(seconds, 1) + " s, " + number(rate, 0) + " MB/s read");
  if (wanted.matrices == tensor_type::i2_s &&
      std::any_of(report.begin(), report.end(), [&](const auto& t) {
        return t.to == tensor_type::i2_s && model.find(t.name)->cols() % 128 != 0;
      }))
    note(
        "warning: bitnet.cpp computes I2_S rows wrongly that are no multiple of 128; this library "
        "does not");
}

}  // namespace cli
