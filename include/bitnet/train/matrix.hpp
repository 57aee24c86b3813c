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

namespace detail {

/// Joins 16 lanes to one, halves first. Every array has a constant size, so that vectors stay in
/// registers.
template <class T, class Join>
[[nodiscard]] BITNET_INLINE T fold(const T (&x)[lanes], Join&& join) noexcept {
  T eight[8], four[4], two[2];
  for (std::size_t l = 0; l < 8; ++l) eight[l] = join(x[l], x[l + 8]);
  for (std::size_t l = 0; l < 4; ++l) four[l] = join(eight[l], eight[l + 4]);
  for (std::size_t l = 0; l < 2; ++l) two[l] = join(four[l], four[l + 2]);
  return join(two[0], two[1]);
}

/// join over term(i) for i in [0, n), in 16 lanes that begin with `start`, which changes nothing.
template <class T, class F, class Join>
[[nodiscard]] BITNET_INLINE T reduce(std::size_t n, T start, F&& term, Join&& join) noexcept {
  T x[lanes];
  for (std::size_t l = 0; l < lanes; ++l) x[l] = start;
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 1  // or GCC 12 unrolls it before it looks for vectors, and finds none
#endif
    for (std::size_t l = 0; l < lanes; ++l) x[l] = join(x[l], term(i + l));
  if (i < n) {
    T rest[lanes];
    for (std::size_t l = 0; l < lanes; ++l) rest[l] = start;
    for (std::size_t l = 0; i < n; ++i, ++l) rest[l] = term(i);
    for (std::size_t l = 0; l < lanes; ++l) x[l] = join(x[l], rest[l]);
  }
  return fold(x, join);
}

}  // namespace detail

/// The sum of term(i) for i in [0, n) over 16 lanes: vectors, and one order on every machine.
template <class T, class F>
[[nodiscard]] BITNET_INLINE T lane_sum(std::size_t n, F&& term) noexcept {
  return detail::reduce(n, T{0}, term, [](T a, T b) { return a + b; });
}

/// The largest of `least` and term(i) for i in [0, n).
template <class T, class F>
[[nodiscard]] BITNET_INLINE T lane_max(std::size_t n, T least, F&& term) noexcept {
  return detail::reduce(n, least, term, [](T a, T b) { return b > a ? b : a; });
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
