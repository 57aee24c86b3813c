// SPDX-License-Identifier: Apache-2.0
// The trained model as a GGUF file, and what it says.
#include "export.hpp"

#include "../bitnet/failure.hpp"

#include <bitnet/bitnet.hpp>
#include <bitnet/train/export.hpp>

namespace trainer {

using cli::check;

std::vector<std::byte> to_gguf(const options& o, const dataset& d,
                               const bitnet::train::model& model) {
  const std::string doing = "writing the model";
  bitnet::train::export_options to;
  to.name = o.name.empty() ? o.quantizer + " model" : o.name;
  bitnet::gguf::memory_sink sink;
  check(bitnet::train::export_gguf(model, d.vocabulary.view(), to, sink), doing);
  return std::move(sink.bytes);
}

double loss_of_type(const bitnet::train::model& model) {
  return check(bitnet::train::format_error(model, model.config().weights.format),
               "writing the model");
}

std::string sample(std::span<const std::byte> gguf, const std::string& prompt, std::size_t tokens,
                   float temperature, std::uint64_t seed) {
  const std::string doing = "making a sample";
  bitnet::open_options one;
  one.threads = 1;
  const auto model = check(bitnet::open(gguf, one), doing);
  bitnet::generate_options options;
  options.max_tokens = tokens;
  options.sampling.temperature = temperature;
  options.sampling.top_p = 0.95F;
  options.sampling.seed = seed;
  std::string text = prompt;
  static_cast<void>(check(model.generate(prompt, options,
                                         [&](std::string_view piece) {
                                           text += piece;
                                           return true;
                                         }),
                          doing));
  return text;
}

}  // namespace trainer
