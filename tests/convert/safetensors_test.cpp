// SPDX-License-Identifier: Apache-2.0
// The table of a safetensors file: valid ones are read, and no other one is believed.
#include "doctest.hpp"

#include <bitnet/convert/safetensors.hpp>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace bitnet;

std::vector<std::byte> file_of(std::string_view table, std::size_t data) {
  const std::uint64_t length = table.size();
  std::vector<std::byte> out(sizeof length + table.size() + data);
  std::memcpy(out.data(), &length, sizeof length);
  std::memcpy(out.data() + sizeof length, table.data(), table.size());
  return out;
}

errc refusal(std::string_view table, std::size_t data) {
  const auto bytes = file_of(table, data);
  const auto tensors = convert::read_safetensors(bytes, "file");
  REQUIRE_FALSE(tensors);
  CHECK(tensors.error().what().starts_with("file"));
  if (tensors.error().has_offset()) CHECK(tensors.error().offset() <= bytes.size());
  return tensors.error().code();
}

}  // namespace

TEST_CASE("a valid file: padding, metadata, scalars and empty tensors") {
  const auto bytes = file_of(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("none":{"dtype":"U8","shape":[0,7],"data_offsets":[16,16]}}   )",
      16);
  const auto tensors = convert::read_safetensors(bytes, "file");
  REQUIRE(tensors);
  REQUIRE(tensors->size() == 3);
  const convert::source_tensor& b = (*tensors)[0];
  CHECK(b.name == "b");
  CHECK(b.type == convert::dtype::bf16);
  CHECK(b.shape == std::vector<std::uint64_t>{2, 3});
  CHECK(b.elements() == 6);
  CHECK(b.offset == bytes.size() - 12);
  CHECK(b.data.data() == bytes.data() + b.offset);
  CHECK((*tensors)[1].elements() == 1);
  CHECK((*tensors)[2].data.empty());
  const auto empty = file_of("{}", 0);
  CHECK(convert::read_safetensors(empty, "file"));
}

TEST_CASE("sizes that contradict each other or do not fit are refused") {
  CHECK(refusal(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4) == errc::malformed);
  CHECK(refusal(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4) == errc::malformed);
  CHECK(refusal(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3) == errc::truncated);
  CHECK(refusal(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5) == errc::malformed);
  CHECK(refusal(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})", 5) == errc::malformed);
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                3) == errc::malformed);
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}})",
                0) == errc::limit);
  CHECK(refusal(R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0) ==
        errc::limit);
  CHECK(refusal(R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", 1) == errc::unknown);
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1) ==
        errc::wrong_type);
  CHECK(refusal(R"({"a":[]})", 0) == errc::malformed);
  CHECK(refusal(R"([])", 0) == errc::malformed);
  CHECK(refusal("", 0) == errc::malformed);
  CHECK(refusal(R"( {})", 0) == errc::malformed);
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},)"
                R"("a":{"dtype":"U8","shape":[],"data_offsets":[1,2]}})",
                2) == errc::malformed);
}

TEST_CASE("a length that leads out of the file is refused") {
  for (const std::uint64_t length :
       {std::uint64_t{3}, std::uint64_t{100'000'001}, ~std::uint64_t{0}, ~std::uint64_t{0} - 7}) {
    auto bytes = file_of("{}", 0);
    std::memcpy(bytes.data(), &length, sizeof length);
    CHECK_FALSE(convert::read_safetensors(bytes, "file"));
  }
  for (std::size_t size = 0; size < 8; ++size)
    CHECK_FALSE(convert::read_safetensors(std::vector<std::byte>(size), "file"));
}
