// SPDX-License-Identifier: Apache-2.0
// The integer matrix product on every instruction set that this machine runs.
#include "kernels/tiled_checks.hpp"

TEST_CASE("gemm_tiled equals exact sums for every encoding and shape") { check_tiled_shapes(); }

TEST_CASE("gemm_tiled gives the same bits however tiles are read") { check_reading_orders(); }

TEST_CASE("tabulate gives both digits of every signed sum") { check_tabulate(); }

TEST_CASE("gemm_tiled does not overflow for extreme codes and long rows") {
  check_tiled_extremes(2560);
  check_tiled_extremes(8640);
}

TEST_CASE("gemm_tiled gives the same bits for any number of tokens and any split of tiles") {
  check_tiled_batches();
}

TEST_CASE("gemm_tiled is exact in int32 up to the stated number of columns") {
  generator g{4};
  for (const encoding e : {encoding::int8, encoding::ternary2}) {
    const std::size_t cols = bitnet::quant::max_unit_columns(e) / (e == encoding::int8 ? 1 : 16);
    for (const int code : {0, e == encoding::int8 ? 255 : 3})
      check_tiled(g, {1, cols, cols, e, false, false, code}, false, 2);
  }
}

TEST_CASE("gemm_tiled takes fewer tokens at once where a row has many scales") {
  generator g{6};
  for (const encoding e : all_encodings) {
    for (const std::size_t cols : {22544U, 49160U, 133128U})
      check_tiled(g, {3, cols, 128, e, true}, true, 9);
    check_tiled(g, {2, 65600, 16, e, true, true}, false, 3);
    check_tiled(g, {2, 133128, 133184, e, true}, false, 3);
  }
}
