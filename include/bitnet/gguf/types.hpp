// SPDX-License-Identifier: Apache-2.0
// The constants of the GGUF container: value types, tensor types and how many bytes a tensor takes.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/core/error.hpp>
#include <bitnet/gguf/tiled_type.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace gguf {

/// Caps on what a file may announce. Mainline readers have the same or larger ones; the counts are
/// far above any published model and keep the tables of a hostile file small.
struct limits {
  static constexpr std::uint64_t keys = std::uint64_t{1} << 20;
  static constexpr std::uint64_t tensors = std::uint64_t{1} << 20;
  static constexpr std::uint64_t key_bytes = 65535;
  static constexpr std::uint64_t string_bytes = std::uint64_t{1} << 30;
  static constexpr std::uint64_t array_count = std::uint64_t{1} << 30;
  static constexpr std::uint64_t tensor_name_bytes = 63;
  static constexpr std::uint64_t table_bytes = std::uint64_t{1} << 30;  ///< of files read in pieces
  static constexpr std::uint32_t dimensions = 4;
  /// Where sizes have 32 bits: weights of a row, and of a tensor with its rows rounded up to 16 and
  /// its columns to 64 (as tiles have them). No product of a tensor's shape then leaves 32 bits,
  /// and neither do its bytes as floats.
  static constexpr std::uint64_t row_weights_32 = std::uint64_t{1} << 20;
  static constexpr std::uint64_t tensor_weights_32 = std::uint64_t{1} << 29;
  static constexpr std::uint32_t alignment = std::uint32_t{1} << 20;
};

/// Alignment of tensor data when the key `general.alignment` is absent.
inline constexpr std::uint32_t default_alignment = 32;
inline constexpr std::string_view alignment_key = "general.alignment";

/// Type tags of metadata values, as stored.
enum class value_type : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12
};
inline constexpr std::uint32_t value_type_count = 13;

/// Bytes of one scalar value; 0 for strings and arrays, whose size is stored with them.
[[nodiscard]] constexpr std::size_t size_of(value_type t) noexcept {
  switch (t) {
    case value_type::u8:
    case value_type::i8:
    case value_type::boolean:
      return 1;
    case value_type::u16:
    case value_type::i16:
      return 2;
    case value_type::u32:
    case value_type::i32:
    case value_type::f32:
      return 4;
    case value_type::u64:
    case value_type::i64:
    case value_type::f64:
      return 8;
    case value_type::string:
    case value_type::array:
      return 0;
  }
  return 0;
}

/// Name of a value type, for listings.
[[nodiscard]] constexpr std::string_view name_of(value_type t) noexcept {
  constexpr std::string_view names[value_type_count] = {"u8",  "i8",  "u16",  "i16",    "u32",
                                                        "i32", "f32", "bool", "string", "array",
                                                        "u64", "i64", "f64"};
  const auto i = static_cast<std::uint32_t>(t);
  return i < value_type_count ? names[i] : std::string_view{"unknown"};
}

/// Tensor types that this library stores and reads. Values are the ids in the file, but for
/// `q2_0_g128`: published files have two block sizes under id 42, and the parser tells them apart
/// by size (see parser.hpp). Its own value never occurs in a file. Ids of tiled_type are values of
/// this type too, beside the enumerators.
enum class tensor_type : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q8_0 = 8,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  i2_s = 36,
  q1_0 = 41,
  q2_0 = 42,
  iq1_bn = 134,
  iq2_bn = 135,
  q2_0_g128 = 0x80000000U + 42
};

/// The id that stands for a type in a file.
[[nodiscard]] constexpr std::uint32_t file_id(tensor_type t) noexcept {
  return static_cast<std::uint32_t>(t == tensor_type::q2_0_g128 ? tensor_type::q2_0 : t);
}

/// How the weights of a tensor lie in bytes: each row is a header and then whole blocks; the
/// tensor ends with a tail. Where `flat` is set, blocks run on from row to row. Where `tiled` is
/// set, the tensor is as that type says, and nothing else matters.
struct storage_rule {
  std::uint32_t block_weights = 0;
  std::uint32_t block_bytes = 0;
  std::uint32_t row_header_bytes = 0;
  std::uint32_t tensor_tail_bytes = 0;
  bool flat = false;
  std::optional<tiled_type> tiled = std::nullopt;

  /// Whether `rows` rows of `cols` weights (their product fits in 64 bits) are whole blocks.
  [[nodiscard]] constexpr bool whole_blocks(std::uint64_t cols, std::uint64_t rows) const noexcept {
    return tiled || (flat ? cols * rows : cols) % block_weights == 0;
  }
  /// Bytes of such a tensor, or nothing if they do not fit in 64 bits.
  [[nodiscard]] constexpr std::optional<std::uint64_t> bytes(std::uint64_t cols,
                                                             std::uint64_t rows) const noexcept {
    if (tiled) return tiled->bytes(cols, rows);
    if (flat) {
      const auto weights = checked_mul(cols, rows);
      const auto blocks =
          weights ? checked_mul(*weights / block_weights, block_bytes) : std::nullopt;
      return blocks ? checked_add(*blocks, tensor_tail_bytes) : std::nullopt;
    }
    const auto blocks = checked_mul(cols / block_weights, block_bytes);
    const auto row = blocks ? checked_add(*blocks, row_header_bytes) : std::nullopt;
    const auto all = row ? checked_mul(*row, rows) : std::nullopt;
    return all ? checked_add(*all, tensor_tail_bytes) : std::nullopt;
  }
};

/// What is known of a tensor type id. `refusal` is null for a type that is read; otherwise it says
/// why not, and `code` is the error class. `name` is empty where an id has no single meaning.
struct type_info {
  std::uint32_t id = 0;
  std::string_view name{};
  storage_rule storage{};
  const char* refusal = nullptr;
  errc code = errc::unsupported;
};

namespace detail {
inline constexpr const char* unread_type =
    "this tensor type is not supported; convert the model to a type that is";
inline constexpr const char* runtime_type =
    "this type is for activations at run time and has no place in a file";
inline constexpr const char* withdrawn_type =
    "this tensor type id was withdrawn and has no meaning; convert the model again";
inline constexpr const char* ambiguous_type =
    "forks use this tensor type id for different formats, so it is not guessed; convert the model "
    "to a type with one meaning";

// Block sizes: ggml and its forks. I2_S of bitnet.cpp is one run of 128-weight blocks over the
// whole tensor, then 32 bytes that begin with the scale; IQ1_BN and IQ2_BN of ik_llama.cpp have
// the scale before each row.
inline constexpr type_info type_table[] = {
    {0, "f32", {1, 4}},
    {1, "f16", {1, 2}},
    {2, "q4_0", {32, 18}},
    {3, "q4_1", {}, unread_type},
    {4, "", {}, withdrawn_type, errc::unknown},
    {5, "", {}, withdrawn_type, errc::unknown},
    {6, "q5_0", {}, unread_type},
    {7, "q5_1", {}, unread_type},
    {8, "q8_0", {32, 34}},
    {9, "q8_1", {}, runtime_type},
    {10, "q2_k", {}, unread_type},
    {11, "q3_k", {}, unread_type},
    {12, "q4_k", {256, 144}},
    {13, "q5_k", {256, 176}},
    {14, "q6_k", {256, 210}},
    {15, "q8_k", {}, runtime_type},
    {16, "iq2_xxs", {}, unread_type},
    {17, "iq2_xs", {}, unread_type},
    {18, "iq3_xxs", {}, unread_type},
    {19, "iq1_s", {}, unread_type},
    {20, "iq4_nl", {}, unread_type},
    {21, "iq3_s", {}, unread_type},
    {22, "iq2_s", {}, unread_type},
    {23, "iq4_xs", {}, unread_type},
    {24, "i8", {1, 1}},
    {25, "i16", {1, 2}},
    {26, "i32", {1, 4}},
    {27, "i64", {1, 8}},
    {28, "f64", {1, 8}},
    {29, "iq1_m", {}, unread_type},
    {30, "bf16", {1, 2}},
    {31, "", {}, withdrawn_type, errc::unknown},
    {32, "", {}, withdrawn_type, errc::unknown},
    {33, "", {}, withdrawn_type, errc::unknown},
    {34, "tq1_0", {256, 54}},
    {35, "tq2_0", {256, 66}},
    {36, "i2_s", {128, 32, 0, 32, true}},
    {37, "", {}, withdrawn_type, errc::unknown},
    {38,
     "",
     {},
     "this tensor type id was withdrawn (bitnet.cpp had TL1 here, whose tiling is not stored); "
     "convert the model to i2_s",
     errc::unknown},
    {39, "mxfp4", {}, unread_type},
    {40, "nvfp4", {}, unread_type},
    {41, "q1_0", {128, 18}},
    {42, "q2_0", {64, 18}},
    {134, "iq1_bn", {64, 13, 2}},
    {135, "iq2_bn", {64, 16, 4}},
    {142, "pq2_0 or iq2_tn", {}, ambiguous_type},
    {143, "ptq1_0 or iq1_tn", {}, ambiguous_type},
    {335, "iq2_bn_r4", {}, unread_type},
    {static_cast<std::uint32_t>(tensor_type::q2_0_g128), "q2_0_g128", {128, 34}},
};
}  // namespace detail

/// The row of a type, or null for an id that is not known at all. For ids read from a file use
/// `find_file_type`.
[[nodiscard]] constexpr const type_info* find_type(std::uint32_t id) noexcept {
  // Most ids are their own position in the table.
  if (id < 43) return &detail::type_table[id];
  for (const type_info& t : detail::type_table)
    if (t.id == id) return &t;
  return nullptr;
}
static_assert(find_type(42)->id == 42 && find_type(0)->id == 0 && find_type(143)->id == 143);

/// The row of an id read from a file; null if it is not known.
[[nodiscard]] constexpr const type_info* find_file_type(std::uint32_t id) noexcept {
  return id == static_cast<std::uint32_t>(tensor_type::q2_0_g128) ? nullptr : find_type(id);
}

/// A tensor type as a tiled one, if it is one.
[[nodiscard]] constexpr std::optional<tiled_type> as_tiled(tensor_type t) noexcept {
  return tiled_type::of(static_cast<std::uint32_t>(t));
}

/// Name of a tensor type, for listings and messages.
[[nodiscard]] constexpr std::string_view name_of(tensor_type t) noexcept {
  if (const auto tiled = as_tiled(t)) return tiled->name();
  const type_info* info = find_type(static_cast<std::uint32_t>(t));
  return info != nullptr ? info->name : std::string_view{"unknown"};
}

/// The types that this library writes matrices in, whatever they were in before.
inline constexpr tensor_type written_types[] = {
    tensor_type::f32,  tensor_type::f16,      tensor_type::bf16,   tensor_type::q8_0,
    tensor_type::q6_k, tensor_type::q4_0,     tensor_type::tq1_0,  tensor_type::tq2_0,
    tensor_type::i2_s, tensor_type::iq1_bn,   tensor_type::iq2_bn, tensor_type::q1_0,
    tensor_type::q2_0, tensor_type::q2_0_g128};

/// The one of that name, or nothing.
[[nodiscard]] constexpr std::optional<tensor_type> find_written_type(
    std::string_view name) noexcept {
  for (const tensor_type t : written_types)
    if (name_of(t) == name) return t;
  return std::nullopt;
}

/// Storage of a type of the enumeration, or of a tiled one.
[[nodiscard]] constexpr storage_rule storage_of(tensor_type t) noexcept {
  if (const auto tiled = as_tiled(t)) {
    storage_rule rule;
    rule.tiled = tiled;
    return rule;
  }
  const type_info* info = find_type(static_cast<std::uint32_t>(t));
  BITNET_ASSERT(info != nullptr && info->refusal == nullptr, "not a value of tensor_type");
  return info->storage;
}

/// The value of general.file_type for a model whose matrices have that type; nothing if there is
/// none. It informs people: the forks of bitnet.cpp and llama.cpp gave I2_S and Q1_0 the same one.
[[nodiscard]] constexpr std::optional<std::uint32_t> file_type_of(tensor_type t) noexcept {
  using enum tensor_type;
  switch (t) {
    case f32:
      return 0;
    case f16:
      return 1;
    case q4_0:
      return 2;
    case q8_0:
      return 7;
    case q4_k:
      return 15;
    case q5_k:
      return 17;
    case q6_k:
      return 18;
    case bf16:
      return 32;
    case tq1_0:
      return 36;
    case tq2_0:
      return 37;
    case i2_s:
    case q1_0:
      return 40;
    case q2_0:
    case q2_0_g128:
      return 41;
    case iq1_bn:
      return 136;
    case iq2_bn:
      return 137;
    default:
      return std::nullopt;
  }
}

}  // namespace gguf
BITNET_NAMESPACE_END
