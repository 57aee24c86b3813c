// SPDX-License-Identifier: Apache-2.0
// What lies between the matrices: norms, nonlinearities, rotation, rounding. All data is in the
// first cache or the second, so bytes read count against what that cache reads.
#include "support.hpp"

#include <vector>

namespace {

using bitnet::f16;
using bitnet::kernels::kernel_table;

constexpr std::size_t dim = 2560;  // of BitNet-b1.58-2B-4T, as are the next two
constexpr std::size_t ffn = 6912;
constexpr std::size_t head_dim = 128;

/// Times `run` on the calling thread; an iteration reads `bytes`.
template <class Run>
void add(const kernel_table& k, const char* name, std::size_t bytes, Run run) {
  bench::add("vector/" + std::string{k.isa} + '/' + name, [&k, bytes, run](benchmark::State& s) {
    for ([[maybe_unused]] auto _ : s) {
      run();
      benchmark::ClobberMemory();
    }
    bench::work w;
    w.bytes = static_cast<double>(bytes);
    bench::report(s, k.isa, w);
  });
}

void add_quantize(const kernel_table& k, const char* name, std::size_t block) {
  struct rows {
    std::vector<float> x = std::vector<float>(ffn, 0.5F);
    std::vector<std::int8_t> values;
    std::vector<float> scales;
    std::vector<std::int32_t> prefix, less;
    bitnet::quant::quantized_rows q;
  };
  auto r = std::make_shared<rows>();
  r->q.rows = 1;
  r->q.cols = ffn;
  r->q.block = block == 0 ? r->q.padded() : block;
  r->values.resize(r->q.padded());
  r->scales.resize(r->q.blocks());
  r->prefix.resize(r->q.prefixes());
  r->less.resize(r->q.blocks());
  r->q.values = r->values.data();
  r->q.scales = r->scales.data();
  r->q.prefix = r->prefix.data();
  r->q.less = r->less.data();
  add(k, name, ffn * sizeof(float), [&k, r] { k.quantize(r->x.data(), r->q, 0); });
}

void add_all(const kernel_table& k) {
  using floats = std::vector<float>;
  const auto make = [](std::size_t n, float x) { return std::make_shared<floats>(n, x); };
  constexpr std::size_t size = sizeof(float);
  const auto a = make(ffn, 0.5F), b = make(ffn, 1.0F), y = make(ffn, 0.0F);
  const auto one = make(head_dim, 1.0F), zero = make(head_dim, 0.0F);
  const auto halves = std::make_shared<std::vector<f16>>(ffn);
  add(k, "rms_norm", 2 * dim * size,
      [=, &k] { k.rms_norm(a->data(), b->data(), 1e-5F, y->data(), dim); });
  add(k, "add", 2 * dim * size, [=, &k] { k.add(y->data(), b->data(), dim); });
  add(k, "silu_mul", 2 * ffn * size, [=, &k] { k.silu_mul(a->data(), b->data(), y->data(), ffn); });
  add(k, "relu2_mul", 2 * ffn * size,
      [=, &k] { k.relu2_mul(a->data(), b->data(), y->data(), ffn); });
  add(k, "rope_halves", 2 * head_dim * size,
      [=, &k] { k.rope_halves(a->data(), one->data(), zero->data(), head_dim / 2); });
  add(k, "rope_adjacent", 2 * head_dim * size,
      [=, &k] { k.rope_adjacent(a->data(), one->data(), zero->data(), head_dim / 2); });
  add(k, "to_f16", ffn * size, [=, &k] { k.to_f16(a->data(), halves->data(), ffn); });
  add_quantize(k, "quantize_token", 0);
  add_quantize(k, "quantize_blocks", bitnet::quant::activation_block);
}

void add_all() {
  bench::for_each_isa([](const kernel_table& k) { add_all(k); });
}

}  // namespace

int main(int argc, char** argv) { return bench::main(argc, argv, add_all); }
