// SPDX-License-Identifier: Apache-2.0
// Brings one matrix into the form in which kernels read it: tiled, converted, or as the file has
// it.
#pragma once

#include <bitnet/core/executor.hpp>
#include <bitnet/engine/formats.hpp>
#include <bitnet/engine/load_options.hpp>
#include <bitnet/engine/weight_source.hpp>
#include <bitnet/nn/output_head.hpp>
#include <bitnet/quant/any.hpp>

#include <algorithm>
#include <optional>
#include <type_traits>

BITNET_NAMESPACE_BEGIN

namespace detail {

/// The weight format of a file's tensor type, as the options read it.
[[nodiscard]] inline std::optional<quant::format_id> format_of(gguf::tensor_type type,
                                                               const load_options& options) {
  return format_of(type, options.i2_s_arm);
}

/// Ternary formats whose models were trained with BitNet's int8 activations, one scale for each
/// token, whatever their architecture is. Q2_0 holds weight-only models, trained with floats.
[[nodiscard]] constexpr bool is_bitnet_format(quant::format_id id) noexcept {
  using enum quant::format_id;
  return id == i2_s || id == i2_s_arm || id == tq1_0 || id == tq2_0 || id == iq1_bn || id == iq2_bn;
}

/// The plan of a tiled tensor of a file.
[[nodiscard]] inline quant::tile_plan plan_of(const gguf::tensor_info& t,
                                              const gguf::tiled_type& type) noexcept {
  return quant::plan_tiles(t.rows(), t.cols(), static_cast<quant::encoding>(type.encoding),
                           type.group, type.f16_scales, type.mins);
}
// gguf knows the layout by number only.
static_assert([] {
  for (std::uint32_t e = 0; e < gguf::tiled_type::encoding_count; ++e) {
    const auto codes = static_cast<quant::encoding>(e);
    if (quant::columns_per_line(codes) != gguf::tiled_type::encodings[e].columns) return false;
    for (const std::uint32_t group : {0U, 256U}) {
      const gguf::tiled_type type{e, group, true, true, false};
      if (type.bytes(520, 17) != quant::plan_tiles(17, 520, codes, group, true, true).bytes())
        return false;
    }
  }
  return quant::line_bytes == 64 && quant::tile_rows == 16;
}());

/// Whether a head of such weights gains from a copy of fewer bits. Mins are not part of the bounds.
[[nodiscard]] inline bool gains_from_screen(nn::weight_storage storage,
                                            const quant::tile_plan& tiles) noexcept {
  if (storage == nn::weight_storage::tiled)
    return tiles.codes == quant::encoding::int8 && !tiles.has_mins;
  return nn::detail::is_float(storage);
}

/// Which kernels read rows as a file has them.
[[nodiscard]] inline nn::weight_storage storage_of(const quant::format_info& format) noexcept {
  using enum nn::weight_storage;
  return format.decode_row == &quant::decode_row<quant::dense_f32>    ? f32
         : format.decode_row == &quant::decode_row<quant::dense_f16>  ? f16
         : format.decode_row == &quant::decode_row<quant::dense_bf16> ? bf16
                                                                      : decoded;
}

/// Binds matrices of one document. All calls name the tensor in their errors.
class matrix_binder {
 public:
  matrix_binder(weight_source& source, const kernels::kernel_table& kernels, executor_ref threads,
                const load_options& options)
      : source_{&source}, kernels_{&kernels}, threads_{threads}, options_{options} {}

  /// The format of a tensor that its rows are whole blocks of.
  [[nodiscard]] result<quant::format_info> format(const gguf::tensor_info& t) const {
    const auto info = find_format(t.type, options_.i2_s_arm);
    if (!info)
      return error{errc::wrong_type, "a tensor of this type cannot hold weights", t.name, t.offset};
    if (!info->accepts_shape(t.rows(), t.cols()))
      return error{errc::shape, "the shape is no whole number of blocks of its type", t.name,
                   t.offset};
    return *info;
  }

  /// A matrix of a layer made of W. With `bitnet_input`, inputs are int8 with one scale a token
  /// whatever the format is.
  template <class W>
  [[nodiscard]] status bind(const gguf::tensor_info& t, nn::weight_matrix& w, bool bitnet_input) {
    w.rows = t.rows();
    w.cols = t.cols();
    if (const auto tiled = gguf::as_tiled(t.type))
      return bind_tiled<W>(t, *tiled, w, bitnet_input || tiled->per_token);
    BITNET_TRY(const quant::format_info stored, format(t));
    quant::format_info wanted = stored;
    quant::pack_function pack = nullptr;
    if constexpr (!std::is_same_v<W, nn::any_format>) wanted = quant::describe<W>();
    if constexpr (quant::packable_format<W>) pack = &quant::pack<W>;
    if (wanted.decode_row != stored.decode_row) BITNET_CHECK(check_convertible(t, wanted, pack));
    w.decode = wanted.decode_row;
    w.bytes = {nullptr, w.rows, w.cols};
    if (options_.math == arithmetic::exact || !wanted.tileable)
      return bind_rows(t, stored, wanted, pack, w, bitnet_input);
    const bool per_token = bitnet_input || is_bitnet_format(*format_of(t.type, options_));
    return tile(t, stored, wanted, pack, w, per_token);
  }

  /// Bounds the scores of a head of few bits, bound to `t`, that is its own screen.
  [[nodiscard]] status bound_scores(const gguf::tensor_info& t, nn::output_head& head) {
    const nn::weight_matrix& w = head.full.weight;
    BITNET_TRY(auto screen, nn::head_screen::make_bounds(w.rows, t.name, source_->memory()));
    if (!source_->dry() && !nn::fill_own_bounds(threads_, w.tiles, screen)) return {};
    source_->count(aligned_buffer<float>::bytes_of(screen.norms.size()));
    head.screen = std::move(screen);
    return {};
  }

  /// Makes the screen of a head that was bound to `t`.
  [[nodiscard]] status make_screen(const gguf::tensor_info& t, nn::output_head& head) {
    const nn::weight_matrix& w = head.full.weight;
    nn::weight_matrix from;
    from.rows = w.rows;
    from.cols = w.cols;
    from.decode = w.decode;
    from.storage = w.storage == nn::weight_storage::tiled ? nn::weight_storage::decoded : w.storage;
    BITNET_TRY(auto screen, nn::head_screen::make(w.rows, w.cols, t.name, source_->memory()));
    source_->count(screen.tiles.plan().bytes());
    source_->count(aligned_buffer<float>::bytes_of(screen.norms.size()));
    if (w.bytes.data != nullptr) {
      BITNET_CHECK(fill_screen(from, w.bytes.data, t, screen));
    } else {
      BITNET_TRY(const borrowed_bytes bytes, source_->borrow(t));
      BITNET_CHECK(fill_screen(from, bytes.data, t, screen));
    }
    head.screen = std::move(screen);
    return {};
  }

 private:
  [[nodiscard]] static error overflow(const gguf::tensor_info& t) {
    return {errc::limit, "rows this long would overflow the integer sums", t.name};
  }

  [[nodiscard]] static status check_convertible(const gguf::tensor_info& t,
                                                const quant::format_info& to,
                                                quant::pack_function pack) {
    if (pack == nullptr)
      return error{errc::wrong_type,
                   "the tensor is of another format than the layer, which has no pack()", t.name,
                   t.offset};
    if (!to.accepts_shape(t.rows(), t.cols()) || !to.tensor_bytes(t.rows(), t.cols()))
      return error{errc::shape, "the layer's format cannot hold a matrix of this shape", t.name};
    return {};
  }

  /// How the input of an integer matrix is represented, and that its sums fit.
  [[nodiscard]] status finish_tiled(const gguf::tensor_info& t, nn::weight_matrix& w,
                                    bool per_token) const {
    using quant::activation_kind;
    w.input = options_.input ? *options_.input
              : per_token    ? activation_kind::per_token
                             : activation_kind::per_block;
    const quant::tile_plan& plan = w.tiles.plan();
    const std::size_t unit =
        w.input == activation_kind::per_token ? plan.group : quant::activation_block;
    if (std::min(unit, w.cols) > quant::max_unit_columns(plan.codes)) return overflow(t);
    w.storage = nn::weight_storage::tiled;
    w.read_bytes = w.tiles.bytes();
    return {};
  }

  /// Tiles that the file has ready are read where they are.
  template <class W>
  [[nodiscard]] status bind_tiled(const gguf::tensor_info& t, const gguf::tiled_type& type,
                                  nn::weight_matrix& w, bool per_token) {
    if (options_.math == arithmetic::exact)
      return error{errc::unsupported,
                   "exact arithmetic needs weights as they were before tiling; open the original "
                   "model",
                   t.name, t.offset};
    const quant::tile_plan plan = plan_of(t, type);
    if constexpr (!std::is_same_v<W, nn::any_format>) {
      constexpr quant::format_info wanted = quant::describe<W>();
      if (!wanted.tileable || wanted.tile != plan.codes)
        return error{errc::wrong_type, "the tensor is tiled for another format than the layer's",
                     t.name, t.offset};
    }
    BITNET_TRY(const std::byte* bytes, source_->own(t, cache_line));
    w.tiles = quant::tiled_matrix::in_place(plan, bytes);
    return finish_tiled(t, w, per_token);
  }

  [[nodiscard]] status tile(const gguf::tensor_info& t, const quant::format_info& stored,
                            const quant::format_info& wanted, quant::pack_function pack,
                            nn::weight_matrix& w, bool per_token) {
    const quant::tile_plan plan = wanted.plan_tiles(w.rows, w.cols, false);
    BITNET_TRY(w.tiles, source_->keep_tiles(plan, t.name));
    const auto fill = [&](const std::byte* bytes) -> status {
      BITNET_TRY(auto scratch,
                 source_->lend<float>(quant::tile_scratch(plan) * threads_.concurrency(), t.name));
      if (!source_->dry())
        wanted.fill_tiles({bytes, w.rows, w.cols}, threads_, scratch.span(), w.tiles);
      return {};
    };
    if (wanted.decode_row == stored.decode_row) {
      BITNET_TRY(const borrowed_bytes bytes, source_->borrow(t));
      BITNET_CHECK(fill(bytes.data));
    } else {
      BITNET_TRY(auto packed,
                 source_->lend<std::byte>(
                     static_cast<std::size_t>(*wanted.tensor_bytes(w.rows, w.cols)), t.name));
      BITNET_CHECK(convert(t, stored, pack, packed.data()));
      BITNET_CHECK(fill(packed.data()));
    }
    source_->forget(t);
    return finish_tiled(t, w, per_token);
  }

  /// Rows as the file has them, or as the layer's format does.
  [[nodiscard]] status bind_rows(const gguf::tensor_info& t, const quant::format_info& stored,
                                 const quant::format_info& wanted, quant::pack_function pack,
                                 nn::weight_matrix& w, bool bitnet_input) {
    using quant::activation_kind;
    w.input = options_.math != arithmetic::exact && bitnet_input ? activation_kind::per_token
                                                                 : activation_kind::float32;
    w.storage = storage_of(wanted);
    if (const auto bytes = wanted.tensor_bytes(w.rows, w.cols))
      w.read_bytes = static_cast<std::size_t>(*bytes);
    if (wanted.decode_row == stored.decode_row) {
      BITNET_TRY(w.bytes.data, source_->own(t));
      return {};
    }
    BITNET_TRY(w.owned, source_->keep<std::byte>(w.read_bytes, t.name));
    w.bytes.data = w.owned.data();
    return convert(t, stored, pack, w.owned.data());
  }

  /// Packs the tensor into another format, through floats.
  [[nodiscard]] status convert(const gguf::tensor_info& t, const quant::format_info& from,
                               quant::pack_function pack, std::byte* out) {
    const std::size_t rows = t.rows(), cols = t.cols();
    BITNET_TRY(auto values, source_->lend<float>(rows * cols, t.name));
    BITNET_TRY(const borrowed_bytes bytes, source_->borrow(t));
    if (source_->dry()) return {};
    threads_.parallel_for(rows, [&](std::size_t r, std::size_t) {
      from.decode_row({bytes.data, rows, cols}, r, values.span().subspan(r * cols, cols));
    });
    pack(values.data(), rows, cols, out);
    return {};
  }

  /// Fills a screen, or empties it if the weights cannot be bounded.
  [[nodiscard]] status fill_screen(nn::weight_matrix& from, const std::byte* bytes,
                                   const gguf::tensor_info& t, nn::head_screen& screen) {
    from.bytes = {bytes, from.rows, from.cols};
    BITNET_TRY(auto scratch,
               source_->lend<float>(nn::screen_scratch(from) * threads_.concurrency(), t.name));
    if (source_->dry()) return {};
    const auto done = [&](std::span<const std::byte> read) { source_->forget(read); };
    if (!nn::fill_head_screen(*kernels_, threads_, from, scratch.span(), done, screen)) {
      source_->uncount(screen.tiles.plan().bytes());
      source_->uncount(aligned_buffer<float>::bytes_of(screen.norms.size()));
      screen = {};
    }
    source_->forget(t);
    return {};
  }

  weight_source* source_;
  const kernels::kernel_table* kernels_;
  executor_ref threads_;
  load_options options_;
};

}  // namespace detail
BITNET_NAMESPACE_END
