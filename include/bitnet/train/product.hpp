// SPDX-License-Identifier: Apache-2.0
// Matrix products on Eigen's vectors, made for the long and narrow matrices of small models.
//
// Eigen's own product reached a quarter of an AVX-512 processor's rate on these shapes (GCC 12).
// Here every sum runs over k in order, in one accumulator, so that the bits of a result depend on
// neither the shape of the tiles nor the width of the vectors, as long as both have fused
// multiply-add or both lack it.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/view.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cstddef>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__)
// GCC notes that a vector type loses its alignment as a template argument; Eigen's blocks need it
// so.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
// And GCC 12 warns inside its own AVX-512 header about registers left undefined on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

BITNET_NAMESPACE_BEGIN
namespace train {
namespace detail {

template <class T>
struct product_traits {
  using packet = typename Eigen::internal::packet_traits<T>::type;
  static constexpr std::size_t width = Eigen::internal::unpacket_traits<packet>::size;
  /// A tile has `rows` rows and two vectors of columns: 16 accumulators where there are 32
  /// registers, else 8, which is what hides the latency of multiply-add.
  static constexpr std::size_t rows =
      EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 || sizeof(packet) == 64 ? 8 : 4;
  static constexpr std::size_t cols = 2 * width;
  /// Columns of a block of b, packed in memory of the stack that stays in the first cache level.
  static constexpr std::size_t block_cols = 2 * cols;
  static constexpr std::size_t block_depth = 128;
};

/// Element (i, j) at data + i * row + j * col.
template <class T>
struct strided {
  const T* data;
  std::size_t row, col;
};

/// sum = a[0, rows)[0, depth) b for a panel of b, [depth][cols].
template <class T, class Traits = product_traits<T>>
BITNET_INLINE void multiply_tile(strided<T> a, const T* b, std::size_t depth,
                                 typename Traits::packet (&sum)[Traits::rows][2]) noexcept {
  namespace ei = Eigen::internal;
  using packet = typename Traits::packet;
  for (std::size_t r = 0; r < Traits::rows; ++r) sum[r][0] = sum[r][1] = ei::pset1<packet>(T{0});
  for (std::size_t k = 0; k < depth; ++k, b += Traits::cols) {
    const packet b0 = ei::pload<packet>(b);
    const packet b1 = ei::pload<packet>(b + Traits::width);
    const T* const from = a.data + k * a.col;
    for (std::size_t r = 0; r < Traits::rows; ++r) {
      const packet x = ei::pset1<packet>(from[r * a.row]);
      sum[r][0] = ei::pmadd(x, b0, sum[r][0]);
      sum[r][1] = ei::pmadd(x, b1, sum[r][1]);
    }
  }
}

/// c[0, rows)[0, cols) = or += alpha sum.
template <class T, class Traits = product_traits<T>>
BITNET_INLINE void store_tile(const typename Traits::packet (&sum)[Traits::rows][2], T alpha,
                              bool add, T* c, std::size_t stride) noexcept {
  namespace ei = Eigen::internal;
  using packet = typename Traits::packet;
  const packet factor = ei::pset1<packet>(alpha);
  for (std::size_t r = 0; r < Traits::rows; ++r) {
    T* const at = c + r * stride;
    for (std::size_t v = 0; v < 2; ++v) {
      packet x = ei::pmul(sum[r][v], factor);
      if (add) x = ei::padd(x, ei::ploadu<packet>(at + v * Traits::width));
      ei::pstoreu(at + v * Traits::width, x);
    }
  }
}

/// Copies b[k, k + depth)[n, n + cols) into panels [depth][Traits::cols], zeros behind `cols`.
template <class T, class Traits = product_traits<T>>
void pack_panels(strided<T> b, std::size_t depth, std::size_t cols, T* out) noexcept {
  namespace ei = Eigen::internal;
  using packet = typename Traits::packet;
  constexpr std::size_t width = Traits::width;
  for (std::size_t n = 0; n < cols; n += Traits::cols, out += depth * Traits::cols) {
    const std::size_t count = std::min(Traits::cols, cols - n);
    std::size_t k = 0;
    if (b.col == 1) {
      for (; k < depth; ++k) {
        const T* from = b.data + k * b.row + n;
        T* to = out + k * Traits::cols;
        if (count == Traits::cols) {
          ei::pstore(to, ei::ploadu<packet>(from));
          ei::pstore(to + width, ei::ploadu<packet>(from + width));
        } else {
          std::copy_n(from, count, to);
          std::fill(to + count, to + Traits::cols, T{0});
        }
      }
      continue;
    }
    if constexpr (width > 1) {  // rows of b are columns in memory: squares are transposed
      if (count == Traits::cols && b.row == 1) {
        for (; k + width <= depth; k += width) {
          for (std::size_t half = 0; half < Traits::cols; half += width) {
            ei::PacketBlock<packet, static_cast<int>(width)> square;
            for (std::size_t i = 0; i < width; ++i)
              square.packet[i] = ei::ploadu<packet>(b.data + k + (n + half + i) * b.col);
            ei::ptranspose(square);
            for (std::size_t i = 0; i < width; ++i)
              ei::pstore(out + (k + i) * Traits::cols + half, square.packet[i]);
          }
        }
      }
    }
    for (; k < depth; ++k) {
      T* to = out + k * Traits::cols;
      for (std::size_t i = 0; i < count; ++i) to[i] = b.data[k * b.row + (n + i) * b.col];
      std::fill(to + count, to + Traits::cols, T{0});
    }
  }
}

/// The tile of a at `a` with `rows` rows as [depth][Traits::rows], zeros behind `rows`.
template <class T, class Traits = product_traits<T>>
void pack_rows(strided<T> a, std::size_t depth, std::size_t rows, T* out) noexcept {
  for (std::size_t k = 0; k < depth; ++k, out += Traits::rows) {
    const T* const from = a.data + k * a.col;
    if (a.row == 1 && rows == Traits::rows) {
      std::memcpy(out, from, Traits::rows * sizeof(T));
    } else {
      for (std::size_t r = 0; r < Traits::rows; ++r) out[r] = r < rows ? from[r * a.row] : T{0};
    }
  }
}

/// c = or += alpha a b for a [m][depth] and b [depth][n], with c [m][n].
template <class T>
void product(matrix_view<T> c, strided<T> a, strided<T> b, std::size_t depth, T alpha,
             bool add) noexcept {
  using traits = product_traits<T>;
  constexpr std::size_t tile_rows = traits::rows, tile_cols = traits::cols;
  alignas(64) T panels[traits::block_depth * traits::block_cols];
  alignas(64) T rows[traits::block_depth * tile_rows];
  alignas(64) T edge[tile_rows * tile_cols];
  const auto at = [](strided<T> m, std::size_t i, std::size_t j) {
    return strided<T>{m.data + i * m.row + j * m.col, m.row, m.col};
  };
  for (std::size_t k = 0; k < depth; k += traits::block_depth) {
    const std::size_t deep = std::min(traits::block_depth, depth - k);
    const bool more = add || k != 0;
    for (std::size_t n = 0; n < c.cols; n += traits::block_cols) {
      const std::size_t wide = std::min(traits::block_cols, c.cols - n);
      pack_panels(at(b, k, n), deep, wide, panels);
      for (std::size_t m = 0; m < c.rows; m += tile_rows) {
        const std::size_t high = std::min(tile_rows, c.rows - m);
        strided<T> tile = at(a, m, k);
        if (high != tile_rows) {
          pack_rows(tile, deep, high, rows);
          tile = {rows, 1, tile_rows};
        }
        for (std::size_t p = 0; p < wide; p += tile_cols) {
          typename traits::packet sum[tile_rows][2];
          multiply_tile<T>(tile, panels + p * deep, deep, sum);
          T* const out = c.data + m * c.stride + n + p;
          const std::size_t count = std::min(tile_cols, wide - p);
          if (high == tile_rows && count == tile_cols) {
            store_tile<T>(sum, alpha, more, out, c.stride);
            continue;
          }
          for (std::size_t r = 0; r < high; ++r)
            for (std::size_t i = 0; i < count && more; ++i)
              edge[r * tile_cols + i] = out[r * c.stride + i];
          store_tile<T>(sum, alpha, more, edge, tile_cols);
          for (std::size_t r = 0; r < high; ++r)
            std::copy_n(edge + r * tile_cols, count, out + r * c.stride);
        }
      }
    }
  }
}

}  // namespace detail
}  // namespace train
BITNET_NAMESPACE_END

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
