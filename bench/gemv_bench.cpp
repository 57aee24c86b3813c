// SPDX-License-Identifier: Apache-2.0
// Decoding: one vector times a matrix of every encoding, from memory and from a cache.
#include "tiled.hpp"

namespace {

void add_all() {
  bench::for_each_isa([](const bitnet::kernels::kernel_table& k) {
    bench::add_products(k, "gemv", "memory", 1, bench::large_bytes);
    bench::add_products(k, "gemv", "cache", 1, bench::small_bytes);
  });
  bench::add_products_on_all_threads("gemv", "memory", 1, bench::large_bytes);
}

}  // namespace

int main(int argc, char** argv) { return bench::main(argc, argv, add_all); }
