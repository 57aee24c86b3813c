// SPDX-License-Identifier: Apache-2.0
// Layers by themselves, against plain loops in double: linear in every storage, norms, rope,
// attention, and scratch memory that is exactly what a dry run measured.
#include <bitnet/nn/attention.hpp>
#include <bitnet/nn/decoder.hpp>
#include <bitnet/nn/feed_forward.hpp>
#include <bitnet/quant/any.hpp>

#include "doctest.hpp"

#include <array>
#include <cmath>
#include <numbers>
#include <random>
#include <vector>

namespace nn = bitnet::nn;
namespace quant = bitnet::quant;
using quant::activation_kind;

namespace {

/// A context over plain vectors, for `count` rows of one sequence at positions 0, 1, ...
struct bench {
  explicit bench(nn::hparams h, std::size_t count, nn::kv_type kv = nn::kv_type::f32)
      : shape{h},
        kv_memory(nn::kv_cache::bytes(h, 64, kv).value_or(0)),
        cache{shape, 64, kv, kv_pages, kv_memory},
        memory{*bitnet::aligned_buffer<std::byte>::make(1 << 22, "scratch")},
        scratch{memory.span()} {
    for (std::size_t i = 0; i < count; ++i)
      rows.push_back({.id = 0, .position = i, .cache = &cache, .wants_logits = true});
  }
  nn::context<> context() {
    return {nn::dynamic_kernels{bitnet::kernels::best_table()}, serial, scratch, shape, rows};
  }

  nn::hparams shape;
  std::vector<std::byte> kv_memory;
  std::array<std::byte*, 1> kv_pages{};
  nn::kv_cache cache;
  bitnet::aligned_buffer<std::byte> memory;
  bitnet::arena scratch;
  bitnet::serial_executor serial;
  std::vector<nn::step_row> rows;
};

std::vector<float> random_values(std::size_t n, unsigned seed) {
  std::mt19937 engine{seed};
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(engine);
  return v;
}

nn::activations view(std::vector<float>& v, std::size_t rows) {
  return {v.data(), rows, v.size() / rows};
}

double relative_rms(nn::activations y, const std::vector<double>& expected) {
  double difference = 0.0;
  double size = 0.0;
  for (std::size_t r = 0; r < y.rows; ++r)
    for (std::size_t i = 0; i < y.cols; ++i) {
      const double e = expected[r * y.cols + i];
      difference += (y[r][i] - e) * (y[r][i] - e);
      size += e * e;
    }
  return std::sqrt(difference / size);
}

constexpr std::size_t outputs = 37;
constexpr std::size_t inputs = 256;
constexpr std::size_t tokens = 5;

/// The error of a layer of format F against exact arithmetic on the packed weights.
template <class F>
double layer_error(bool tiled, activation_kind input, bool extras = false) {
  const auto weights = random_values(outputs * inputs, 1);
  auto x = random_values(tokens * inputs, 2);
  const auto bias = random_values(outputs, 3);
  std::vector<std::byte> bytes(*quant::tensor_bytes<F>(outputs, inputs));
  quant::pack<F>(weights.data(), outputs, inputs, bytes.data());

  nn::linear<> layer;
  nn::weight_matrix& w = layer.weight;
  w.rows = outputs;
  w.cols = inputs;
  w.bytes = {bytes.data(), outputs, inputs};
  w.decode = &quant::decode_row<F>;
  w.input = input;
  w.storage = nn::weight_storage::decoded;
  bench b{{}, tokens};
  if constexpr (quant::tileable_format<F>) {
    if (tiled) {
      auto tiles = quant::make_tiled<F>(w.bytes, b.serial);
      REQUIRE(tiles);
      w.tiles = *std::move(tiles);
      w.storage = nn::weight_storage::tiled;
    }
  }
  if (extras) {
    w.output_scale = 0.5F;
    w.bias = bias;
  }
  std::vector<double> expected;
  std::vector<float> row(inputs);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t r = 0; r < outputs; ++r) {
      quant::decode_row<F>(w.bytes, r, row);
      double sum = 0.0;
      for (std::size_t i = 0; i < inputs; ++i)
        sum += static_cast<double>(row[i]) * static_cast<double>(x[t * inputs + i]);
      expected.push_back(extras ? 0.5 * sum + static_cast<double>(bias[r]) : sum);
    }
  auto c = b.context();
  const auto y = layer(c, view(x, tokens));
  CHECK(y.rows == tokens);
  CHECK(y.cols == outputs);
  return relative_rms(y, expected);
}

}  // namespace

TEST_CASE("a linear layer computes W x in every storage and input representation") {
  CHECK(layer_error<quant::tq2_0>(false, activation_kind::float32) < 1e-6);
  CHECK(layer_error<quant::tq2_0>(true, activation_kind::per_token) < 2e-2);
  CHECK(layer_error<quant::q1_0>(true, activation_kind::per_block) < 1e-2);
  CHECK(layer_error<quant::q8_0>(true, activation_kind::per_block) < 1e-2);
  CHECK(layer_error<quant::q8_0>(true, activation_kind::two_planes) < 1e-4);
  CHECK(layer_error<quant::q8_0>(false, activation_kind::float32) < 1e-6);
  CHECK(layer_error<quant::q4_0>(true, activation_kind::two_planes, true) < 1e-4);
  CHECK(layer_error<quant::i2_s>(false, activation_kind::float32, true) < 1e-6);
}

TEST_CASE("int8 inputs are worth the same to integer and to float kernels") {
  // So a BitNet model in F16 computes what its ternary forms compute.
  const double by_tiles = layer_error<quant::tq2_0>(true, activation_kind::per_token);
  const double by_rows = layer_error<quant::tq2_0>(false, activation_kind::per_token);
  CHECK(by_tiles == doctest::Approx(by_rows).epsilon(1e-4));
}

namespace user {

/// A format of a program that uses the library: float halves, as integers.
struct halves {
  static constexpr std::string_view name = "halves";
  static constexpr std::size_t block_size = 4;
  struct block {
    std::int8_t twice[4];
  };
  static void unpack(const block& b, std::span<float, 4> out) noexcept {
    for (std::size_t i = 0; i < 4; ++i) out[i] = 0.5F * static_cast<float>(b.twice[i]);
  }
};
/// The same with a kernel of its own.
struct fast_halves : halves {};
int calls = 0;
void gemm_rows(bitnet::isa::scalar, fast_halves, const bitnet::kernels::kernel_table& table,
               quant::packed_rows w, bitnet::matrix_view<const float> x,
               bitnet::matrix_view<float> y, std::size_t first, std::size_t last,
               std::span<float> scratch) noexcept {
  ++calls;
  bitnet::kernels::gemm_decoded(table, &quant::decode_row<halves>, w, x, y, first, last, scratch);
}

}  // namespace user

TEST_CASE("a user's format runs by its unpack alone, and by an overload beside it") {
  std::vector<std::int8_t> codes(outputs * inputs);
  std::mt19937 engine{11};
  for (auto& c : codes) c = static_cast<std::int8_t>(engine() % 7) - 3;
  auto x = random_values(tokens * inputs, 12);
  bench b{{}, tokens};
  auto c = b.context();
  const auto run = [&](auto& layer) {
    layer.weight.rows = outputs;
    layer.weight.cols = inputs;
    layer.weight.bytes = {reinterpret_cast<const std::byte*>(codes.data()), outputs, inputs};
    layer.weight.storage = nn::weight_storage::decoded;
    return layer(c, view(x, tokens));
  };
  nn::linear<user::halves> plain;
  nn::linear<user::fast_halves> fast;
  const auto y = run(plain);
  CHECK(user::calls == 0);
  const auto z = run(fast);
  CHECK(user::calls > 0);
  double expected = 0.0;
  for (std::size_t i = 0; i < inputs; ++i)
    expected += 0.5 * codes[inputs + i] * static_cast<double>(x[2 * inputs + i]);
  CHECK(y[2][1] == doctest::Approx(expected));
  for (std::size_t r = 0; r < tokens; ++r)
    for (std::size_t i = 0; i < outputs; ++i) CHECK(y[r][i] == z[r][i]);
}

TEST_CASE("project gives each layer's result, whatever the others need") {
  const auto weights = random_values(outputs * inputs, 4);
  auto x = random_values(tokens * inputs, 5);
  std::vector<std::byte> dense(outputs * inputs * 4);
  std::memcpy(dense.data(), weights.data(), dense.size());
  std::vector<std::byte> ternary(*quant::tensor_bytes<quant::tq1_0>(outputs, inputs));
  quant::pack<quant::tq1_0>(weights.data(), outputs, inputs, ternary.data());

  bench b{{}, tokens};
  nn::linear<> a;
  a.weight.rows = outputs;
  a.weight.cols = inputs;
  a.weight.bytes = {dense.data(), outputs, inputs};
  a.weight.storage = nn::weight_storage::f32;
  nn::linear<> t;
  t.weight.rows = outputs;
  t.weight.cols = inputs;
  auto tiles = quant::make_tiled<quant::tq1_0>({ternary.data(), outputs, inputs}, b.serial);
  REQUIRE(tiles);
  t.weight.tiles = *std::move(tiles);
  t.weight.storage = nn::weight_storage::tiled;
  t.weight.input = activation_kind::per_token;

  auto c = b.context();
  const auto alone_a = a(c, view(x, tokens));
  const auto alone_t = t(c, view(x, tokens));
  const auto [y_t, y_a, again_t] = nn::project(c, view(x, tokens), t, a, t);
  for (std::size_t r = 0; r < tokens; ++r)
    for (std::size_t i = 0; i < outputs; ++i) {
      CHECK(y_a[r][i] == alone_a[r][i]);
      CHECK(y_t[r][i] == alone_t[r][i]);
      CHECK(again_t[r][i] == alone_t[r][i]);
    }
}

TEST_CASE("norms follow their formula, whole rows and head by head") {
  auto x = random_values(3 * 64, 6);
  const auto weight = random_values(16, 7);
  const auto original = x;
  bench b{{}, 3};
  auto c = b.context();
  const nn::rms_norm norm{weight, 1e-6F};
  norm.each_head(c, view(x, 3));
  for (std::size_t h = 0; h < 12; ++h) {
    double sum = 0.0;
    for (std::size_t i = 0; i < 16; ++i) sum += std::pow(original[h * 16 + i], 2);
    for (std::size_t i = 0; i < 16; ++i)
      CHECK(x[h * 16 + i] == doctest::Approx(original[h * 16 + i] / std::sqrt(sum / 16 + 1e-6) *
                                             static_cast<double>(weight[i]))
                                 .epsilon(1e-5));
  }
}

TEST_CASE("rotary frequencies: plain, by factors, linear and YaRN") {
  const auto angles = [](nn::rope_hparams h, std::vector<float> factors = {}) {
    auto f = nn::rope_frequencies::make(h, factors);
    REQUIRE(f);
    std::vector<double> radians;
    for (const bitnet::elementary::turns t : f->per_position.span())
      radians.push_back(static_cast<double>(t) * 0x1p-63 * std::numbers::pi);
    return radians;
  };
  const auto plain = angles({.dims = 8, .base = 10000.0F});
  CHECK(plain[0] == doctest::Approx(1.0));
  CHECK(plain[1] == doctest::Approx(0.1));
  CHECK(plain[3] == doctest::Approx(0.001));
  const auto by_factors = angles({.dims = 4, .base = 100.0F}, {1.0F, 8.0F});
  CHECK(by_factors[1] == doctest::Approx(0.1 / 8));
  nn::rope_hparams linear{.dims = 4, .base = 100.0F};
  linear.scaling = nn::rope_scaling::linear;
  linear.factor = 4.0F;
  CHECK(angles(linear)[1] == doctest::Approx(0.025));

  // 128 dimensions, base 1e6, 16384 positions: pairs up to 20 turn 32 times or more and stay, and
  // from pair 37 on they turn less than once and are divided by 4.
  nn::rope_hparams yarn{.dims = 128, .base = 1e6F};
  yarn.scaling = nn::rope_scaling::yarn;
  yarn.factor = 4.0F;
  yarn.original_context = 16384;
  const auto scaled = angles(yarn);
  const auto unscaled = angles({.dims = 128, .base = 1e6F});
  CHECK(scaled[0] == doctest::Approx(unscaled[0]));
  CHECK(scaled[20] == doctest::Approx(unscaled[20]));
  CHECK(scaled[28] < unscaled[28]);
  CHECK(scaled[28] > unscaled[28] / 4);
  CHECK(scaled[37] == doctest::Approx(unscaled[37] / 4));
  CHECK(scaled[63] == doctest::Approx(unscaled[63] / 4));
  CHECK(nn::rope_frequencies::make(yarn, {})->magnitude ==
        doctest::Approx(1.0 + 0.1 * std::log(4.0)));
}

TEST_CASE("attention is softmax(q k / sqrt(d)) v over a row's past, by groups of heads") {
  nn::hparams h;
  h.layers = 1;
  h.heads = 4;
  h.kv_heads = 2;
  h.head_dim = 16;
  constexpr std::size_t rows = 6;
  auto q = random_values(rows * h.q_dim(), 8);
  auto k = random_values(rows * h.kv_dim(), 9);
  auto v = random_values(rows * h.kv_dim(), 10);
  std::vector<double> expected(rows * h.q_dim());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t head = 0; head < h.heads; ++head) {
      const std::size_t kv = head / 2 * h.head_dim;
      std::vector<double> p;
      double total = 0.0;
      for (std::size_t j = 0; j <= r; ++j) {
        double score = 0.0;
        for (std::size_t i = 0; i < h.head_dim; ++i)
          score += static_cast<double>(q[r * h.q_dim() + head * h.head_dim + i]) *
                   static_cast<double>(k[j * h.kv_dim() + kv + i]);
        p.push_back(std::exp(score / 4.0));
        total += p.back();
      }
      for (std::size_t j = 0; j <= r; ++j)
        for (std::size_t i = 0; i < h.head_dim; ++i)
          expected[r * h.q_dim() + head * h.head_dim + i] +=
              p[j] / total * static_cast<double>(v[j * h.kv_dim() + kv + i]);
    }
  for (const auto type : {nn::kv_type::f32, nn::kv_type::f16, nn::kv_type::q8}) {
    bench b{h, rows, type};
    auto c = b.context();
    const auto out = nn::attend(c, view(q, rows), view(k, rows), view(v, rows));
    const double tolerance = type == nn::kv_type::f32   ? 1e-6
                             : type == nn::kv_type::f16 ? 1e-3
                                                        : 2e-2;
    CHECK(relative_rms(out, expected) < tolerance);
  }
}

TEST_CASE("a dry run measures exactly the scratch that the layers then take") {
  nn::hparams h;
  h.layers = 1;
  h.heads = 2;
  h.kv_heads = 1;
  h.head_dim = 16;
  bench b{h, 5};
  const auto run = [&](nn::context<>& c) {
    auto q = c.make(5, h.q_dim());
    auto k = c.make(5, h.kv_dim());
    auto v = c.make(5, h.kv_dim());
    c.each_row(5, [&](std::size_t r) {
      for (float& x : q[r]) x = 1.0F;
      for (float& x : k[r]) x = 1.0F;
      for (float& x : v[r]) x = 1.0F;
    });
    (void)nn::attend(c, q, k, v);
  };
  auto dry = bitnet::arena::measure();
  nn::context<> measuring{nn::dynamic_kernels{bitnet::kernels::best_table()}, b.serial, dry,
                          b.shape, b.rows};
  run(measuring);
  auto real = b.context();
  run(real);
  CHECK(dry.peak() == b.scratch.peak());
}
