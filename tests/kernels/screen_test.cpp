// SPDX-License-Identifier: Apache-2.0
// The kernels behind the screened head, on every instruction set that this machine runs.
#include "kernels/screen_checks.hpp"

TEST_CASE("half-precision numbers are widened exactly from any address") { check_widening(); }
TEST_CASE("an int8 copy of a row says how far it is from the row") { check_copies(); }
TEST_CASE("bounds on scores are those of the best score of each tile") { check_score_bounds(); }
