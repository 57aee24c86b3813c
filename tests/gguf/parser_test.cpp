// SPDX-License-Identifier: Apache-2.0
// What the parser accepts, and that each class of known loader vulnerability gives an error.
#include "doctest.hpp"
#include "raw_gguf.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>

using namespace bitnet;
using gguf::value_type;
using gguf_test::raw_gguf;

namespace {
constexpr std::uint64_t max64 = ~std::uint64_t{0};
constexpr std::uint64_t max63 = max64 >> 1;
constexpr std::uint32_t f32 = 0;
constexpr std::uint32_t i8 = 24;
constexpr std::uint32_t q2_0 = 42;

raw_gguf one_tensor(std::initializer_list<std::uint64_t> dims, std::uint32_t type,
                    std::uint64_t offset, std::size_t data) {
  raw_gguf g{1, 0};
  g.tensor("t", dims, type, offset).data(data);
  return g;
}

raw_gguf with_alignment(std::uint32_t alignment) {
  raw_gguf g{1, 1};
  g.key("general.alignment", value_type::u32, alignment);
  g.tensor("t", {8}, f32, 0);
  return g;
}
}  // namespace

TEST_CASE("a small file parses into what was put in") {
  raw_gguf g{2, 2};
  g.key("general.architecture", value_type::string).string("llama");
  g.key("llama.block_count", value_type::u32, std::uint32_t{7});
  g.tensor("a", {4, 2}, f32, 0).tensor("b", {}, f32, 32).data(36);
  g.bytes.back() = std::byte{0x40};  // b = 2.0F

  const auto f = g.parse();
  REQUIRE(f);
  CHECK(f->version() == 3);
  CHECK(f->alignment() == 32);
  CHECK(*f->meta().get<std::string_view>("general.architecture") == "llama");
  CHECK(*f->meta().get<int>("llama.block_count") == 7);
  REQUIRE(f->tensors().size() == 2);
  const gguf::tensor_info* a = f->find("a");
  REQUIRE(a != nullptr);
  CHECK(a->cols() == 4);
  CHECK(a->rows() == 2);
  CHECK(a->n_dims == 2);
  CHECK(a->data.size() == 32);
  CHECK(a->offset == f->data_offset());
  CHECK(a->offset % 32 == 0);
  const gguf::tensor_info* b = f->find("b");
  REQUIRE(b != nullptr);
  CHECK(b->elements() == 1);
  CHECK(b->n_dims == 0);
  CHECK(b->offset == f->data_offset() + 32);
  CHECK(b->data.back() == std::byte{0x40});
  CHECK(f->find("c") == nullptr);
  CHECK(f->find("") == nullptr);
}

TEST_CASE("version 2 is read; 0, 1, 4, big-endian and pre-GGUF files are refused by name") {
  raw_gguf v2{0, 1, 2};
  v2.key("k", value_type::u8, std::uint8_t{1});
  CHECK(v2.parse()->version() == 2);

  const auto refused = [](std::uint32_t version, errc code, const char* part) {
    raw_gguf g{0, 0, version};
    CHECK(g.code() == code);
    CHECK(g.message().find(part) != std::string::npos);
  };
  refused(0, errc::unknown, "version");
  refused(1, errc::unsupported, "version 1");
  refused(4, errc::unknown, "versions 2 and 3");
  refused(0x02000000, errc::unsupported, "big-endian");
  refused(0x03000000, errc::unsupported, "big-endian");

  for (const char* magic : {"lmgg", "fmgg", "tjgg", "algg"}) {
    raw_gguf g;
    g.text(magic).put(std::uint32_t{1}).put(max64);
    CHECK(g.code() == errc::not_gguf);
    CHECK(g.message().find("before GGUF") != std::string::npos);
  }
  raw_gguf other;
  other.text("PK\3\4").put(max64);
  CHECK(other.code() == errc::not_gguf);
}

TEST_CASE("tensors may lie in any order with gaps, but not on each other") {
  const auto two = [](std::uint64_t a, std::uint64_t b, std::uint64_t size_b = 8) {
    raw_gguf g{2, 0};
    g.tensor("a", {16}, f32, a).tensor("b", {size_b}, f32, b).data(256);
    return g;
  };
  CHECK(two(0, 64).code() == std::nullopt);
  CHECK(two(64, 0).code() == std::nullopt);
  CHECK(two(0, 224).code() == std::nullopt);
  CHECK(two(96, 0).code() == std::nullopt);
  CHECK(two(0, 0).code() == errc::malformed);
  CHECK(two(0, 32).code() == errc::malformed);
  CHECK(two(32, 64).code() == errc::malformed);
  const raw_gguf overlap = two(32, 64);
  CHECK(overlap.parse().error().what() == "b");
  // A tensor without bytes lies on nothing.
  CHECK(two(0, 0, 0).code() == std::nullopt);
  CHECK(two(0, 32, 0).code() == std::nullopt);
}

TEST_CASE("padding behind the last tensor, and behind metadata alone, may be missing") {
  CHECK(one_tensor({3}, f32, 0, 12).code() == std::nullopt);
  CHECK(one_tensor({3}, f32, 0, 11).code() == errc::truncated);
  raw_gguf g{0, 1};
  g.key("k", value_type::u8, std::uint8_t{1});
  REQUIRE(g.bytes.size() % 32 != 0);
  const auto f = g.parse();
  REQUIRE(f);
  CHECK(f->data_offset() == g.bytes.size());
}

TEST_CASE("tensor types: read, refused by name, withdrawn, unknown") {
  struct expectation {
    std::uint32_t id;
    errc code;
    const char* text;
  };
  constexpr expectation refused[] = {
      {3, errc::unsupported, "q4_1"},
      {6, errc::unsupported, "q5_0"},
      {9, errc::unsupported, "q8_1"},
      {16, errc::unsupported, "iq2_xxs"},
      {39, errc::unsupported, "mxfp4"},
      {40, errc::unsupported, "nvfp4"},
      {142, errc::unsupported, "pq2_0"},
      {143, errc::unsupported, "ptq1_0"},
      {335, errc::unsupported, "iq2_bn_r4"},
      {4, errc::unknown, "type 4"},
      {5, errc::unknown, "type 5"},
      {31, errc::unknown, "type 31"},
      {32, errc::unknown, "type 32"},
      {33, errc::unknown, "type 33"},
      {37, errc::unknown, "type 37"},
      {38, errc::unknown, "TL1"},
      {43, errc::unknown, "type 43"},
      {133, errc::unknown, "type 133"},
      {0x8000002a, errc::unknown, "type 2147483690"},
      {0xffffffff, errc::unknown, "type 4294967295"},
  };
  for (const auto& e : refused) {
    CAPTURE(e.id);
    const raw_gguf g = one_tensor({256}, e.id, 0, 4096);
    CHECK(g.code() == e.code);
    CHECK(g.message().find(e.text) != std::string::npos);
    CHECK(g.message().find("'t (type ") != std::string::npos);
  }
  // Bytes of a 512 x 3 tensor of each type that is read.
  constexpr std::array<std::uint64_t, 2> sizes[] = {
      {0, 6144},  {1, 3072},  {2, 864},   {8, 1632},   {12, 864},   {13, 1056}, {14, 1260},
      {24, 1536}, {25, 3072}, {26, 6144}, {27, 12288}, {28, 12288}, {30, 3072}, {34, 324},
      {35, 396},  {36, 416},  {41, 216},  {42, 432},   {134, 318},  {135, 396}};
  for (const auto& row : sizes) {
    const std::uint64_t id = row[0];
    const auto bytes = static_cast<std::size_t>(row[1]);
    CAPTURE(id);
    const auto type = static_cast<std::uint32_t>(id);
    const raw_gguf g = one_tensor({512, 3}, type, 0, bytes);
    CHECK(g.code() == std::nullopt);
    CHECK(g.parse()->find("t")->data.size() == bytes);
    if (id != 42) CHECK(one_tensor({512, 3}, type, 0, bytes - 1).code() == errc::truncated);
    CHECK(gguf::find_type(type)->id == id);
  }
  CHECK(one_tensor({48}, 2, 0, 4096).code() == errc::malformed);  // not whole blocks
  CHECK(one_tensor({64, 2}, 36, 0, 64).code() == std::nullopt);   // I2_S runs over rows
  CHECK(one_tensor({64, 3}, 36, 0, 4096).code() == errc::malformed);
}

TEST_CASE("the two block sizes of id 42 are told apart by size") {
  using gguf::tensor_type;
  const auto sized = [](std::uint64_t second, std::size_t data) {
    raw_gguf g{2, 0};
    g.tensor("a", {512, 4}, q2_0, 0).tensor("b", {512, 4}, q2_0, second).data(data);
    return g;
  };
  struct found {
    tensor_type type;
    std::size_t bytes;
    bool operator==(const found&) const = default;
  };
  const auto find = [](const raw_gguf& g, std::string_view name) -> std::optional<found> {
    const auto f = g.parse();
    if (!f || f->find(name) == nullptr) return std::nullopt;
    return found{f->find(name)->type, f->find(name)->data.size()};
  };
  // 2048 weights: 576 bytes in groups of 64, 544 in groups of 128; both are multiples of 32.
  const found small_groups{tensor_type::q2_0, 576};
  const found large_groups{tensor_type::q2_0_g128, 544};
  CHECK(find(sized(576, 1152), "a") == small_groups);
  CHECK(find(sized(576, 1152), "b") == small_groups);
  CHECK(find(sized(544, 1088), "a") == large_groups);
  CHECK(find(sized(544, 1088), "b") == large_groups);
  CHECK(gguf::file_id(tensor_type::q2_0_g128) == 42);
  // A gap or more bytes at the end tell nothing; the other tensor does.
  CHECK(find(sized(544, 1088 + 4096), "b") == large_groups);
  CHECK(find(sized(640, 640 + 576), "a") == small_groups);
  // Contradiction, which is also what a cut file looks like; and nothing that tells.
  CHECK(sized(576, 576 + 544).code() == errc::malformed);
  CHECK(sized(544, 544 + 576).code() == errc::malformed);
  CHECK(sized(640, 1280).code() == errc::malformed);
  CHECK(sized(512, 1024).code() == errc::malformed);
  // 128 weights: 36 or 34 bytes, the same when padded.
  raw_gguf small{2, 0};
  small.tensor("a", {128}, q2_0, 0).tensor("b", {128}, f32, 64).data(64 + 512);
  CHECK(small.code() == errc::malformed);
  CHECK(small.message().find("'a'") != std::string::npos);
  CHECK(find(one_tensor({128}, q2_0, 0, 34), "t") == found{tensor_type::q2_0_g128, 34});
  CHECK(one_tensor({128}, q2_0, 0, 36).code() == errc::malformed);  // 34 and 2 of padding, or 36
  // A row of 64 is no whole block of 128.
  CHECK(find(one_tensor({64}, q2_0, 0, 18), "t") == found{tensor_type::q2_0, 18});
}

// ---- known vulnerabilities of GGUF loaders, by identifier ---------------------------------------

TEST_CASE("CVE-2024-21802, -21825, -21836, -23496, -23605: counts and lengths are checked first") {
  for (const std::uint64_t n : {std::uint64_t{1} << 60, max63, max64, std::uint64_t{1} << 32}) {
    CAPTURE(n);
    CHECK(raw_gguf{n, 0}.data(64).code() == errc::limit);
    CHECK(raw_gguf{0, n}.data(64).code() == errc::limit);
    CHECK(raw_gguf{0, 1}.put(n).data(64).code() == errc::truncated);  // length of a key
    raw_gguf text{0, 1};
    text.key("k", value_type::string).put(n).data(64);
    CHECK(text.code() == errc::truncated);
    CHECK(text.message().find("'k'") != std::string::npos);
    for (std::uint32_t element = 0; element < gguf::value_type_count; ++element) {
      if (element == 9) continue;
      raw_gguf array{0, 1};
      array.array("k", element, n).data(64);
      CHECK(array.code() == errc::limit);
    }
    CHECK(raw_gguf{1, 0}.put(n).data(64).code() == errc::truncated);  // length of a tensor name
  }
  CHECK(raw_gguf{1000, 0}.data(640).code() == errc::truncated);
  CHECK(raw_gguf{0, 1000}.data(640).code() == errc::truncated);
  // An array whose size in bytes would wrap is over the cap on counts; below it, bounds decide.
  raw_gguf array{0, 1};
  array.array("k", 10, std::uint64_t{1} << 30).data(64);
  CHECK(array.code() == errc::truncated);
  raw_gguf strings{0, 1};
  strings.array("k", 8, 10).data(64);
  CHECK(strings.code() == errc::truncated);
  // Value types out of range.
  for (const std::uint32_t type : {13U, 255U, 0xffffffffU}) {
    CHECK(raw_gguf{0, 1}.key("k", type).data(64).code() == errc::unknown);
    CHECK(raw_gguf{0, 1}.array("k", type, 1).data(64).code() == errc::unknown);
  }
}

/// A tensor that counts more than 32-bit addresses reach is refused for that, before all else.
constexpr errc unless_too_large(errc code) { return sizeof(std::size_t) < 8 ? errc::limit : code; }

TEST_CASE("CVE-2025-53630, CVE-2026-27940: sums of tensor sizes cannot wrap") {
  raw_gguf g{3, 0};
  g.tensor("a", {max63}, i8, 0).tensor("b", {max63}, i8, 0).tensor("c", {34}, i8, 0).data(64);
  CHECK(g.code() == unless_too_large(errc::truncated));
  // Offsets that continue the wrapped sum, as a cumulative check would compute them.
  raw_gguf wrapped{2, 0};
  wrapped.tensor("a", {max63 - 31}, i8, 0).tensor("b", {8}, f32, max63 - 31).data(64);
  CHECK(wrapped.code() == unless_too_large(errc::truncated));
  // A number of tensors whose table size would wrap.
  CHECK(raw_gguf{max64 / 368, 0}.data(4096).code() == errc::limit);
}

TEST_CASE("CVE-2026-33298: the bytes of a tensor cannot wrap to a small number") {
  // (2^42 + 1) * 2^20 elements of 4 bytes: 2^64 + 2^22.
  const raw_gguf g = one_tensor({(std::uint64_t{1} << 42) + 1, std::uint64_t{1} << 20}, f32, 0, 64);
  const errc refused = unless_too_large(errc::malformed);
  CHECK(g.code() == refused);
  CHECK(g.message().find(refused == errc::limit ? "32-bit" : "64 bits") != std::string::npos);
  CHECK(one_tensor({std::uint64_t{1} << 62}, 28, 0, 64).code() == refused);
  // Row headers wrap as well: 2^62 rows of 4 + 16 bytes.
  CHECK(one_tensor({1, std::uint64_t{1} << 62}, 135, 0, 64).code() == refused);
  CHECK(one_tensor({0, std::uint64_t{1} << 62}, 135, 0, 64).code() == refused);
}

TEST_CASE("llama.cpp issue 27203: the product of dimensions cannot wrap, in any order") {
  for (const auto& dims :
       {std::array{max63, std::uint64_t{2}, std::uint64_t{1}},
        std::array{std::uint64_t{2}, max63, std::uint64_t{1}},
        std::array{max64, std::uint64_t{1}, std::uint64_t{1}},
        std::array{std::uint64_t{0}, max63, std::uint64_t{2}},
        std::array{max63, std::uint64_t{2}, std::uint64_t{0}},
        std::array{std::uint64_t{1} << 32, std::uint64_t{1} << 32, std::uint64_t{0}}}) {
    const raw_gguf g = one_tensor({dims[0], dims[1], dims[2]}, f32, 0, 64);
    CHECK(g.code() == errc::malformed);
    CHECK(g.message().find("63 bits") != std::string::npos);
  }
}

TEST_CASE("llama.cpp issues 26245, 26318: the alignment is a small power of two of type u32") {
  for (const std::uint32_t a : {0U, 3U, 33U, 0xffffffffU, 0x80000001U})
    CHECK(with_alignment(a).data(64).code() == errc::malformed);
  for (const std::uint32_t a : {1U << 21, 1U << 31})
    CHECK(with_alignment(a).data(64).code() == errc::limit);
  for (const std::uint32_t a : {1U, 8U, 64U, 4096U, 1U << 20}) {
    CAPTURE(a);
    const raw_gguf g = with_alignment(a).data(32, a);
    const auto f = g.parse();
    REQUIRE(f);
    CHECK(f->alignment() == a);
    CHECK(f->find("t")->offset % a == 0);
  }
  // Data that would begin behind the end once rounded up.
  CHECK(with_alignment(1U << 20).data(64).code() == errc::truncated);
  for (const value_type type : {value_type::u64, value_type::i32, value_type::u8}) {
    raw_gguf g{0, 1};
    g.key("general.alignment", type, std::uint64_t{32});
    CHECK(g.code() == errc::wrong_type);
  }
  raw_gguf text{0, 1};
  text.key("general.alignment", value_type::string).string("32");
  CHECK(text.code() == errc::wrong_type);
  // An offset that is not aligned.
  CHECK(one_tensor({4}, f32, 16, 64).code() == errc::malformed);
}

TEST_CASE("CVE-2026-7482: a tensor lies inside the file") {
  CHECK(one_tensor({16}, f32, 0, 64).code() == std::nullopt);
  for (const auto& g :
       {one_tensor({17}, f32, 0, 64), one_tensor({16}, f32, 32, 64),
        one_tensor({1 << 20}, f32, 0, 64), one_tensor({16}, f32, 1 << 20, 64),
        one_tensor({16}, f32, max64 - 31, 64), one_tensor({16}, f32, max64 - 63, 64),
        one_tensor({8}, f32, std::uint64_t{1} << 63, 64)}) {
    CHECK(g.code() == errc::truncated);
    CHECK(g.message().find("'t'") != std::string::npos);
    CHECK(g.message().find("at byte 24") != std::string::npos);
  }
}

TEST_CASE("where sizes have 32 bits, tensors whose tiles or floats would not fit are refused") {
  constexpr std::uint64_t row = gguf::limits::row_weights_32;
  constexpr std::uint64_t rows = gguf::limits::tensor_weights_32 / row;
  const errc cut_off = errc::truncated;  // all that is wrong where sizes have 64 bits
  CHECK(one_tensor({row, rows}, f32, 0, 64).code() == cut_off);
  CHECK(one_tensor({1, rows * row / 64}, f32, 0, 64).code() == cut_off);
  for (const auto& g :
       {one_tensor({row + 1}, f32, 0, 64), one_tensor({row, rows + 1}, f32, 0, 64),
        one_tensor({1, rows * row / 64 + 1}, f32, 0, 64), one_tensor({row, rows, 0, 2}, f32, 0, 64),
        one_tensor({1 << 30}, f32, 0, 64)}) {
    if (sizeof(std::size_t) == 8) {
      CHECK(g.code() != errc::limit);
    } else {
      CHECK(g.code() == errc::limit);
      CHECK(g.message().find("'t'") != std::string::npos);
    }
  }
}

TEST_CASE("CVE-2024-39720: a file cut off anywhere is an error, from 0 bytes on") {
  raw_gguf g{2, 4};
  g.key("a", value_type::string).string("text");
  g.array("b", 8, 2).string("x").string("yz");
  g.array("c", 4, 3).put(1).put(2).put(3);
  g.key("d", value_type::f64, 1.0);
  g.tensor("t", {16, 2}, f32, 0).tensor("u", {8}, f32, 128).data(160);
  REQUIRE(g.parse());
  for (std::size_t size = 0; size < g.bytes.size(); ++size) {
    CAPTURE(size);
    raw_gguf cut;
    cut.bytes.assign(g.bytes.begin(), g.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK(cut.code() == (size < 4 ? errc::not_gguf : errc::truncated));
  }
}

TEST_CASE("CVE-2024-12055, -12886, CVE-2025-0312, -0315, -0317: announced arrays cost nothing") {
  // A gigabyte of announced values in a file of some hundred bytes.
  for (const std::uint32_t element : {0U, 8U, 12U}) {
    raw_gguf g{0, 2};
    g.key("llama.block_count", value_type::u32, std::uint32_t{0});
    g.array("tokenizer.ggml.tokens", element, std::uint64_t{1} << 30).data(256);
    CHECK(g.code() == errc::truncated);
    CHECK(g.message().find("tokenizer.ggml.tokens") != std::string::npos);
  }
}

TEST_CASE("CVE-2025-49847, CVE-2025-52566: lengths are 64-bit and unsigned all the way") {
  for (const std::uint64_t size :
       {std::uint64_t{1} << 31, (std::uint64_t{1} << 32) + 1, max64 - 7, std::uint64_t{1} << 63}) {
    CAPTURE(size);
    raw_gguf g{0, 1};
    g.array("tokenizer.ggml.tokens", 8, 2).string("a").put(size).data(64);
    CHECK(g.code() == errc::truncated);
  }
  static_assert(std::is_same_v<decltype(gguf::string_array{}[0].size()), std::size_t>);
}

TEST_CASE("gguf-tools issue 25: more dimensions than the table has are an error") {
  for (const std::uint32_t n : {5U, 8U, 9U, 0x80000000U, 0xffffffffU}) {
    raw_gguf g{1, 0};
    g.string("t").put(n);
    for (int i = 0; i < 16; ++i) g.put(std::uint64_t{1});
    g.put(f32).put(std::uint64_t{0}).data(64);
    CHECK(g.code() == errc::limit);
  }
}

TEST_CASE("gguf-parser-go 20, zackshen/gguf 15: no position goes backwards") {
  // Lengths that would lead back to an earlier byte if added with wrap-around.
  raw_gguf text{0, 2};
  text.key("k", value_type::string).put(std::uint64_t{0} - 45).data(128);
  CHECK(text.code() == errc::truncated);
  raw_gguf tensor{1, 0};
  tensor.tensor("t", {8}, f32, std::uint64_t{0} - 64).data(64);
  CHECK(tensor.code() == errc::truncated);
}

TEST_CASE("arrays of arrays are refused without recursion") {
  raw_gguf g{0, 1};
  g.array("k", 9, 1);
  for (int i = 0; i < 100000; ++i) g.put(std::uint32_t{9}).put(std::uint64_t{1});
  CHECK(g.code() == errc::unsupported);
}

TEST_CASE("duplicate and empty names are errors, found without quadratic work") {
  raw_gguf keys{0, 2};
  keys.key("k", value_type::u8, std::uint8_t{1}).key("k", value_type::u16, std::uint16_t{1});
  CHECK(keys.code() == errc::malformed);
  raw_gguf tensors{2, 0};
  tensors.tensor("t", {8}, f32, 0).tensor("t", {8}, f32, 32).data(64);
  CHECK(tensors.code() == errc::malformed);
  CHECK(raw_gguf{0, 1}.key("", value_type::u8, std::uint8_t{1}).data(32).code() == errc::malformed);
  CHECK(raw_gguf{1, 0}.tensor("", {8}, f32, 0).data(32).code() == errc::malformed);
  CHECK(raw_gguf{1, 0}.tensor(std::string(63, 'n'), {8}, f32, 0).data(32).code() == std::nullopt);
  CHECK(raw_gguf{1, 0}.tensor(std::string(64, 'n'), {8}, f32, 0).data(32).code() == errc::limit);
  CHECK(raw_gguf{0, 1}.key(std::string(65535, 'k'), 0).data(32).code() == std::nullopt);
  CHECK(raw_gguf{0, 1}.key(std::string(65536, 'k'), 0).data(32).code() == errc::limit);

  constexpr std::uint32_t many = 200000;  // 2 * 10^10 comparisons, if each met each
  raw_gguf flood{0, many};
  for (std::uint32_t i = 0; i < many; ++i)
    flood.key(std::to_string(i == many - 1 ? 0 : i), value_type::u8, std::uint8_t{1});
  CHECK(flood.code() == errc::malformed);
  CHECK(flood.message().find("'0'") != std::string::npos);
}

TEST_CASE("keys and names are bytes: neither zeros nor bad UTF-8 do harm") {
  using namespace std::string_view_literals;
  raw_gguf g{1, 3};
  g.key("a\0b"sv, value_type::u8, std::uint8_t{1});
  g.key("a\0c"sv, value_type::u8, std::uint8_t{2});
  g.key("\xff\xfe\n"sv, value_type::u8, std::uint8_t{3});
  g.tensor("\xc3\x28\0"sv, {8}, f32, 0).data(32);
  const auto f = g.parse();
  REQUIRE(f);
  CHECK(*f->meta().get<int>("a\0c"sv) == 2);
  CHECK(*f->meta().get<int>("\xff\xfe\n"sv) == 3);
  CHECK_FALSE(f->meta().contains("a"));
  CHECK(f->find("\xc3\x28\0"sv) != nullptr);
  CHECK(to_string(f->meta().get<bool>("\xff\xfe\n"sv).error()).find('\n') == std::string::npos);
}

TEST_CASE("a file that holds nothing is an error") {
  CHECK(raw_gguf{0, 0}.data(64).code() == errc::malformed);
  CHECK(raw_gguf{}.code() == errc::not_gguf);
}
