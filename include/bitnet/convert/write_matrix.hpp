// SPDX-License-Identifier: Apache-2.0
// Packs a matrix of a checkpoint into a GGUF tensor type, a few megabytes at a time.
#pragma once

#include <bitnet/convert/matrix.hpp>
#include <bitnet/engine/formats.hpp>
#include <bitnet/gguf/types.hpp>
#include <bitnet/quant/any.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace convert {

/// The type of that element type, for tensors that stay what they are.
[[nodiscard]] constexpr gguf::tensor_type stored_type(dtype t) noexcept {
  return t == dtype::f16    ? gguf::tensor_type::f16
         : t == dtype::bf16 ? gguf::tensor_type::bf16
                            : gguf::tensor_type::f32;
}

/// Writes one matrix, from several threads, and sums up how far its weights moved.
class matrix_writer {
 public:
  /// `type` must be one of a writable format that accepts the shape.
  matrix_writer(const matrix_source& from, gguf::tensor_type type, executor_ref threads)
      : from_{&from},
        type_{type},
        format_{*bitnet::detail::find_writable_format(type)},
        threads_{threads} {
    const std::size_t unit = format_.unit_rows(from.cols);
    piece_ = std::min(rows_at_once(from.cols, unit), round_up(from.rows, unit));
    workers_.resize(threads.concurrency());
  }

  /// Writes the whole tensor; `progress(rows)` hears of rows that are written. Errors: those of the
  /// stream; malformed, with the tensor, for weights that are not finite and codes that are none.
  template <class Stream, class Progress>
  [[nodiscard]] status run(Stream& out, Progress progress) {
    const std::size_t batch = piece_ * workers_.size();
    for (std::size_t first = 0; first < from_->rows; first += batch) {
      const std::size_t last = std::min(first + batch, from_->rows);
      threads_.parallel_for(ceil_div(last - first, piece_),
                            [&](std::size_t i, std::size_t) { pack(i, first + i * piece_, last); });
      for (std::size_t i = 0; i < ceil_div(last - first, piece_); ++i) {
        if (!workers_[i].valid)
          return from_->tensor->wrong(errc::malformed,
                                      from_->packed ? "a code of two bits is 3, which is no weight"
                                                    : "a weight is not finite");
        BITNET_CHECK(out.write(workers_[i].packed));
        error_ += workers_[i].error;
        energy_ += workers_[i].energy;
      }
      from_->tensor->forget(from_->bytes_of(first, last));
      progress(last - first);
    }
    if (from_->packed || from_->heads != 0) from_->tensor->forget(from_->tensor->data);
    if (!flat()) return {};
    std::byte tail[32] = {};
    std::memcpy(tail, &from_->scale, sizeof from_->scale);
    return out.write(tail);
  }

  /// Root mean square of what packing changed, relative to that of the weights. Rounding of master
  /// weights to ternary ones, which training does too, does not count.
  [[nodiscard]] double relative_error() const {
    return energy_ > 0.0 ? std::sqrt(error_ / energy_) : 0.0;
  }

 private:
  struct piece {
    std::vector<float> floats;
    std::vector<float> row;
    std::vector<std::byte> packed;
    double error = 0.0;
    double energy = 0.0;
    bool valid = true;
  };

  [[nodiscard]] bool flat() const noexcept { return type_ == gguf::tensor_type::i2_s; }

  void pack(std::size_t slot, std::size_t first, std::size_t last) {
    piece& p = workers_[slot];
    const std::size_t cols = from_->cols;
    const std::size_t rows = std::min(piece_, last - first);
    p.valid = true;
    p.error = p.energy = 0.0;
    p.floats.resize(rows * cols);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::span<float> row{p.floats.data() + r * cols, cols};
      p.valid = from_->read_row(first + r, row) && p.valid;
      // One scale for all of I2_S comes behind the codes.
      if (from_->ternary() && !flat())
        for (float& x : row) x *= from_->scale;
    }
    if (!p.valid) return;
    p.packed.resize(static_cast<std::size_t>(*format_.tensor_bytes(rows, cols)));
    format_.pack(p.floats.data(), rows, cols, p.packed.data());
    measure(p, rows);
    if (flat()) p.packed.resize(rows * cols / 4);
  }

  void measure(piece& p, std::size_t rows) const {
    const std::size_t cols = from_->cols;
    p.row.resize(cols);
    for (std::size_t r = 0; r < rows; ++r) {
      format_.decode_row({p.packed.data(), rows, cols}, r, p.row);
      for (std::size_t c = 0; c < cols; ++c) {
        const double x = static_cast<double>(p.floats[r * cols + c]);
        const double change = x - static_cast<double>(p.row[c]);
        p.error += change * change;
        p.energy += x * x;
      }
    }
  }

  const matrix_source* from_;
  gguf::tensor_type type_;
  quant::writable_format format_;
  executor_ref threads_;
  std::size_t piece_ = 1;
  std::vector<piece> workers_;  // by place in a batch
  double error_ = 0.0;
  double energy_ = 0.0;
};

}  // namespace convert
BITNET_NAMESPACE_END
