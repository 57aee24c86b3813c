// SPDX-License-Identifier: Apache-2.0
// Products against plain loops, and every layer's backward pass against finite differences.
#include "finite_differences.hpp"

#include <bitnet/train/attention.hpp>
#include <bitnet/train/bit_linear.hpp>
#include <bitnet/train/embedding.hpp>
#include <bitnet/train/feed_forward.hpp>
#include <bitnet/train/loss.hpp>
#include <bitnet/train/norm.hpp>
#include <bitnet/train/rope.hpp>

using namespace bitnet;
using namespace bitnet::train;
using train_test::check_gradient;
using train_test::dot;
using train_test::numbers;

namespace {

template <class T>
std::vector<T> cast(const std::vector<double>& in) {
  return {in.begin(), in.end()};
}

/// The three products of one shape, with strides wider than the rows, against sums in double.
template <class T>
void check_products(std::size_t m, std::size_t n, std::size_t k, T tolerance) {
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  const std::size_t pad = 3;
  const auto a = cast<T>(numbers(m * (k + pad), 1)), b = cast<T>(numbers(k * (n + pad), 2));
  const matrix_view<const T> va{a.data(), m, k, k + pad}, vb{b.data(), k, n, n + pad};
  std::vector<T> at(k * (m + pad)), bt(n * (k + pad));  // transposed
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < k; ++j) at[j * (m + pad) + i] = va.row(i)[j];
  for (std::size_t i = 0; i < k; ++i)
    for (std::size_t j = 0; j < n; ++j) bt[j * (k + pad) + i] = vb.row(i)[j];
  const matrix_view<const T> vat{at.data(), k, m, m + pad}, vbt{bt.data(), n, k, k + pad};

  const T alpha = T(0.75), sentinel = T(17);
  std::vector<T> c(m * (n + pad), sentinel);
  const matrix_view<T> vc{c.data(), m, n, n + pad};
  const auto check = [&](const char* name, double before, double factor) {
    CAPTURE(name);
    double worst = 0.0;
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        double sum = 0.0;
        for (std::size_t l = 0; l < k; ++l)
          sum += static_cast<double>(va.row(i)[l]) * static_cast<double>(vb.row(l)[j]);
        const double expected = before + factor * sum;
        worst = std::max(worst, std::abs(static_cast<double>(vc.row(i)[j]) - expected));
      }
      for (std::size_t j = n; j < n + pad; ++j) CHECK(c[i * (n + pad) + j] == sentinel);
      std::fill_n(vc.row(i), n, T(2));
    }
    CHECK(worst <= static_cast<double>(tolerance));
  };
  multiply_nn(vc, va, vb, alpha);
  check("nn", 0.0, 0.75);
  multiply_nn(vc, va, vb, alpha, into::add);
  check("nn added", 2.0, 0.75);
  multiply_nt(vc, va, vbt, alpha);
  check("nt", 0.0, 0.75);
  multiply_nt(vc, va, vbt, alpha, into::add);
  check("nt added", 2.0, 0.75);
  add_multiply_tn(vc, vat, vb);
  check("tn added", 2.0, 1.0);
}

}  // namespace

TEST_CASE("products of all shapes are those of plain loops") {
  for (const std::size_t m : {1U, 5U, 8U, 19U})
    for (const std::size_t n : {1U, 7U, 16U, 32U, 70U, 130U})
      for (const std::size_t k : {1U, 3U, 16U, 129U, 300U}) {
        check_products<float>(m, n, k, 2e-4F);
        check_products<double>(m, n, k, 1e-12);
      }
}

TEST_CASE("sums of integer codes are exact in float") {
  constexpr std::size_t k = 4096;
  std::vector<float> a(k), b(k);
  std::int64_t expected = 0;
  for (std::size_t i = 0; i < k; ++i) {
    const int code = static_cast<int>(i * 37 % 255) - 127, trit = static_cast<int>(i % 3) - 1;
    a[i] = static_cast<float>(code);
    b[i] = static_cast<float>(trit);
    expected += code * trit;
  }
  float c = 0.0F;
  multiply_nt(matrix_view<float>{&c, 1, 1}, {a.data(), 1, k}, {b.data(), 1, k});
  CHECK(c == static_cast<float>(expected));
}

TEST_CASE("exp in float") {
  for (float x = -87.0F; x < 88.0F; x += 0.0371F) {
    const double exact = std::exp(static_cast<double>(x));
    CHECK(std::abs(static_cast<double>(exponential(x)) - exact) <= exact * 2.5e-7);
  }
  CHECK(exponential(-1000.0F) < 1e-37F);
  CHECK(exponential(-1000.0F) >= 0.0F);
  CHECK(std::isfinite(exponential(1000.0F)));
}

TEST_CASE("rms_norm backward") {
  constexpr std::size_t n = 37;
  auto x = numbers(n, 1), w = numbers(n, 2);
  const auto g = numbers(n, 3);
  std::vector<double> y(n), dx(n, 0.5), dw(n, 0.25);
  const auto f = [&] {
    rms_norm(x.data(), w.data(), 1e-3, y.data(), n);
    return dot(y, g);
  };
  const double inverse = rms_norm(x.data(), w.data(), 1e-3, y.data(), n);
  rms_norm_backward<into::add>(x.data(), w.data(), inverse, g.data(), dx.data(), dw.data(), n);
  for (double& d : dx) d -= 0.5;
  for (double& d : dw) d -= 0.25;
  check_gradient("x", x, dx, f);
  check_gradient("weight", w, dw, f);
  std::vector<double> in_place = g, ignored(n);
  rms_norm_backward<into::replace>(x.data(), w.data(), inverse, in_place.data(), in_place.data(),
                                   ignored.data(), n);
  for (std::size_t i = 0; i < n; ++i) CHECK(in_place[i] == doctest::Approx(dx[i]));
}

TEST_CASE("the gate's backward") {
  constexpr std::size_t n = 40;
  for (const auto act : {nn::gate_activation::relu2, nn::gate_activation::silu}) {
    auto gate = numbers(n, 1, 3.0), up = numbers(n, 2);
    const auto g = numbers(n, 3);
    std::vector<double> y(n), dgate(n), dup(n);
    const auto f = [&] {
      gated(act, gate.data(), up.data(), y.data(), n);
      return dot(y, g);
    };
    gated_backward(act, gate.data(), up.data(), g.data(), dgate.data(), dup.data(), n);
    check_gradient("gate", gate, dgate, f);
    check_gradient("up", up, dup, f);
  }
}

TEST_CASE("rotary embedding backward") {
  for (const auto order : {nn::rope_order::halves, nn::rope_order::adjacent}) {
    nn::rope_hparams h;
    h.dims = 6;  // of 8: the last two stay
    h.order = order;
    const auto table = rope_table<double>::make(h, 10);
    REQUIRE(table);
    auto x = numbers(8, 1);
    const auto g = numbers(8, 2);
    const auto f = [&] {
      auto y = x;
      table->rotate(y.data(), 9);
      return dot(y, g);
    };
    auto dx = g;
    table->rotate_back(dx.data(), 9);
    check_gradient("x", x, dx, f, 8, 1e-6);
    auto y = x;
    table->rotate(y.data(), 0);
    CHECK(y == x);
  }
}

TEST_CASE("attention backward, over several blocks of queries") {
  for (const std::size_t length : {5U, 70U, 130U}) {
    constexpr std::size_t dim = 6;
    auto q = numbers(length * dim, 1), k = numbers(length * dim, 2), v = numbers(length * dim, 3);
    const auto g = numbers(length * dim, 4);
    std::vector<double> out(length * dim), sums(length), scratch(attention_scratch(length));
    attention_head<double> a;
    a.q = {q.data(), length, dim};
    a.k = {k.data(), length, dim};
    a.v = {v.data(), length, dim};
    a.out = {out.data(), length, dim};
    a.log_sum = sums.data();
    a.scratch = scratch.data();
    const auto f = [&] {
      attend(a);
      return dot(out, g);
    };
    f();
    // The first query sees the first key alone.
    for (std::size_t i = 0; i < dim; ++i) CHECK(out[i] == doctest::Approx(v[i]));
    std::vector<double> dq(q.size(), 9.0), dk(k.size(), 0.0), dv(v.size(), 0.0);
    attend_backward<double>(a, {g.data(), length, dim}, {dq.data(), length, dim},
                            {dk.data(), length, dim}, {dv.data(), length, dim});
    check_gradient("q", q, dq, f, 60);
    check_gradient("k", k, dk, f, 60);
    check_gradient("v", v, dv, f, 60);
  }
}

TEST_CASE("cross-entropy and its gradient") {
  constexpr std::size_t n = 33;
  auto x = numbers(n, 1, 4.0);
  const auto f = [&] {
    auto copy = x;
    return 0.3 * cross_entropy(copy.data(), n, 5, 1.0);
  };
  auto dx = x;
  const double loss = cross_entropy(dx.data(), n, 5, 0.3);
  double sum = 0.0;
  for (const double logit : x) sum += std::exp(logit);
  CHECK(loss == doctest::Approx(std::log(sum) - x[5]));
  check_gradient("logits", x, dx, f);
}

TEST_CASE("a linear layer backward") {
  constexpr std::size_t tokens = 9, inputs = 12;
  serial_executor serial;
  auto x = numbers(tokens * inputs, 1), w = numbers(11 * inputs, 2);
  const auto g = numbers(tokens * 11, 3);
  bit_linear<double> l;
  l.codes = {w.data(), 11, inputs};
  l.parts = {{{4, 0.5}, {4, 2.0}, {3, 1.5}}};
  auto scales = numbers(tokens, 4);
  std::vector<double> y(tokens * 11), in;
  const auto f = [&] {
    in = x;
    l.forward({{in.data(), tokens, inputs}, scales.data()}, {y.data(), tokens, 11});
    return dot(y, g);
  };
  f();
  // x are codes: what they stand for, and so dx, differs by the scale of their token.
  std::vector<double> dx(x.size());
  l.backward(0, {g.data(), tokens, 11}, {}, {dx.data(), tokens, inputs}, {}, nullptr);
  for (std::size_t i = 0; i < dx.size(); ++i) dx[i] *= scales[i / inputs];
  check_gradient("x", x, dx, f);
  f();  // the last call was for another x
  std::vector<double> dw(w.size());
  weight_gradients<double, 1>(
      serial, {{{{dw.data(), 11, inputs}, {g.data(), tokens, 11}, {in.data(), tokens, inputs}}}});
  const double part_scales[] = {0.5, 2.0, 1.5};
  for (std::size_t i = 0; i < dw.size(); ++i) dw[i] *= part_scales[i / inputs / 4];
  check_gradient("w", w, dw, f);
}

TEST_CASE("embedding: rows come, gradients go back to them in order") {
  serial_executor serial;
  const std::vector<token> ids{2, 0, 2};
  const auto table = numbers(3 * 70, 1), dx = numbers(3 * 70, 2);
  std::vector<double> x(3 * 70), dtable(3 * 70);
  embed<double>(serial, ids, {table.data(), 3, 70}, {x.data(), 3, 70});
  CHECK(std::equal(x.begin(), x.begin() + 70, table.begin() + 140));
  CHECK(std::equal(x.begin() + 70, x.begin() + 140, table.begin()));
  embed_backward<double>(serial, ids, {dx.data(), 3, 70}, {dtable.data(), 3, 70});
  for (std::size_t i = 0; i < 70; ++i) {
    CHECK(dtable[i] == dx[70 + i]);
    CHECK(dtable[70 + i] == 0.0);
    CHECK(dtable[140 + i] == dx[i] + dx[140 + i]);
  }
}
