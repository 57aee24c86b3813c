// SPDX-License-Identifier: Apache-2.0
// Binds the tensors that an architecture lists to those of a file, checking every shape.
#pragma once

#include <bitnet/core/concat.hpp>
#include <bitnet/engine/matrices.hpp>
#include <bitnet/nn/embedding.hpp>
#include <bitnet/nn/norm.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN

namespace detail {

/// Tensors beside the output head that hold its screen, where the file has one
/// (nn/head_screen.hpp).
struct screen_names {
  static constexpr std::string_view tiles = "output_screen.weight";
  static constexpr std::string_view error = "output_screen.error";
  static constexpr std::string_view magnitude = "output_screen.magnitude";
};

/// Finds, checks and converts tensors for one model. The first failure sticks: later calls do
/// nothing, so a list of tensors reads without error handling.
class tensor_binder {
 public:
  /// What the bound layers refer to is in the document and the store of `source`, which must
  /// outlive them.
  tensor_binder(const gguf::document& document, weight_source& source,
                const kernels::kernel_table& kernels, executor_ref threads,
                const load_options& options, bool bitnet_activations, float norm_eps)
      : document_{&document},
        source_{&source},
        matrices_{source, kernels, threads, options},
        options_{options},
        norm_eps_{norm_eps},
        bitnet_activations_{bitnet_activations} {
    for (const auto* t : document.tensors()) total_ += t->size;
  }

  /// Puts "blk.N." before the names that follow; an empty prefix for the model's own tensors.
  void prefix(std::string text) { prefix_ = std::move(text); }

  /// A norm of `size` weights.
  void operator()(std::string_view name, nn::rms_norm& norm, std::size_t size) {
    if (!status_) return;
    const auto* t = require(concat({name, ".weight"}));
    if (t == nullptr) return;
    if (!check_shape(*t, size, 1)) return;
    norm.weight = to_floats(*t);
    norm.eps = norm_eps_;
  }

  /// A matrix of `rows` outputs and `cols` inputs, with optional ".scale" and ".bias" tensors.
  template <class W>
  void operator()(std::string_view name, nn::linear<W>& layer, std::size_t rows, std::size_t cols) {
    if (!status_) return;
    const auto* t = require(concat({name, ".weight"}));
    if (t == nullptr || !check_shape(*t, cols, rows)) return;
    expect(matrices_.bind<W>(*t, layer.weight, bitnet_activations_));
    if (const auto* s = take(concat({name, ".scale"}))) {
      if (!check_shape(*s, 1, 1)) return;
      const auto scale = to_floats(*s);
      if (status_ && !source_->dry()) layer.weight.output_scale = scale[0];
    }
    if (const auto* b = take(concat({name, ".bias"}))) {
      if (!check_shape(*b, rows, 1)) return;
      layer.weight.bias = to_floats(*b);
    }
  }

  /// The token embedding; every row stays in the file's bytes.
  void operator()(std::string_view name, nn::embedding& table, std::size_t vocab, std::size_t dim) {
    if (!status_) return;
    const auto* t = require(concat({name, ".weight"}));
    if (t == nullptr || !check_shape(*t, dim, vocab)) return;
    const auto format = matrices_.format(*t);
    if (!format) return fail(format.error());
    const auto bytes = source_->share(*t);
    if (!bytes) return fail(bytes.error());
    table.bytes = {*bytes, vocab, dim};
    table.decode = format->decode_row;
  }

  /// An output head. No model was trained with its input rounded, and scores are compared with
  /// each other, so integer kernels get both planes; most heads get a screen.
  void head(const gguf::tensor_info& t, nn::output_head& head, std::size_t vocab, std::size_t dim) {
    if (!status_ || !check_shape(t, dim, vocab)) return;
    expect(matrices_.bind<nn::any_format>(t, head.full.weight, false));
    const auto* stored = take(screen_names::tiles);
    const auto* error = take(screen_names::error);
    const auto* magnitude = take(screen_names::magnitude);
    if (!status_) return;
    nn::weight_matrix& w = head.full.weight;
    if (w.storage == nn::weight_storage::tiled) w.input = quant::activation_kind::two_planes;
    if (options_.math != arithmetic::automatic || !options_.screen_head) return;
    if (w.storage == nn::weight_storage::tiled && w.tiles.plan().codes != quant::encoding::int8) {
      if (!w.tiles.plan().has_mins) expect(matrices_.bound_scores(t, head));
      return;
    }
    if (!gains_from_screen(w.storage, w.tiles.plan())) return;
    if (stored == nullptr) {
      // From tiles the exact weights would have to be put together again.
      if (!gguf::as_tiled(t.type)) expect(matrices_.make_screen(t, head));
      if (!head.screen.empty()) source_->read_rows(t);
      return;
    }
    if (error == nullptr || magnitude == nullptr)
      return fail({errc::missing, "the screen of the output head lacks its bounds", stored->name});
    bind_screen(*stored, *error, *magnitude, head.screen, vocab, dim);
    source_->read_rows(t);
  }

  /// An optional tensor, marked as used, or null.
  [[nodiscard]] const gguf::tensor_info* take(std::string_view name) {
    const auto* t = document_->find(concat({prefix_, name}));
    if (t != nullptr) {
      used_.push_back(t);
      done_ += t->size;
      if (options_.progress) (*options_.progress)(done_, total_);
    }
    return t;
  }

  /// The values of a small tensor of any weight format, kept with the model. In a dry run there is
  /// only their number.
  [[nodiscard]] std::span<const float> to_floats(const gguf::tensor_info& t) {
    const auto format = matrices_.format(t);
    if (!format) {
      fail(format.error());
      return {};
    }
    const auto floats = source_->floats(t);
    if (!floats) {
      fail(floats.error());
      return {};
    }
    if (floats->to_fill.empty()) return floats->values;
    const auto bytes = source_->borrow(t);
    if (!bytes) {
      fail(bytes.error());
      return {};
    }
    for (std::size_t r = 0; r < t.rows() && !source_->dry(); ++r)
      format->decode_row({bytes->data, t.rows(), t.cols()}, r,
                         floats->to_fill.subspan(r * t.cols(), t.cols()));
    return floats->values;
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
    if (t == nullptr) fail({errc::missing, "the file lacks this tensor", concat({prefix_, name})});
    return t;
  }

  void expect(const status& s) {
    if (!s) fail(s.error());
  }

  /// The screen that a tiled file brings.
  void bind_screen(const gguf::tensor_info& tiles, const gguf::tensor_info& error,
                   const gguf::tensor_info& magnitude, nn::head_screen& screen, std::size_t vocab,
                   std::size_t dim) {
    if (!check_shape(tiles, dim, vocab) || !check_shape(error, vocab, 1) ||
        !check_shape(magnitude, vocab, 1))
      return;
    const auto type = gguf::as_tiled(tiles.type);
    const auto expected = nn::head_screen::plan(vocab, dim);
    if (!type || plan_of(tiles, *type) != expected)
      return fail({errc::wrong_type, "a screen of another layout than this version's", tiles.name,
                   tiles.offset});
    const auto bytes = source_->own(tiles, cache_line);
    if (!bytes) return fail(bytes.error());
    screen.tiles = quant::tiled_matrix::in_place(expected, *bytes);
    screen.magnitude = to_floats(magnitude);
    screen.error = to_floats(error);
  }

  const gguf::document* document_;
  weight_source* source_;
  matrix_binder matrices_;
  load_options options_;
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
