// SPDX-License-Identifier: Apache-2.0
// Random rows of every tensor type that `bitnet synth` writes.
#include "synth_weights.hpp"

#include <bitnet/core/half.hpp>
#include <bitnet/quant/base3.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace cli {
namespace {

using bitnet::gguf::tensor_type;

/// Bytes of ternary codes: `digits` of them drawn from {0, 1, 2} with equal chances.
using byte_table = std::array<std::uint8_t, 243>;

/// Four codes of two bits.
constexpr byte_table two_bit_bytes = [] {
  byte_table t{};
  for (unsigned i = 0; i < 81; ++i)
    t[i] = static_cast<std::uint8_t>(i % 3 | i / 3 % 3 << 2 | i / 9 % 3 << 4 | i / 27 << 6);
  return t;
}();
constexpr std::uint32_t two_bit_count = 81;

/// Five digits in base 3; of the first 81 entries the most significant one is 0.
constexpr byte_table base3_bytes = [] {
  byte_table t{};
  for (unsigned i = 0; i < 243; ++i) {
    const auto digit = [i](unsigned power) { return static_cast<std::uint8_t>(i / power % 3); };
    t[i] = bitnet::quant::base3_byte({digit(81), digit(27), digit(9), digit(3), digit(1)});
  }
  return t;
}();
/// Four digits and then a 0.
constexpr byte_table base3_bytes_of_four = [] {
  byte_table t{};
  for (unsigned i = 0; i < 81; ++i) t[i] = base3_bytes[3 * i];
  return t;
}();

/// Values of the normal distribution at evenly spaced probabilities, by bisection.
const std::array<float, 4096>& normal_table() {
  static const auto table = [] {
    std::array<float, 4096> t{};
    for (std::size_t i = 0; i < t.size(); ++i) {
      const double p = (static_cast<double>(i) + 0.5) / static_cast<double>(t.size());
      double low = -8.0;
      double high = 8.0;
      for (int step = 0; step < 40; ++step) {
        const double middle = (low + high) / 2;
        (std::erfc(-middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
      }
      t[i] = static_cast<float>(low);
    }
    return t;
  }();
  return table;
}

/// Random numbers of one row of one tensor.
class row_random {
 public:
  row_random(const bitnet::counter_random& random, std::uint64_t number, std::uint64_t row)
      : random_{&random}, stream_{number << 40U | row} {}

  std::uint32_t sixteen_bits() {
    if (left_ == 0) {
      words_ = random_->block(stream_, index_++);
      left_ = 8;
    }
    --left_;
    return words_[left_ / 2] >> 16 * (left_ % 2) & 0xffffU;
  }
  float uniform() { return static_cast<float>(sixteen_bits()) / 65536.0F; }
  float normal() { return normal_table()[sixteen_bits() >> 4U]; }
  float sign() { return sixteen_bits() < 0x8000U ? -1.0F : 1.0F; }

  void bytes(std::span<std::byte> out) {
    for (std::size_t i = 0; i < out.size(); i += 2) {
      const std::uint32_t x = sixteen_bits();
      out[i] = static_cast<std::byte>(x & 0xffU);
      if (i + 1 < out.size()) out[i + 1] = static_cast<std::byte>(x >> 8U);
    }
  }
  /// Entries of a table, `count` of which are in use.
  void entries(std::span<std::byte> out, const byte_table& table, std::uint32_t count) {
    for (std::byte& b : out) b = static_cast<std::byte>(table[sixteen_bits() * count >> 16U]);
  }

 private:
  const bitnet::counter_random* random_;
  std::uint64_t stream_;
  std::uint64_t index_ = 0;
  std::array<std::uint32_t, 4> words_{};
  std::size_t left_ = 0;
};

template <class T>
void store(std::span<std::byte> out, const T& value) {
  std::memcpy(out.data(), &value, sizeof value);
}

/// Scale of ternary weights, a third of which is 0, that have this standard deviation.
float ternary_scale(float deviation) { return deviation * 1.2247449F; }

/// Models with a scale for each block have scales that differ.
float varied(float scale, row_random& r) { return scale * (0.8F + 0.4F * r.uniform()); }

void fill_block(const weight_recipe& recipe, row_random& r, std::span<std::byte> b) {
  const float scale = ternary_scale(recipe.deviation);
  switch (recipe.type) {
    case tensor_type::i2_s:
    case tensor_type::iq2_bn:
      r.entries(b, two_bit_bytes, two_bit_count);
      break;
    case tensor_type::tq2_0:
      r.entries(b.first(64), two_bit_bytes, two_bit_count);
      store(b.subspan(64), bitnet::to_f16(scale));
      break;
    case tensor_type::tq1_0:
      r.entries(b.first(48), base3_bytes, 243);
      r.entries(b.subspan(48, 4), base3_bytes_of_four, 81);
      store(b.subspan(52), bitnet::to_f16(scale));
      break;
    case tensor_type::iq1_bn:
      r.entries(b.first(12), base3_bytes, 243);
      r.entries(b.subspan(12), base3_bytes, 81);
      break;
    case tensor_type::q1_0:
      store(b, bitnet::to_f16(varied(recipe.deviation, r)));
      r.bytes(b.subspan(2));
      break;
    case tensor_type::q2_0:
    case tensor_type::q2_0_g128:
      store(b, bitnet::to_f16(varied(scale, r)));
      r.entries(b.subspan(2), two_bit_bytes, two_bit_count);
      break;
    case tensor_type::q4_0:  // a scale of either sign, since codes are -8 .. 7
      store(b, bitnet::to_f16(varied(recipe.deviation / 4.61F, r) * r.sign()));
      r.bytes(b.subspan(2));
      break;
    case tensor_type::q8_0:
      store(b, bitnet::to_f16(varied(recipe.deviation / 73.9F, r)));
      r.bytes(b.subspan(2));
      break;
    case tensor_type::q6_k: {
      r.bytes(b.first(192));
      for (std::byte& s : b.subspan(192, 16)) {
        const float x = r.sign() * (64.0F + 63.0F * r.uniform());
        s = static_cast<std::byte>(static_cast<std::int8_t>(x));
      }
      store(b.subspan(208), bitnet::to_f16(recipe.deviation / (18.5F * 97.0F)));
      break;
    }
    case tensor_type::f16:
      store(b, bitnet::to_f16(recipe.deviation * r.normal()));
      break;
    case tensor_type::bf16:
      store(b, bitnet::to_bf16(recipe.deviation * r.normal()));
      break;
    case tensor_type::f32:
      store(b, recipe.mean + recipe.deviation * r.normal());
      break;
    default:
      break;
  }
}

}  // namespace

std::size_t row_bytes(const weight_recipe& recipe) {
  const auto rule = bitnet::gguf::storage_of(recipe.type);
  return static_cast<std::size_t>(rule.row_header_bytes +
                                  recipe.cols * rule.block_bytes / rule.block_weights);
}

void fill_row(const weight_recipe& recipe, const bitnet::counter_random& random, std::uint64_t row,
              std::span<std::byte> out) {
  row_random r{random, recipe.number, row};
  const auto rule = bitnet::gguf::storage_of(recipe.type);
  if (rule.flat) {  // blocks may straddle rows, and all their bytes are alike
    fill_block(recipe, r, out);
    return;
  }
  const float scale = ternary_scale(recipe.deviation);
  if (recipe.type == tensor_type::iq1_bn) store(out, bitnet::to_f16(scale));
  if (recipe.type == tensor_type::iq2_bn) store(out, scale);
  for (out = out.subspan(rule.row_header_bytes); !out.empty(); out = out.subspan(rule.block_bytes))
    fill_block(recipe, r, out.first(rule.block_bytes));
}

std::string tensor_tail(const weight_recipe& recipe) {
  std::string tail(bitnet::gguf::storage_of(recipe.type).tensor_tail_bytes, '\0');
  if (recipe.type == tensor_type::i2_s) {
    const float scale = ternary_scale(recipe.deviation);
    std::memcpy(tail.data(), &scale, sizeof scale);
  }
  return tail;
}

}  // namespace cli
