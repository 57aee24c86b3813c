// SPDX-License-Identifier: Apache-2.0
// Decoding: one vector times a matrix of every encoding, from memory and from a cache.
#include "tiled.hpp"

namespace {

using bench::tiled_layout;
using bitnet::kernels::kernel_table;

void tiled(benchmark::State& state, const kernel_table& k, const tiled_layout& l, std::size_t bytes,
           bitnet::executor_ref threads) {
  bench::tiled_product product{k, l, 1, bytes};
  for ([[maybe_unused]] auto _ : state) product.run(threads);
  bench::report(state, threads, k.isa, product.done());
}

void dense(benchmark::State& state, const kernel_table& k, bench::dense_product::kernel multiply,
           std::size_t weight_bytes, std::size_t bytes) {
  bench::dense_product product{multiply, weight_bytes, 1, bytes};
  for ([[maybe_unused]] auto _ : state) product.run();
  bench::report(state, k.isa, product.done());
}

void add_all(const kernel_table& k) {
  const std::string prefix = "gemv/" + std::string{k.isa} + '/';
  struct place {
    const char* name;
    std::size_t bytes;
  };
  for (const place& p :
       {place{"/memory", bench::large_bytes}, place{"/cache", bench::small_bytes}}) {
    for (const tiled_layout& l : bench::tiled_layouts)
      bench::add(prefix + l.name + p.name, [&k, l, p](benchmark::State& s) {
        bitnet::serial_executor here;
        tiled(s, k, l, p.bytes, here);
      });
    const auto add_dense = [&](const char* name, auto multiply, std::size_t size) {
      bench::add(prefix + name + p.name, [&k, multiply, size, p](benchmark::State& s) {
        dense(s, k, multiply, size, p.bytes);
      });
    };
    add_dense("f16", k.gemm_f16, 2);
    add_dense("bf16", k.gemm_bf16, 2);
    add_dense("f32", k.gemm_f32, 4);
  }
}

void add_all() {
  bench::for_each_isa([](const kernel_table& k) { add_all(k); });
  const kernel_table& best = bitnet::kernels::best_table();
  for (const tiled_layout& l : bench::tiled_layouts)
    bench::add("gemv/" + std::string{best.isa} + '/' + l.name + "/memory/all_threads",
               [&best, l](benchmark::State& s) {
                 tiled(s, best, l, bench::large_bytes, bench::all_threads());
               })
        ->UseRealTime();
}

}  // namespace

int main(int argc, char** argv) { return bench::main(argc, argv, add_all); }
