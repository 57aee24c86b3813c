// SPDX-License-Identifier: Apache-2.0
// Binds the tensors that an architecture lists to those of a file, checking every shape.
#pragma once

#include <bitnet/core/executor.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/engine/load_options.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/nn/embedding.hpp>
#include <bitnet/nn/norm.hpp>
#include <bitnet/nn/output_head.hpp>
#include <bitnet/quant/any.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

BITNET_NAMESPACE_BEGIN

namespace detail {

/// The weight format of a file's tensor type; nothing for types that are no weights (i8, f64, ...).
[[nodiscard]] inline std::optional<quant::format_id> format_of(gguf::tensor_type type,
                                                               const load_options& options) {
  using enum quant::format_id;
  if (type == gguf::tensor_type::i2_s) return options.i2_s_arm ? i2_s_arm : i2_s;
  if (type == gguf::tensor_type::q2_0_g128) return q2_0_g128;
  const auto id = static_cast<quant::format_id>(type);
  if (!quant::find_format(id)) return std::nullopt;
  return id;
}

/// Ternary formats whose models were trained with BitNet's int8 activations, one scale for each
/// token, whatever their architecture is. Q2_0 holds weight-only models, trained with floats.
[[nodiscard]] constexpr bool is_bitnet_format(quant::format_id id) noexcept {
  using enum quant::format_id;
  return id == i2_s || id == i2_s_arm || id == tq1_0 || id == tq2_0 || id == iq1_bn || id == iq2_bn;
}

/// Finds, checks and converts tensors for one model. The first failure sticks: later calls do
/// nothing, so a list of tensors reads without error handling.
class tensor_binder {
 public:
  /// `floats` receives the small tensors that are converted; it and the document must outlive the
  /// bound layers.
  tensor_binder(const gguf::document& document, const kernels::kernel_table& kernels,
                executor_ref threads, const load_options& options, bool bitnet_activations,
                float norm_eps, std::vector<aligned_buffer<float>>& floats)
      : document_{&document},
        kernels_{&kernels},
        threads_{threads},
        options_{options},
        floats_{&floats},
        norm_eps_{norm_eps},
        bitnet_activations_{bitnet_activations} {
    for (const auto* t : document.tensors()) total_ += t->data.size();
  }

  /// Puts "blk.N." before the names that follow; an empty prefix for the model's own tensors.
  void prefix(std::string text) { prefix_ = std::move(text); }

  /// A norm of `size` weights.
  void operator()(std::string_view name, nn::rms_norm& norm, std::size_t size) {
    if (!status_) return;
    const auto* t = require(std::string{name} + ".weight");
    if (t == nullptr) return;
    if (!check_shape(*t, size, 1)) return;
    norm.weight = to_floats(*t);
    norm.eps = norm_eps_;
  }

  /// A matrix of `rows` outputs and `cols` inputs, with optional ".scale" and ".bias" tensors.
  template <class W>
  void operator()(std::string_view name, nn::linear<W>& layer, std::size_t rows, std::size_t cols) {
    if (!status_) return;
    const auto* t = require(std::string{name} + ".weight");
    if (t == nullptr || !check_shape(*t, cols, rows)) return;
    bind_matrix(*t, layer, bitnet_activations_);
    if (const auto* s = take(std::string{name} + ".scale")) {
      if (!check_shape(*s, 1, 1)) return;
      const auto scale = to_floats(*s);
      if (scale.empty()) return;
      layer.weight.output_scale = scale[0];
    }
    if (const auto* b = take(std::string{name} + ".bias")) {
      if (!check_shape(*b, rows, 1)) return;
      layer.weight.bias = to_floats(*b);
    }
  }

  /// The token embedding; every row stays in the file's bytes.
  void operator()(std::string_view name, nn::embedding& table, std::size_t vocab, std::size_t dim) {
    if (!status_) return;
    const auto* t = require(std::string{name} + ".weight");
    if (t == nullptr || !check_shape(*t, dim, vocab)) return;
    const auto format = weight_format_of(*t);
    if (!format) return;
    table.bytes = {t->data.data(), vocab, dim};
    table.decode = format->decode_row;
  }

  /// An output head. No model was trained with its input rounded, and scores are compared with
  /// each other, so integer kernels get both planes; most heads get a screen.
  void head(const gguf::tensor_info& t, nn::output_head& head, std::size_t vocab, std::size_t dim) {
    if (!status_ || !check_shape(t, dim, vocab)) return;
    bind_matrix(t, head.full, false);
    if (!status_) return;
    nn::weight_matrix& w = head.full.weight;
    if (w.storage == nn::weight_storage::tiled) w.input = quant::activation_kind::two_planes;
    if (options_.math != arithmetic::automatic || !options_.screen_head) return;
    nn::weight_matrix source;
    source.rows = w.rows;
    source.cols = w.cols;
    source.storage = w.storage;
    source.bytes = {t.data.data(), w.rows, w.cols};
    if (w.storage == nn::weight_storage::tiled) {
      // Codes of fewer bits are read as fast; mins are not part of the screen's bound.
      const quant::tile_plan& plan = w.tiles.plan();
      if (plan.codes != quant::encoding::int8 || plan.has_mins) return;
      source.storage = nn::weight_storage::decoded;
      source.decode = w.decode;
    } else if (!nn::detail::is_float(w.storage)) {
      return;
    }
    auto screen =
        nn::make_head_screen(*kernels_, threads_, source, t.name,
                             [&](std::span<const std::byte> bytes) { document_->forget(bytes); });
    if (!screen) return fail(screen.error());
    head.screen = *std::move(screen);
    document_->forget(t.data);
  }

  /// An optional tensor, marked as used, or null.
  [[nodiscard]] const gguf::tensor_info* take(std::string_view name) {
    const auto* t = document_->find(prefix_ + std::string{name});
    if (t != nullptr) {
      used_.push_back(t);
      done_ += t->data.size();
      if (options_.progress) (*options_.progress)(done_, total_);
    }
    return t;
  }

  /// The values of a small tensor of any weight format, kept with the model.
  [[nodiscard]] std::span<const float> to_floats(const gguf::tensor_info& t) {
    const auto format = weight_format_of(t);
    if (!format) return {};
    auto values = aligned_buffer<float>::make(t.elements(), t.name);
    if (!values) {
      fail(values.error());
      return {};
    }
    for (std::size_t r = 0; r < t.rows(); ++r)
      format->decode_row({t.data.data(), t.rows(), t.cols()}, r,
                         values->span().subspan(r * t.cols(), t.cols()));
    floats_->push_back(*std::move(values));
    return floats_->back().span();
  }

  /// Marks an error, or the first tensor that nothing used: a tensor that an architecture does not
  /// know changes what the model computes, so it is refused and not ignored.
  [[nodiscard]] status finish() {
    if (!status_) return status_;
    std::sort(used_.begin(), used_.end());
    for (const auto* t : document_->tensors())
      if (!std::binary_search(used_.begin(), used_.end(), t))
        return error{errc::unknown,
                     "the architecture has no such tensor, and ignoring it would change results",
                     t->name, t->offset};
    return {};
  }
  [[nodiscard]] bool ok() const noexcept { return static_cast<bool>(status_); }
  void fail(const error& e) {
    if (status_) status_ = e;
  }
  [[nodiscard]] bool check_shape(const gguf::tensor_info& t, std::size_t cols, std::size_t rows) {
    if (t.dims[0] == cols && t.dims[1] == rows && t.rows() == rows) return true;
    fail({errc::shape, "the tensor's shape contradicts the hyper-parameters", t.name, t.offset});
    return false;
  }

 private:
  [[nodiscard]] const gguf::tensor_info* require(std::string_view name) {
    const auto* t = take(name);
    if (t == nullptr)
      fail({errc::missing, "the file lacks this tensor", prefix_ + std::string{name}});
    return t;
  }

  [[nodiscard]] std::optional<quant::format_info> weight_format_of(const gguf::tensor_info& t) {
    const auto id = format_of(t.type, options_);
    auto info = id ? quant::find_format(*id) : std::nullopt;
    if (!info)
      fail({errc::wrong_type, "a tensor of this type cannot hold weights", t.name, t.offset});
    if (info && !info->accepts_shape(t.rows(), t.cols())) {
      fail({errc::shape, "the shape is no whole number of blocks of its type", t.name, t.offset});
      info.reset();
    }
    return info;
  }

  template <class W>
  void bind_matrix(const gguf::tensor_info& t, nn::linear<W>& layer, bool bitnet_input) {
    auto format = weight_format_of(t);
    if (!format) return;
    nn::weight_matrix& w = layer.weight;
    w.rows = t.rows();
    w.cols = t.cols();
    w.bytes = {t.data.data(), w.rows, w.cols};
    if constexpr (!std::is_same_v<W, nn::any_format>) {
      constexpr quant::format_info wanted = quant::describe<W>();
      if (wanted.decode_row != format->decode_row) {
        if (!convert(t, *format, wanted, w)) return;
        format = wanted;
      }
    }
    w.decode = format->decode_row;
    choose_storage(t, *format, bitnet_input, w);
  }

  /// Which kernels read the matrix, and how its input is represented.
  void choose_storage(const gguf::tensor_info& t, const quant::format_info& format,
                      bool bitnet_input, nn::weight_matrix& w) {
    using quant::activation_kind;
    const bool exact = options_.math == arithmetic::exact;
    w.input = activation_kind::float32;
    if (!exact && format.tileable) {
      const bool per_token = bitnet_input || is_bitnet_format(*format_of(t.type, options_));
      w.input = options_.input ? *options_.input
                : per_token    ? activation_kind::per_token
                               : activation_kind::per_block;
      auto tiles = format.make_tiled(w.bytes, threads_, t.name);
      if (!tiles) return fail(tiles.error());
      document_->forget(t.data);
      const std::size_t unit =
          w.input == activation_kind::per_token ? tiles->plan().group : quant::activation_block;
      if (std::min(unit, w.cols) > quant::max_unit_columns(format.tile))
        return fail({errc::limit, "rows this long would overflow the integer sums", t.name});
      w.tiles = *std::move(tiles);
      w.storage = nn::weight_storage::tiled;
      w.read_bytes = w.tiles.bytes();
      w.owned = {};
      w.bytes.data = nullptr;
      return;
    }
    if (!exact && bitnet_input) w.input = activation_kind::per_token;
    w.storage =
        format.decode_row == &quant::decode_row<quant::dense_f32>    ? nn::weight_storage::f32
        : format.decode_row == &quant::decode_row<quant::dense_f16>  ? nn::weight_storage::f16
        : format.decode_row == &quant::decode_row<quant::dense_bf16> ? nn::weight_storage::bf16
                                                                     : nn::weight_storage::decoded;
    if (const auto bytes = format.tensor_bytes(w.rows, w.cols)) w.read_bytes = *bytes;
  }

  /// Repacks the tensor into a layer's own format W, through floats.
  [[nodiscard]] bool convert(const gguf::tensor_info& t, const quant::format_info& from,
                             const quant::format_info& to, nn::weight_matrix& w) {
    if (to.pack == nullptr) {
      fail({errc::wrong_type, "the tensor is of another format than the layer, which has no pack()",
            t.name, t.offset});
      return false;
    }
    const auto bytes = to.accepts_shape(w.rows, w.cols) ? to.tensor_bytes(w.rows, w.cols)
                                                        : std::optional<std::uint64_t>{};
    if (!bytes) {
      fail({errc::shape, "the layer's format cannot hold a matrix of this shape", t.name});
      return false;
    }
    auto values = aligned_buffer<float>::make(w.rows * w.cols, t.name);
    auto packed = aligned_buffer<std::byte>::make(*bytes, t.name);
    if (!values || !packed) {
      fail(values ? packed.error() : values.error());
      return false;
    }
    threads_.parallel_for(w.rows, [&](std::size_t r, std::size_t) {
      from.decode_row(w.bytes, r, values->span().subspan(r * w.cols, w.cols));
    });
    to.pack(values->data(), w.rows, w.cols, packed->data());
    w.owned = *std::move(packed);
    w.bytes.data = w.owned.data();
    return true;
  }

  const gguf::document* document_;
  const kernels::kernel_table* kernels_;
  executor_ref threads_;
  load_options options_;
  std::vector<aligned_buffer<float>>* floats_;
  status status_;
  std::string prefix_;
  std::vector<const gguf::tensor_info*> used_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
  float norm_eps_;
  bool bitnet_activations_;
};

}  // namespace detail
BITNET_NAMESPACE_END
