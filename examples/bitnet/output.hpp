// SPDX-License-Identifier: Apache-2.0
// The model file that a command writes.
#pragma once

#include "failure.hpp"
#include "terminal.hpp"

#include <bitnet/gguf/sink.hpp>

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace cli {

/// A usage failure if the file exists and may not be replaced. Commands ask before they work.
inline void refuse_existing(const std::string& path, bool force) {
  std::error_code ignored;
  if (!force && std::filesystem::exists(path, ignored))
    usage_error(cli::quoted(path) + " exists; --force replaces it");
}

/// A byte_sink for a file that appears under its name at commit() and leaves nothing otherwise. It
/// counts its bytes, ends with Ctrl-C, and never replaces one of its inputs. Throws failure.
class output_file {
 public:
  explicit output_file(std::string_view path,
                       std::span<const bitnet::gguf::mapped_file> inputs = {})
      : file_{check(bitnet::gguf::file_sink::create(path, inputs), doing)} {}

  [[nodiscard]] bitnet::status write(std::span<const std::byte> more) {
    if (interrupted()) return bitnet::error{bitnet::errc::cancelled, "interrupted"};
    bytes_ += more.size();
    return file_.write(more);
  }
  void commit() { check(file_.commit(), doing); }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  static constexpr const char* doing = "cannot write the model";

  bitnet::gguf::file_sink file_;
  std::uint64_t bytes_ = 0;
};

}  // namespace cli
