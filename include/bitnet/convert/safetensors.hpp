// SPDX-License-Identifier: Apache-2.0
// Reads the table of a safetensors file: names, types, shapes and places of tensors, all checked.
#pragma once

#include <bitnet/convert/json.hpp>
#include <bitnet/core/checked.hpp>
#include <bitnet/gguf/os.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace convert {

/// Element types of safetensors that have whole bytes.
enum class dtype : std::uint8_t {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  u16,
  i16,
  f16,
  bf16,
  u32,
  i32,
  f32,
  u64,
  i64,
  f64
};

struct dtype_info {
  std::string_view name;
  dtype type;
  std::size_t bytes;
};

/// In the order of the enumerators.
inline constexpr dtype_info dtypes[] = {
    {"BOOL", dtype::boolean, 1},    {"U8", dtype::u8, 1},           {"I8", dtype::i8, 1},
    {"F8_E5M2", dtype::f8_e5m2, 1}, {"F8_E4M3", dtype::f8_e4m3, 1}, {"U16", dtype::u16, 2},
    {"I16", dtype::i16, 2},         {"F16", dtype::f16, 2},         {"BF16", dtype::bf16, 2},
    {"U32", dtype::u32, 4},         {"I32", dtype::i32, 4},         {"F32", dtype::f32, 4},
    {"U64", dtype::u64, 8},         {"I64", dtype::i64, 8},         {"F64", dtype::f64, 8}};

[[nodiscard]] constexpr const dtype_info& info_of(dtype t) noexcept {
  return dtypes[static_cast<std::size_t>(t)];
}

/// A tensor of a file. Rows are the last dimension; `data` lies in the file's bytes.
struct source_tensor {
  std::string name;
  std::string file;  ///< name of the file, for messages
  dtype type = dtype::f32;
  std::vector<std::uint64_t> shape;  ///< slowest dimension first
  std::span<const std::byte> data;
  std::uint64_t offset = 0;  ///< of data in the file
  bool mapped = false;       ///< data is a mapped file's, and may be read again from there

  /// Lets the system take back the memory of bytes of data that were read, where they are mapped.
  void forget(std::span<const std::byte> bytes) const noexcept {
    if (mapped) gguf::detail::forget_pages(bytes);
  }
  /// Number of elements; it was checked to fit.
  [[nodiscard]] std::uint64_t elements() const noexcept {
    return data.size() / info_of(type).bytes;
  }
  /// An error about the tensor, with its file and place.
  [[nodiscard]] error wrong(errc code, const char* message) const {
    return {code, message, file + ": " + name, offset};
  }
};

namespace detail {

/// Begin and end in the data section.
struct byte_range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

[[nodiscard]] inline result<byte_range> read_range(json::value entry) {
  BITNET_TRY(const auto offsets, entry.get<json::value>("data_offsets"));
  if (!offsets.is(json::kind::array) || offsets.size() != 2)
    return entry.wrong(errc::malformed, "data_offsets are two numbers");
  auto at = offsets.begin();
  const auto begin = (*at).as<std::uint64_t>();
  ++at;
  const auto end = (*at).as<std::uint64_t>();
  if (!begin || !end) return entry.wrong(errc::wrong_type, "data_offsets are two whole numbers");
  if (*begin > *end) return entry.wrong(errc::malformed, "data_offsets run backwards");
  return byte_range{*begin, *end};
}

[[nodiscard]] inline result<source_tensor> read_entry(json::value entry,
                                                      std::span<const std::byte> data,
                                                      std::uint64_t data_offset) {
  source_tensor t;
  t.name = entry.key();
  if (!entry.is(json::kind::object))
    return entry.wrong(errc::malformed, "the entry of a tensor is an object");
  for (const json::value field : entry)
    if (field.key() != "dtype" && field.key() != "shape" && field.key() != "data_offsets")
      return entry.wrong(errc::unknown, "the tensor has a field beside dtype, shape, data_offsets");
  for (const std::string_view field : {"dtype", "shape", "data_offsets"})
    if (!entry.find_set(field))
      return entry.wrong(errc::missing, "the tensor lacks one of dtype, shape, data_offsets");
  BITNET_TRY(const auto type, entry.get<std::string_view>("dtype"));
  const auto* const info = std::find_if(std::begin(dtypes), std::end(dtypes),
                                        [&](const dtype_info& d) { return d.name == type; });
  if (info == std::end(dtypes))
    return entry.wrong(errc::unknown, "the tensor's dtype is not known");
  t.type = info->type;

  BITNET_TRY(const auto shape, entry.get<json::value>("shape"));
  if (!shape.is(json::kind::array) || shape.size() > 8)
    return entry.wrong(errc::malformed, "the shape is at most 8 numbers");
  std::uint64_t bytes = info->bytes;
  bool empty = false;
  for (const json::value d : shape) {
    const auto n = d.as<std::uint64_t>();
    if (!n) return entry.wrong(errc::wrong_type, "the shape is a list of whole numbers");
    t.shape.push_back(*n);
    empty = empty || *n == 0;
    const auto more = checked_mul(bytes, std::max<std::uint64_t>(*n, 1));
    if (!more) return entry.wrong(errc::limit, "the tensor's size does not fit in 64 bits");
    bytes = *more;
  }
  if (empty) bytes = 0;
  BITNET_TRY(const byte_range range, read_range(entry));
  if (range.end > data.size())
    return entry.wrong(errc::truncated, "the tensor ends beyond the end of the file");
  if (range.end - range.begin != bytes)
    return entry.wrong(errc::malformed, "data_offsets contradict the dtype and shape");
  t.offset = data_offset + range.begin;
  t.data = data.subspan(static_cast<std::size_t>(range.begin), static_cast<std::size_t>(bytes));
  return t;
}

/// Tensors cover the data section, each byte once, as the format wants it.
[[nodiscard]] inline status check_cover(const std::vector<source_tensor>& tensors,
                                        std::string_view file, std::uint64_t begin,
                                        std::uint64_t end) {
  std::vector<const source_tensor*> order;
  for (const source_tensor& t : tensors)
    if (!t.data.empty()) order.push_back(&t);
  std::sort(order.begin(), order.end(), [](const source_tensor* a, const source_tensor* b) {
    return a->offset != b->offset ? a->offset < b->offset : a->name < b->name;
  });
  std::uint64_t next = begin;
  for (const source_tensor* t : order) {
    if (t->offset < next) return t->wrong(errc::malformed, "the tensor overlaps another one");
    if (t->offset > next)
      return t->wrong(errc::malformed, "bytes before the tensor belong to none");
    next += t->data.size();
  }
  if (next != end)
    return error{errc::malformed, "bytes at the end belong to no tensor", file, next};
  return {};
}

}  // namespace detail

/// The tensors of a safetensors file whose bytes are `bytes`, which must outlive them, in the order
/// of its table. Nothing is believed: the table's length, JSON (see json::parser), every dtype,
/// shape and place is checked, and tensors must cover the data without gap or overlap. Errors name
/// `file` and the tensor; offsets are places in the file.
[[nodiscard]] inline result<std::vector<source_tensor>> read_safetensors(
    std::span<const std::byte> bytes, std::string_view file) {
  constexpr std::uint64_t most_table_bytes = 100'000'000;  // the format's own limit
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length)
    return error{errc::truncated, "the file is too short to be a safetensors file", file};
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > most_table_bytes)
    return error{errc::limit, "the table is over 100 MB: not a safetensors file, or a damaged one",
                 file, 0};
  if (length > bytes.size() - sizeof length)
    return error{errc::truncated, "the file ends inside its table", file, bytes.size()};
  const std::string_view table{reinterpret_cast<const char*>(bytes.data()) + sizeof length,
                               static_cast<std::size_t>(length)};
  if (!table.starts_with('{'))
    return error{errc::malformed, "the table of a safetensors file begins with '{'", file, 8};
  BITNET_TRY(json::document parsed, json::parse(table, file));
  for (json::node& n : parsed.nodes) n.offset += sizeof length;  // places in the file
  const std::uint64_t data_offset = sizeof length + length;
  const auto data = bytes.subspan(static_cast<std::size_t>(data_offset));
  std::vector<source_tensor> tensors;
  for (const json::value entry : json::root(parsed)) {
    if (entry.key() == "__metadata__") {
      if (!entry.is(json::kind::object))
        return entry.wrong(errc::malformed, "the metadata is an object");
      for (const json::value text : entry)
        if (!text.is(json::kind::string))
          return text.wrong(errc::malformed, "the values of __metadata__ are strings");
      continue;
    }
    BITNET_TRY(source_tensor t, detail::read_entry(entry, data, data_offset));
    t.file = file;
    tensors.push_back(std::move(t));
  }
  BITNET_CHECK(detail::check_cover(tensors, file, data_offset, bytes.size()));
  return tensors;
}

}  // namespace convert
BITNET_NAMESPACE_END
