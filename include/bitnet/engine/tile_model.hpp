// SPDX-License-Identifier: Apache-2.0
// Writes a model with its matrices already tiled, so that it is used where it is mapped.
#pragma once

#include <bitnet/engine/tensors.hpp>
#include <bitnet/gguf/edit.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// One tensor of the new file: tiles of a tensor of the old one, a copy of it, or new bytes.
struct tiled_entry {
  std::string name;
  std::vector<std::uint64_t> dims;
  gguf::tensor_type type{};
  const gguf::tensor_info* from = nullptr;
  std::optional<quant::format_info> format = std::nullopt;  ///< of tiles that are made from `from`
  quant::tile_plan plan = {};
  std::span<const std::byte> bytes = {};  ///< where there is no `from`
};

/// Plans and writes the tensors of a tiled model. Holds the head's screen, and of other tensors one
/// at a time.
class model_tiler {
 public:
  model_tiler(const gguf::document& from, executor_ref threads, const load_options& options)
      : from_{&from}, threads_{threads}, options_{options} {}

  template <gguf::byte_sink Sink>
  [[nodiscard]] status run(Sink& sink) {
    BITNET_CHECK(list_tensors());
    gguf::writer writer;
    BITNET_CHECK(set_metadata(writer));
    for (const tiled_entry& e : entries_) BITNET_CHECK(writer.add_tensor(e.name, e.dims, e.type));
    BITNET_TRY(auto out, writer.begin(sink));
    for (const tiled_entry& e : entries_) {
      BITNET_CHECK(write(e, out));
      progress(e.from != nullptr ? e.from->size : 0);
    }
    return out.finish();
  }

 private:
  static constexpr std::string_view embedding_name = "token_embd.weight";
  static constexpr std::string_view head_name = "output.weight";

  [[nodiscard]] std::optional<quant::format_info> tileable_format(
      const gguf::tensor_info& t) const {
    const auto info = find_format(t.type, options_.i2_s_arm);
    if (!info || !info->tileable || t.n_dims != 2 || t.rows() < 2 || t.cols() == 0 ||
        !info->accepts_shape(t.rows(), t.cols()))
      return std::nullopt;
    return info;
  }

  /// The bytes of a tensor, for as long as `copy` holds them.
  [[nodiscard]] result<const std::byte*> bytes_of(const gguf::tensor_info& t,
                                                  aligned_buffer<std::byte>& copy) const {
    if (!t.data.empty()) return t.data.data();
    BITNET_TRY(copy, aligned_buffer<std::byte>::uninitialized(static_cast<std::size_t>(t.size),
                                                              t.name, false, options_.memory));
    BITNET_CHECK(from_->read_tensor(t, 0, copy.span()));
    return static_cast<const std::byte*>(copy.data());
  }
  [[nodiscard]] result<aligned_buffer<float>> scratch_for(std::size_t each,
                                                          std::string_view what) const {
    return aligned_buffer<float>::uninitialized(each * threads_.concurrency(), what, false,
                                                options_.memory);
  }

  [[nodiscard]] status list_tensors() {
    for (const auto* t : from_->tensors()) {
      total_ += t->size;
      if (t->name == embedding_name) {  // rows are decoded one at a time, as the file has them
        entries_.push_back(copy_of(*t));
      } else {
        BITNET_CHECK(add(*t, t->name));
      }
    }
    const auto* head = from_->find(head_name);
    const auto* embedding = from_->find(embedding_name);
    const bool tied = head == nullptr;
    if (tied) head = embedding;
    if (head == nullptr) return {};
    const auto format = tileable_format(*head);
    if (tied && format) BITNET_CHECK(add(*head, head_name));
    if (from_->find(screen_names::tiles) != nullptr || gguf::as_tiled(head->type)) return {};
    return add_screen(*head);
  }

  [[nodiscard]] static tiled_entry copy_of(const gguf::tensor_info& t) {
    return {std::string{t.name}, {t.dims.begin(), t.dims.begin() + t.n_dims}, t.type, &t};
  }

  /// A tensor as tiles where its format has them.
  [[nodiscard]] status add(const gguf::tensor_info& t, std::string_view name) {
    tiled_entry e = copy_of(t);
    e.name = name;
    if (auto format = tileable_format(t)) {
      BITNET_TRY(const bool one_scale, has_one_scale(t, *format));
      e.plan = format->plan_tiles(t.rows(), t.cols(), one_scale);
      const bool whole_row = one_scale || e.plan.group >= round_up(e.plan.cols, 64);
      const gguf::tiled_type type{static_cast<std::uint32_t>(e.plan.codes),
                                  whole_row ? 0 : static_cast<std::uint32_t>(e.plan.group),
                                  e.plan.f16_scales, e.plan.has_mins,
                                  is_bitnet_format(*format_of(t.type, options_))};
      if (const auto id = type.id(); id && plan_of(t, type).bytes() == e.plan.bytes()) {
        e.type = static_cast<gguf::tensor_type>(*id);
        e.format = std::move(format);
      }
    }
    // A head apart from the embedding is worth its place only in tiles.
    if (e.format || name == t.name) entries_.push_back(std::move(e));
    return {};
  }

  [[nodiscard]] result<bool> has_one_scale(const gguf::tensor_info& t,
                                           const quant::format_info& format) const {
    const auto plan = format.plan_tiles(t.rows(), t.cols(), false);
    if (plan.has_mins || plan.group >= round_up(plan.cols, 64)) return false;
    aligned_buffer<std::byte> copy;
    BITNET_TRY(const std::byte* bytes, bytes_of(t, copy));
    BITNET_TRY(auto scratch, scratch_for(quant::tile_scratch(plan), t.name));
    return format.has_one_scale({bytes, t.rows(), t.cols()}, threads_, scratch.span());
  }

  /// The screen that loading would make, if it would.
  [[nodiscard]] status add_screen(const gguf::tensor_info& t) {
    const auto format = find_format(t.type, options_.i2_s_arm);
    if (!format || t.n_dims != 2 || t.rows() == 0 || t.cols() == 0) return {};
    nn::weight_matrix w;
    w.rows = t.rows();
    w.cols = t.cols();
    w.storage = storage_of(*format);
    w.decode = format->decode_row;
    if (!gains_from_screen(
            format->tileable ? nn::weight_storage::tiled : w.storage,
            format->tileable ? format->plan_tiles(w.rows, w.cols, false) : quant::tile_plan{}))
      return {};
    BITNET_TRY(auto screen, nn::head_screen::make(w.rows, w.cols, t.name, options_.memory));
    aligned_buffer<std::byte> copy;
    BITNET_TRY(const std::byte* bytes, bytes_of(t, copy));
    w.bytes = {bytes, w.rows, w.cols};
    BITNET_TRY(auto scratch, scratch_for(nn::screen_scratch(w), t.name));
    const auto done = [&](std::span<const std::byte> read) { from_->forget(read); };
    if (!nn::fill_head_screen(kernels::best_table(), threads_, w, scratch.span(), done, screen))
      return {};
    screen_ = std::move(screen);
    const std::uint64_t rows = t.rows();
    const gguf::tiled_type type{static_cast<std::uint32_t>(quant::encoding::int8),
                                nn::head_screen::group, true, false, false};
    const auto add_part = [&](std::string_view name, std::vector<std::uint64_t> dims,
                              gguf::tensor_type part_type, std::span<const std::byte> part) {
      tiled_entry e;
      e.name = name;
      e.dims = std::move(dims);
      e.type = part_type;
      e.bytes = part;
      entries_.push_back(std::move(e));
    };
    add_part(screen_names::tiles, {t.cols(), rows}, static_cast<gguf::tensor_type>(*type.id()),
             screen_.tiles.memory());
    add_part(screen_names::error, {rows}, gguf::tensor_type::f32, std::as_bytes(screen_.error));
    add_part(screen_names::magnitude, {rows}, gguf::tensor_type::f32,
             std::as_bytes(screen_.magnitude));
    return {};
  }

  /// All keys but those that are about the old file's parts and places.
  [[nodiscard]] status set_metadata(gguf::writer& writer) const {
    gguf::metadata_edits edits;
    edits.remove_split();
    edits.remove(gguf::alignment_key);  // both go to the end
    edits.remove(gguf::layout_key);
    BITNET_CHECK(edits.apply(from_->meta(), writer));
    BITNET_CHECK(writer.set(gguf::alignment_key, gguf::tiled_alignment));
    return writer.set(gguf::layout_key, gguf::layout_version);
  }

  template <class Stream>
  [[nodiscard]] status write(const tiled_entry& e, Stream& out) const {
    if (e.from == nullptr) return out.write(e.bytes);
    if (!e.format) return gguf::copy_tensor(*from_, *e.from, out, options_.memory);
    const gguf::tensor_info& t = *e.from;
    BITNET_TRY(auto tiles,
               quant::tiled_matrix::make(e.format->plan_tiles(t.rows(), t.cols(), false), t.name,
                                         options_.memory));
    aligned_buffer<std::byte> read;
    BITNET_TRY(const std::byte* bytes, bytes_of(t, read));
    BITNET_TRY(auto scratch, scratch_for(quant::tile_scratch(tiles.plan()), t.name));
    e.format->fill_tiles({bytes, t.rows(), t.cols()}, threads_, scratch.span(), tiles);
    from_->forget(t.data);
    if (tiles.memory().size() != e.plan.bytes())
      return error{errc::io, "the tensor changed while it was read", t.name, t.offset};
    return out.write(tiles.memory());
  }

  void progress(std::uint64_t bytes) {
    done_ = std::min(done_ + bytes, total_);
    if (options_.progress) (*options_.progress)(done_, total_);
  }

  const gguf::document* from_;
  executor_ref threads_;
  load_options options_;
  std::vector<tiled_entry> entries_;
  nn::head_screen screen_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace detail

/// Writes a model as a GGUF file whose matrices lie as the kernels of this library read them, with
/// the screen of its output head. Opened by path or from memory aligned to cache_line, such a file
/// is used in place: nothing is repacked, decoded or copied, and results have the same bits. Other
/// programs refuse it by its tensor types. What has no tiles (norms, the token embedding, dense
/// weights) is copied, a tiled model stays what it is, and a split one becomes one file.
///
/// Of `options`, i2_s_arm, memory and progress matter. Errors are those of the document and the
/// sink, and errc::out_of_memory. Whether the model is one that loads is not checked; plan() does
/// that.
template <gguf::byte_sink Sink>
[[nodiscard]] status write_tiled(const gguf::document& model, Sink& sink, executor_ref threads,
                                 const load_options& options = {}) {
  return detail::model_tiler{model, threads, options}.run(sink);
}

BITNET_NAMESPACE_END
