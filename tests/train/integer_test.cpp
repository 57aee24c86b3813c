// SPDX-License-Identifier: Apache-2.0
// Products of integers: exact sums, layers that agree with those of floats, and whole models too.
#include "finite_differences.hpp"

#include <bitnet/train/model.hpp>

#include <cmath>
#include <limits>
#include <vector>

using namespace bitnet;
using namespace bitnet::train;
using train_test::numbers;

namespace {

std::vector<int> integers(std::size_t count, std::uint64_t stream, int most) {
  std::vector<int> out;
  for (const double x : numbers(count, stream))
    out.push_back(static_cast<int>(std::lround(x * (most + 0.49))));
  return out;
}

template <class Value>
struct words_of;
template <>
struct words_of<std::int16_t> {
  using dot = train::detail::pairs;
  static constexpr std::size_t count = 2;
  static constexpr int most_left = 32767, most_right = 127, shift = 0;
};
template <>
struct words_of<std::int8_t> {
  using dot = train::detail::quads;
  static constexpr std::size_t count = 4;
  static constexpr int most_left = 127, most_right = 1, shift = 128;  // the left one is unsigned
};

/// Multiplies [rows][depth * count] integers by [cols][depth * count] ones, in words and naively.
template <class Value>
void check_words(std::size_t rows, std::size_t cols, std::size_t depth) {
  using namespace train::detail;
  using words = words_of<Value>;
  CAPTURE(rows);
  CAPTURE(cols);
  CAPTURE(depth);
  const std::size_t length = depth * words::count;
  const auto a = integers(rows * length, 1, words::most_left);
  const auto b = integers(cols * length, 2, words::most_right);
  std::vector<Value> left(rows * length);
  for (std::size_t i = 0; i < left.size(); ++i) left[i] = static_cast<Value>(a[i] + words::shift);
  const std::size_t padded = word_panels::panels(cols) * word_cols;
  auto panels = *aligned_buffer<std::int32_t>::make(padded * depth, "panels");
  auto start = *aligned_buffer<std::int32_t>::make(padded, "start");
  auto col_scales = *aligned_buffer<float>::make(padded, "scales");
  for (std::size_t n = 0; n < cols; ++n) {
    col_scales.data()[n] = 0.5F + static_cast<float>(n);
    for (std::size_t k = 0; k < depth; ++k) {
      Value part[words::count];
      for (std::size_t i = 0; i < words::count; ++i) {
        const int x = b[n * length + k * words::count + i];
        part[i] = static_cast<Value>(x);
        start.data()[n] -= words::shift * x;
      }
      panels.data()[n / word_cols * word_cols * depth + k * word_cols + n % word_cols] =
          load_word(part);
    }
  }
  std::vector<float> row_scales(rows), c(rows * cols, 3.0F);
  for (std::size_t r = 0; r < rows; ++r) row_scales[r] = 1.0F / static_cast<float>(r + 3);
  const word_tiles tiles{reinterpret_cast<const std::byte*>(left.data()), depth, depth, 1};
  const word_panels right{panels.data(), start.data(), col_scales.data(), cols, depth};
  multiply_words<typename words::dot>({c.data(), rows, cols}, tiles, row_scales.data(), right,
                                      false);
  const auto once = c;
  multiply_words<typename words::dot>({c.data(), rows, cols}, tiles, row_scales.data(), right,
                                      true);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t n = 0; n < cols; ++n) {
      std::int64_t sum = 0;
      for (std::size_t k = 0; k < length; ++k)
        sum += std::int64_t{a[r * length + k]} * b[n * length + k];
      REQUIRE(std::abs(sum) <= std::numeric_limits<std::int32_t>::max());
      const float expected = (static_cast<float>(sum) * row_scales[r]) * col_scales.data()[n];
      CHECK(once[r * cols + n] == expected);
      CHECK(c[r * cols + n] == expected + expected);
    }
}

/// A layer of random ternary weights with three matrices, and rounded inputs.
struct layer {
  static constexpr std::array<std::size_t, 3> outputs{37, 20, 9};
  std::size_t tokens, inputs, all = 66;
  std::vector<float> codes, x, x_scales;
  std::vector<std::uint8_t> x_codes;
  aligned_buffer<std::int32_t> words;
  integer_weights packed;
  bit_linear<float> floats, integer;

  layer(std::size_t t, std::size_t in) : tokens{t}, inputs{in} {
    for (const int code : integers(all * inputs, 3, 1)) codes.push_back(static_cast<float>(code));
    for (const int code : integers(tokens * inputs, 4, 127)) x.push_back(static_cast<float>(code));
    for (std::size_t i = 0; i < tokens; ++i) x_scales.push_back(0.01F + 0.001F * float(i % 7));
    x_codes.resize(tokens * layer_input<float>::stride_of(inputs));
    floats.codes = {codes.data(), all, inputs};
    floats.parts = {{{outputs[0], 0.02F}, {outputs[1], 0.03F}, {outputs[2], 0.05F}}};
    std::vector<float> scales;
    for (const auto& p : floats.parts) scales.insert(scales.end(), p.outputs, p.scale);
    words = *aligned_buffer<std::int32_t>::make(integer_weight_words(all, inputs), "words");
    packed = pack_weights(floats.codes, scales, words.data());
    integer = floats;
    integer.integers = &packed;
  }
  layer(const layer&) = delete;

  [[nodiscard]] layer_input<float> input(std::vector<float>& values) {
    return {{values.data(), tokens, inputs}, x_scales.data(), x_codes.data()};
  }
};

/// The largest difference, as a part of the largest value.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(double{a[i]} - double{b[i]}));
    largest = std::max(largest, std::abs(double{b[i]}));
  }
  REQUIRE(largest > 0.0);
  return worst / largest;
}

}  // namespace

TEST_CASE("products of words are exact for every shape of tile and edge") {
  for (const std::size_t rows : {1U, 7U, 8U, 19U})
    for (const std::size_t cols : {1U, 31U, 32U, 70U})
      for (const std::size_t depth : {1U, 5U, 64U}) {
        check_words<std::int16_t>(rows, cols, depth);
        check_words<std::int8_t>(rows, cols, depth);
      }
}

TEST_CASE("sums of integers may be as large as their layers let them") {
  using train::detail::gradient_levels;
  CHECK(gradient_levels(1024, 1) == 32767.0F);
  for (const std::size_t n : {1U << 16, (1U << 19) + 2U}) {
    const double levels = static_cast<double>(gradient_levels(n, 1));
    CHECK(levels > 1000.0);
    CHECK(levels * static_cast<double>(n) <= 2147483647.0);
  }
}

TEST_CASE("a layer of integers forward: the bits of the layer of floats") {
  for (const auto& [tokens, inputs] : {std::pair{9U, 12U}, {64U, 130U}, {3U, 257U}}) {
    layer l{tokens, inputs};
    std::vector<float> a = l.x, b = l.x, y(tokens * l.all), z(tokens * l.all);
    l.floats.forward(l.input(a), {y.data(), tokens, l.all});
    l.integer.forward(l.input(b), {z.data(), tokens, l.all});
    CHECK(y == z);
  }
}

TEST_CASE("a layer of integers backward: gradients rounded to 16 bits") {
  serial_executor serial;
  for (const auto& shape : {std::pair{9U, 12U}, {300U, 130U}, {515U, 33U}}) {
    const auto tokens = shape.first, inputs = shape.second;
    CAPTURE(tokens);
    layer l{tokens, inputs};
    std::vector<float> a = l.x, b = l.x, y(tokens * l.all);
    const auto float_input = l.input(a), integer_input = l.input(b);
    l.floats.forward(float_input, {y.data(), tokens, l.all});
    l.integer.forward(integer_input, {y.data(), tokens, l.all});
    std::vector<float> dy;
    for (const double g : numbers(tokens * l.all, 5, 1e-3)) dy.push_back(static_cast<float>(g));
    const matrix_view<const float> gradient{dy.data(), tokens, l.all};

    gradient_operands operands;
    operands.outputs = l.all;
    operands.inputs = inputs;
    const std::size_t pieces = ceil_div(tokens, chunk_rows);
    auto left = *aligned_buffer<std::int32_t>::make(pieces * operands.left_words(), "left");
    auto right = *aligned_buffer<std::int32_t>::make(pieces * operands.right_words(), "right");
    auto scratch = *aligned_buffer<std::int32_t>::make(integer_scratch(l.all), "scratch");
    std::vector<float> scales(pieces * l.all);
    operands.left = left.data();
    operands.right = right.data();
    operands.scales = scales.data();

    std::vector<float> dx(tokens * inputs), dx_floats(tokens * inputs);
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      const std::size_t first = piece * chunk_rows;
      const std::size_t count = std::min(chunk_rows, tokens - first);
      const auto run = [&](const bit_linear<float>& layer, const layer_input<float>& x,
                           std::vector<float>& to) {
        layer.backward(piece, gradient.slice(first, count), x.slice(first, count),
                       matrix_view<float>{to.data(), tokens, inputs}.slice(first, count), operands,
                       scratch.data());
      };
      run(l.floats, float_input, dx_floats);
      run(l.integer, integer_input, dx);
    }
    CHECK(difference(dx, dx_floats) < 5e-5);

    std::vector<float> dw(l.all * inputs, 1e-3F), dw_floats = dw;
    weight_gradients<float, 1>(
        serial, {{{{dw_floats.data(), l.all, inputs}, gradient, float_input.values}}});
    weight_gradients<float, 1>(
        serial, {{{{dw.data(), l.all, inputs}, gradient, integer_input.values, operands}}});
    CHECK(difference(dw, dw_floats) < 5e-5);
  }
}

TEST_CASE("gradients that are nothing, tiny or no numbers") {
  layer l{4, 12};
  std::vector<float> x = l.x, y(4 * l.all), dy(4 * l.all, 0.0F), dx(4 * 12, 9.0F);
  const auto input = l.input(x);
  l.integer.forward(input, {y.data(), 4, l.all});
  std::vector<std::int32_t> scratch(integer_scratch(l.all));
  for (std::size_t i = 0; i < l.all; ++i) {
    dy[l.all + i] = 1e-42F;
    dy[2 * l.all + i] = i == 5 ? std::numeric_limits<float>::infinity() : 1.0F;
  }
  integer_backward(l.packed, {dy.data(), 4, l.all}, {dx.data(), 4, 12}, scratch.data());
  for (std::size_t i = 0; i < 24; ++i) CHECK(std::abs(dx[i]) < 1e-30F);
  // Whatever an infinite gradient gives, the norm of the gradients must show it.
  bool finite = true;
  for (std::size_t i = 24; i < 36; ++i) finite = finite && std::isfinite(dx[i]);
  CHECK(!finite);
}

TEST_CASE("a model on integers: the loss of the one on floats, to the bit, and its gradients") {
  serial_executor serial;
  for (const architecture a : {architecture::bitnet_b158, architecture::bitnet_silu}) {
    nn::hparams h;
    h.dim = 36;
    h.layers = 2;
    h.heads = 4;
    h.kv_heads = 2;
    h.head_dim = 10;
    h.ffn = 52;
    h.vocab = 31;
    h.context = 128;
    h.norm_eps = 1e-5F;
    auto on_integers = configured<float>(a, h, weights<absmean_ternary>());
    on_integers.embedding = quant::format_id::f16;
    auto on_floats = on_integers;
    on_floats.weights.integers = false;
    auto m = train::model::make(on_integers, serial, 300, 3, 0.1F);
    auto n = train::model::make(on_floats, serial, 300, 3, 0.1F);
    REQUIRE(m);
    REQUIRE(n);
    std::vector<token> inputs, targets;
    for (int i = 0; i < 3 * 99; ++i) {
      inputs.push_back((i * i + 3 * i) % 31);
      targets.push_back(i % 5 == 4 ? -1 : (i * 7 + 2) % 31);
    }
    const batch b{3, 99, inputs, targets};
    const auto loss = m->loss_and_gradients(b), expected = n->loss_and_gradients(b);
    REQUIRE(loss);
    REQUIRE(expected);
    CHECK(loss->total == expected->total);
    for (const parameter& p : m->parameters().all()) {
      CAPTURE(p.name);
      const auto of = [&](const train::model& of_model) {
        const auto g = of_model.gradients().subspan(p.offset, p.size());
        return std::vector<float>{g.begin(), g.end()};
      };
      CHECK(difference(of(*m), of(*n)) < 5e-4);
    }
  }
}
