// SPDX-License-Identifier: Apache-2.0
// Prefill: many vectors times a matrix of every encoding.
#include "tiled.hpp"

namespace {

using bench::tiled_layout;
using bitnet::kernels::kernel_table;

/// Weights of about one layer of a small model, read from a cache many times over.
constexpr std::size_t matrix_bytes = std::size_t{1} << 20U;

void tiled(benchmark::State& state, const kernel_table& k, const tiled_layout& l,
           std::size_t tokens, bitnet::executor_ref threads) {
  bench::tiled_product product{k, l, tokens, matrix_bytes};
  for ([[maybe_unused]] auto _ : state) product.run(threads);
  bench::report(state, threads, k.isa, product.done());
}

void dense(benchmark::State& state, const kernel_table& k, bench::dense_product::kernel multiply,
           std::size_t weight_bytes, std::size_t tokens) {
  bench::dense_product product{multiply, weight_bytes, tokens, matrix_bytes};
  for ([[maybe_unused]] auto _ : state) product.run();
  bench::report(state, k.isa, product.done());
}

void add_all(const kernel_table& k) {
  const std::string prefix = "gemm/" + std::string{k.isa} + '/';
  for (const std::size_t tokens : {std::size_t{4}, std::size_t{16}, std::size_t{128}}) {
    const std::string suffix = "/tokens:" + std::to_string(tokens);
    for (const tiled_layout& l : bench::tiled_layouts)
      bench::add(prefix + l.name + suffix, [&k, l, tokens](benchmark::State& s) {
        bitnet::serial_executor here;
        tiled(s, k, l, tokens, here);
      });
    const auto add_dense = [&](const char* name, auto multiply, std::size_t size) {
      bench::add(prefix + name + suffix, [&k, multiply, size, tokens](benchmark::State& s) {
        dense(s, k, multiply, size, tokens);
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
    bench::add("gemm/" + std::string{best.isa} + '/' + l.name + "/tokens:128/all_threads",
               [&best, l](benchmark::State& s) { tiled(s, best, l, 128, bench::all_threads()); })
        ->UseRealTime();
}

}  // namespace

int main(int argc, char** argv) { return bench::main(argc, argv, add_all); }
