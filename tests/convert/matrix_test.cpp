// SPDX-License-Identifier: Apache-2.0
// Rows of checkpoints: the packed order, the order of rotated heads, and rounding to ternary.
#include "doctest.hpp"

#include <bitnet/convert/write_matrix.hpp>
#include <bitnet/core/thread_pool.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using namespace bitnet;
using convert::dtype;

template <class T>
convert::source_tensor tensor_of(const std::vector<T>& values, dtype type) {
  convert::source_tensor t;
  t.name = "w";
  t.file = "file";
  t.type = type;
  t.data = std::as_bytes(std::span{values});
  return t;
}

struct collector {
  std::vector<std::byte> bytes;
  status write(std::span<const std::byte> more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return {};
  }
};

std::vector<float> row_of(const convert::matrix_source& m, std::size_t row) {
  std::vector<float> out(m.cols);
  CHECK(m.read_row(row, out));
  return out;
}

}  // namespace

TEST_CASE("packed rows lie a quarter of the rows apart") {
  const std::vector<std::uint8_t> bytes{0b10'01'00'10, 0b00'01'10'01};  // rows 3 2 1 0, two columns
  const auto t = tensor_of(bytes, dtype::u8);
  convert::matrix_source m{.tensor = &t, .rows = 4, .cols = 2, .packed = true};
  CHECK(row_of(m, 0) == std::vector<float>{1, 0});
  CHECK(row_of(m, 1) == std::vector<float>{-1, 1});
  CHECK(row_of(m, 2) == std::vector<float>{0, 0});
  CHECK(row_of(m, 3) == std::vector<float>{1, -1});
  const std::vector<std::uint8_t> three{0b11'00'00'00};
  const auto bad = tensor_of(three, dtype::u8);
  convert::matrix_source n{.tensor = &bad, .rows = 4, .cols = 1, .packed = true};
  float x = 0;
  CHECK(n.read_row(0, {&x, 1}));
  CHECK_FALSE(n.read_row(3, {&x, 1}));
}

TEST_CASE("halves of a head become pairs") {
  std::vector<float> values(12);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const auto t = tensor_of(values, dtype::f32);
  const convert::matrix_source m{.tensor = &t, .rows = 12, .cols = 1, .heads = 2};
  std::vector<float> seen;
  for (std::size_t r = 0; r < 12; ++r) seen.push_back(row_of(m, r)[0]);
  CHECK(seen == std::vector<float>{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11});
}

TEST_CASE("the mean magnitude has the same bits for any number of threads") {
  std::vector<float> values(300 * 7000);
  std::uint32_t state = 1;
  for (float& x : values) {
    state = state * 1664525U + 1013904223U;
    x = static_cast<float>(state >> 8) / 16777216.0F - 0.5F;
  }
  const auto t = tensor_of(values, dtype::f32);
  const convert::matrix_source m{.tensor = &t, .rows = 300, .cols = 7000};
  serial_executor one;
  const float mean = *convert::mean_magnitude(m, one);
  convert::matrix_source rounded = m;  // as a plan has it, whose scale the mean becomes
  rounded.rounded = true;
  CHECK(*convert::mean_magnitude(rounded, one) == mean);
  CHECK(mean == doctest::Approx(0.25).epsilon(0.01));
  auto pool = thread_pool::make({.threads = 3});
  REQUIRE(pool);
  CHECK(*convert::mean_magnitude(m, *pool) == mean);
  values[12345] = std::numeric_limits<float>::quiet_NaN();
  CHECK_FALSE(convert::mean_magnitude(m, one));
  values[12345] = std::numeric_limits<float>::infinity();
  CHECK_FALSE(convert::mean_magnitude(m, one));
}

TEST_CASE("rounding is to the nearest of -1, 0, 1 times the scale") {
  const std::vector<float> values{0.5F, -0.5F, 0.51F, -0.51F, 3.0F, -3.0F, 0.0F, 1.0F};
  const auto t = tensor_of(values, dtype::f32);
  const convert::matrix_source m{
      .tensor = &t, .rows = 1, .cols = 8, .rounded = true, .scale = 1.0F};
  CHECK(row_of(m, 0) == std::vector<float>{0, 0, 1, -1, 1, -1, 0, 1});
}

TEST_CASE("I2_S of rows that are no whole blocks, in pieces, is one run with one scale") {
  constexpr std::size_t rows = 640;
  constexpr std::size_t cols = 1096;  // 8.5625 blocks
  std::vector<std::uint8_t> bytes(rows / 4 * cols);
  std::uint32_t state = 3;
  for (std::uint8_t& b : bytes) {
    b = 0;
    for (int i = 0; i < 4; ++i) {
      state = state * 1664525U + 1013904223U;
      b = static_cast<std::uint8_t>(std::uint32_t{b} << 2 | (state >> 16) % 3);
    }
  }
  const auto t = tensor_of(bytes, dtype::u8);
  const convert::matrix_source m{
      .tensor = &t, .rows = rows, .cols = cols, .packed = true, .scale = 0.0371F};
  std::vector<float> all;
  for (std::size_t r = 0; r < rows; ++r)
    for (const float x : row_of(m, r)) all.push_back(x * m.scale);
  std::vector<std::byte> whole(rows * cols / 4 + 32);
  quant::i2_s::pack_tensor(all, whole.data());
  for (const std::size_t threads : {1U, 3U}) {
    auto pool = thread_pool::make({.threads = threads});
    REQUIRE(pool);
    collector out;
    std::size_t seen = 0;
    convert::matrix_writer writer{m, gguf::tensor_type::i2_s, *pool};
    CHECK(writer.run(out, [&](std::size_t n) { seen += n; }));
    CHECK(seen == rows);
    CHECK(out.bytes == whole);
    CHECK(writer.relative_error() == 0.0);
  }
}

TEST_CASE("every type that is said to be written has a packer, and no other has") {
  for (const quant::format_id id : quant::all_formats) {
    if (id == quant::format_id::i2_s_arm) continue;  // no file says that it has this order
    const auto type = id == quant::format_id::q2_0_g128 ? gguf::tensor_type::q2_0_g128
                                                        : static_cast<gguf::tensor_type>(id);
    const std::string_view name = gguf::name_of(type);
    CAPTURE(name);
    CHECK((gguf::find_written_type(name) == type) ==
          bitnet::detail::find_writable_format(type).has_value());
  }
  CHECK(gguf::find_written_type("i2_s") == gguf::tensor_type::i2_s);
  CHECK(!gguf::find_written_type("q4_k"));
  CHECK(!gguf::find_written_type(""));
}
