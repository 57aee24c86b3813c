// SPDX-License-Identifier: Apache-2.0
// Tiles hold the same weights as the rows they were made from, for every format and odd shapes.
#include "doctest.hpp"

#include <bitnet/core/bit_cast.hpp>
#include <bitnet/quant/any.hpp>

#include <string>
#include <vector>

namespace {

using namespace bitnet;
using namespace bitnet::quant;

/// A small linear congruential generator: the test needs bytes of every kind, nothing better.
struct byte_source {
  std::uint32_t state;
  std::uint32_t next() { return state = state * 1664525U + 1013904223U; }
  void fill(std::vector<std::byte>& out) {
    for (std::byte& b : out) b = static_cast<std::byte>(next() >> 24);
  }
};

/// Several workers on one thread, pieces in an order of their own.
struct shuffled_executor {
  [[nodiscard]] static std::size_t concurrency() { return 3; }
  static void parallel_for(std::size_t n, parallel_task task) {
    for (std::size_t i = n; i-- > 0;)
      if (i % 2 == 1) task(i, 2);
    for (std::size_t i = 0; i < n; i += 2) task(i, i % 3);
  }
};

bool same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) ||
         bitnet::bit_cast<std::uint32_t>(a) == bitnet::bit_cast<std::uint32_t>(b);
}

/// Padding has code 0 and scale 0, and every weight is what decode_row says.
template <class F>
void check_tiles(packed_rows w, const tiled_matrix& m) {
  const tiled_view v = m.view();
  REQUIRE(v.rows == w.rows);
  REQUIRE(v.cols == w.cols);
  REQUIRE(reinterpret_cast<std::uintptr_t>(v.lines) % 64 == 0);
  REQUIRE((v.scales_f32 == nullptr) != (v.scales_f16 == nullptr));
  REQUIRE((v.mins != nullptr) == F::has_mins);
  REQUIRE(v.group % 16 == 0);
  std::vector<float> row(w.cols);
  std::size_t wrong = 0;
  for (std::size_t r = 0; r < w.rows; ++r) {
    decode_row<F>(w, r, row);
    for (std::size_t c = 0; c < w.cols; ++c) wrong += same(weight_at(v, r, c), row[c]) ? 0U : 1U;
  }
  CHECK(wrong == 0);

  std::size_t dirty = 0;
  const std::size_t padded_cols = v.lines_per_tile() * columns_per_line(v.codes);
  for (std::size_t r = 0; r < v.tiles() * tile_rows; ++r)
    for (std::size_t c = r < v.rows ? v.cols : 0; c < padded_cols; ++c)
      dirty += code_at(v, r, c) == 0 ? 0U : 1U;
  for (std::size_t r = v.rows; r < v.tiles() * tile_rows; ++r)
    for (std::size_t g = 0; g < v.groups(); ++g) dirty += scale_at(v, r, g) == 0.0F ? 0U : 1U;
  CHECK(dirty == 0);
}

template <class F>
void check_shape(std::size_t rows, std::size_t cols, std::uint32_t seed) {
  CAPTURE(std::string{F::name});
  CAPTURE(rows);
  CAPTURE(cols);
  const auto size = tensor_bytes<F>(rows, cols);
  REQUIRE(size);
  // One byte in front, so that nothing relies on alignment.
  std::vector<std::byte> data(static_cast<std::size_t>(*size) + 1);
  byte_source{seed}.fill(data);
  const packed_rows w{data.data() + 1, rows, cols};
  serial_executor serial;
  const auto one = make_tiled<F>(w, serial);
  REQUIRE(one);
  if (!one) return;
  check_tiles<F>(w, *one);

  shuffled_executor shuffled;
  const auto other = make_tiled<F>(w, shuffled);
  REQUIRE(other);
  if (!other) return;
  REQUIRE(other->bytes() == one->bytes());
  CHECK(std::memcmp(one->view().lines, other->view().lines, one->plan().lines) == 0);
}

}  // namespace

TEST_CASE("tiles of random bytes hold what decode_row gives") {
  std::uint32_t seed = 1;
  std::size_t formats = 0;
  for (const format_id id : all_formats) {
    visit_format(id, [&](auto format) {
      using F = decltype(format);
      if constexpr (tileable_format<F>) {
        ++formats;
        for (const std::size_t rows : {1U, 15U, 16U, 33U})
          for (const std::size_t cols : {256U, 768U}) check_shape<F>(rows, cols, ++seed);
      }
    });
  }
  CHECK(formats == 14);
}

TEST_CASE("tiles of rows that are short of a block or straddle blocks") {
  check_shape<q8_0>(17, 32, 101);
  check_shape<q4_0>(17, 96, 102);
  check_shape<iq1_bn>(5, 64, 103);
  check_shape<iq2_bn>(5, 192, 104);
  check_shape<q2_0>(5, 64, 105);
  check_shape<q1_0>(3, 128, 106);
  check_shape<i2_s>(4, 96, 107);  // 96 of 128: every row starts in another place
  check_shape<i2_s>(36, 96, 108);
  check_shape<i2_s>(128, 7, 109);  // lines are padded within the row
  check_shape<i2_s>(16, 8640, 110);
  check_shape<i2_s_arm>(2, 96, 111);
  check_shape<i2_s_arm>(64, 33, 112);
}

TEST_CASE("scales that are the same along every row become one for the row") {
  constexpr std::size_t rows = 20;
  constexpr std::size_t cols = 512;
  std::vector<float> weights(rows * cols);
  byte_source random{7};
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = (static_cast<float>(random.next() >> 16 & 1) * 2 - 1) *
                 (1.0F + static_cast<float>(i / cols));  // scale r + 1 in row r
  const auto tile = [&](auto format, auto&& change) {
    using F = decltype(format);
    std::vector<std::byte> data(static_cast<std::size_t>(*tensor_bytes<F>(rows, cols)));
    pack<F>(weights.data(), rows, cols, data.data());
    change(data);
    shuffled_executor threads;
    auto m = make_tiled<F>({data.data(), rows, cols}, threads);
    REQUIRE(m);
    check_tiles<F>({data.data(), rows, cols}, *m);
    return m->view().group;
  };
  const auto keep = [](std::vector<std::byte>&) {};
  CHECK(tile(tq1_0{}, keep) == cols);
  CHECK(tile(tq2_0{}, keep) == cols);
  CHECK(tile(q1_0{}, keep) == cols);
  CHECK(tile(q2_0{}, keep) == cols);
  // A single scale of the last row that differs in its last bit keeps the groups.
  const auto touch = [](std::vector<std::byte>& data) { data[data.size() - 2] ^= std::byte{1}; };
  CHECK(tile(tq1_0{}, touch) == 256);
  CHECK(tile(tq2_0{}, touch) == 256);
}

TEST_CASE("a tile line is as documented") {
  constexpr std::size_t cols = 64;
  std::vector<std::byte> data(4 + 16);
  const float scale = 1.0F;
  std::memcpy(data.data(), &scale, sizeof scale);
  for (std::size_t i = 0; i < 16; ++i) data[4 + i] = std::byte{0x55};
  data[4 + 6] = std::byte{0x59};  // weight 6 + 16: code 2, the others stay 1
  serial_executor serial;
  const auto m = make_tiled<iq2_bn>({data.data(), 1, cols}, serial);
  REQUIRE(m);
  const std::uint8_t* lines = m->view().lines;
  // Weight 22 is column 6 of line 1: byte 6 % 4 = 2 of row 0, plane 6 / 4 = 1.
  for (std::size_t i = 0; i < 4 * 64; ++i) {
    const unsigned expected = i % 64 >= 4 ? 0x00U : i == 64 + 2 ? 0x59U : 0x55U;
    REQUIRE(lines[i] == expected);
  }
}

TEST_CASE("empty and impossible matrices are refused by name") {
  serial_executor serial;
  const std::byte nothing{};
  const auto empty = make_tiled<tq2_0>({&nothing, 0, 256}, serial, "blk.0.w");
  REQUIRE_FALSE(empty);
  CHECK(empty.error().code() == errc::shape);
  CHECK(empty.error().what() == "blk.0.w");
  const auto flat = make_tiled<i2_s>({&nothing, 16, 0}, serial);
  REQUIRE_FALSE(flat);
  const auto ragged = make_tiled<tq2_0>({&nothing, 1, 100}, serial, "blk.1.w");
  REQUIRE_FALSE(ragged);
  CHECK(ragged.error().code() == errc::shape);
  CHECK_FALSE(make_tiled<i2_s>({&nothing, 3, 96}, serial));
}
