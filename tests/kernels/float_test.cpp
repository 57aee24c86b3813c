// SPDX-License-Identifier: Apache-2.0
// Float kernels on every instruction set that this machine runs.
#include "kernels/attention_checks.hpp"
#include "kernels/float_checks.hpp"

TEST_CASE("vector kernels are right and give the scalar bits for every length") {
  for (const kernel_table* k : runnable_tables()) MESSAGE("runs here: " << std::string{k->isa});
  check_vectors();
}
TEST_CASE("silu follows exp in double over the whole range") { check_exp(); }
TEST_CASE("rope rotates pairs in both orders") { check_rope(); }
TEST_CASE("quantize rounds to even, pads with zeros and sums prefixes") { check_quantize(); }
TEST_CASE("dense products do not depend on blocking") {
  check_dense<float>(&kernel_table::gemm_f32);
  check_dense<f16>(&kernel_table::gemm_f16);
  check_dense<bitnet::bf16>(&kernel_table::gemm_bf16);
}
TEST_CASE("attention is softmax(q k) v") {
  check_attention();
  check_attention_specials();
}
TEST_CASE("NaN and infinity pass through alike") { check_special_values(); }
TEST_CASE("gemm_decoded equals the dense product") { check_decoded(); }
