// SPDX-License-Identifier: Apache-2.0
// A weight format of your own in one file: a block, unpack and pack. It runs on every instruction
// set at once, through a decoder for each row; `gemm_rows` below shows how it is made faster.
#include "../common/random_model.hpp"

#include <bitnet/bitnet.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

/// Four levels, -1, -1/3, +1/3 and +1 times a scale: 2.5 bits a weight in blocks of 32. There is no
/// zero, so it is a different animal from ternary.
struct quaternary {
  static constexpr std::string_view name = "quaternary";
  static constexpr std::size_t block_size = 32;
  struct block {
    bitnet::f16 scale;
    std::uint8_t codes[8];
  };

  static void unpack(const block& b, std::span<float, block_size> out) noexcept {
    const float third = bitnet::to_float(b.scale) / 3.0F;
    for (std::size_t i = 0; i < block_size; ++i) {
      const int code = b.codes[i / 4] >> (2 * (i % 4)) & 3;
      out[i] = third * static_cast<float>(2 * code - 3);
    }
  }

  static void pack_row(std::span<const float> in, std::byte* out) noexcept {
    for (; in.size() >= block_size; in = in.subspan(block_size), out += sizeof(block)) {
      block b{};
      float largest = 0.0F;
      for (std::size_t i = 0; i < block_size; ++i) largest = std::max(largest, std::fabs(in[i]));
      b.scale = bitnet::to_f16(largest);
      for (std::size_t i = 0; i < block_size; ++i) {
        const float level = largest > 0.0F ? in[i] / largest * 1.5F + 1.5F : 0.0F;
        const int code = std::clamp(static_cast<int>(std::lround(level)), 0, 3);
        b.codes[i / 4] = static_cast<std::uint8_t>(b.codes[i / 4] | code << (2 * (i % 4)));
      }
      std::memcpy(out, &b, sizeof b);
    }
  }
};
static_assert(bitnet::quant::weight_format<quaternary>);

/// The same product without the generic decoder: a table gives the four weights of a byte at once.
/// It stands beside the type, where argument-dependent lookup finds it, for isa::scalar and so for
/// every instruction set that has no overload of its own. The sums stay the library's, so the bits
/// do not change.
void gemm_rows(bitnet::isa::scalar, quaternary, const bitnet::kernels::kernel_table& kernels,
               bitnet::quant::packed_rows w, bitnet::matrix_view<const float> x,
               bitnet::matrix_view<float> y, std::size_t first, std::size_t last,
               std::span<float> row) noexcept {
  static constexpr auto levels = [] {
    std::array<std::array<float, 4>, 256> table{};
    for (int byte = 0; byte < 256; ++byte)
      for (int i = 0; i < 4; ++i)
        table[static_cast<std::size_t>(byte)][static_cast<std::size_t>(i)] =
            static_cast<float>(2 * (byte >> (2 * i) & 3) - 3);
    return table;
  }();
  const auto decode = [](bitnet::quant::packed_rows m, std::size_t r,
                         std::span<float> out) noexcept {
    const std::size_t blocks = m.cols / quaternary::block_size;
    const std::byte* p = m.data + r * blocks * sizeof(quaternary::block);
    for (std::size_t b = 0; b < blocks; ++b, p += sizeof(quaternary::block)) {
      quaternary::block one;
      std::memcpy(&one, p, sizeof one);
      const float third = bitnet::to_float(one.scale) / 3.0F;
      for (std::size_t i = 0; i < 32; ++i)
        out[b * 32 + i] = third * levels[one.codes[i / 4]][i % 4];
    }
  };
  bitnet::kernels::gemm_decoded(kernels, decode, w, x, y, first, last, row);
}

namespace nn = bitnet::nn;
using network = bitnet::models::llama<quaternary>;

int main() {
  // Any Llama file will do: its matrices are repacked into the layers' own format as they load.
  const nn::hparams shape{.dim = 256,
                          .layers = 2,
                          .heads = 4,
                          .kv_heads = 2,
                          .head_dim = 64,
                          .ffn = 512,
                          .vocab = 257,
                          .context = 64};
  const auto bytes = examples::random_model<bitnet::models::llama<>>(shape, 7);
  if (!bytes) return std::puts(bitnet::to_string(bytes.error()).c_str()), 1;

  std::vector<float> first;
  bool same = true;
  for (const std::string_view isa : bitnet::isa::runnable_names()) {
    bitnet::serial_executor here;
    auto document = bitnet::gguf::view(*bytes);
    if (!document) return std::puts(bitnet::to_string(document.error()).c_str()), 1;
    const auto model = bitnet::load<network>(*std::move(document), here, {},
                                             nn::dynamic_kernels{*bitnet::kernels::table_for(isa)});
    if (!model) return std::puts(bitnet::to_string(model.error()).c_str()), 1;
    auto session = bitnet::session<std::remove_cvref_t<decltype(*model)>>::make(*model, here);
    if (!session) return std::puts(bitnet::to_string(session.error()).c_str()), 1;
    const std::vector<bitnet::token> prompt{10, 20, 30, 40, 50};
    if (const auto fed = session->feed(prompt); !fed)
      return std::puts(bitnet::to_string(fed.error()).c_str()), 1;
    std::vector<float> logits{session->logits().begin(), session->logits().end()};
    if (first.empty()) first = logits;
    same = same && std::memcmp(first.data(), logits.data(), logits.size() * sizeof(float)) == 0;
    std::printf("%-12.*s next token %d\n", static_cast<int>(isa.size()), isa.data(),
                bitnet::sample::argmax(logits));
  }
  std::printf("%s\n", same ? "the same bits on every instruction set" : "the bits differ");
  return same ? 0 : 1;
}
