// SPDX-License-Identifier: Apache-2.0
// Decoding of every weight format against blocks whose weights were worked out by hand.
#include "doctest.hpp"

#include <bitnet/quant/any.hpp>

#include <array>
#include <initializer_list>
#include <vector>

namespace {

using namespace bitnet;
using namespace bitnet::quant;
using bytes = std::vector<std::byte>;

constexpr std::uint16_t half_two = 0x4000;    // 2 in f16
constexpr std::uint16_t minus_half = 0xb800;  // -0.5 in f16

template <class T>
void append(bytes& out, const T& value) {
  const std::size_t at = out.size();
  out.resize(at + sizeof value);
  std::memcpy(out.data() + at, &value, sizeof value);
}
void fill(bytes& out, std::size_t count, unsigned value) {
  out.insert(out.end(), count, static_cast<std::byte>(value));
}
void put(bytes& out, std::initializer_list<unsigned> values) {
  for (const unsigned v : values) out.push_back(static_cast<std::byte>(v));
}

template <class F>
std::vector<float> decode(const bytes& data, std::size_t cols, std::size_t rows = 1,
                          std::size_t row = 0) {
  REQUIRE(tensor_bytes<F>(rows, cols).value_or(0) == data.size());
  std::vector<float> out(cols, -99.0F);
  decode_row<F>({data.data(), rows, cols}, row, out);
  return out;
}

/// All weights are `rest` but for the listed ones.
void check_weights(const std::vector<float>& w, float rest,
                   std::initializer_list<std::pair<std::size_t, float>> special) {
  std::vector<float> expected(w.size(), rest);
  for (const auto& [i, v] : special) expected[i] = v;
  CHECK(w == expected);
}

}  // namespace

TEST_CASE("dense formats decode and round") {
  bytes f;
  append(f, 1.5F);
  append(f, -3.25F);
  CHECK(decode<dense_f32>(f, 2) == std::vector<float>{1.5F, -3.25F});
  bytes h;
  append(h, std::uint16_t{0x3e00});
  append(h, std::uint16_t{0x0001});
  CHECK(decode<dense_f16>(h, 2) == std::vector<float>{1.5F, 0x1p-24F});
  CHECK(decode<dense_f16>(h, 1, 2, 1) == std::vector<float>{0x1p-24F});
  bytes b;
  append(b, std::uint16_t{0x3fc0});
  append(b, std::uint16_t{0xc050});
  CHECK(decode<dense_bf16>(b, 2) == std::vector<float>{1.5F, -3.25F});

  // 1 + 2^-11 lies halfway between two halves and goes to the even one, 1; 1 + 3 * 2^-11 goes up.
  const std::array<float, 2> between{1.0F + 0x1p-11F, 1.0F + 3 * 0x1p-11F};
  std::array<std::uint16_t, 2> packed{};
  dense_f16::pack_row(between, reinterpret_cast<std::byte*>(packed.data()));
  CHECK(packed == std::array<std::uint16_t, 2>{0x3c00, 0x3c02});
  const std::array<float, 2> between8{1.0F + 0x1p-8F, 1.0F + 3 * 0x1p-8F};
  dense_bf16::pack_row(between8, reinterpret_cast<std::byte*>(packed.data()));
  CHECK(packed == std::array<std::uint16_t, 2>{0x3f80, 0x3f82});
}

TEST_CASE("Q8_0 weights are signed bytes times d") {
  bytes b;
  append(b, half_two);
  put(b, {0x00, 0x01, 0xff, 0x7f, 0x80});
  fill(b, 27, 3);
  check_weights(decode<q8_0>(b, 32), 6.0F,
                {{0, 0.0F}, {1, 2.0F}, {2, -2.0F}, {3, 254.0F}, {4, -256.0F}});
}

TEST_CASE("Q4_0 has low halves first and an offset of 8") {
  bytes b;
  append(b, minus_half);
  put(b, {0xf0});     // weight 0 is code 0, weight 16 is code 15
  fill(b, 14, 0x88);  // code 8: zero
  put(b, {0x9a});     // weight 15 is code 10, weight 31 is code 9
  check_weights(decode<q4_0>(b, 32), 0.0F, {{0, 4.0F}, {16, -3.5F}, {15, -1.0F}, {31, -0.5F}});
}

TEST_CASE("Q4_K and Q5_K share scales and minimums") {
  // scales: s = 0: 5, 1: 63, 4: 0x21 (low 4 bits 1, top bits 2), 7: 0x3f; mins: 0: 2, 4: 0x1e.
  const auto header = [](bytes& b) {
    append(b, half_two);
    append(b, minus_half);
    put(b, {5 | 2U << 6, 63, 0, 3U << 6, 2 | 1U << 6, 0, 0, 0, 0xe1, 0, 0, 0x0f});
  };
  bytes b;
  header(b);
  fill(b, 128, 0);
  std::size_t q = b.size() - 128;
  b[q] = std::byte{0xf3};        // sub-blocks 0 and 1, weight 0: codes 3 and 15
  b[q + 64] = std::byte{0x07};   // sub-blocks 4 and 5, weight 0
  b[q + 127] = std::byte{0xa0};  // sub-block 7, weight 31
  std::vector<float> expected(256, 0.0F);
  std::fill_n(expected.begin(), 32, 1.0F);         // - dmin * 2
  std::fill_n(expected.begin() + 128, 32, 15.0F);  // - dmin * 30
  expected[0] = 2 * 5 * 3 + 1.0F;
  expected[32] = 2 * 63 * 15;
  expected[128] = 2 * 33 * 7 + 15.0F;
  expected[255] = 2 * 63 * 10;
  CHECK(decode<q4_k>(b, 256) == expected);

  bytes c;
  header(c);
  fill(c, 32 + 128, 0);
  q = c.size() - 128;
  c[16] = std::byte{0x13};       // weight 0: a fifth bit in sub-blocks 0, 1 and 4
  c[16 + 31] = std::byte{0x80};  // weight 31: in sub-block 7
  c[q] = std::byte{0xf3};
  c[q + 64] = std::byte{0x07};
  c[q + 127] = std::byte{0xa0};
  expected[0] += 2 * 5 * 16;
  expected[32] += 2 * 63 * 16;
  expected[128] += 2 * 33 * 16;
  expected[255] += 2 * 63 * 16;
  CHECK(decode<q5_k>(c, 256) == expected);
}

TEST_CASE("Q6_K joins four low and two high bits, quarter by quarter") {
  bytes b;
  fill(b, 128, 0);
  fill(b, 64, 0xaa);  // high bits 2 everywhere: code 32, a zero
  for (unsigned s = 0; s < 16; ++s) put(b, {s < 15 ? s + 1 : 0xfdU});  // scales 1..15, -3
  append(b, half_two);
  b[0] = std::byte{0x21};             // half 0, quarters 0 and 2, weight 0: low bits 1 and 2
  b[32 + 17] = std::byte{0x43};       // half 0, quarters 1 and 3, weight 17: 3 and 4
  b[64 + 32 + 31] = std::byte{0xf0};  // half 1, quarter 3, weight 31: 15
  b[128 + 17] = std::byte{0x26};      // half 0, weight 17, high bits 2, 1, 2, 0 by quarter
  check_weights(decode<q6_k>(b, 256), 0.0F,
                {{0, 2.0F * 1 * 1},
                 {64, 2.0F * 5 * 2},
                 {32 + 17, 2.0F * 4 * (3 + 16 - 32)},
                 {96 + 17, 2.0F * 8 * (4 + 0 - 32)},
                 {128 + 96 + 31, 2.0F * -3 * 15}});
}

TEST_CASE("TQ1_0 digits: most significant first, in three runs") {
  // 0x80 = ceil(121 * 256 / 243) is 1 1 1 1 1, all zeros. 0 is 0 0 0 0 0; 0xff is 2 2 2 2 2.
  bytes b;
  fill(b, 52, 0x80);
  append(b, half_two);
  b[0] = std::byte{0x00};
  b[31] = std::byte{0xff};
  b[32] = std::byte{191};  // 2 0 2 0 1: v = 181, 181 * 256 / 243 = 190.7, rounded up
  b[48] = std::byte{0xff};
  b[51] = std::byte{0x00};
  check_weights(decode<tq1_0>(b, 256), 0.0F,
                {{0, -2.0F},  {32, -2.0F},  {64, -2.0F},  {96, -2.0F},  {128, -2.0F}, {31, 2.0F},
                 {63, 2.0F},  {95, 2.0F},   {127, 2.0F},  {159, 2.0F},  {160, 2.0F},  {176, -2.0F},
                 {192, 2.0F}, {208, -2.0F}, {224, 0.0F},  {240, 2.0F},  {244, 2.0F},  {248, 2.0F},
                 {252, 2.0F}, {243, -2.0F}, {247, -2.0F}, {251, -2.0F}, {255, -2.0F}});
}

TEST_CASE("TQ2_0 has four weights 32 apart in a byte, and code 3 is 2d") {
  bytes b;
  fill(b, 64, 0x55);
  append(b, half_two);
  b[0] = std::byte{0xe4};   // 0 1 2 3 from the low bits
  b[63] = std::byte{0x1b};  // 3 2 1 0
  check_weights(decode<tq2_0>(b, 256), 0.0F,
                {{0, -2.0F}, {64, 2.0F}, {96, 4.0F}, {159, 4.0F}, {191, 2.0F}, {255, -2.0F}});
}

TEST_CASE("I2_S: first weights in the high bits, one scale after the codes, code 3 is 0") {
  bytes b;
  fill(b, 64, 0x55);
  append(b, 0.75F);
  fill(b, 28, 0xee);
  b[0] = std::byte{0x1b};        // 0 1 2 3 from the high bits
  b[32 + 31] = std::byte{0x80};  // 2 0 0 0
  const auto flat = decode<i2_s>(b, 256);
  check_weights(
      flat, 0.0F,
      {{0, -0.75F}, {64, 0.75F}, {159, 0.75F}, {191, -0.75F}, {223, -0.75F}, {255, -0.75F}});
  // The same bytes as 4 rows of 64: blocks run over the flat tensor.
  for (std::size_t r = 0; r < 4; ++r) {
    const auto row = decode<i2_s>(b, 64, 4, r);
    CHECK(std::equal(row.begin(), row.end(), flat.begin() + static_cast<std::ptrdiff_t>(64 * r)));
  }
  // The ARM order: blocks of 64 in 16 bytes.
  check_weights(decode<i2_s_arm>(b, 256), 0.0F,
                {{0, -0.75F},
                 {32, 0.75F},
                 {192 + 15, 0.75F},
                 {192 + 31, -0.75F},
                 {192 + 47, -0.75F},
                 {192 + 63, -0.75F}});
  CHECK_FALSE(accepts_shape<i2_s>(1, 64));
  CHECK(accepts_shape<i2_s_arm>(1, 64));
  CHECK(accepts_shape<i2_s>(4, 96));
  CHECK_FALSE(accepts_shape<i2_s>(~std::size_t{0} / 4 * 3, ~std::size_t{0} / 4 * 3));
}

TEST_CASE("Q1_0: low bit first, no zero") {
  bytes b;
  append(b, half_two);
  fill(b, 16, 0);
  b[2] = std::byte{0x05};
  b[17] = std::byte{0x80};
  check_weights(decode<q1_0>(b, 128), -2.0F, {{0, 2.0F}, {2, 2.0F}, {127, 2.0F}});
}

TEST_CASE("Q2_0: four neighbours in a byte, groups of 64 or 128") {
  bytes b;
  append(b, half_two);
  fill(b, 16, 0x55);
  append(b, minus_half);
  fill(b, 16, 0x55);
  b[2] = std::byte{0xe4};
  b[35] = std::byte{0x93};  // 3 0 1 2
  check_weights(decode<q2_0>(b, 128), 0.0F,
                {{0, -2.0F}, {2, 2.0F}, {3, 4.0F}, {124, -1.0F}, {125, 0.5F}, {127, -0.5F}});
  bytes c;
  append(c, half_two);
  fill(c, 32, 0x55);
  c[33] = std::byte{0x93};
  check_weights(decode<q2_0_g128>(c, 128), 0.0F, {{124, 4.0F}, {125, -2.0F}, {127, 2.0F}});
}

TEST_CASE("IQ1_BN: least significant digit first, the sixteenth weight apart") {
  // Byte 84 = ceil(79 * 256 / 243) is v = 79 = 2 * 27 + 2 * 9 + 2 * 3 + 1: digits 1 2 2 2 0.
  bytes b;
  append(b, minus_half);
  fill(b, 13, 0x80);
  b[2 + 0] = std::byte{84};     // weights 0..4
  b[2 + 11] = std::byte{0xff};  // weights 58..62
  b[2 + 12] = std::byte{84};    // weights 15, 31, 47, 63: 1 2 2 2
  check_weights(decode<iq1_bn>(b, 64), 0.0F,
                {{1, -0.5F},
                 {2, -0.5F},
                 {3, -0.5F},
                 {4, 0.5F},
                 {58, -0.5F},
                 {59, -0.5F},
                 {60, -0.5F},
                 {61, -0.5F},
                 {62, -0.5F},
                 {31, -0.5F},
                 {47, -0.5F},
                 {63, -0.5F}});
}

TEST_CASE("IQ2_BN: a float before each row, four weights 16 apart in a byte") {
  bytes b;
  for (const float scale : {0.75F, -1.5F}) {
    append(b, scale);
    fill(b, 16, 0x55);
    b[b.size() - 16] = std::byte{0xe4};
  }
  b[20 + 4 + 15] = std::byte{0x1b};
  check_weights(decode<iq2_bn>(b, 64, 2, 0), 0.0F, {{0, -0.75F}, {32, 0.75F}, {48, 1.5F}});
  check_weights(decode<iq2_bn>(b, 64, 2, 1), 0.0F,
                {{0, 1.5F}, {32, -1.5F}, {48, -3.0F}, {15, -3.0F}, {31, -1.5F}, {63, 1.5F}});
}

TEST_CASE("every byte in base 3 has digits 0..2, by both readers") {
  for (unsigned v = 0; v < 256; ++v) {
    std::array<std::uint8_t, 8> eight{};
    eight.fill(static_cast<std::uint8_t>(v));
    eight[3] = static_cast<std::uint8_t>(255 - v);
    base3_reader reader{eight.data()};
    for (std::size_t n = 0; n < 5; ++n) {
      const std::uint64_t digits = reader.next();
      for (std::size_t i = 0; i < 8; ++i) {
        const auto digit = static_cast<std::uint8_t>(digits >> 8 * i & 0xff);
        REQUIRE(digit <= 2);
        REQUIRE(digit == base3_digit(eight[i], n));
      }
      REQUIRE((base3_codes[v] >> 2 * (4 - n) & 3) == base3_digit(eight[0], n));
    }
  }
  for (unsigned v = 0; v < 243; ++v) {
    std::array<std::uint8_t, 5> digits{};
    for (unsigned n = 0, rest = v; n < 5; ++n, rest /= 3)
      digits[4 - n] = static_cast<std::uint8_t>(rest % 3);
    for (std::size_t n = 0; n < 5; ++n) REQUIRE(base3_digit(base3_byte(digits), n) == digits[n]);
  }
}
