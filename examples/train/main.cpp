// SPDX-License-Identifier: Apache-2.0
// bitnet-train: from text files to a 1-bit or ternary model that talks.
#include "options.hpp"
#include "run.hpp"

#include "../bitnet/failure.hpp"
#include "../bitnet/terminal.hpp"

#include <exception>
#include <new>

int main(int argc, char** argv) {
  using cli::exit_code;
  exit_code code = exit_code::ok;
  try {
    const trainer::request request = trainer::parse(argc, argv);
    if (!request.run) return request.status;
    cli::catch_interrupts();
    trainer::run(request.settings);
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
