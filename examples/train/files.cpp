// SPDX-License-Identifier: Apache-2.0
// Files that a run writes beside its model.
#include "files.hpp"

#include "history.hpp"

#include "../bitnet/failure.hpp"
#include "../bitnet/terminal.hpp"

#include <bitnet/gguf/sink.hpp>

#include <fstream>
#include <iterator>
#include <utility>

namespace trainer {
namespace {

namespace gguf = bitnet::gguf;
namespace train = bitnet::train;

using cli::check;

std::string read_file(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in) throw cli::failure{cli::exit_code::file, "cannot read " + cli::quoted(path)};
  return {std::istreambuf_iterator<char>{in}, {}};
}

}  // namespace

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  const std::string doing = "writing " + cli::quoted(path);
  auto sink = check(gguf::file_sink::create(path), doing);
  check(sink.write(bytes), doing);
  check(sink.commit(), doing);
}
void write_file(const std::string& path, const std::string& text) {
  write_file(path, std::as_bytes(std::span{text}));
}

void plot_runs(const options& o, std::vector<train::plot_series> plot) {
  for (const std::string& run : o.compare) {
    const std::size_t equals = run.find('=');
    if (equals == std::string::npos) cli::usage_error("--compare is NAME=FILE");
    history::from_csv(read_file(run.substr(equals + 1))).add_to(plot, run.substr(0, equals));
  }
  train::plot_options look;
  look.title = "Held-out loss (training loss pale)";
  look.y_label = "nats a token";
  write_file(o.plot, train::plot_svg(plot, look));
}

}  // namespace trainer
