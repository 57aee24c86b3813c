// SPDX-License-Identifier: Apache-2.0
// Packing from float: lossless for weights that fit, close to the weights otherwise.
#include "doctest.hpp"

#include <bitnet/quant/any.hpp>

#include <string>
#include <vector>

namespace {

using namespace bitnet;
using namespace bitnet::quant;

constexpr std::size_t row_count = 6;
constexpr std::size_t row_length = 768;

std::vector<float> weights(float (*value)(std::uint32_t random, std::size_t row)) {
  std::vector<float> out(row_count * row_length);
  std::uint32_t state = 5;
  for (std::size_t i = 0; i < out.size(); ++i) {
    state = state * 1664525U + 1013904223U;
    out[i] = value(state >> 8, i / row_length);
  }
  return out;
}

template <class F>
std::vector<float> round_trip(const std::vector<float>& in) {
  const std::size_t size = static_cast<std::size_t>(*tensor_bytes<F>(row_count, row_length));
  std::vector<std::byte> data(size + 1, std::byte{0xa5});
  pack<F>(in.data(), row_count, row_length, data.data());
  CHECK(data.back() == std::byte{0xa5});
  std::vector<float> out(in.size());
  for (std::size_t r = 0; r < row_count; ++r)
    decode_row<F>({data.data(), row_count, row_length}, r,
                  {out.data() + r * row_length, row_length});
  return out;
}

float worst(const std::vector<float>& a, const std::vector<float>& b) {
  float most = 0.0F;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(a[i] - b[i]));
  return most;
}

float row_scale(std::size_t row) { return 0.125F * static_cast<float>(row + 1); }

}  // namespace

TEST_CASE("ternary weights survive every ternary format") {
  const auto by_row = weights([](std::uint32_t random, std::size_t row) {
    return (static_cast<float>(random % 3) - 1.0F) * row_scale(row);
  });
  CHECK(round_trip<tq1_0>(by_row) == by_row);
  CHECK(round_trip<tq2_0>(by_row) == by_row);
  CHECK(round_trip<q2_0>(by_row) == by_row);
  CHECK(round_trip<q2_0_g128>(by_row) == by_row);
  CHECK(round_trip<iq1_bn>(by_row) == by_row);
  CHECK(round_trip<iq2_bn>(by_row) == by_row);
  const auto one_scale = weights([](std::uint32_t random, std::size_t) {
    return (static_cast<float>(random % 3) - 1.0F) * 0.0371F;
  });
  CHECK(round_trip<i2_s>(one_scale) == one_scale);
  CHECK(round_trip<i2_s_arm>(one_scale) == one_scale);
  CHECK(round_trip<iq2_bn>(one_scale) == one_scale);
}

TEST_CASE("signs, bytes and nibbles survive the formats made for them") {
  const auto signs = weights([](std::uint32_t random, std::size_t row) {
    return (random % 2 == 0 ? 1.0F : -1.0F) * row_scale(row);
  });
  CHECK(round_trip<q1_0>(signs) == signs);
  auto bytes = weights([](std::uint32_t random, std::size_t row) {
    return (static_cast<float>(random % 255) - 127.0F) * row_scale(row);
  });
  auto nibbles = weights([](std::uint32_t random, std::size_t row) {
    return (static_cast<float>(random % 16) - 8.0F) * row_scale(row);
  });
  for (std::size_t i = 0; i < bytes.size(); i += 32) {  // the extreme that fixes the scale
    bytes[i] = 127.0F * row_scale(i / row_length);
    nibbles[i] = -8.0F * row_scale(i / row_length);
  }
  CHECK(round_trip<q8_0>(bytes) == bytes);
  CHECK(round_trip<q4_0>(nibbles) == nibbles);
  CHECK(round_trip<dense_f32>(bytes) == bytes);
  CHECK(round_trip<dense_f16>(signs) == signs);
  CHECK(round_trip<dense_bf16>(signs) == signs);
}

TEST_CASE("other weights come back within half a step") {
  const auto real = weights([](std::uint32_t random, std::size_t) {
    return static_cast<float>(random % 20001) / 10000.0F - 1.0F;
  });
  // Half a step, and the rounding of the scale to half precision (2^-11 of the value).
  CHECK(worst(round_trip<q8_0>(real), real) <= 0.5F / 127.0F + 0x1p-11F);
  // The extreme is -8 steps or +8; on its own side codes go to 7 only, hence a whole step.
  CHECK(worst(round_trip<q4_0>(real), real) <= 1.0F / 8.0F + 0x1p-11F);
  CHECK(worst(round_trip<dense_f16>(real), real) <= 0x1p-12F);
  CHECK(worst(round_trip<dense_bf16>(real), real) <= 0x1p-9F);
}

TEST_CASE("all zeros stay zeros, without a division by zero") {
  const std::vector<float> zeros(row_count * row_length, 0.0F);
  std::vector<float> tiny = zeros;  // below every half-precision number
  tiny[3] = 0x1p-140F;
  CHECK(round_trip<q8_0>(tiny) == zeros);
  CHECK(round_trip<q4_0>(tiny) == zeros);
  for (const format_id id : all_formats) {
    visit_format(id, [&](auto format) {
      using F = decltype(format);
      if constexpr (requires { &pack<F>; }) {
        CAPTURE(std::string{F::name});
        CHECK(round_trip<F>(zeros) == zeros);
      }
    });
  }
}
