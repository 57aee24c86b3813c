// SPDX-License-Identifier: Apache-2.0
// The command line app of bitnet.hpp: runs, measures, inspects and makes models.
#include "arguments.hpp"
#include "guarded.hpp"

int main(int argc, char** argv) {
  return cli::guarded([&] {
    const cli::request request = cli::parse(argc, argv);
    if (!request.command) return request.status;
    cli::catch_interrupts();
    request.command();
    return static_cast<int>(cli::exit_code::ok);
  });
}
