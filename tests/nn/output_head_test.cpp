// SPDX-License-Identifier: Apache-2.0
// The screened head gives the tokens and bits that sorting all logits gives, whatever the weights.
#include <bitnet/core/thread_pool.hpp>
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
  head_under_test(const std::vector<float>& w, const bitnet::quant::writable_format& format) {
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
    bitnet::serial_executor serial;
    return agrees(states, count, serial);
  }
  bool agrees(const std::vector<float>& states, std::size_t count, bitnet::executor_ref threads,
              std::size_t items_in_slice = 0) const {
    const std::size_t rows = states.size() / dim;
    auto memory = bitnet::aligned_buffer<std::byte>::make(16U << 20, "scratch");
    const nn::hparams shape;
    const nn::activations x{const_cast<float*>(states.data()), rows, dim};
    std::vector<scored_token> found(rows * count, {0.0F, -7});
    nn::step_progress progress;
    nn::step_costs costs;
    for (bool stopped = true; stopped;) {  // in slices, or in one go
      auto budget = items_in_slice == 0 ? nn::step_budget::unlimited()
                                        : nn::step_budget::work(items_in_slice);
      nn::step_control control{budget, nullptr, progress, costs};
      control.start(rows, nn::step_control::head_place);
      bitnet::arena scratch{memory->span()};
      nn::context<> c{nn::dynamic_kernels{}, threads, scratch, shape, {}};
      if (items_in_slice != 0) c.control = &control;
      head.best(c, x, {found.data(), rows, count});
      stopped = control.stopped();
    }
    bitnet::arena scratch{memory->span()};
    nn::context<> c{nn::dynamic_kernels{}, threads, scratch, shape, {}};
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

/// The states of a batch one after the other.
std::vector<float> batch(std::initializer_list<std::vector<float>> states) {
  std::vector<float> all;
  for (const auto& s : states) all.insert(all.end(), s.begin(), s.end());
  return all;
}

/// States that differ from each other by little, so that they want the same rows and a few others.
std::vector<float> alike(std::size_t count, unsigned seed, float by) {
  const auto x = normal(dim, seed);
  auto all = normal(count * dim, seed + 1, by);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] += x[i % dim];
  return all;
}

/// Kernels that count what is multiplied: rows of F16 matrices, times the states of each.
std::size_t rows_read, products;
bitnet::kernels::kernel_table counting() {
  auto table = bitnet::kernels::best_table();
  table.gemm_f16 = [](bitnet::quant::packed_rows w, bitnet::matrix_view<const float> x,
                      bitnet::matrix_view<float> y, std::size_t first, std::size_t last) noexcept {
    rows_read += last - first;
    products += (last - first) * x.rows;
    bitnet::kernels::best_table().gemm_f16(w, x, y, first, last);
  };
  return table;
}

/// Rows read and products made for the `count` best tokens of states.
void count_products(const nn::output_head& head, const std::vector<float>& states,
                    std::size_t count) {
  rows_read = products = 0;
  const auto table = counting();
  auto memory = bitnet::aligned_buffer<std::byte>::make(16U << 20, "scratch");
  bitnet::arena scratch{memory->span()};
  const nn::hparams shape;
  bitnet::serial_executor serial;
  nn::context<> c{nn::dynamic_kernels{table}, serial, scratch, shape, {}};
  const std::size_t rows = states.size() / dim;
  std::vector<scored_token> found(rows * count);
  head.best(c, {const_cast<float*>(states.data()), rows, dim}, {found.data(), rows, count});
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
  for (const auto& format : {bitnet::quant::describe_writable<bitnet::quant::q8_0>(),
                             bitnet::quant::describe_writable<bitnet::quant::q4_0>(),
                             bitnet::quant::describe_writable<bitnet::quant::q1_0>(),
                             bitnet::quant::describe_writable<bitnet::quant::tq2_0>()}) {
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

TEST_CASE("states of a batch that want the same rows, others, or some of both") {
  const auto w = normal(vocab * dim, 1, 0.02F);
  auto twins = w;
  for (std::size_t r = 1; r < vocab; r += 2)
    std::copy_n(w.begin() + static_cast<std::ptrdiff_t>((r - 1) * dim), dim,
                twins.begin() + static_cast<std::ptrdiff_t>(r * dim));
  bitnet::thread_pool pool = *bitnet::thread_pool::make({.threads = 3});
  for (const auto& weights : {w, twins}) {
    const head_under_test h{weights, weight_storage::f16};
    const auto check = [&](const std::vector<float>& states) {
      for (const std::size_t count : {1U, 3U, 40U}) {
        CHECK(h.agrees(states, count));
        CHECK(h.agrees(states, count, pool));
      }
      for (const std::size_t items : {7U, 1000U}) CHECK(h.agrees(states, 2, pool, items));
    };
    check(alike(8, 2, 0.0F));
    check(alike(8, 2, 0.01F));
    check(alike(8, 4, 0.3F));
    check(normal(8 * dim, 6));
    // The first and the last want what those between them do not.
    const auto x = normal(dim, 7);
    check(batch({x, normal(6 * dim, 8), x}));
    // A state and its opposite; states of very different sizes.
    auto opposite = x;
    for (float& v : opposite) v = -v;
    check(batch({x, opposite, normal(dim, 9, 1e-3F), normal(dim, 10, 1e4F), normal(dim, 11)}));
  }
}

TEST_CASE("one state of a batch that cannot be bounded, or wants too much, spoils no other") {
  const head_under_test h{normal(vocab * dim, 1, 0.02F), weight_storage::f16};
  bitnet::thread_pool pool = *bitnet::thread_pool::make({.threads = 2});
  const auto x = normal(dim, 2), y = normal(dim, 3);
  auto nan = x, infinite = x;
  nan[7] = std::numeric_limits<float>::quiet_NaN();
  infinite[dim - 1] = -std::numeric_limits<float>::infinity();
  for (const auto& odd : {nan, infinite, normal(dim, 4, 1e30F), normal(dim, 4, 1e-38F),
                          std::vector<float>(dim, 0.0F)}) {
    for (const auto& states :
         {batch({odd, x, y, x, y}), batch({x, y, odd}), batch({x, y, y, x, x, y, x, odd})}) {
      CHECK(h.agrees(states, 3));
      CHECK(h.agrees(states, 3, pool, 5));
    }
  }
}

TEST_CASE("a row is read once, and multiplied with the states that want it") {
  const head_under_test h{normal(vocab * dim, 1, 0.02F), weight_storage::f16};
  const auto states = normal(8 * dim, 6);
  std::size_t alone = 0;
  for (std::size_t r = 0; r < 8; ++r) {
    const auto first = states.begin() + static_cast<std::ptrdiff_t>(r * dim);
    count_products(h.head, {first, first + dim}, 1);
    CHECK(products == rows_read);
    alone += products;
  }
  count_products(h.head, states, 1);
  CHECK(alone < vocab);  // or the screen is of no use
  CHECK(rows_read <= alone);
  CHECK(products < 8 * rows_read);  // only what is sure to be good is multiplied with all
  count_products(h.head, alike(8, 2, 0.0F), 1);
  CHECK(products == 8 * rows_read);
  const auto of_one = rows_read;
  count_products(h.head, alike(1, 2, 0.0F), 1);
  CHECK(rows_read == of_one);
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
