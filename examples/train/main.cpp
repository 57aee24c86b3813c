// SPDX-License-Identifier: Apache-2.0
// bitnet-train: from text files to a 1-bit or ternary model that talks.
#include "options.hpp"
#include "run.hpp"

#include "../bitnet/guarded.hpp"

int main(int argc, char** argv) {
  return cli::guarded([&] {
    const trainer::request request = trainer::parse(argc, argv);
    if (!request.run) return request.status;
    cli::catch_interrupts();
    trainer::run(request.settings);
    return static_cast<int>(cli::exit_code::ok);
  });
}
