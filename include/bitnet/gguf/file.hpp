// SPDX-License-Identifier: Apache-2.0
// A parsed GGUF file: metadata and tensors as views into bytes that somebody else owns.
#pragma once

#include <bitnet/gguf/metadata.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace gguf {

/// A tensor of a file. Dimension 0 is the row length (input features), contiguous; absent
/// dimensions are 1.
struct tensor_info {
  std::string_view name;
  std::array<std::uint64_t, limits::dimensions> dims{1, 1, 1, 1};
  std::uint32_t n_dims = 0;  ///< as stored, 0 to 4
  tensor_type type = tensor_type::f32;
  std::uint64_t offset = 0;         ///< of the first byte, from the start of its file
  std::uint64_t size = 0;           ///< bytes, exactly what type and dimensions ask for
  std::span<const std::byte> data;  ///< those bytes; empty if the file is read by a byte_reader

  /// Weights in a row.
  [[nodiscard]] constexpr std::size_t cols() const noexcept {
    return static_cast<std::size_t>(dims[0]);
  }
  /// Rows, over all other dimensions. All three fit: the parser checked the product of all
  /// dimensions that are not zero.
  [[nodiscard]] constexpr std::size_t rows() const noexcept {
    return static_cast<std::size_t>(dims[1] * dims[2] * dims[3]);
  }
  [[nodiscard]] constexpr std::size_t elements() const noexcept { return cols() * rows(); }
};

/// The tables of one GGUF file. Owns its tables but not the bytes they are in, which must outlive
/// it. Move-only; views taken from it stay valid when it moves. Immutable, so any number of threads
/// may read it.
class file {
 public:
  /// 2 or 3.
  [[nodiscard]] std::uint32_t version() const noexcept { return version_; }
  /// Alignment of tensors within the data section.
  [[nodiscard]] std::uint32_t alignment() const noexcept { return alignment_; }
  /// Where the data section begins.
  [[nodiscard]] std::uint64_t data_offset() const noexcept { return data_offset_; }
  /// The file, or as much of it as holds its tables.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  /// Bytes of the whole file.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] const metadata& meta() const noexcept { return meta_; }
  /// In file order.
  [[nodiscard]] std::span<const tensor_info> tensors() const noexcept { return tensors_; }

  /// The tensor of that name, or null.
  [[nodiscard]] const tensor_info* find(std::string_view name) const noexcept {
    const auto at = std::lower_bound(
        sorted_.begin(), sorted_.end(), name,
        [this](std::uint32_t i, std::string_view n) { return tensors_[i].name < n; });
    if (at == sorted_.end() || tensors_[*at].name != name) return nullptr;
    return &tensors_[*at];
  }

 private:
  friend class detail::parser;

  std::span<const std::byte> bytes_;
  metadata meta_;
  std::vector<tensor_info> tensors_;
  std::vector<std::uint32_t> sorted_;  // positions by name
  std::uint64_t size_ = 0;
  std::uint64_t data_offset_ = 0;
  std::uint32_t version_ = 0;
  std::uint32_t alignment_ = default_alignment;
};

}  // namespace gguf
BITNET_NAMESPACE_END
