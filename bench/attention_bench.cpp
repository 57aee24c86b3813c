// SPDX-License-Identifier: Apache-2.0
// Attention with the heads of BitNet-b1.58-2B-4T (20, of 128, on 5 of keys and values): decoding at
// several depths, and prefill. As nn::attend does it, storing the new keys and values included.
#include "support.hpp"

#include <bitnet/nn/attention.hpp>

#include <vector>

namespace {

namespace nn = bitnet::nn;
using bitnet::kernels::kernel_table;

/// A session's part that attention sees, with a context that is full up to `depth`.
class attention {
 public:
  attention(const kernel_table& k, nn::kv_type kv, std::size_t depth, std::size_t rows)
      : kernels_{k}, depth_{depth} {
    shape_.heads = 20;
    shape_.kv_heads = 5;
    shape_.head_dim = 128;
    shape_.dim = shape_.q_dim();
    // As many of the model's layers as there is room for: steps walk through all of them, so that
    // keys and values come from where they come from in the model.
    shape_.layers = 1;
    const std::size_t layer = *nn::kv_cache::bytes(shape_, depth + rows, kv);
    shape_.layers = std::clamp<std::size_t>(bench::large_bytes / layer, 1, 30);
    const std::size_t bytes = *nn::kv_cache::bytes(shape_, depth + rows, kv);
    kv_memory_ =
        bench::value_of(bitnet::aligned_buffer<std::byte>::uninitialized(bytes, "keys and values"));
    std::memset(kv_memory_.data(), 0x2c, bytes);  // small numbers in either type
    kv_pages_.resize(nn::kv_cache::page_count(depth + rows));
    cache_ = nn::kv_cache{shape_, depth + rows, kv, kv_pages_, kv_memory_.span()};
    for (std::size_t i = 0; i < rows; ++i)
      rows_.push_back({.id = 0, .position = depth + i, .cache = &cache_});
    q_.assign(rows * shape_.q_dim(), 0.01F);
    k_.assign(rows * shape_.kv_dim(), 0.01F);
    v_.assign(rows * shape_.kv_dim(), 0.01F);
  }

  /// One layer's attention on the executor's threads.
  void run(bitnet::executor_ref threads) {
    if (scratch_memory_.size() == 0) {
      auto dry = bitnet::arena::measure();
      step(threads, dry);
      scratch_memory_ = bench::value_of(bitnet::aligned_buffer<std::byte>::make(
          dry.peak() + bitnet::cache_line, "scratch memory"));
    }
    bitnet::arena scratch{scratch_memory_.span()};
    step(threads, scratch);
    layer_ = (layer_ + 1) % shape_.layers;
  }

  [[nodiscard]] bench::work done() const {
    bench::work w;
    const double rows = static_cast<double>(rows_.size());
    const double seen = rows * static_cast<double>(depth_) + rows * (rows + 1) / 2;
    w.products = 2 * seen * static_cast<double>(shape_.q_dim());
    const double layers = static_cast<double>(shape_.layers);
    w.bytes = static_cast<double>(kv_memory_.size()) / layers;
    w.footprint = w.bytes * layers;
    // Keys and values in int8 meet queries in int16.
    w.of = cache_.type() == nn::kv_type::q8 ? bench::numbers::pairs : bench::numbers::floats;
    return w;
  }

 private:
  void step(bitnet::executor_ref threads, bitnet::arena& scratch) {
    nn::context<> c{nn::dynamic_kernels{kernels_}, threads, scratch, shape_, rows_};
    c.layer = layer_;
    const auto view = [&](std::vector<float>& x) {
      return nn::activations{x.data(), rows_.size(), x.size() / rows_.size()};
    };
    benchmark::DoNotOptimize(nn::attend(c, view(q_), view(k_), view(v_)).data);
    benchmark::ClobberMemory();
  }

  const kernel_table& kernels_;
  std::size_t depth_;
  nn::hparams shape_;
  bitnet::aligned_buffer<std::byte> kv_memory_;
  std::vector<std::byte*> kv_pages_;
  nn::kv_cache cache_;
  std::vector<nn::step_row> rows_;
  std::vector<float> q_, k_, v_;
  bitnet::aligned_buffer<std::byte> scratch_memory_;
  std::size_t layer_ = 0;
};

void attend(benchmark::State& state, const kernel_table& k, nn::kv_type kv, std::size_t depth,
            std::size_t rows, bitnet::executor_ref threads) {
  attention a{k, kv, depth, rows};
  for ([[maybe_unused]] auto _ : state) a.run(threads);
  bench::report(state, threads, k.isa, a.done());
}

void add_all(const kernel_table& k, bool all_threads) {
  struct shape {
    std::size_t depth, rows;
  };
  for (const auto& [name, kv] :
       {std::pair{"f16", nn::kv_type::f16}, {"f32", nn::kv_type::f32}, {"q8", nn::kv_type::q8}}) {
    for (const auto& [depth, rows] :
         {shape{128, 1}, {1024, 1}, {4096, 1}, {16384, 1}, {0, 128}, {4096, 128}}) {
      const std::string what = (rows == 1 ? "/decode" : "/prefill_" + std::to_string(rows)) +
                               std::string{"/depth:"} + std::to_string(depth);
      auto* added =
          bench::add("attention/" + std::string{k.isa} + '/' + name + what +
                         (all_threads ? "/all_threads" : ""),
                     [&k, kv = kv, depth = depth, rows = rows, all_threads](benchmark::State& s) {
                       bitnet::serial_executor here;
                       attend(s, k, kv, depth, rows,
                              all_threads ? bitnet::executor_ref{bench::all_threads()} : here);
                     });
      if (all_threads) added->UseRealTime();
    }
  }
}

void add_all() {
  bench::for_each_isa([](const kernel_table& k) { add_all(k, false); });
  add_all(bitnet::kernels::best_table(), true);
}

}  // namespace

int main(int argc, char** argv) { return bench::main(argc, argv, add_all); }
