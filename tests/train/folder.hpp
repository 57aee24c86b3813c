// SPDX-License-Identifier: Apache-2.0
// An empty folder of a test's own, removed in the end.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

namespace train_test {

struct folder {
  explicit folder(const char* name) {
    path = std::filesystem::temp_directory_path(ec) / name;
    std::filesystem::remove_all(path, ec);
    std::filesystem::create_directories(path, ec);
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  ~folder() { std::filesystem::remove_all(path, ec); }

  [[nodiscard]] std::string file(const char* name) const { return (path / name).string(); }

  std::filesystem::path path;
  std::error_code ec;
};

}  // namespace train_test
