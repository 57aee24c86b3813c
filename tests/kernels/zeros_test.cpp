// SPDX-License-Identifier: Apache-2.0
// Products that leave out zeros, on every instruction set that this machine runs.
#include "kernels/zeros_checks.hpp"

TEST_CASE("list_nonzero lists what is not zero") { check_nonzero_lists(); }
TEST_CASE("gemm_tiled gives the same bits with lists of what is not zero") {
  check_nonzero_products();
  check_nonzero_extremes();
}
TEST_CASE("gemm_gated gives the bits of gemm_tiled and relu2_mul") { check_gated_products(); }
TEST_CASE("gemm_gated gives the same bits for what is not finite") { check_gated_specials(); }

TEST_CASE("zeros of relu2_mul are positive") {
  for (const kernel_table* k : runnable_tables()) {
    const float gate[3] = {-1.0F, 0.0F, 1.0F}, up[3] = {-1.0F, -1.0F, -0.0F};
    float y[3];
    k->relu2_mul(gate, up, y, 3);
    for (const float v : y) CHECK(same(v, 0.0F));
  }
}
