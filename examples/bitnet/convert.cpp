// SPDX-License-Identifier: Apache-2.0
// `bitnet convert`: a model file from a folder as Hugging Face publishes models.
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "terminal.hpp"
#include "types.hpp"

#include <nlohmann/json.hpp>

#include <bitnet/convert/convert.hpp>
#include <bitnet/core/thread_pool.hpp>
#include <bitnet/engine/dynamic.hpp>

#include <algorithm>
#include <filesystem>

namespace cli {
namespace {

namespace from_hf = bitnet::convert;

/// Last part of a path, "." and a slash at its end apart.
std::string folder_name(const std::string& path) {
  std::error_code ignored;
  const auto whole = std::filesystem::weakly_canonical(path, ignored);
  return (whole.filename().empty() ? whole.parent_path() : whole).filename().string();
}

const char* folder_advice(bitnet::errc code) {
  using bitnet::errc;
  switch (code) {
    case errc::malformed:
    case errc::limit:
    case errc::missing:
    case errc::wrong_type:
    case errc::shape:
      return "the folder must be whole, as published: config.json, tokenizer.json or "
             "tokenizer.model, and all of the model's safetensors";
    default:
      return advice(code);
  }
}

from_hf::options library_options(const convert_options& o) {
  from_hf::options out;
  out.types = {written_type_if_named(o.type), written_type_if_named(o.embedding),
               written_type_if_named(o.head)};
  out.name = o.name.empty() ? folder_name(o.input) : o.name;
  out.pre = o.pre;
  if (!o.pre.empty())
    static_cast<void>(check(bitnet::text::find_pre_tokenizer(o.pre), "cannot convert"));
  out.absmean = o.absmean;
  return out;
}

std::uint64_t bytes_read(const from_hf::conversion& model) {
  std::uint64_t bytes = 0;
  for (const auto& file : model.from().mappings()) bytes += file.bytes().size();
  return bytes;
}

/// The tensor that moved most and how many moved at all.
std::string describe(std::span<const from_hf::tensor_error> errors) {
  if (errors.empty()) return "every weight kept exactly";
  const auto& worst = *std::max_element(
      errors.begin(), errors.end(),
      [](const auto& a, const auto& b) { return a.relative_rms < b.relative_rms; });
  return std::to_string(errors.size()) + " tensors not exact, the worst " +
         cli::quoted(worst.name) + ", by " + number(100 * worst.relative_rms, 3) + " %";
}

void print_json(const convert_options& options, const from_hf::conversion& model,
                std::uint64_t bytes, double seconds) {
  nlohmann::ordered_json out;
  out["file"] = options.output;
  out["architecture"] = std::string{model.config().architecture};
  out["tensors"] = model.tensors().size();
  out["bytes"] = bytes;
  out["original_bytes"] = bytes_read(model);
  out["errors"] = nlohmann::ordered_json::object();
  for (const auto& e : model.errors()) out["errors"][e.name] = e.relative_rms;
  out["notes"] = nlohmann::ordered_json::array();
  for (const auto& n : model.notes()) out["notes"].push_back(n);
  out["seconds"] = seconds;
  put(out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n');
}

}  // namespace

void convert(const convert_options& options) {
  refuse_existing(options.output, options.force);
  const stopwatch watch;
  if (std::error_code ignored; !std::filesystem::is_directory(options.input, ignored))
    throw failure{exit_code::file, cli::quoted(options.input) +
                                       " is no folder: give that of a model's config.json, "
                                       "tokenizer and safetensors"};
  const std::string doing = "cannot convert " + cli::quoted(options.input);
  auto model = check(from_hf::conversion::open(options.input, library_options(options)), doing,
                     folder_advice);
  // What would not load is not worth writing.
  check(model.preview([](const bitnet::gguf::document& document) -> bitnet::status {
    const auto plan = bitnet::plan(document);
    return plan ? bitnet::status{} : plan.error();
  }),
        doing, folder_advice);
  for (const std::string& text : model.notes()) note("note: " + text);

  auto threads =
      check(bitnet::thread_pool::make({.threads = options.threads}), "cannot start threads");
  output_file sink{options.output, model.from().mappings()};
  progress bar{"writing " + options.output};
  check(model.write(sink, threads,
                    [&](std::uint64_t done, std::uint64_t total) {
                      bar.update(done, total, bytes_text(sink.bytes()));
                    }),
        doing, folder_advice);
  sink.commit();
  bar.clear();
  if (options.json) print_json(options, model, sink.bytes(), watch.seconds());
  note("wrote " + cli::quoted(options.output) + ": " + std::to_string(model.tensors().size()) +
       " tensors, " + bytes_text(sink.bytes()) + " (from " + bytes_text(bytes_read(model)) +
       "), in " + number(watch.seconds(), 1) + " s; " + describe(model.errors()));
}

}  // namespace cli
