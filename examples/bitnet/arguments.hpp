// SPDX-License-Identifier: Apache-2.0
// From the command line to a command and its options.
#pragma once

#include <functional>

namespace cli {

/// What the command line asks for: the command with its options, or, without one, the exit status
/// of what is already done (help printed, or a complaint).
struct request {
  std::function<void()> command;
  int status = 0;
};

[[nodiscard]] request parse(int argc, char** argv);

}  // namespace cli
