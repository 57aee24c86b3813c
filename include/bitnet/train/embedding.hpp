// SPDX-License-Identifier: Apache-2.0
// The token embedding in the precision in which a file keeps it, forwards and backwards.
#pragma once

#include <bitnet/core/token.hpp>
#include <bitnet/quant/any.hpp>
#include <bitnet/train/matrix.hpp>

#include <cstddef>
#include <span>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

/// out = table as it will be read from a file in `format`, which packs rows of this length.
template <class T>
void round_to_format(quant::format_id format, executor_ref threads, detail::constant<T> table,
                     matrix_view<T> out) {
  if (format == quant::format_id::f32) {  // T may be finer than float
    each_chunk(threads, table.rows, [&](std::size_t first, std::size_t count) {
      for (std::size_t r = first; r < first + count; ++r)
        std::copy_n(table.row(r), table.cols, out.row(r));
    });
    return;
  }
  const auto info = *quant::find_writable_format(format);
  const auto bytes = static_cast<std::size_t>(*info.tensor_bytes(1, table.cols));
  const auto piece = [&](std::size_t first, std::size_t count) {
    std::vector<float> row(table.cols);
    std::vector<std::byte> packed(bytes);
    for (std::size_t r = first; r < first + count; ++r) {
      for (std::size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(table.row(r)[i]);
      info.pack(row.data(), 1, row.size(), packed.data());
      info.decode_row({packed.data(), 1, row.size()}, 0, row);
      for (std::size_t i = 0; i < row.size(); ++i) out.row(r)[i] = static_cast<T>(row[i]);
    }
  };
  each_chunk(threads, table.rows, piece);
}

/// x[i] = table[ids[i]].
template <class T>
void embed(executor_ref threads, std::span<const token> ids, detail::constant<T> table,
           matrix_view<T> x) {
  each_chunk(threads, ids.size(), [&](std::size_t first, std::size_t count) {
    for (std::size_t r = first; r < first + count; ++r)
      std::copy_n(table.row(static_cast<std::size_t>(ids[r])), x.cols, x.row(r));
  });
}

/// dtable[ids[i]] += dx[i]. Pieces of work are columns, so that tokens are added in their order.
template <class T>
void embed_backward(executor_ref threads, std::span<const token> ids, detail::constant<T> dx,
                    matrix_view<T> dtable) {
  constexpr std::size_t width = 64;
  const auto task = [&](std::size_t piece, std::size_t) {
    const std::size_t first = piece * width;
    const std::size_t count = std::min(width, dx.cols - first);
    for (std::size_t r = 0; r < ids.size(); ++r) {
      const T* from = dx.row(r) + first;
      T* to = dtable.row(static_cast<std::size_t>(ids[r])) + first;
      for (std::size_t i = 0; i < count; ++i) to[i] += from[i];
    }
  };
  threads.parallel_for(ceil_div(dx.cols, width), task);
}

}  // namespace train
BITNET_NAMESPACE_END
