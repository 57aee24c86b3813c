// SPDX-License-Identifier: Apache-2.0
// Writes a model with its matrices in other formats, and says what that costs.
#pragma once

#include <bitnet/core/executor.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/engine/formats.hpp>
#include <bitnet/gguf/edit.hpp>
#include <bitnet/quant/any.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN

/// What became of a tensor.
struct quantized_tensor {
  std::string_view name;
  gguf::tensor_type from{};
  gguf::tensor_type to{};
  std::uint64_t weights = 0;
  std::uint64_t bytes_before = 0;
  std::uint64_t bytes = 0;
  bool copied = true;      ///< byte by byte
  bool exact = true;       ///< every weight is what it was
  double squares = 0.0;    ///< sum over the weights, before
  double errors = 0.0;     ///< sum of squares of what was lost
  bool fell_back = false;  ///< the wanted type has no such rows

  /// What was lost by the size of what was there, root mean square.
  [[nodiscard]] double relative_error() const noexcept {
    return errors == 0.0 ? 0.0 : std::sqrt(errors / squares);
  }
};

/// Which formats a model is written in.
struct quantize_options {
  gguf::tensor_type matrices = gguf::tensor_type::f16;  ///< those of the blocks
  /// Of the token embedding and of a head of its own. What is not set is like the matrices where
  /// their type has at least six bits, and otherwise as in the file: fewer bits ruin a model that
  /// was not trained with them there.
  std::optional<gguf::tensor_type> embedding = {};
  std::optional<gguf::tensor_type> head = {};
  /// For tensors whose rows are no whole blocks of the wanted type. Not set: such a model is
  /// refused.
  std::optional<gguf::tensor_type> fallback = {};
  bool i2_s_arm = false;  ///< I2_S tensors of the file have the ARM order
  memory_source memory = {};
  /// Called with bytes of the file's tensors done and in all. What it refers to must outlive the
  /// call.
  std::optional<function_ref<void(std::uint64_t done, std::uint64_t total)>> progress = {};
};

/// Whether write_quantized() writes a type.
[[nodiscard]] inline bool can_quantize_to(gguf::tensor_type type) noexcept {
  return detail::find_writable_format(type).has_value();
}

namespace detail {

/// Plans and writes the tensors of a model in other formats, with one tensor in memory at a time.
class model_quantizer {
 public:
  model_quantizer(const gguf::document& from, executor_ref threads, const quantize_options& options)
      : from_{&from}, threads_{threads}, options_{options} {}

  template <gguf::byte_sink Sink>
  [[nodiscard]] result<std::vector<quantized_tensor>> run(Sink& sink) {
    gguf::writer writer;
    BITNET_CHECK(set_metadata(writer));
    for (const auto* t : from_->tensors()) {
      BITNET_TRY(auto plan, plan_of(*t));
      BITNET_CHECK(writer.add_tensor(t->name, std::span{t->dims}.first(t->n_dims), plan.to));
      report_.push_back(plan);
      total_ += t->size;
    }
    BITNET_TRY(auto out, writer.begin(sink));
    for (std::size_t i = 0; i < report_.size(); ++i) {
      const gguf::tensor_info& t = *from_->tensors()[i];
      if (report_[i].copied) {
        BITNET_CHECK(gguf::copy_tensor(*from_, t, out, options_.memory));
        done_ += t.size;
        progress(0);
      } else {
        BITNET_CHECK(convert(t, report_[i], out));
      }
    }
    BITNET_CHECK(out.finish());
    return std::move(report_);
  }

 private:
  using type = gguf::tensor_type;

  [[nodiscard]] status set_metadata(gguf::writer& writer) const {
    gguf::metadata_edits edits;
    edits.remove_split();
    if (const auto number = gguf::file_type_of(options_.matrices))
      edits.set("general.file_type", *number);
    if (!from_->meta().contains("general.quantization_version"))
      edits.set("general.quantization_version", std::uint32_t{2});
    return edits.apply(from_->meta(), writer);
  }

  /// At least six bits a weight: harmless for embeddings.
  [[nodiscard]] static bool is_fine(type t) noexcept {
    const auto rule = gguf::storage_of(t);
    return rule.block_bytes * 8U >= rule.block_weights * 6U;
  }

  /// The type that a tensor should have: its own for all but matrices.
  [[nodiscard]] type wanted(const gguf::tensor_info& t) const {
    if (t.n_dims != 2 || !t.name.ends_with(".weight")) return t.type;
    const auto unless_set = [&](const std::optional<type>& chosen) {
      return chosen ? *chosen : is_fine(options_.matrices) ? options_.matrices : t.type;
    };
    if (t.name == "token_embd.weight") return unless_set(options_.embedding);
    if (t.name == "output.weight") return unless_set(options_.head);
    return t.name.starts_with("blk.") ? options_.matrices : t.type;
  }

  [[nodiscard]] result<quantized_tensor> plan_of(const gguf::tensor_info& t) const {
    if (gguf::as_tiled(t.type))
      return error{errc::unsupported, "the tensor is tiled; quantize the model that was tiled",
                   t.name, t.offset};
    quantized_tensor plan;
    plan.name = t.name;
    plan.from = plan.to = t.type;
    plan.weights = t.elements();
    plan.bytes = plan.bytes_before = t.size;
    const bool reorder = t.type == type::i2_s && options_.i2_s_arm;
    type to = wanted(t);
    if ((to == t.type && !reorder) || t.elements() == 0) return plan;
    const auto accepts = [&](type other) {
      const auto format = find_writable_format(other);
      return format && format->accepts_shape(t.rows(), t.cols());
    };
    if (!can_quantize_to(to))
      return error{errc::invalid_argument, "this library does not write this tensor type",
                   gguf::name_of(to)};
    if (!accepts(to)) {
      if (!options_.fallback || !accepts(*options_.fallback))
        return error{errc::shape, "the tensor's rows are no whole blocks of the wanted type",
                     std::string{t.name} + " (" + std::to_string(t.cols()) + " columns to " +
                         std::string{gguf::name_of(to)} + ')',
                     t.offset};
      to = *options_.fallback;
      plan.fell_back = true;
    }
    const auto from = find_format(t.type, options_.i2_s_arm);
    if (!from)
      return error{errc::wrong_type, "a tensor of this type cannot hold weights", t.name, t.offset};
    if (!from->accepts_shape(t.rows(), t.cols()))
      return error{errc::shape, "the shape is no whole number of blocks of its type", t.name,
                   t.offset};
    plan.to = to;
    plan.copied = to == t.type && !reorder;
    plan.bytes = gguf::storage_of(to).bytes(t.cols(), t.rows()).value_or(0);
    return plan;
  }

  /// What is needed to convert one tensor.
  struct conversion {
    const gguf::tensor_info* tensor;
    quant::format_info from;
    quant::writable_format to;
    quant::packed_rows source;
    std::size_t unit;        ///< rows that are encoded together
    std::size_t unit_bytes;  ///< of such a matrix
    std::size_t unit_codes;  ///< of these, what comes before the tensor's tail
    std::size_t units;       ///< of the tensor
  };

  [[nodiscard]] conversion plan_conversion(const gguf::tensor_info& t, type to) const {
    conversion c{
        &t, *find_format(t.type, options_.i2_s_arm), *find_writable_format(to), {}, 0, 0, 0, 0};
    c.unit = c.to.unit_rows(t.cols());
    c.unit_bytes = static_cast<std::size_t>(*c.to.tensor_bytes(c.unit, t.cols()));
    c.unit_codes = c.unit_bytes - gguf::storage_of(to).tensor_tail_bytes;
    c.units = static_cast<std::size_t>(t.rows()) / c.unit;
    return c;
  }

  /// Of a few rows.
  struct row_sums {
    quant::matrix_summary summary;
    double squares = 0.0;
    double errors = 0.0;
    bool exact = true;
    bool finite = true;
  };

  template <class Stream>
  [[nodiscard]] status convert(const gguf::tensor_info& t, quantized_tensor& report, Stream& out) {
    conversion c = plan_conversion(t, report.to);
    aligned_buffer<std::byte> copy;
    const std::byte* bytes = t.data.data();
    if (t.data.empty()) {
      BITNET_TRY(copy, aligned_buffer<std::byte>::uninitialized(static_cast<std::size_t>(t.size),
                                                                t.name, false, options_.memory));
      BITNET_CHECK(from_->read_tensor(t, 0, copy.span()));
      bytes = copy.data();
    }
    c.source = {bytes, static_cast<std::size_t>(t.rows()), static_cast<std::size_t>(t.cols())};

    // Units go through in batches, so that what is written is there at once but never all of it.
    const std::size_t batch = std::min(
        c.units, std::max<std::size_t>(threads_.concurrency() * 4, batch_bytes / c.unit_bytes));
    const std::size_t floats = 2 * c.unit * c.source.cols;
    BITNET_TRY(auto scratch, aligned_buffer<float>::uninitialized(floats * threads_.concurrency(),
                                                                  t.name, false, options_.memory));
    BITNET_TRY(auto encoded, aligned_buffer<std::byte>::uninitialized(batch * c.unit_bytes, t.name,
                                                                      false, options_.memory));
    BITNET_TRY(auto packed, aligned_buffer<std::byte>::uninitialized(batch * c.unit_codes, t.name,
                                                                     false, options_.memory));
    BITNET_TRY(auto sums, aligned_buffer<row_sums>::make(batch, t.name, options_.memory));
    const auto each_batch = [&](auto work, auto after) -> status {
      for (std::size_t first = 0; first < c.units; first += batch) {
        const std::size_t count = std::min(batch, c.units - first);
        threads_.parallel_for(count, [&](std::size_t i, std::size_t worker) {
          work(first + i, i, scratch.span().subspan(worker * floats, floats));
        });
        BITNET_CHECK(after(count));
        const double share = static_cast<double>(first + count) / static_cast<double>(c.units);
        progress(static_cast<std::uint64_t>(static_cast<double>(t.size / 2) * share));
      }
      done_ += t.size / 2;
      return {};
    };

    quant::matrix_summary whole;
    BITNET_CHECK(each_batch(
        [&](std::size_t unit, std::size_t i, std::span<float> room) {
          const auto rows = decode(c.from, c.source, unit * c.unit, c.unit, room);
          sums.span()[i].summary = quant::summarize(rows);
        },
        [&](std::size_t count) -> status {
          for (const row_sums& s : sums.span().first(count)) whole.add(s.summary);
          return {};
        }));
    if (!whole.finite)
      return error{errc::malformed, "the tensor has values that are not finite numbers", t.name,
                   t.offset};

    report.exact = true;
    std::size_t last = 0;
    BITNET_CHECK(each_batch(
        [&](std::size_t unit, std::size_t i, std::span<float> room) {
          std::byte* to = encoded.data() + i * c.unit_bytes;
          sums.span()[i] = encode_unit(c, unit, whole, room, to);
          std::copy_n(to, c.unit_codes, packed.data() + i * c.unit_codes);
        },
        [&](std::size_t count) -> status {
          for (const row_sums& s : sums.span().first(count)) {
            report.squares += s.squares;
            report.errors += s.errors;
            report.exact = report.exact && s.exact;
            if (!s.finite)
              return error{errc::limit, "a value is too large for the wanted type", t.name,
                           t.offset};
          }
          last = count - 1;
          return out.write(packed.span().first(count * c.unit_codes));
        }));
    done_ += t.size % 2;
    from_->forget(t.data);
    return out.write(
        encoded.span().subspan(last * c.unit_bytes + c.unit_codes, c.unit_bytes - c.unit_codes));
  }

  [[nodiscard]] static std::span<const float> decode(const quant::format_info& format,
                                                     quant::packed_rows w, std::size_t first,
                                                     std::size_t rows, std::span<float> out) {
    for (std::size_t r = 0; r < rows; ++r)
      format.decode_row(w, first + r, out.subspan(r * w.cols, w.cols));
    return out.first(rows * w.cols);
  }

  /// Encodes a unit, decodes it again and compares.
  [[nodiscard]] static row_sums encode_unit(const conversion& c, std::size_t unit,
                                            const quant::matrix_summary& whole,
                                            std::span<float> room, std::byte* to) {
    const std::size_t cols = c.source.cols;
    const auto before = decode(c.from, c.source, unit * c.unit, c.unit, room);
    c.to.encode(before.data(), c.unit, cols, whole, to);
    const auto after = decode(c.to, {to, c.unit, cols}, 0, c.unit, room.subspan(before.size()));
    row_sums s;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const double was = static_cast<double>(before[i]);
      const double lost = was - static_cast<double>(after[i]);
      s.squares += was * was;
      s.errors += lost * lost;
    }
    s.exact = std::equal(before.begin(), before.end(), after.begin());
    s.finite = std::isfinite(s.errors);
    return s;
  }

  void progress(std::uint64_t more) {
    if (options_.progress) (*options_.progress)(std::min(done_ + more, total_), total_);
  }

  static constexpr std::size_t batch_bytes = std::size_t{4} << 20;

  const gguf::document* from_;
  executor_ref threads_;
  quantize_options options_;
  std::vector<quantized_tensor> report_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace detail

/// Writes a model with the matrices of its blocks, and where wanted its embedding and head, in
/// other formats: any that the library reads to any that it writes. Norms, scales and biases are
/// copied, and so are matrices that have the wanted type already; a split model becomes one file;
/// metadata stay but for general.file_type. What the new format can say is kept exactly, which is
/// verified by decoding; the rest gets a good fit (quant/encode.hpp), and the report says what that
/// cost. Of a tensor a few megabytes are in memory, and all of it where the file is read by a
/// reader. The result does not depend on the number of threads.
///
/// The report has a line for each tensor, in order; names refer to the document. Errors name the
/// tensor: shape (columns that are no whole blocks, without a fallback), unsupported (tiled ones),
/// malformed (values that are not finite), limit (values that the type cannot hold), those of the
/// sink, out_of_memory; invalid_argument for a type that is not written.
template <gguf::byte_sink Sink>
[[nodiscard]] result<std::vector<quantized_tensor>> write_quantized(
    const gguf::document& model, Sink& sink, executor_ref threads,
    const quantize_options& options) {
  return detail::model_quantizer{model, threads, options}.run(sink);
}

BITNET_NAMESPACE_END
