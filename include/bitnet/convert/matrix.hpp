// SPDX-License-Identifier: Apache-2.0
// A matrix of a checkpoint, row by row: floats, or two bits a weight, in the order GGUF wants.
#pragma once

#include <bitnet/convert/safetensors.hpp>
#include <bitnet/core/executor.hpp>
#include <bitnet/core/half.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace convert {

/// A matrix and how its rows are read. Reading is safe from any number of threads.
struct matrix_source {
  const source_tensor* tensor = nullptr;
  std::size_t rows = 0;  ///< outputs
  std::size_t cols = 0;  ///< inputs
  /// Heads whose rows are interleaved, 0: none. Hugging Face rotates elements i and i + n/2 of a
  /// head together, GGUF's llama 2i and 2i + 1, so row h + n/2 * k + i becomes row h + 2i + k.
  std::size_t heads = 0;
  bool packed = false;   ///< codes of two bits; see read_row()
  bool rounded = false;  ///< floats that become -1, 0, 1 times scale
  float scale = 1.0F;    ///< of packed and rounded weights

  /// Whether every weight is -scale, 0 or scale.
  [[nodiscard]] bool ternary() const noexcept { return packed || rounded; }

  /// Row `row` of the GGUF tensor into out[0, cols): ternary weights without their scale. False if
  /// the checkpoint holds a code or number that is none.
  [[nodiscard]] bool read_row(std::size_t row, std::span<float> out) const noexcept {
    const std::size_t from = source_row(row);
    if (packed) return read_codes(from, out);
    if (!read_floats(from, out)) return false;
    if (rounded) {
      const float inverse = 1.0F / scale;
      for (float& x : out) x = std::clamp(std::nearbyint(x * inverse), -1.0F, 1.0F);
    }
    return true;
  }

  /// Bytes of the file that rows [first, last) of the GGUF tensor need, where they are one run.
  [[nodiscard]] std::span<const std::byte> bytes_of(std::size_t first, std::size_t last) const {
    if (packed || heads != 0) return {};
    const std::size_t row = cols * info_of(tensor->type).bytes;
    return tensor->data.subspan(first * row, (last - first) * row);
  }

 private:
  [[nodiscard]] std::size_t source_row(std::size_t row) const noexcept {
    if (heads == 0) return row;
    const std::size_t n = rows / heads;
    const std::size_t in_head = row % n;
    return row - in_head + in_head % 2 * (n / 2) + in_head / 2;
  }

  /// Bits 2i and 2i + 1 of packed row r are row r + i * rows / 4; code 3 is none.
  [[nodiscard]] bool read_codes(std::size_t row, std::span<float> out) const noexcept {
    const std::size_t quarter = rows / 4;
    const std::byte* p = tensor->data.data() + row % quarter * cols;
    const std::size_t shift = row / quarter * 2;
    bool valid = true;
    for (std::size_t c = 0; c < cols; ++c) {
      const unsigned code = std::to_integer<unsigned>(p[c]) >> shift & 3U;
      valid = valid && code != 3;
      out[c] = static_cast<float>(code) - 1.0F;
    }
    return valid;
  }

  [[nodiscard]] bool read_floats(std::size_t row, std::span<float> out) const noexcept {
    const std::byte* p = tensor->data.data() + row * cols * info_of(tensor->type).bytes;
    switch (tensor->type) {
      case dtype::f32:
        std::memcpy(out.data(), p, cols * sizeof(float));
        break;
      case dtype::f16:
        widen<f16>(p, out);
        break;
      default:
        widen<bf16>(p, out);
        break;
    }
    float sum = 0.0F;  // zero unless a number is none
    for (const float x : out) sum += x - x;
    return sum == 0.0F;
  }

  template <class T>
  void widen(const std::byte* p, std::span<float> out) const noexcept {
    for (std::size_t c = 0; c < cols; ++c) {
      T x;
      std::memcpy(&x, p + c * sizeof x, sizeof x);
      out[c] = to_float(x);
    }
  }
};

/// Whether the elements are floats that this library converts.
[[nodiscard]] constexpr bool is_float(dtype t) noexcept {
  return t == dtype::f32 || t == dtype::f16 || t == dtype::bf16;
}

/// The one number of a tensor of one element.
[[nodiscard]] inline result<float> read_scalar(const source_tensor& t) {
  if (!is_float(t.type) || t.elements() != 1)
    return t.wrong(errc::shape, "one number, F32, F16 or BF16, is expected");
  const matrix_source m{.tensor = &t, .rows = 1, .cols = 1};
  float x = 0.0F;
  if (!m.read_row(0, {&x, 1})) return t.wrong(errc::malformed, "the number is not finite");
  return x;
}

/// Rows that a worker takes at once: about a megabyte of floats, and a multiple of `unit`.
[[nodiscard]] inline std::size_t rows_at_once(std::size_t cols, std::size_t unit) noexcept {
  constexpr std::size_t floats = std::size_t{1} << 18;
  return std::max<std::size_t>(1, floats / std::max<std::size_t>(cols, 1) / unit) * unit;
}

/// The mean magnitude of a matrix, the scale by which BitNet training rounds it: at least 1e-5. The
/// same bits for any number of threads. errc::malformed if a weight is not finite.
[[nodiscard]] inline result<float> mean_magnitude(matrix_source m, executor_ref threads) {
  m.rounded = false;  // the mean is that of the weights before rounding
  const std::size_t piece = rows_at_once(m.cols, 1);
  std::vector<double> sums(ceil_div(m.rows, piece));
  std::vector<std::vector<float>> rows(threads.concurrency(), std::vector<float>(m.cols));
  // A multiple of pieces, so that memory is given back while the matrix is read.
  constexpr std::size_t pieces = 16;
  for (std::size_t first = 0; first < sums.size(); first += pieces) {
    const std::size_t count = std::min(pieces, sums.size() - first);
    threads.parallel_for(count, [&](std::size_t i, std::size_t worker) {
      double sum = 0.0;
      const std::size_t begin = (first + i) * piece;
      for (std::size_t r = begin; r < std::min(begin + piece, m.rows); ++r) {
        if (!m.read_row(r, rows[worker])) sum = std::nan("");
        for (const float x : rows[worker]) sum += static_cast<double>(std::fabs(x));
      }
      sums[first + i] = sum;
    });
    m.tensor->forget(m.bytes_of(first * piece, std::min((first + count) * piece, m.rows)));
  }
  double all = 0.0;
  for (const double s : sums) all += s;
  if (!(all < 1e300)) return m.tensor->wrong(errc::malformed, "a weight is not finite");
  const double mean = all / (static_cast<double>(m.rows) * static_cast<double>(m.cols));
  return std::max(static_cast<float>(mean), 1e-5F);
}

}  // namespace convert
BITNET_NAMESPACE_END
