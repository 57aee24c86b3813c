// SPDX-License-Identifier: Apache-2.0
// Gradients of whole models: by finite differences, and straight through frozen rounding.
#include "finite_differences.hpp"

#include <bitnet/train/model.hpp>

#include <string>

using namespace bitnet;
using namespace bitnet::train;
using train_test::check_gradient;

namespace {

using real_model = basic_model<double>;

nn::hparams tiny() {
  nn::hparams h;
  h.dim = 16;
  h.layers = 2;
  h.heads = 4;
  h.kv_heads = 2;
  h.head_dim = 6;
  h.ffn = 20;
  h.vocab = 11;
  h.context = 128;
  h.norm_eps = 1e-5F;
  return h;
}

/// No rounding at all: the plain function of which finite differences are taken.
model_config<double> plain(architecture a) {
  auto c = configured<double>(a, tiny(), weights<no_quantizer, double>());
  c.activations = activations<no_quantizer, double>();
  c.embedding = quant::format_id::f32;
  return c;
}

struct tokens_and_targets {
  std::vector<token> inputs, targets;
  int rows, length;
  tokens_and_targets(int r, int l) : rows{r}, length{l} {
    for (int i = 0; i < r * l; ++i) {
      inputs.push_back((i * i + 3 * i) % 11);
      targets.push_back(i % 5 == 4 ? -1 : (i * 7 + 2) % 11);
    }
  }
  [[nodiscard]] batch view() const { return {rows, length, inputs, targets}; }
};

/// The mean loss and the gradients of every tensor of a model.
void check_model(real_model& m, const batch& b, std::size_t values, double tolerance) {
  m.clear_gradients();
  const auto loss = m.loss_and_gradients(b);
  REQUIRE(loss);
  const std::vector<double> gradients{m.gradients().begin(), m.gradients().end()};
  const auto f = [&] {
    m.refresh();
    return m.evaluate(b)->mean();
  };
  CHECK(f() == doctest::Approx(loss->mean()).epsilon(1e-12));
  for (const parameter& p : m.parameters().all())
    check_gradient(p.name, m.values().subspan(p.offset, p.size()),
                   std::span{gradients}.subspan(p.offset, p.size()), f, values, tolerance);
}

constexpr architecture all_architectures[] = {architecture::bitnet_b158, architecture::bitnet_silu,
                                              architecture::llama, architecture::qwen3};

}  // namespace

TEST_CASE("every architecture's gradients are those of finite differences") {
  serial_executor serial;
  for (const architecture a : all_architectures) {
    CAPTURE(name_of(a));
    const tokens_and_targets data{2, 7};
    auto m = real_model::make(plain(a), serial, 14, 3, 0.3F);
    REQUIRE(m);
    // Norms of 1 would hide a norm weight that is used twice or not at all.
    for (const parameter& p : m->parameters().all())
      if (p.kind == parameter_kind::norm)
        for (std::size_t i = 0; i < p.size(); ++i)
          m->values()[p.offset + i] = 0.7 + 0.05 * static_cast<double>(i);
    m->refresh();
    check_model(*m, data.view(), 12, 2e-6);
  }
}

TEST_CASE("gradients of more tokens than a piece of work has") {
  serial_executor serial;
  const tokens_and_targets data{4, 70};
  auto m = real_model::make(plain(architecture::qwen3), serial, 280, 3, 0.3F);
  REQUIRE(m);
  check_model(*m, data.view(), 2, 2e-6);
}

namespace {

/// A quantizer whose rounding can be recorded and then held fixed: with the differences between
/// rounded and exact values frozen, the network is a smooth function again, and its derivative is
/// what straight-through estimation computes.
struct frozen {
  static inline std::vector<double> tape;
  static inline std::size_t at = 0;
  static inline bool replay = false;

  static double difference(double exact, double rounded) {
    if (!replay) tape.push_back(rounded - exact);
    return replay ? tape[at++] : rounded - exact;
  }
  static void record() {
    tape.clear();
    replay = false;
  }
  static void play() {
    at = 0;
    replay = true;
  }
};

template <class Q>
struct frozen_weights {
  static constexpr std::string_view name = "frozen";
  static constexpr quant::format_id format = Q::format;
  template <class T>
  static T quantize(matrix_view<const T> w, matrix_view<T> out) noexcept {
    const T scale = Q::quantize(w, out);
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t i = 0; i < w.cols; ++i)
        out.row(r)[i] =
            static_cast<T>(static_cast<double>(w.row(r)[i]) +
                           frozen::difference(static_cast<double>(w.row(r)[i]),
                                              static_cast<double>(out.row(r)[i] * scale)));
    return T{1};
  }
};

template <class Q>
struct frozen_activations {
  static constexpr std::string_view name = "frozen";
  template <class T>
  static T quantize(const T* x, T* out, std::size_t n) noexcept {
    std::vector<T> exact(x, x + n);
    const T scale = Q::quantize(x, out, n);
    for (std::size_t i = 0; i < n; ++i)
      out[i] = static_cast<T>(
          static_cast<double>(exact[i]) +
          frozen::difference(static_cast<double>(exact[i]), static_cast<double>(out[i] * scale)));
    return T{1};
  }
};

template <class W, class A>
void check_straight_through(architecture a) {
  serial_executor serial;
  auto c = configured<double>(a, tiny(), weights<W, double>());
  c.activations = activations<A, double>();
  c.embedding = quant::format_id::f32;
  const tokens_and_targets data{2, 7};
  auto trained = real_model::make(c, serial, 14, 3, 0.3F);
  REQUIRE(trained);
  const auto loss = trained->loss_and_gradients(data.view());
  REQUIRE(loss);

  c.weights = weights<frozen_weights<W>, double>();
  c.activations = activations<frozen_activations<A>, double>();
  frozen::record();
  auto m = real_model::make(c, serial, 14, 3, 0.3F);
  REQUIRE(m);
  CHECK(m->evaluate(data.view())->mean() == doctest::Approx(loss->mean()).epsilon(1e-9));
  REQUIRE(!frozen::tape.empty());
  const auto f = [&] {
    frozen::play();
    m->refresh();
    return m->evaluate(data.view())->mean();
  };
  CHECK(f() == doctest::Approx(loss->mean()).epsilon(1e-9));
  CHECK(frozen::at == frozen::tape.size());
  for (const parameter& p : m->parameters().all())
    check_gradient(p.name, m->values().subspan(p.offset, p.size()),
                   std::span<const double>{trained->gradients()}.subspan(p.offset, p.size()), f, 6,
                   1e-5);
}

/// Groups of 4, since the shapes here are small.
struct tiny_groups {
  static constexpr std::string_view name = "tiny groups";
  static constexpr quant::format_id format = quant::format_id::f32;
  static constexpr std::size_t group = 4;
  template <class T>
  static T quantize(matrix_view<const T> w, matrix_view<T> out) noexcept {
    train::detail::each_group<4>(w, out, [](const T* x, T* y, T scale) {
      for (std::size_t i = 0; i < 4; ++i) y[i] = train::detail::ternary(x[i] / scale) * scale;
    });
    return T{1};
  }
};

}  // namespace

TEST_CASE("straight-through gradients are the derivative with rounding frozen") {
  check_straight_through<absmean_ternary, int8_per_token>(architecture::bitnet_b158);
  check_straight_through<absmean_ternary, int8_per_token>(architecture::bitnet_silu);
  check_straight_through<no_quantizer, int8_per_token>(architecture::bitnet_b158);
  check_straight_through<tiny_groups, int8_per_block<4>>(architecture::qwen3);
  check_straight_through<tiny_groups, int8_per_block<4>>(architecture::llama);
}

TEST_CASE("batches that contradict themselves are errors and change nothing") {
  serial_executor serial;
  auto m = real_model::make(plain(architecture::llama), serial, 14, 3, 0.3F);
  REQUIRE(m);
  const tokens_and_targets data{2, 7};
  const std::vector<double> before{m->gradients().begin(), m->gradients().end()};
  const auto refused = [&](const batch& b) {
    const auto r = m->loss_and_gradients(b);
    REQUIRE(!r);
    CHECK(r.error().code() == errc::invalid_argument);
    CHECK(!m->evaluate(b));
  };
  batch b = data.view();
  b.rows = 3;
  refused(b);  // too many tokens
  b = data.view();
  b.length = 6;
  refused(b);
  b = data.view();
  b.rows = 0;
  refused(b);
  b = data.view();
  b.rows = -2;
  b.length = -7;
  refused(b);
  b = data.view();
  b.targets = b.targets.first(3);
  refused(b);
  auto wrong = data;
  wrong.inputs[3] = 11;
  refused(wrong.view());
  wrong = data;
  wrong.inputs[3] = -1;
  refused(wrong.view());
  wrong = data;
  wrong.targets[3] = 11;
  refused(wrong.view());
  CHECK(std::equal(before.begin(), before.end(), m->gradients().begin()));
  CHECK(!m->logits({}));
  CHECK(!m->logits(std::vector<token>(15, 1)));
}

TEST_CASE("shapes that make no sense are refused by name") {
  const auto refused = [](auto change, std::string_view what) {
    serial_executor serial;
    auto c = plain(architecture::bitnet_b158);
    change(c);
    const auto m = real_model::make(c, serial, 14);
    REQUIRE(!m);
    CHECK(m.error().code() == errc::invalid_argument);
    CHECK(m.error().what() == what);
  };
  refused([](auto& c) { c.shape.dim = 0; }, "dim");
  refused([](auto& c) { c.shape.kv_heads = 3; }, "kv_heads");
  refused([](auto& c) { c.shape.rope.dims = 7; }, "rope.dims");
  refused([](auto& c) { c.shape.rope.dims = 8; }, "rope.dims");
  refused([](auto& c) { c.shape.rope.base = 0.5F; }, "rope.base");
  refused([](auto& c) { c.shape.norm_eps = std::nanf(""); }, "norm_eps");
  refused([](auto& c) { c.shape.vocab = std::size_t{1} << 40; }, "vocab");
  refused([](auto& c) { c.weights = {}; }, "weights");
  refused([](auto& c) { c.weights.group = 128; }, "group");
  refused([](auto& c) { c.embedding = quant::format_id::q8_0; }, "embedding");  // rows of 32
  refused([](auto& c) { c.embedding = static_cast<quant::format_id>(77); }, "embedding");
}
