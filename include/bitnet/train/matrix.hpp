// SPDX-License-Identifier: Apache-2.0
// What every layer is made of: matrix products, and sums in one fixed order.
#pragma once

#include <bitnet/core/executor.hpp>
#include <bitnet/core/math.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/core/view.hpp>
#include <bitnet/train/product.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Work on tokens is cut into pieces of so many rows, whatever the number of threads, so that no
/// result depends on it.
inline constexpr std::size_t chunk_rows = 256;

/// Columns [first, first + count) of m.
template <class T>
[[nodiscard]] matrix_view<T> columns(matrix_view<T> m, std::size_t first,
                                     std::size_t count) noexcept {
  return {m.data + first, m.rows, count, m.stride};
}

namespace detail {

template <class T>
using constant = matrix_view<const std::type_identity_t<T>>;

}  // namespace detail

/// Whether a product replaces what is in its result or is added to it.
enum class into : bool { replace, add };

/// c = alpha a b^T for c [m][n], a [m][k], b [n][k].
template <class T>
void multiply_nt(matrix_view<T> c, detail::constant<T> a, detail::constant<T> b,
                 std::type_identity_t<T> alpha = T{1}, into mode = into::replace) noexcept {
  detail::product<T>(c, {a.data, a.stride, 1}, {b.data, 1, b.stride}, a.cols, alpha,
                     mode == into::add);
}

/// c = alpha a b for c [m][n], a [m][k], b [k][n].
template <class T>
void multiply_nn(matrix_view<T> c, detail::constant<T> a, detail::constant<T> b,
                 std::type_identity_t<T> alpha = T{1}, into mode = into::replace) noexcept {
  detail::product<T>(c, {a.data, a.stride, 1}, {b.data, b.stride, 1}, a.cols, alpha,
                     mode == into::add);
}

/// c += a^T b for c [m][n], a [k][m], b [k][n].
template <class T>
void add_multiply_tn(matrix_view<T> c, detail::constant<T> a, detail::constant<T> b) noexcept {
  detail::product<T>(c, {a.data, 1, a.stride}, {b.data, b.stride, 1}, a.rows, T{1}, true);
}

inline constexpr std::size_t lanes = 16;

/// The sum of term(i) for i in [0, n) over 16 lanes: vectors, and one order on every machine.
template <class T, class F>
[[nodiscard]] T lane_sum(std::size_t n, F&& term) noexcept {
  T sum[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::size_t l = 0; l < lanes; ++l) sum[l] += term(i + l);
  for (std::size_t l = 0; i < n; ++i, ++l) sum[l] += term(i);
  for (std::size_t half = lanes / 2; half != 0; half /= 2)
    for (std::size_t l = 0; l < half; ++l) sum[l] += sum[l + half];
  return sum[0];
}

/// The largest of `least` and term(i) for i in [0, n).
template <class T, class F>
[[nodiscard]] T lane_max(std::size_t n, T least, F&& term) noexcept {
  T most[lanes];
  std::fill(most, most + lanes, least);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::size_t l = 0; l < lanes; ++l) {
      const T x = term(i + l);
      most[l] = x > most[l] ? x : most[l];
    }
  for (; i < n; ++i) most[0] = std::max(most[0], term(i));
  return *std::max_element(most, most + lanes);
}

/// Nearest integer, halves to even, of numbers far below 2^22 in magnitude: vectorizes.
template <class T>
[[nodiscard]] BITNET_INLINE T nearest(T x) noexcept {
  constexpr T magic = std::is_same_v<T, float> ? T(12582912) : T(6755399441055744);
  return (x + magic) - magic;
}

/// Calls f(first row, rows) for each chunk of `rows` rows.
template <class F>
void each_chunk(executor_ref threads, std::size_t rows, F&& f) {
  const auto task = [&](std::size_t chunk, std::size_t) {
    const std::size_t first = chunk * chunk_rows;
    f(first, std::min(chunk_rows, rows - first));
  };
  threads.parallel_for(ceil_div(rows, chunk_rows), task);
}

}  // namespace train
BITNET_NAMESPACE_END
