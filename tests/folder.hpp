// SPDX-License-Identifier: Apache-2.0
// An empty folder of a test's own, removed in the end.
#pragma once

#include "doctest.hpp"

#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>

namespace testing {

struct folder {
  explicit folder(const char* name) {
    path = std::filesystem::temp_directory_path(ec) / name;
    std::filesystem::remove_all(path, ec);
    REQUIRE(std::filesystem::create_directories(path, ec));
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  ~folder() { std::filesystem::remove_all(path, ec); }

  [[nodiscard]] std::size_t entries() {
    std::size_t n = 0;
    for (const auto& e : std::filesystem::directory_iterator{path, ec}) n += e.exists(ec) ? 1U : 0U;
    return n;
  }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return path.string() + '/' + name;  // not path / name, which would not take UTF-8 on Windows
  }

  std::filesystem::path path;
  std::error_code ec;
};

}  // namespace testing
