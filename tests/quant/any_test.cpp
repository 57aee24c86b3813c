// SPDX-License-Identifier: Apache-2.0
// The run-time face of the formats, and a user's own format that registers nowhere.
#include "doctest.hpp"

#include <bitnet/quant/any.hpp>

#include <set>
#include <string>
#include <vector>

namespace {

using namespace bitnet;
using namespace bitnet::quant;

/// What a user writes: two weights in a byte, four bits each, in eighths.
struct eighths {
  static constexpr std::string_view name = "eighths";
  static constexpr std::size_t block_size = 2;
  struct block {
    std::int8_t both;
  };
  static void unpack(const block& b, std::span<float, 2> out) noexcept {
    out[0] = static_cast<float>((b.both & 15) - 8) / 8.0F;
    out[1] = static_cast<float>((b.both >> 4 & 15) - 8) / 8.0F;
  }
};
static_assert(weight_format<eighths> && !tileable_format<eighths>);

/// The same with integer codes, which makes it tileable.
struct coded_bytes : coded_blocks<coded_bytes> {
  static constexpr std::string_view name = "coded bytes";
  static constexpr std::size_t block_size = 16;
  static constexpr encoding tile = encoding::int8;
  static constexpr std::size_t group = 16;
  static constexpr bool has_mins = true;
  struct block {
    float step;
    std::uint8_t q[16];
  };
  static void codes(const block& b, std::span<std::uint8_t, 16> out) noexcept {
    std::copy_n(b.q, 16, out.begin());
  }
  static void scales(const block& b, std::span<float, 1> s, std::span<float, 1> m) noexcept {
    s[0] = b.step;
    m[0] = 3 * b.step;
  }
};
static_assert(tileable_format<coded_bytes>);

}  // namespace

TEST_CASE("every shipped format describes itself") {
  std::set<std::string> names;
  for (const format_id id : all_formats) {
    const auto info = find_format(id);
    REQUIRE(info);
    if (!info) continue;
    CAPTURE(std::string{info->name});
    names.insert(std::string{info->name});
    CHECK((info->decode_row != nullptr));
    CHECK(info->dense != info->tileable);
    CHECK((info->plan_tiles != nullptr) == info->tileable);
    CHECK((info->tile == encoding::ternary2 && info->tileable) == info->ternary);
    const bool packs = id != format_id::q4_k && id != format_id::q5_k;
    CHECK(find_writable_format(id).has_value() == packs);
    CHECK(info->accepts_shape(3, 256));
    if (sizeof(std::size_t) == 8) CHECK_FALSE(info->tensor_bytes(~std::size_t{0} / 2, 256));
  }
  CHECK(names.size() == std::size(all_formats));
  CHECK_FALSE(find_format(static_cast<format_id>(3)));
  CHECK_FALSE(find_writable_format(static_cast<format_id>(3)));
  CHECK_FALSE(find_format(static_cast<format_id>(0xffffffffU)));
}

TEST_CASE("sizes of tensors") {
  const auto bytes = [](format_id id) { return find_format(id)->tensor_bytes(2, 256).value_or(0); };
  CHECK(bytes(format_id::f32) == 2048);
  CHECK(bytes(format_id::f16) == 1024);
  CHECK(bytes(format_id::bf16) == 1024);
  CHECK(bytes(format_id::q4_0) == 2 * 8 * 18);
  CHECK(bytes(format_id::q8_0) == 2 * 8 * 34);
  CHECK(bytes(format_id::q4_k) == 2 * 144);
  CHECK(bytes(format_id::q5_k) == 2 * 176);
  CHECK(bytes(format_id::q6_k) == 2 * 210);
  CHECK(bytes(format_id::tq1_0) == 2 * 54);
  CHECK(bytes(format_id::tq2_0) == 2 * 66);
  CHECK(bytes(format_id::i2_s) == 2 * 64 + 32);
  CHECK(bytes(format_id::i2_s_arm) == 2 * 64 + 32);
  CHECK(bytes(format_id::q1_0) == 2 * 2 * 18);
  CHECK(bytes(format_id::q2_0) == 2 * 4 * 18);
  CHECK(bytes(format_id::q2_0_g128) == 2 * 2 * 34);
  CHECK(bytes(format_id::iq1_bn) == 2 * (2 + 4 * 13));
  CHECK(bytes(format_id::iq2_bn) == 2 * (4 + 4 * 16));
}

TEST_CASE("a user's format decodes with a block and an unpack") {
  const std::byte data[] = {std::byte{0x08}, std::byte{0xf9}, std::byte{0x80}, std::byte{0x0c}};
  std::vector<float> row(4);
  decode_row<eighths>({data, 1, 4}, 0, row);
  CHECK(row == std::vector<float>{0.0F, -1.0F, 0.125F, 0.875F});
  row.resize(2);
  const format_info info = describe<eighths>();
  info.decode_row({data, 2, 2}, 1, row);
  CHECK(row == std::vector<float>{0.125F, 0.875F});
  CHECK_FALSE(info.tileable);
  CHECK(info.tensor_bytes(2, 2) == std::uint64_t{2});
  CHECK_FALSE(info.accepts_shape(2, 3));
}

TEST_CASE("a user's coded format tiles as well") {
  constexpr std::size_t rows = 3;
  constexpr std::size_t cols = 48;
  std::vector<std::byte> data(*tensor_bytes<coded_bytes>(rows, cols));
  std::uint32_t state = 9;
  for (std::size_t i = 0; i < rows * cols / 16; ++i) {
    coded_bytes::block b{static_cast<float>(i) - 2.5F, {}};
    for (auto& q : b.q) q = static_cast<std::uint8_t>((state = state * 69069U + 1U) >> 24);
    std::memcpy(data.data() + i * sizeof b, &b, sizeof b);
  }
  serial_executor serial;
  const auto m = describe<coded_bytes>().make_tiled({data.data(), rows, cols}, serial, "w");
  REQUIRE(m);
  std::vector<float> row(cols);
  for (std::size_t r = 0; r < rows; ++r) {
    decode_row<coded_bytes>({data.data(), rows, cols}, r, row);
    for (std::size_t c = 0; c < cols; ++c) REQUIRE(weight_at(m->view(), r, c) == row[c]);
  }
}
