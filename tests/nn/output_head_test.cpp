// SPDX-License-Identifier: Apache-2.0
// The screened head gives the tokens and bits that sorting all logits gives, whatever the weights.
#include <bitnet/nn/output_head.hpp>
#include <bitnet/quant/any.hpp>

#include "doctest.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <vector>

namespace nn = bitnet::nn;
using bitnet::scored_token;
using nn::weight_storage;

namespace {

constexpr std::size_t vocab = 3001, dim = 256;

struct head_under_test {
  std::vector<std::byte> bytes;
  nn::output_head head;

  head_under_test(const std::vector<float>& w, weight_storage storage) {
    bytes.resize(w.size() * (storage == weight_storage::f32 ? 4 : 2));
    for (std::size_t i = 0; i < w.size(); ++i) {
      if (storage == weight_storage::f16) {
        const auto h = bitnet::to_f16(w[i]);
        std::memcpy(bytes.data() + 2 * i, &h, 2);
      } else if (storage == weight_storage::bf16) {
        const auto h = bitnet::to_bf16(w[i]);
        std::memcpy(bytes.data() + 2 * i, &h, 2);
      } else {
        std::memcpy(bytes.data() + 4 * i, &w[i], 4);
      }
    }
    nn::weight_matrix& m = head.full.weight;
    m.rows = vocab;
    m.cols = dim;
    m.storage = storage;
    m.bytes = {bytes.data(), vocab, dim};
    bitnet::serial_executor serial;
    std::size_t told = 0;
    auto screen = nn::make_head_screen(bitnet::kernels::best_table(), serial, m, "head",
                                       [&](std::span<const std::byte> b) { told += b.size(); });
    REQUIRE(bool(screen));
    CHECK(told == bytes.size());
    head.screen = *std::move(screen);
  }

  /// A head in tiles, as the loader binds them.
  head_under_test(const std::vector<float>& w, const bitnet::quant::format_info& format) {
    bytes.resize(static_cast<std::size_t>(*format.tensor_bytes(vocab, dim)));
    format.pack(w.data(), vocab, dim, bytes.data());
    nn::weight_matrix source;
    source.rows = vocab;
    source.cols = dim;
    source.storage = weight_storage::decoded;
    source.bytes = {bytes.data(), vocab, dim};
    source.decode = format.decode_row;
    bitnet::serial_executor serial;
    auto tiles = format.make_tiled(source.bytes, serial, "head");
    const bool copied = format.tile == bitnet::quant::encoding::int8;
    auto screen = copied ? nn::make_head_screen(bitnet::kernels::best_table(), serial, source,
                                                "head", [](std::span<const std::byte>) {})
                         : nn::head_screen::make_bounds(vocab, "head");
    REQUIRE((tiles && screen));
    if (!copied) REQUIRE(nn::fill_own_bounds(serial, *tiles, *screen));
    head.screen = *std::move(screen);
    nn::weight_matrix& m = head.full.weight;
    m.rows = vocab;
    m.cols = dim;
    m.storage = weight_storage::tiled;
    m.input = bitnet::quant::activation_kind::two_planes;
    m.tiles = *std::move(tiles);
  }

  /// Compares best(count) with sorted logits for each row; true if all agree to the bit.
  bool agrees(const std::vector<float>& states, std::size_t count) const {
    const std::size_t rows = states.size() / dim;
    auto memory = bitnet::aligned_buffer<std::byte>::make(16U << 20, "scratch");
    bitnet::arena scratch{memory->span()};
    const nn::hparams shape;
    bitnet::serial_executor serial;
    nn::context<> c{nn::dynamic_kernels{}, serial, scratch, shape, {}};
    const nn::activations x{const_cast<float*>(states.data()), rows, dim};
    std::vector<scored_token> found(rows * count, {0.0F, -7});
    head.best(c, x, {found.data(), rows, count});
    const auto all = head.logits(c, x);
    for (std::size_t r = 0; r < rows; ++r) {
      std::vector<scored_token> sorted;
      for (std::size_t i = 0; i < vocab; ++i)
        if (all.row(r)[i] > -std::numeric_limits<float>::infinity())
          sorted.push_back({all.row(r)[i], static_cast<bitnet::token>(i)});
      std::sort(sorted.begin(), sorted.end(), bitnet::better);
      for (std::size_t k = 0; k < count; ++k) {
        const scored_token& got = found[r * count + k];
        if (k >= sorted.size()
                ? got.id != -1
                : got.id != sorted[k].id || std::memcmp(&got.logit, &sorted[k].logit, 4) != 0)
          return false;
      }
    }
    return true;
  }
};

std::vector<float> normal(std::size_t n, unsigned seed, float size = 1.0F) {
  std::mt19937 engine{seed};
  std::normal_distribution<float> d{0.0F, size};
  std::vector<float> v(n);
  for (float& x : v) x = d(engine);
  return v;
}

}  // namespace

TEST_CASE("the best tokens are those of all logits, for every storage and count") {
  for (const auto storage : {weight_storage::f16, weight_storage::bf16, weight_storage::f32}) {
    const head_under_test h{normal(vocab * dim, 1, 0.02F), storage};
    REQUIRE(!h.head.screen.empty());
    CHECK(h.agrees(normal(dim, 2), 1));
    CHECK(h.agrees(normal(3 * dim, 3), 5));
    CHECK(h.agrees(normal(dim, 4, 1e3F), 40));
    CHECK(h.agrees(normal(dim, 5, 1e-3F), 256));
    CHECK(h.agrees(normal(8 * dim, 6), 1));
  }
}

TEST_CASE("a screen is as far from the head as it says") {
  const auto w = normal(vocab * dim, 1, 0.02F);
  const head_under_test h{w, weight_storage::f32};
  const auto copy = h.head.screen.tiles.view();
  for (std::size_t r = 0; r < vocab; ++r) {
    double lost = 0.0, kept = 0.0;
    for (std::size_t c = 0; c < dim; ++c) {
      const double v = double{bitnet::quant::weight_at(copy, r, c)}, d = double{w[r * dim + c]} - v;
      lost += d * d;
      kept += v * v;
    }
    CHECK(h.head.screen.error[r] >= std::sqrt(lost));
    CHECK(h.head.screen.magnitude[r] >= std::sqrt(kept));
    CHECK(std::sqrt(lost / dim) <
          0.02 * 4.5 / 127 / std::sqrt(12.0));  // and no farther than needed
  }
}

TEST_CASE("a head in tiles is screened for both planes of its input") {
  for (const auto& format : {bitnet::quant::describe<bitnet::quant::q8_0>(),
                             bitnet::quant::describe<bitnet::quant::q4_0>(),
                             bitnet::quant::describe<bitnet::quant::q1_0>(),
                             bitnet::quant::describe<bitnet::quant::tq2_0>()}) {
    const head_under_test h{normal(vocab * dim, 1, 0.02F), format};
    REQUIRE(!h.head.screen.empty());
    for (unsigned seed = 2; seed < 8; ++seed) CHECK(h.agrees(normal(2 * dim, seed), seed));
    CHECK(h.agrees(normal(9 * dim, 8), 1));
    CHECK(h.agrees(normal(dim, 9), 256));
  }
}

TEST_CASE("rows that nearly or exactly tie are told apart as by all logits") {
  auto w = normal(vocab * dim, 7, 0.02F);
  std::mt19937 engine{8};
  for (std::size_t r = 1; r < vocab; r += 2) {  // twins, some of them off by little
    std::copy_n(w.begin() + static_cast<std::ptrdiff_t>((r - 1) * dim), dim,
                w.begin() + static_cast<std::ptrdiff_t>(r * dim));
    if (r % 4 == 1) w[r * dim + engine() % dim] *= 1.0001F;
  }
  const head_under_test h{w, weight_storage::f32};
  for (unsigned seed = 10; seed < 20; ++seed) CHECK(h.agrees(normal(dim, seed), 1 + seed % 7));
}

TEST_CASE("a race among rows closer than the copy can tell is decided exactly") {
  for (unsigned seed = 30; seed < 36; ++seed) {
    auto w = normal(vocab * dim, seed, 0.02F);
    const auto x = normal(dim, seed + 100);
    double length = 0.0;
    for (const float v : x) length += double{v} * double{v};
    const auto spread = normal(300, seed + 200, 1e-3F);  // the copy errs by several times that
    for (std::size_t i = 0; i < 300; ++i) {  // these rows get a score of 3 and a little, along x
      float* row = w.data() + (10 * i + 3) * dim;
      double score = 0.0;
      for (std::size_t j = 0; j < dim; ++j) score += double{row[j]} * double{x[j]};
      const double along = (3.0 + double{spread[i]} - score) / length;
      for (std::size_t j = 0; j < dim; ++j) row[j] += static_cast<float>(along * double{x[j]});
    }
    const head_under_test h{w, weight_storage::f32};
    CHECK(h.agrees(x, 1));
    CHECK(h.agrees(x, 10));
  }
}

TEST_CASE("states and weights without a usable bound go the long way to the same end") {
  const head_under_test h{normal(vocab * dim, 1, 0.02F), weight_storage::f16};
  CHECK(h.agrees(std::vector<float>(dim, 0.0F), 3));
  auto x = normal(dim, 2);
  x[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK(h.agrees(x, 3));
  x[7] = std::numeric_limits<float>::infinity();
  CHECK(h.agrees(x, 3));
  CHECK(h.agrees(normal(dim, 3, 1e30F), 3));
  CHECK(h.agrees(normal(dim, 3, 1e-38F), 3));

  auto w = normal(vocab * dim, 1, 0.02F);
  w[5 * dim + 3] = std::numeric_limits<float>::infinity();
  const head_under_test infinite{w, weight_storage::f32};
  CHECK(infinite.head.screen.empty());
  CHECK(infinite.agrees(normal(dim, 2), 2));
  const head_under_test zero{std::vector<float>(vocab * dim, 0.0F), weight_storage::bf16};
  CHECK(zero.agrees(normal(dim, 2), 2));
  const head_under_test outliers{[&] {
                                   auto v = normal(vocab * dim, 9, 0.02F);
                                   for (std::size_t i = 0; i < v.size(); i += 97) v[i] *= 1e4F;
                                   return v;
                                 }(),
                                 weight_storage::f32};
  CHECK(outliers.agrees(normal(dim, 2), 4));
}
