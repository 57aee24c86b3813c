// SPDX-License-Identifier: Apache-2.0
// Every family of kernels on emulated intrinsics, so that machines without AVX-512 test it too.
#if defined(__x86_64__) && __has_include(<simde/x86/avx512.h>)
#define BITNET_X86_INTRINSICS_HEADER "kernels/emulation.hpp"
// clang-format off
#include "kernels/emulation.hpp"  // first: it names the library's namespace
// clang-format on

#include "kernels/attention_checks.hpp"
#include "kernels/float_checks.hpp"
#include "kernels/screen_checks.hpp"
#include "kernels/tiled_checks.hpp"
#include "kernels/zeros_checks.hpp"

TEST_CASE("emulated gemm_tiled equals exact sums for every encoding and shape") {
  REQUIRE(runnable_tables().size() == 6);
  check_tiled_shapes();
}
TEST_CASE("emulated gemm_tiled gives the same bits however tiles are read") {
  check_reading_orders();
}
TEST_CASE("emulated tabulate gives the sums' digits") { check_tabulate(); }
TEST_CASE("emulated gemm_tiled does not overflow for extreme codes") { check_tiled_extremes(2560); }
TEST_CASE("emulated gemm_tiled gives the same bits for any number of tokens") {
  check_tiled_batches();
}
TEST_CASE("emulated products that leave out zeros give the same bits") {
  check_nonzero_lists();
  check_nonzero_products();
  check_gated_products();
  check_gated_specials();
}
TEST_CASE("emulated float kernels give the scalar bits") {
  check_vectors();
  check_exp();
  check_rope();
  check_quantize();
  check_dense<float>(&kernel_table::gemm_f32);
  check_dense<f16>(&kernel_table::gemm_f16);
  check_dense<bitnet::bf16>(&kernel_table::gemm_bf16);
  check_attention();
  check_attention_specials();
  check_special_values();
}
TEST_CASE("emulated kernels of the screened head give the scalar bits") {
  check_widening();
  check_copies();
  check_score_bounds();
}
#else
#include "doctest.hpp"

TEST_CASE("emulated kernels") { MESSAGE("SIMDe is not installed: emulated kernels not tested"); }
#endif
