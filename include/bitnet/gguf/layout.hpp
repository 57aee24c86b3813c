// SPDX-License-Identifier: Apache-2.0
// Where the tensors of a GGUF file lie: sizes, the two block sizes of id 42, bounds and overlaps.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/gguf/file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace gguf {
namespace detail {

/// What the table of a file says about a tensor, until its place is checked.
struct pending_tensor {
  std::uint64_t offset = 0;       // from the start of the data section
  std::uint64_t space = 0;        // from there to the next tensor or the end of the file
  std::uint64_t info_offset = 0;  // of the entry in the table
  bool last = false;              // nothing begins behind it
};

/// Which of the two layouts of id 42 fits the space of a tensor exactly, padding included; nothing
/// if both or neither do. Group 128 is the smaller one, so a space that holds group 64 can only be
/// an exact fit for both when padding hides the difference.
[[nodiscard]] inline std::optional<tensor_type> fit_q2_0(const tensor_info& t,
                                                         const pending_tensor& p,
                                                         std::uint32_t alignment) noexcept {
  const auto fits = [&](tensor_type type) {
    const storage_rule rule = storage_of(type);
    if (!rule.whole_blocks(t.cols(), t.rows())) return false;
    const auto bytes = rule.bytes(t.cols(), t.rows());
    const auto padded = bytes ? checked_align(*bytes, alignment) : std::nullopt;
    if (!padded) return false;
    // Padding behind the last tensor may be missing.
    return p.last ? p.space >= *bytes && p.space <= *padded : p.space == *padded;
  };
  const bool group_64 = fits(tensor_type::q2_0);
  const bool group_128 = fits(tensor_type::q2_0_g128);
  if (group_64 == group_128) return std::nullopt;
  return group_64 ? tensor_type::q2_0 : tensor_type::q2_0_g128;
}

/// Decides the group size of all tensors with id 42. One file has one: a tensor that fits neither
/// or both sizes follows those that tell, and contradictions or silence are errors.
[[nodiscard]] inline status settle_q2_0(std::span<tensor_info> tensors,
                                        std::span<const pending_tensor> pending,
                                        std::uint32_t alignment) noexcept {
  std::optional<tensor_type> found;
  std::optional<std::size_t> open;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].type != tensor_type::q2_0) continue;
    const auto fit = fit_q2_0(tensors[i], pending[i], alignment);
    if (!fit) {
      open = i;
    } else if (!found) {
      found = fit;
    } else if (*found != *fit) {
      return error{errc::malformed,
                   "tensors of type 42 have block sizes 64 and 128 in one file, or are cut off",
                   tensors[i].name, pending[i].info_offset};
    }
  }
  if (!found && open)
    return error{errc::malformed,
                 "type 42 has block size 64 or 128, and no tensor's size in this file tells which",
                 tensors[*open].name, pending[*open].info_offset};
  for (std::size_t i = 0; found && i < tensors.size(); ++i) {
    tensor_info& t = tensors[i];
    if (t.type != tensor_type::q2_0) continue;
    t.type = *found;
    if (!storage_of(t.type).whole_blocks(t.cols(), t.rows()))
      return error{errc::malformed, "the tensor is not made of whole blocks of its type", t.name,
                   pending[i].info_offset};
  }
  return {};
}

/// Gives each tensor its bytes, or says which one does not lie where a tensor may.
/// `bytes` is the whole file, or nothing if tensors are read in another way.
[[nodiscard]] inline status place(std::span<tensor_info> tensors, std::span<pending_tensor> pending,
                                  std::span<const std::byte> bytes, std::uint64_t file_size,
                                  std::uint64_t data_offset, std::uint32_t alignment) noexcept {
  const std::uint64_t data_size = file_size - data_offset;
  std::vector<std::uint32_t> order(tensors.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = static_cast<std::uint32_t>(i);
    if (pending[i].offset > data_size)
      return error{errc::truncated, "the tensor begins beyond the end of the file", tensors[i].name,
                   pending[i].info_offset};
  }
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return pending[a].offset != pending[b].offset ? pending[a].offset < pending[b].offset : a < b;
  });

  std::uint64_t next = data_size;  // begin of the nearest tensor behind the current one
  for (std::size_t k = order.size(); k-- > 0;) {
    pending_tensor& p = pending[order[k]];
    if (k + 1 < order.size() && pending[order[k + 1]].offset > p.offset)
      next = pending[order[k + 1]].offset;
    p.space = next - p.offset;
    p.last = k + 1 == order.size() || pending[order.back()].offset == p.offset;
  }
  BITNET_CHECK(settle_q2_0(tensors, pending, alignment));

  std::uint64_t end = 0;  // of the tensors so far
  for (const std::uint32_t i : order) {
    tensor_info& t = tensors[i];
    const pending_tensor& p = pending[i];
    const auto size = storage_of(t.type).bytes(t.cols(), t.rows());
    if (!size)
      return error{errc::malformed, "the tensor's size does not fit in 64 bits", t.name,
                   p.info_offset};
    if (*size > data_size - p.offset)
      return error{errc::truncated, "the tensor ends beyond the end of the file", t.name,
                   p.info_offset};
    if (*size != 0 && p.offset < end)
      return error{errc::malformed, "the tensor overlaps another one", t.name, p.info_offset};
    if (*size != 0) end = p.offset + *size;
    t.offset = data_offset + p.offset;
    t.size = *size;
    if (!bytes.empty())
      t.data = bytes.subspan(static_cast<std::size_t>(t.offset), static_cast<std::size_t>(*size));
  }
  return {};
}

}  // namespace detail
}  // namespace gguf
BITNET_NAMESPACE_END
