// SPDX-License-Identifier: Apache-2.0
// A rectangle of numbers in somebody else's memory.
#pragma once

#include <bitnet/config.hpp>

#include <cstddef>
#include <span>
#include <type_traits>

BITNET_NAMESPACE_BEGIN

/// rows x cols values, row r at data + r * stride. Does not own. The width is `cols`; `stride`
/// counts values and is at least `cols`.
template <class T>
struct matrix_view {
  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;

  constexpr matrix_view() noexcept = default;
  constexpr matrix_view(T* d, std::size_t r, std::size_t c) noexcept
      : data{d}, rows{r}, cols{c}, stride{c} {}
  constexpr matrix_view(T* d, std::size_t r, std::size_t c, std::size_t s) noexcept
      : data{d}, rows{r}, cols{c}, stride{s} {}
  template <class U>
    requires(std::is_same_v<const U, T>)
  constexpr matrix_view(matrix_view<U> other) noexcept  // NOLINT: T* converts to const T* too
      : data{other.data}, rows{other.rows}, cols{other.cols}, stride{other.stride} {}

  [[nodiscard]] constexpr T* row(std::size_t r) const noexcept {
    BITNET_ASSERT(r < rows, "matrix_view row out of range");
    return data + r * stride;
  }
  [[nodiscard]] constexpr std::span<T> operator[](std::size_t r) const noexcept {
    return {row(r), cols};
  }
  /// Rows [first, first + count).
  [[nodiscard]] constexpr matrix_view slice(std::size_t first, std::size_t count) const noexcept {
    BITNET_ASSERT(first + count <= rows, "matrix_view slice out of range");
    return {data + first * stride, count, cols, stride};
  }
};

BITNET_NAMESPACE_END
