// SPDX-License-Identifier: Apache-2.0
// Encoding from float: what a format can say comes back exactly, the rest with a small error.
#include "doctest.hpp"

#include <bitnet/gguf/source.hpp>
#include <bitnet/quant/any.hpp>

#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace bitnet;
using namespace bitnet::quant;

struct matrix {
  std::size_t rows, cols;
  std::vector<float> x;

  template <class Value>
  matrix(std::size_t r, std::size_t c, Value value) : rows{r}, cols{c}, x(r * c) {
    std::uint32_t state = 5;
    for (std::size_t i = 0; i < x.size(); ++i) {
      state = state * 1664525U + 1013904223U;
      x[i] = value(state >> 8, i / cols, i % cols);
    }
  }
  [[nodiscard]] matrix_summary summary() const {
    matrix_summary s;
    for (std::size_t r = 0; r < rows; ++r) s.add(summarize({x.data() + r * cols, cols}));
    return s;
  }
};

/// Encodes unit by unit, as a program that streams does it, and puts the units together.
std::vector<std::byte> encode_all(const writable_format& f, const matrix& m) {
  const std::size_t unit = f.unit_rows(m.cols);
  REQUIRE(m.rows % unit == 0);
  const auto size = static_cast<std::size_t>(f.tensor_bytes(unit, m.cols).value_or(0));
  const auto twice = static_cast<std::size_t>(f.tensor_bytes(2 * unit, m.cols).value_or(0));
  const std::size_t codes = twice - size;
  const matrix_summary summary = m.summary();
  std::vector<std::byte> out, one(size + 1, std::byte{0xa5});
  for (std::size_t r = 0; r < m.rows; r += unit) {
    f.encode(m.x.data() + r * m.cols, unit, m.cols, summary, one.data());
    REQUIRE(one.back() == std::byte{0xa5});
    out.insert(out.end(), one.begin(), one.begin() + static_cast<std::ptrdiff_t>(codes));
  }
  out.insert(out.end(), one.begin() + static_cast<std::ptrdiff_t>(codes), one.end() - 1);
  CHECK(out.size() == f.tensor_bytes(m.rows, m.cols));
  return out;
}

std::vector<float> decode_all(const format_info& f, const std::byte* data, std::size_t rows,
                              std::size_t cols) {
  std::vector<float> out(rows * cols);
  for (std::size_t r = 0; r < rows; ++r)
    f.decode_row({data, rows, cols}, r, {out.data() + r * cols, cols});
  return out;
}
std::vector<float> round_trip(format_id id, const matrix& m) {
  const auto f = find_writable_format(id);
  REQUIRE(f);
  return decode_all(*f, encode_all(*f, m).data(), m.rows, m.cols);
}

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
    size += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(difference / size);
}

float centred(std::uint32_t random) {  // near a normal distribution: the sum of three bytes
  return (static_cast<float>((random & 255U) + (random >> 8 & 255U) + (random >> 16 & 255U)) -
          382.5F) *
         0.001F;
}

/// Blocks whose bytes are others. Codes under a scale of zero mean nothing, nor does what is behind
/// the scale of I2_S.
std::size_t different_blocks(const gguf::tensor_info& t, const std::vector<float>& x,
                             const std::vector<std::byte>& again) {
  const auto rule = gguf::storage_of(t.type);
  if (rule.row_header_bytes != 0)
    return std::equal(again.begin(), again.end(), t.data.begin()) ? 0 : 1;
  std::size_t different = 0, at = 0;
  for (std::size_t i = 0; i < x.size(); i += rule.block_weights, at += rule.block_bytes) {
    const auto block = x.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::all_of(block, block + static_cast<std::ptrdiff_t>(rule.block_weights),
                    [](float v) { return v == 0.0F; }))
      continue;
    different += std::memcmp(again.data() + at, t.data.data() + at, rule.block_bytes) != 0;
  }
  if (rule.tensor_tail_bytes != 0)
    different += std::memcmp(again.data() + at, t.data.data() + at, sizeof(float)) != 0;
  return different;
}

/// Encodes the decoded weights of all tensors again: the same bytes, where a format has one way to
/// say its values.
std::size_t check_bytes_back(const std::string& folder) {
  std::size_t checked = 0;
  for (const auto& entry : std::filesystem::directory_iterator{folder}) {
    if (entry.path().extension() != ".gguf") continue;
    const auto file = gguf::open(entry.path().string());
    REQUIRE(file);
    for (const auto* t : file->tensors()) {
      auto id = static_cast<format_id>(t->type);
      if (t->type == gguf::tensor_type::q2_0_g128) id = format_id::q2_0_g128;
      const auto f = find_writable_format(id);
      if (!f) continue;
      CAPTURE(entry.path().string());
      CAPTURE(std::string{t->name});
      matrix m{t->rows(), t->cols(), [](auto...) { return 0.0F; }};
      m.x = decode_all(*f, t->data.data(), m.rows, m.cols);
      const auto again = encode_all(*f, m);
      CHECK(decode_all(*f, again.data(), m.rows, m.cols) == m.x);
      // Q6_K can say the same with other scales, Q4_0 with a scale of the other sign.
      if (id != format_id::q6_k && id != format_id::q4_0)
        CHECK(different_blocks(*t, m.x, again) == 0);
      ++checked;
    }
  }
  return checked;
}

}  // namespace

TEST_CASE("what was decoded is encoded to the same bytes") {
  CHECK(check_bytes_back(std::string{BITNET_TEST_DATA_DIR} + "/models") > 100);
}

TEST_CASE("what was decoded is encoded to the same bytes: the conformance suite") {
  const std::string shared{BITNET_SHARED_DIR};
  if (shared.empty()) {
    MESSAGE("the shared data folder is absent; only the models in tests/data were checked");
    return;
  }
  CHECK(check_bytes_back(shared + "/conformance/models") > 400);
}

TEST_CASE("ternary weights survive every format that can say their scale") {
  const matrix halves{8, 512, [](std::uint32_t random, auto...) {
                        return (static_cast<float>(random % 3) - 1.0F) * 0.0371704101562F;
                      }};
  for (const format_id id :
       {format_id::f32, format_id::f16, format_id::q4_0, format_id::q8_0, format_id::q6_k,
        format_id::tq1_0, format_id::tq2_0, format_id::i2_s, format_id::q2_0, format_id::q2_0_g128,
        format_id::iq1_bn, format_id::iq2_bn}) {
    CAPTURE(static_cast<std::uint32_t>(id));
    CHECK(round_trip(id, halves) == halves.x);
  }
  // A scale of full precision fits I2_S and IQ2_BN; the others round it.
  const matrix full{8, 512, [](std::uint32_t random, auto...) {
                      return (static_cast<float>(random % 3) - 1.0F) * 0.0371F;
                    }};
  CHECK(round_trip(format_id::i2_s, full) == full.x);
  CHECK(round_trip(format_id::iq2_bn, full) == full.x);
  for (const format_id id : {format_id::tq1_0, format_id::tq2_0, format_id::q2_0, format_id::q4_0,
                             format_id::q8_0, format_id::q6_k}) {
    const double e = relative_error(round_trip(id, full), full.x);
    CHECK(e > 0.0);
    CHECK(e < 0x1p-11);
  }
}

TEST_CASE("I2_S of rows that are no whole blocks is encoded in units of several rows") {
  const matrix odd{8, 96, [](std::uint32_t random, auto...) {
                     return (static_cast<float>(random % 3) - 1.0F) * 0.3F;
                   }};
  CHECK(find_writable_format(format_id::i2_s)->unit_rows(96) == 4);
  CHECK(find_writable_format(format_id::i2_s)->unit_rows(256) == 1);
  CHECK(round_trip(format_id::i2_s, odd) == odd.x);
}

TEST_CASE("other weights become ternary around their mean magnitude") {
  const matrix real{8, 512, [](std::uint32_t random, auto...) { return centred(random); }};
  const float mean = real.summary().mean_magnitude();
  CHECK_FALSE(real.summary().one_scale);
  for (const format_id id : {format_id::i2_s, format_id::iq2_bn, format_id::tq1_0}) {
    const auto out = round_trip(id, real);
    const float scale = id == format_id::tq1_0 ? to_float(to_f16(mean)) : mean;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const float nearest = std::fabs(real.x[i]) * 2.0F < mean ? 0.0F : scale;
      REQUIRE(out[i] == (real.x[i] < 0.0F ? -nearest : nearest));
    }
  }
  // The best scale of each group does better than the mean magnitude or the largest value.
  const double best = relative_error(round_trip(format_id::q2_0, real), real.x);
  CHECK(best < relative_error(round_trip(format_id::i2_s, real), real.x));
  CHECK(best < 0.46);
}

TEST_CASE("values on a grid are found, whatever their scale") {
  const auto check_grid = [](format_id id, int low, int high, std::size_t group) {
    CAPTURE(static_cast<std::uint32_t>(id));
    const matrix grid{4, 512, [&](std::uint32_t random, std::size_t row, std::size_t col) {
                        const auto span = static_cast<std::uint32_t>(high - low + 1);
                        const float step =
                            to_float(f16{static_cast<std::uint16_t>(0x2c01U + 37 * (col / group))});
                        const float code =
                            static_cast<float>(static_cast<int>(random % span) + low);
                        return row % 2 == 0 ? code * step : -code * step;
                      }};
    CHECK(round_trip(id, grid) == grid.x);
  };
  check_grid(format_id::q8_0, -127, 127, 32);
  check_grid(format_id::q8_0, -9, 11, 32);
  check_grid(format_id::q4_0, -8, 7, 32);
  check_grid(format_id::q4_0, -3, 5, 32);
  check_grid(format_id::q2_0, -1, 2, 64);
  check_grid(format_id::q6_k, -32, 31, 256);
  check_grid(format_id::q6_k, -7, 5, 256);
}

TEST_CASE("a common step is the greatest, and is missed by nothing") {
  for (int most : {1, 7, 8, 32, 127, 128}) {
    for (int k = 1; k <= most; ++k) {
      for (const float step : {0x1p-149F, 0.3F, 1.0F, 0x1.fffffep+119F}) {
        const float x[] = {static_cast<float>(k) * step, -step, 0.0F};
        if (x[0] / static_cast<float>(k) != step) continue;  // the product was rounded
        const auto found = common_step(x, static_cast<std::uint32_t>(most));
        const bool exact =
            static_cast<double>(x[0]) == static_cast<double>(k) * static_cast<double>(step);
        if (!exact) continue;
        REQUIRE(found);
        CHECK(*found == step);
      }
    }
  }
  const float no[] = {1.0F, 0.0078F};
  CHECK_FALSE(common_step(no, 127));
  CHECK_FALSE(half_step(std::array{0x1p-40F}, 127));
  CHECK(to_float(*half_step(std::array{0.3F, 0.6F}, 2)) == to_float(to_f16(0.3F)));
  CHECK(to_float(*half_step(std::array{12.0F * 0x1.ffcp-3F, 0x1.ffcp-3F * 9.0F}, 16)) > 0.0F);
  CHECK(*common_step(std::array{0.0F, -0.0F}, 5) == 0.0F);
}

TEST_CASE("values that fit no grid get the reference quantizer's bytes, Q6_K a small error") {
  const matrix real{8, 512, [](std::uint32_t random, std::size_t row, auto...) {
                      return centred(random) * static_cast<float>(row + 1);
                    }};
  for (const format_id id : {format_id::q8_0, format_id::q4_0, format_id::q1_0, format_id::f16,
                             format_id::bf16, format_id::q6_k}) {
    const auto f = find_writable_format(id);
    const auto bytes = encode_all(*f, real);
    std::vector<std::byte> reference(bytes.size());
    f->pack(real.x.data(), real.rows, real.cols, reference.data());
    CHECK(bytes == reference);
  }
  CHECK(relative_error(round_trip(format_id::q8_0, real), real.x) < 0.006);
  CHECK(relative_error(round_trip(format_id::q6_k, real), real.x) < 0.019);
  CHECK(relative_error(round_trip(format_id::q4_0, real), real.x) < 0.09);
}

TEST_CASE("zeros, the smallest and the largest floats are encoded without harm") {
  const float largest = std::numeric_limits<float>::max();
  for (const float magnitude : {0.0F, -0.0F, 0x1p-149F, 0x1p-130F, 1e-30F, 1e30F, largest}) {
    const matrix m{2, 256, [&](std::uint32_t random, auto...) {
                     return magnitude * (static_cast<float>(random % 1000) / 1000.0F - 0.5F);
                   }};
    for (const format_id id : all_formats) {
      const auto f = find_writable_format(id);
      if (!f) continue;
      const auto out = round_trip(id, m);
      if (magnitude == 0.0F) CHECK(out == m.x);
    }
  }
}

TEST_CASE("summaries add up") {
  const std::array a{1.0F, 0.0F, -1.0F};
  const std::array b{1.0F};
  const std::array c{2.0F, -2.0F};
  const std::array zero{0.0F};
  matrix_summary s = summarize(a);
  s.add(summarize(zero));
  s.add(summarize(b));
  CHECK(s.one_scale);
  CHECK(s.mean_magnitude() == 0.6F);
  s.add(summarize(c));
  CHECK_FALSE(s.one_scale);
  CHECK(s.largest == 2.0F);
  CHECK(s.finite);
  s.add(summarize(std::array{std::numeric_limits<float>::quiet_NaN()}));
  CHECK_FALSE(s.finite);
  CHECK(matrix_summary{}.mean_magnitude() == 0.0F);
}
