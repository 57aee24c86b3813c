// SPDX-License-Identifier: Apache-2.0
// Tiled matrices of every layout that models have, with inputs, for the benchmarks of both shapes.
#pragma once

#include "support.hpp"

#include <bitnet/nn/context.hpp>

#include <string>
#include <vector>

namespace bench {

/// How the weights of a model lie in tiles, and how its inputs are quantized.
struct tiled_layout {
  const char* name;
  bitnet::quant::encoding codes;
  std::size_t group;  ///< columns of a scale, 0: the row
  bool blocks;        ///< inputs in blocks of 32, else one scale a token
};

inline constexpr tiled_layout tiled_layouts[] = {
    {"ternary2_row", bitnet::quant::encoding::ternary2, 0, false},
    {"ternary2_g256", bitnet::quant::encoding::ternary2, 256, false},
    {"ternary2_g128_q32", bitnet::quant::encoding::ternary2, 128, true},
    {"binary_g128_q32", bitnet::quant::encoding::binary, 128, true},
    {"int8_g32_q32", bitnet::quant::encoding::int8, 32, true},
};

/// A matrix of about `bytes` with inputs for `tokens` tokens.
class tiled_product {
 public:
  tiled_product(const bitnet::kernels::kernel_table& k, const tiled_layout& l, std::size_t tokens,
                std::size_t bytes)
      : kernels_{&k} {
    namespace quant = bitnet::quant;
    w_.cols = cols;
    w_.group = l.group == 0 ? cols : l.group;
    w_.codes = l.codes;
    const std::size_t tile_bytes = w_.lines_per_tile() * quant::line_bytes;
    w_.rows = std::max<std::size_t>(1, bytes / tile_bytes) * quant::tile_rows;
    lines_ = filled<std::uint8_t>(w_.tiles() * tile_bytes);
    scales_.assign(w_.tiles() * w_.groups() * quant::tile_rows, bitnet::to_f16(0.5F));
    w_.lines = lines_.data();
    w_.scales_f16 = scales_.data();
    std::vector<float> x(cols);
    for (std::size_t i = 0; i < cols; ++i) x[i] = static_cast<float>(i % 97) - 48.0F;
    q_.rows = tokens;
    q_.cols = cols;
    q_.block = l.blocks ? quant::activation_block : q_.padded();
    values_ = filled<std::int8_t>(tokens * q_.padded());
    q_scales_.resize(tokens * q_.blocks());
    prefix_.resize(tokens * q_.prefixes());
    less_.resize(tokens * q_.blocks());
    q_.values = values_.data();
    q_.scales = q_scales_.data();
    q_.prefix = prefix_.data();
    q_.less = less_.data();
    if (l.codes == quant::encoding::binary) {
      sums_ = filled<std::int8_t>(tokens * q_.padded() * quant::sums_per_value);
      q_.sums = sums_.data();
    }
    for (std::size_t t = 0; t < tokens; ++t) {
      k.quantize(x.data(), q_, t);
      if (q_.sums != nullptr) k.tabulate(q_, t);
    }
    y_.resize(tokens * w_.rows);
  }

  /// All of the product, in as many pieces as a linear layer makes.
  void run(bitnet::executor_ref threads) {
    const std::size_t tiles = w_.tiles();
    const std::size_t pieces = bitnet::nn::piece_count(tiles, threads.concurrency());
    threads.parallel_for(pieces, [&](std::size_t i, std::size_t) {
      kernels_->gemm_tiled(w_, q_, {y_.data(), q_.rows, w_.rows}, tiles * i / pieces,
                           tiles * (i + 1) / pieces);
    });
    benchmark::DoNotOptimize(y_.data());
    benchmark::ClobberMemory();
  }

  [[nodiscard]] work done() const {
    work w;
    w.bytes = static_cast<double>(lines_.size() + scales_.size() * sizeof(bitnet::f16));
    w.products = static_cast<double>(w_.rows * cols * q_.rows);
    return w;
  }

 private:
  static constexpr std::size_t cols = 2560;  // as in BitNet-b1.58-2B-4T

  const bitnet::kernels::kernel_table* kernels_;
  bitnet::quant::tiled_view w_;
  bitnet::quant::quantized_rows q_;
  bitnet::aligned_buffer<std::uint8_t> lines_;
  std::vector<bitnet::f16> scales_;
  bitnet::aligned_buffer<std::int8_t> values_;
  bitnet::aligned_buffer<std::int8_t> sums_;
  std::vector<float> q_scales_;
  std::vector<std::int32_t> prefix_, less_;
  std::vector<float> y_;
};

/// A row-major matrix of floats of any size, of about `bytes`, with inputs for `tokens` tokens.
class dense_product {
 public:
  using kernel = bitnet::kernels::kernel_table::gemm_dense;

  dense_product(kernel multiply, std::size_t weight_bytes, std::size_t tokens, std::size_t bytes)
      : multiply_{multiply},
        rows_{std::max<std::size_t>(16, bytes / (cols * weight_bytes))},
        bytes_{rows_ * cols * weight_bytes},
        w_{value_of(bitnet::aligned_buffer<std::byte>::uninitialized(bytes_, "benchmark"))},
        x_(tokens * cols, 0.01F),
        y_(tokens * rows_) {
    std::memset(w_.data(), 0x2c, bytes_);  // a small number in each type
  }

  void run() {
    const std::size_t tokens = x_.size() / cols;
    multiply_({w_.data(), rows_, cols}, {x_.data(), tokens, cols}, {y_.data(), tokens, rows_}, 0,
              rows_);
    benchmark::DoNotOptimize(y_.data());
    benchmark::ClobberMemory();
  }

  [[nodiscard]] work done() const {
    return {static_cast<double>(bytes_), static_cast<double>(rows_ * x_.size()), numbers::floats};
  }

 private:
  static constexpr std::size_t cols = 2560;

  kernel multiply_;
  std::size_t rows_;
  std::size_t bytes_;
  bitnet::aligned_buffer<std::byte> w_;
  std::vector<float> x_, y_;
};

inline void run_tiled(benchmark::State& state, const bitnet::kernels::kernel_table& k,
                      const tiled_layout& l, std::size_t tokens, std::size_t bytes,
                      bitnet::executor_ref threads) {
  tiled_product product{k, l, tokens, bytes};
  for ([[maybe_unused]] auto _ : state) product.run(threads);
  report(state, threads, k.isa, product.done());
}

/// Registers PREFIX/ISA/LAYOUT/SUFFIX for every layout and every type of float: matrices of about
/// `bytes` times `tokens` vectors, on one thread.
inline void add_products(const bitnet::kernels::kernel_table& k, const std::string& prefix,
                         const std::string& suffix, std::size_t tokens, std::size_t bytes) {
  const auto name = [&](const char* layout) {
    return prefix + '/' + std::string{k.isa} + '/' + layout + '/' + suffix;
  };
  for (const tiled_layout& l : tiled_layouts)
    add(name(l.name), [&k, l, tokens, bytes](benchmark::State& s) {
      bitnet::serial_executor here;
      run_tiled(s, k, l, tokens, bytes, here);
    });
  const auto add_dense = [&](const char* layout, auto multiply, std::size_t size) {
    add(name(layout), [&k, multiply, size, tokens, bytes](benchmark::State& s) {
      dense_product product{multiply, size, tokens, bytes};
      for ([[maybe_unused]] auto _ : s) product.run();
      report(s, k.isa, product.done());
    });
  };
  add_dense("f16", k.gemm_f16, 2);
  add_dense("bf16", k.gemm_bf16, 2);
  add_dense("f32", k.gemm_f32, 4);
}

/// Registers PREFIX/ISA/LAYOUT/SUFFIX/all_threads for every layout on the best instruction set.
inline void add_products_on_all_threads(const std::string& prefix, const std::string& suffix,
                                        std::size_t tokens, std::size_t bytes) {
  const bitnet::kernels::kernel_table& best = bitnet::kernels::best_table();
  for (const tiled_layout& l : tiled_layouts)
    add(prefix + '/' + std::string{best.isa} + '/' + l.name + '/' + suffix + "/all_threads",
        [&best, l, tokens, bytes](benchmark::State& s) {
          run_tiled(s, best, l, tokens, bytes, all_threads());
        })
        ->UseRealTime();
}

}  // namespace bench
