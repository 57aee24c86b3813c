// SPDX-License-Identifier: Apache-2.0
// The shipped formats by number, for files whose format is known only at run time.
#pragma once

#include <bitnet/quant/dense.hpp>
#include <bitnet/quant/encode.hpp>
#include <bitnet/quant/i2_s.hpp>
#include <bitnet/quant/iq1_bn.hpp>
#include <bitnet/quant/iq2_bn.hpp>
#include <bitnet/quant/pack_tile.hpp>
#include <bitnet/quant/q1_0.hpp>
#include <bitnet/quant/q2_0.hpp>
#include <bitnet/quant/q4_0.hpp>
#include <bitnet/quant/q4_k.hpp>
#include <bitnet/quant/q5_k.hpp>
#include <bitnet/quant/q6_k.hpp>
#include <bitnet/quant/q8_0.hpp>
#include <bitnet/quant/tq1_0.hpp>
#include <bitnet/quant/tq2_0.hpp>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// The shipped formats. Values are GGUF tensor types; two formats share a type id with another and
/// carry 2^16 more.
enum class format_id : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q8_0 = 8,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  i2_s = 36,
  q1_0 = 41,
  q2_0 = 42,
  iq1_bn = 134,
  iq2_bn = 135,
  i2_s_arm = 0x10000 + 36,  ///< by explicit choice only; looks just like i2_s
  q2_0_g128 = 0x10000 + 42  ///< told apart from q2_0 by the tensor's size
};

/// All of them.
inline constexpr format_id all_formats[] = {
    format_id::f32,      format_id::f16,      format_id::q4_0, format_id::q8_0,   format_id::q4_k,
    format_id::q5_k,     format_id::q6_k,     format_id::bf16, format_id::tq1_0,  format_id::tq2_0,
    format_id::i2_s,     format_id::q1_0,     format_id::q2_0, format_id::iq1_bn, format_id::iq2_bn,
    format_id::i2_s_arm, format_id::q2_0_g128};

/// Calls visit(F{}) with the format type of `id`. False, and no call, if `id` is none of the
/// enumerators.
template <class Visitor>
constexpr bool visit_format(format_id id, Visitor&& visit) {
  switch (id) {
    case format_id::f32:
      visit(dense_f32{});
      return true;
    case format_id::f16:
      visit(dense_f16{});
      return true;
    case format_id::q4_0:
      visit(quant::q4_0{});
      return true;
    case format_id::q8_0:
      visit(quant::q8_0{});
      return true;
    case format_id::q4_k:
      visit(quant::q4_k{});
      return true;
    case format_id::q5_k:
      visit(quant::q5_k{});
      return true;
    case format_id::q6_k:
      visit(quant::q6_k{});
      return true;
    case format_id::bf16:
      visit(dense_bf16{});
      return true;
    case format_id::tq1_0:
      visit(quant::tq1_0{});
      return true;
    case format_id::tq2_0:
      visit(quant::tq2_0{});
      return true;
    case format_id::i2_s:
      visit(quant::i2_s{});
      return true;
    case format_id::q1_0:
      visit(quant::q1_0{});
      return true;
    case format_id::q2_0:
      visit(quant::q2_0{});
      return true;
    case format_id::iq1_bn:
      visit(quant::iq1_bn{});
      return true;
    case format_id::iq2_bn:
      visit(quant::iq2_bn{});
      return true;
    case format_id::i2_s_arm:
      visit(quant::i2_s_arm{});
      return true;
    case format_id::q2_0_g128:
      visit(quant::q2_0_g128{});
      return true;
  }
  return false;
}

/// A format as plain data and function pointers. Pointers are null where a format lacks the thing.
struct format_info {
  std::string_view name;
  bool dense = false;  ///< plain floats: no tiles
  bool tileable = false;
  bool ternary = false;                ///< codes of encoding::ternary2: BitNet's weights
  encoding tile = encoding::ternary2;  ///< where tileable
  bool (*accepts_shape)(std::size_t rows, std::size_t cols) noexcept = nullptr;
  std::optional<std::uint64_t> (*tensor_bytes)(std::size_t rows,
                                               std::size_t cols) noexcept = nullptr;
  decode_row_function decode_row = nullptr;
  tile_plan (*plan_tiles)(std::size_t rows, std::size_t cols, bool one_scale) noexcept = nullptr;
  void (*fill_tiles)(packed_rows w, executor_ref threads, std::span<float> scratch,
                     tiled_matrix& to) noexcept = nullptr;
  bool (*has_one_scale)(packed_rows w, executor_ref threads,
                        std::span<float> scratch) noexcept = nullptr;

  /// See quant::make_tiled; of a format that is tileable.
  [[nodiscard]] result<tiled_matrix> make_tiled(packed_rows w, executor_ref threads,
                                                std::string_view what) const noexcept {
    return detail::make_tiled(w, threads, what, accepts_shape(w.rows, w.cols), plan_tiles,
                              fill_tiles);
  }
};

using pack_function = void (*)(const float* weights, std::size_t rows, std::size_t cols,
                               std::byte* out) noexcept;

/// A format that floats can be packed into. Apart from the others, so that programs that only read
/// models do not compile what writes them.
struct writable_format : format_info {
  pack_function pack = nullptr;
  std::size_t (*unit_rows)(std::size_t cols) noexcept = nullptr;
  void (*encode)(const float* weights, std::size_t rows, std::size_t cols,
                 const matrix_summary& whole, std::byte* out) noexcept = nullptr;
};

/// The description of any weight format, shipped or a user's own.
template <weight_format F>
[[nodiscard]] constexpr format_info describe() noexcept {
  format_info info;
  info.name = F::name;
  info.accepts_shape = &accepts_shape<F>;
  info.tensor_bytes = &tensor_bytes<F>;
  info.decode_row = &decode_row<F>;
  if constexpr (tileable_format<F>) {
    info.tileable = true;
    info.tile = F::tile;
    info.ternary = F::tile == encoding::ternary2;
    info.plan_tiles = &plan_tiles<F>;
    info.fill_tiles = &fill_tiles<F>;
    info.has_one_scale = &has_one_scale<F>;
  }
  if constexpr (requires { typename F::value_type; }) info.dense = true;
  return info;
}
template <packable_format F>
[[nodiscard]] constexpr writable_format describe_writable() noexcept {
  return {describe<F>(), &pack<F>, &unit_rows<F>, &encode<F>};
}

/// The description of a shipped format; nothing for an id that is no enumerator.
[[nodiscard]] constexpr std::optional<format_info> find_format(format_id id) noexcept {
  std::optional<format_info> found;
  visit_format(id, [&](auto format) { found = describe<decltype(format)>(); });
  return found;
}

/// The same of one that can be written; nothing for others.
[[nodiscard]] constexpr std::optional<writable_format> find_writable_format(format_id id) noexcept {
  std::optional<writable_format> found;
  visit_format(id, [&](auto format) {
    if constexpr (packable_format<decltype(format)>) found = describe_writable<decltype(format)>();
  });
  return found;
}

}  // namespace quant
BITNET_NAMESPACE_END
