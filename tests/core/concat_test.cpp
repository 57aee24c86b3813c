// SPDX-License-Identifier: Apache-2.0
// Texts and numbers put together for messages.
#include <bitnet/core/concat.hpp>

#include "doctest.hpp"

#include <cstdint>
#include <limits>
#include <string>

TEST_CASE("concat puts texts and numbers together") {
  const std::string name = "blk.0";
  CHECK(bitnet::concat({}).empty());
  CHECK(bitnet::concat({name, ".", std::string_view{"attn_q"}, " has ", 0U, " of ",
                        std::size_t{42}}) == "blk.0.attn_q has 0 of 42");
  CHECK(bitnet::concat({std::numeric_limits<std::uint64_t>::max(), ""}) == "18446744073709551615");
}
