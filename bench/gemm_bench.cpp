// SPDX-License-Identifier: Apache-2.0
// Prefill: many vectors times a matrix of every encoding.
#include "tiled.hpp"

namespace {

/// Weights of about one layer of a small model, read from a cache many times over.
constexpr std::size_t matrix_bytes = std::size_t{1} << 20U;

void add_all() {
  bench::for_each_isa([](const bitnet::kernels::kernel_table& k) {
    for (const std::size_t tokens : {std::size_t{4}, std::size_t{16}, std::size_t{128}})
      bench::add_products(k, "gemm", "tokens:" + std::to_string(tokens), tokens, matrix_bytes);
  });
  bench::add_products_on_all_threads("gemm", "tokens:128", 128, matrix_bytes);
}

}  // namespace

int main(int argc, char** argv) { return bench::main(argc, argv, add_all); }
