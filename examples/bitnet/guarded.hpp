// SPDX-License-Identifier: Apache-2.0
// The end of every program of the command line: what it throws becomes a message and an exit code.
#pragma once

#include "failure.hpp"
#include "terminal.hpp"

#include <exception>
#include <new>

namespace cli {

/// What the process returns: the value of program(), or the code of what it threw, which is
/// printed.
template <class F>
[[nodiscard]] int guarded(F&& program) {
  exit_code code = exit_code::general;
  try {
    return program();
  } catch (const failure& e) {
    print_error(e.what());
    code = e.code();
  } catch (const std::bad_alloc&) {
    print_error("not enough memory");
    code = exit_code::memory;
  } catch (const std::exception& e) {
    print_error(e.what());
  }
  return static_cast<int>(code);
}

}  // namespace cli
