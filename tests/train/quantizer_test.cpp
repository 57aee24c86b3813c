// SPDX-License-Identifier: Apache-2.0
// Quantizers: their values, that files hold them without loss, and one of a user's.
#include "finite_differences.hpp"

#include <bitnet/train/model.hpp>

#include <set>

using namespace bitnet;
using namespace bitnet::train;
using train_test::numbers;

namespace {

std::vector<float> weights_of(std::size_t count, float size = 0.05F) {
  const auto x = numbers(count, 1, static_cast<double>(size));
  return {x.begin(), x.end()};
}

template <class Q>
std::vector<float> rounded(const std::vector<float>& w, std::size_t cols, float* scale = nullptr) {
  std::vector<float> out(w.size());
  const std::size_t rows = w.size() / cols;
  const float s = Q::quantize(matrix_view<const float>{w.data(), rows, cols},
                              matrix_view<float>{out.data(), rows, cols});
  if (scale != nullptr) *scale = s;
  for (float& x : out) x *= s;
  return out;
}

std::vector<float> through_file(quant::format_id id, const std::vector<float>& w,
                                std::size_t cols) {
  const auto info = *quant::find_writable_format(id);
  const std::size_t rows = w.size() / cols;
  std::vector<std::byte> bytes(static_cast<std::size_t>(*info.tensor_bytes(rows, cols)));
  info.pack(w.data(), rows, cols, bytes.data());
  std::vector<float> out(w.size());
  for (std::size_t r = 0; r < rows; ++r)
    info.decode_row({bytes.data(), rows, cols}, r, {out.data() + r * cols, cols});
  return out;
}

}  // namespace

TEST_CASE("absmean ternary: nearest of -1, 0, 1 times the mean magnitude") {
  float scale = 0.0F;
  const std::vector<float> w{0.9F, -0.1F, 0.3F, -2.0F, 0.6F, -0.6F, 0.45F, 0.35F};
  const auto q = rounded<absmean_ternary>(w, 4, &scale);
  CHECK(scale == doctest::Approx(5.3 / 8).epsilon(1e-3));
  const float signs[] = {1, 0, 0, -1, 1, -1, 1, 1};
  for (std::size_t i = 0; i < w.size(); ++i) CHECK(q[i] == signs[i] * scale);
  CHECK(to_float(to_f16(scale)) == scale);
}

TEST_CASE("signs: zero is positive, and no scale is zero") {
  float scale = 0.0F;
  const auto q = rounded<sign_binary>(std::vector<float>(128, 0.0F), 128, &scale);
  CHECK(scale > 0.0F);
  for (const float x : q) CHECK(x == scale);
  std::vector<float> w(128, 1.0F);
  w[3] = 0.5F;  // positive, but below the mean
  CHECK(rounded<sign_binary>(w, 128)[3] > 0.0F);
  CHECK(rounded<centered_binary>(w, 128)[3] < 0.0F);
}

TEST_CASE("groups have scales of their own") {
  auto w = weights_of(4 * 256);
  for (std::size_t i = 0; i < w.size(); ++i)
    if (i / 128 % 2 == 1) w[i] *= 10.0F;
  const auto distinct = [&](const std::vector<float>& q) {
    std::set<float> sizes;
    for (const float x : q)
      if (x != 0.0F) sizes.insert(std::abs(x));
    return sizes.size();
  };
  CHECK(distinct(rounded<grouped_binary<128>>(w, 256)) == 8);
  CHECK(distinct(rounded<grouped_ternary<128>>(w, 256)) == 8);
  CHECK(distinct(rounded<absmean_ternary>(w, 256)) == 1);
}

TEST_CASE("files hold rounded weights without loss") {
  using enum quant::format_id;
  const auto lossless = [](const std::vector<float>& w,
                           std::initializer_list<quant::format_id> ids) {
    for (const auto id : ids) CHECK(through_file(id, w, 256) == w);
  };
  for (const float size : {1e-9F, 1e-4F, 0.05F, 3.0F}) {
    const auto w = weights_of(6 * 256, size);
    lossless(rounded<absmean_ternary>(w, 256), {i2_s, tq1_0, tq2_0, q2_0, q2_0_g128, f16, f32});
    lossless(rounded<grouped_ternary<128>>(w, 256), {q2_0, q2_0_g128});
    lossless(rounded<sign_binary>(w, 256), {q1_0, i2_s, tq2_0});
    lossless(rounded<centered_binary>(w, 256), {q1_0});
    lossless(rounded<grouped_binary<128>>(w, 256), {q1_0});
    lossless(rounded<no_quantizer>(w, 256), {f32});
  }
}

TEST_CASE("activations are rounded as in inference") {
  const float x[] = {0.5F, -1.0F, 0.0F, 0.003937F};
  float q[4];
  CHECK(int8_per_token::quantize(x, q, 4) == doctest::Approx(1.0 / 127));
  CHECK(q[0] == 64.0F);  // 63.5, to even
  CHECK(q[1] == -127.0F);
  CHECK(q[2] == 0.0F);
  CHECK(q[3] == 0.0F);
  const float none[] = {0.0F, 0.0F};
  CHECK(int8_per_token::quantize(none, q, 2) == doctest::Approx(1e-5 / 127));
  CHECK(q[0] == 0.0F);

  std::vector<float> two(33, 1.0F), out(33);
  two[32] = 100.0F;
  CHECK(int8_per_block<32>::quantize(two.data(), out.data(), 33) == 1.0F);
  CHECK(out[31] == doctest::Approx(1.0F));  // the large value is in another block
  CHECK(out[32] == doctest::Approx(100.0F));
}

namespace {

/// A user's quantizer: weights of -1, -1/3, 1/3 and 1 times the largest magnitude, and no gradient
/// for the weights at the ends that would go farther out.
struct four_levels {
  static constexpr std::string_view name = "four_levels";
  static constexpr quant::format_id format = quant::format_id::f32;

  template <class T>
  static T quantize(matrix_view<const T> w, matrix_view<T> out) noexcept {
    T most = 0;
    for (std::size_t r = 0; r < w.rows; ++r)
      for (const T x : w[r]) most = std::max(most, std::abs(x));
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t i = 0; i < w.cols; ++i)
        out.row(r)[i] = 2 * std::clamp(std::floor(w.row(r)[i] / most * 2), T(-2), T(1)) + 1;
    return most / 3;
  }
  template <class T>
  static void backward(matrix_view<const T> w, matrix_view<T> dw) noexcept {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t i = 0; i < w.cols; ++i)
        if (std::abs(w.row(r)[i]) > 1 && w.row(r)[i] * dw.row(r)[i] < 0) dw.row(r)[i] = 0;
  }
};
static_assert(weight_quantizer<four_levels>);

}  // namespace

TEST_CASE("a model with a user's quantizer") {
  const auto q = rounded<four_levels>(weights_of(64), 8);
  CHECK(std::set<float>(q.begin(), q.end()).size() == 4);

  serial_executor serial;
  nn::hparams h;
  h.dim = 32;
  h.layers = 1;
  h.heads = h.kv_heads = 2;
  h.head_dim = 16;
  h.ffn = 32;
  h.vocab = 8;
  h.context = 16;
  auto m = train::model::make(configured<float>(architecture::llama, h, weights<four_levels>()),
                              serial, 16, 1);
  REQUIRE(m);
  CHECK(m->config().activations.name == no_quantizer::name);  // as inference does for floats
  const parameter& p = m->parameters()[m->parameters().block(0).down];
  m->values()[p.offset] = 2.0F;
  m->refresh();
  m->gradients()[p.offset] = -1.0F;
  m->gradients()[p.offset + 1] = -1.0F;
  m->finish_gradients();
  CHECK(m->gradients()[p.offset] == 0.0F);
  CHECK(m->gradients()[p.offset + 1] == -1.0F);
}
