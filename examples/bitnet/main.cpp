// SPDX-License-Identifier: Apache-2.0
// The command line app of bitnet.hpp: runs, measures, inspects and makes models.
#include "arguments.hpp"
#include "failure.hpp"
#include "terminal.hpp"

#include <exception>
#include <new>

int main(int argc, char** argv) {
  using cli::exit_code;
  exit_code code = exit_code::ok;
  try {
    const cli::request request = cli::parse(argc, argv);
    if (!request.command) return request.status;
    cli::catch_interrupts();
    request.command();
  } catch (const cli::failure& e) {
    cli::print_error(e.what());
    code = e.code();
  } catch (const std::bad_alloc&) {
    cli::print_error("not enough memory");
    code = exit_code::memory;
  } catch (const std::exception& e) {
    cli::print_error(e.what());
    code = exit_code::general;
  }
  return static_cast<int>(code);
}
