// SPDX-License-Identifier: Apache-2.0
// How matrices are read is tried while loading, for models that are large enough, and changes no
// result.
#include <bitnet/core/thread_pool.hpp>
#include <bitnet/engine/read_order.hpp>

#include "doctest.hpp"

#include <string>
#include <vector>

namespace {

/// A matrix of random ternary codes.
bitnet::quant::tiled_matrix make_tiles(std::size_t rows, std::size_t cols,
                                       bitnet::quant::encoding codes) {
  auto m = bitnet::quant::tiled_matrix::make(bitnet::quant::plan_tiles(rows, cols, codes, 0, false),
                                             "test");
  REQUIRE(bool(m));
  const bitnet::quant::tile_destination to = m->destination();
  for (std::size_t i = 0; i < m->plan().lines; ++i)
    to.lines[i] = static_cast<std::uint8_t>(i * 0x9e3779b1U >> 24 & 0x55U);
  std::fill(to.scales_f32, to.scales_f32 + m->plan().scales, 1.0F);
  m->clear_padding();
  return *std::move(m);
}

/// Keeps what is logged.
struct kept_log {
  std::vector<std::string> lines;
  [[nodiscard]] bitnet::log_sink sink() noexcept {
    return bitnet::log_sink{[](void* user, bitnet::log_level, std::string_view text) {
                              static_cast<kept_log*>(user)->lines.emplace_back(text);
                            },
                            this};
  }
};

}  // namespace

TEST_CASE("matrices of one width are decided together, small ones are left alone") {
  std::vector<bitnet::quant::tiled_matrix> wide, narrow;
  for (int i = 0; i < 6; ++i)
    wide.push_back(make_tiles(160, 512, bitnet::quant::encoding::ternary2));
  narrow.push_back(make_tiles(48, 64, bitnet::quant::encoding::ternary2));
  bitnet::detail::read_order_finder finder{64 << 10, 16 << 10, 4 << 10};
  for (auto& m : wide) finder.add(m, true);
  for (auto& m : narrow) finder.add(m, true);
  kept_log log;
  auto pool = bitnet::thread_pool::make({.threads = 2});
  REQUIRE(bool(pool));
  finder.run(bitnet::kernels::best_table(), *pool, log.sink());
  REQUIRE(log.lines.size() == 1);
  CHECK(log.lines[0].find("matrices of 512 columns are read ") == 0);
  CHECK(log.lines[0].find("GB/s") != std::string::npos);
  for (const auto& m : wide) CHECK(m.view().order == wide[0].view().order);
  CHECK(narrow[0].view().order == bitnet::quant::reading::by_family);
}

TEST_CASE("every kernel family reads every encoding while it is tried") {
  for (const bitnet::quant::encoding codes :
       {bitnet::quant::encoding::ternary2, bitnet::quant::encoding::binary,
        bitnet::quant::encoding::int8})
    for (const bool per_token : {false, true})
      bitnet::isa::for_each(bitnet::isa::compiled{}, [&]<class I>(I tag) {
        if (!bitnet::isa::runs(tag, bitnet::isa::detect())) return;
        bitnet::quant::tiled_matrix m = make_tiles(4096, 96, codes);
        bitnet::detail::read_order_finder finder{16 << 10, 4 << 10, 1 << 10};
        finder.add(m, per_token);
        kept_log log;
        bitnet::serial_executor serial;
        finder.run(bitnet::kernels::table_of<I>, serial, log.sink());
        CHECK(log.lines.size() == 1);
      });
}

TEST_CASE("what was never made is not read") {
  bitnet::quant::tiled_matrix none;
  bitnet::detail::read_order_finder finder{1, 1, 1};
  finder.add(none, true);
  bitnet::serial_executor serial;
  finder.run(bitnet::kernels::best_table(), serial, {});
}
