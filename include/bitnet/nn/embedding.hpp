// SPDX-License-Identifier: Apache-2.0
// Token embedding: rows of a matrix in any format, decoded when a token needs them.
#pragma once

#include <bitnet/nn/context.hpp>
#include <bitnet/quant/format.hpp>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// [vocab][dim], the bytes of the file.
struct embedding {
  quant::packed_rows bytes;
  quant::decode_row_function decode = nullptr;

  /// One vector for each row of the step. Token ids were checked by the session.
  template <class C>
  [[nodiscard]] activations operator()(C& c) const {
    auto x = c.make(c.rows().size(), bytes.cols);
    c.each_row(x.rows, [&](std::size_t r) {
      decode(bytes, static_cast<std::size_t>(c.rows()[r].id), x[r]);
    });
    return x;
  }
};

}  // namespace nn
BITNET_NAMESPACE_END
