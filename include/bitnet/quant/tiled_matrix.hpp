// SPDX-License-Identifier: Apache-2.0
// A matrix in the tile layout: how many bytes it takes, and the block of memory that holds it.
#pragma once

#include <bitnet/core/memory.hpp>
#include <bitnet/quant/tile.hpp>

#include <cstring>
#include <span>
#include <string_view>
#include <utility>

BITNET_NAMESPACE_BEGIN
namespace quant {

/// What a tiled matrix needs: sizes are counts of values, `lines` in bytes. In memory, and in files
/// written by `bitnet tile`, lines come first, then scales, then mins, each part at a multiple of
/// 64 bytes with zeros before it.
struct tile_plan {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t group = 0;         ///< columns a scale covers in the tiles, never 0
  std::size_t source_group = 0;  ///< the same in the file
  encoding codes = encoding::ternary2;
  bool f16_scales = false;
  bool has_mins = false;
  std::size_t lines = 0;
  std::size_t scales = 0;
  std::size_t mins = 0;

  [[nodiscard]] constexpr std::size_t tiles() const noexcept { return ceil_div(rows, tile_rows); }
  [[nodiscard]] constexpr std::size_t scale_bytes() const noexcept {
    return scales * (f16_scales ? sizeof(f16) : sizeof(float));
  }
  /// Where the mins begin; scales begin at `lines`.
  [[nodiscard]] constexpr std::size_t mins_at() const noexcept {
    return round_up(lines + scale_bytes(), line_bytes);
  }
  /// Of the whole matrix.
  [[nodiscard]] constexpr std::size_t bytes() const noexcept {
    return round_up(mins_at() + mins * sizeof(float), line_bytes);
  }
  [[nodiscard]] friend constexpr bool operator==(const tile_plan&,
                                                 const tile_plan&) noexcept = default;
};

/// Plans a non-empty rows x cols matrix, where the products fit in size_t. A `group` of 0 means one
/// scale for each row.
[[nodiscard]] constexpr tile_plan plan_tiles(std::size_t rows, std::size_t cols, encoding codes,
                                             std::size_t group, bool f16_scales,
                                             bool has_mins = false) noexcept {
  BITNET_ASSERT(rows != 0 && cols != 0, "nothing to tile");
  tile_plan plan;
  plan.rows = rows;
  plan.cols = cols;
  plan.group = plan.source_group = group == 0 ? round_up(cols, 64) : group;
  plan.codes = codes;
  plan.f16_scales = f16_scales;
  plan.has_mins = has_mins;
  plan.lines = plan.tiles() * ceil_div(cols, columns_per_line(codes)) * line_bytes;
  plan.scales = plan.tiles() * ceil_div(cols, plan.group) * tile_rows;
  plan.mins = has_mins ? plan.scales : 0;
  return plan;
}

/// Where tiles go: whole arrays of a matrix, sized by its tile_plan, `lines` aligned to 64 bytes.
struct tile_destination {
  std::uint8_t* lines = nullptr;
  float* scales_f32 = nullptr;  ///< this or the next
  f16* scales_f16 = nullptr;
  float* mins = nullptr;  ///< or null
};

/// A tiled matrix in one block of memory, its own or somebody's. Move-only; `view` is valid while
/// the memory lives.
class tiled_matrix {
 public:
  tiled_matrix() noexcept = default;

  /// Memory for a plan, not initialised; errc::out_of_memory naming `what`.
  [[nodiscard]] static result<tiled_matrix> make(const tile_plan& plan, std::string_view what,
                                                 memory_source memory = {}) noexcept {
    tiled_matrix m;
    m.plan_ = plan;
    BITNET_TRY(m.memory_,
               aligned_buffer<std::byte>::uninitialized(plan.bytes(), what, true, memory));
    m.data_ = m.memory_.data();
    return m;
  }

  /// A matrix that lies ready in plan.bytes() bytes, aligned to 64, that outlive it.
  [[nodiscard]] static tiled_matrix in_place(const tile_plan& plan,
                                             const std::byte* bytes) noexcept {
    tiled_matrix m;
    m.plan_ = plan;
    m.data_ = bytes;
    return m;
  }

  [[nodiscard]] tiled_view view() const noexcept {
    tiled_view v;
    v.lines = reinterpret_cast<const std::uint8_t*>(data_);
    if (plan_.f16_scales) {
      v.scales_f16 = reinterpret_cast<const f16*>(data_ + plan_.lines);
    } else {
      v.scales_f32 = reinterpret_cast<const float*>(data_ + plan_.lines);
    }
    if (plan_.has_mins) v.mins = reinterpret_cast<const float*>(data_ + plan_.mins_at());
    v.rows = plan_.rows;
    v.cols = plan_.cols;
    v.group = plan_.group;
    v.codes = plan_.codes;
    v.order = order_;
    return v;
  }

  /// Where to put the tiles of a matrix that was made.
  [[nodiscard]] tile_destination destination() noexcept {
    std::byte* const p = memory_.data();
    tile_destination to;
    to.lines = reinterpret_cast<std::uint8_t*>(p);
    if (plan_.f16_scales) {
      to.scales_f16 = reinterpret_cast<f16*>(p + plan_.lines);
    } else {
      to.scales_f32 = reinterpret_cast<float*>(p + plan_.lines);
    }
    if (plan_.has_mins) to.mins = reinterpret_cast<float*>(p + plan_.mins_at());
    return to;
  }

  /// How it is read for one token from now on.
  void read(reading order) noexcept { order_ = order; }

  /// Takes a plan that needs no more memory than the one before. Contents are lost.
  void replan(const tile_plan& plan) noexcept {
    BITNET_ASSERT(plan.bytes() <= memory_.size(), "replan() to more memory");
    plan_ = plan;
  }
  /// Zeros between the parts, so that equal matrices are equal bytes.
  void clear_padding() noexcept {
    std::byte* const p = memory_.data();
    const std::size_t scales_end = plan_.lines + plan_.scale_bytes();
    const std::size_t mins_end = plan_.mins_at() + plan_.mins * sizeof(float);
    std::memset(p + scales_end, 0, plan_.mins_at() - scales_end);
    std::memset(p + mins_end, 0, plan_.bytes() - mins_end);
  }

  [[nodiscard]] const tile_plan& plan() const noexcept { return plan_; }
  /// All parts, as they go into a file.
  [[nodiscard]] std::span<const std::byte> memory() const noexcept {
    return {data_, data_ == nullptr ? 0 : plan_.bytes()};
  }
  /// Whether that is its own, not a file's.
  [[nodiscard]] bool owns_memory() const noexcept { return memory_.data() != nullptr; }
  /// Bytes that one pass over the matrix reads.
  [[nodiscard]] std::size_t bytes() const noexcept { return memory().size(); }

 private:
  tile_plan plan_;
  reading order_ = reading::by_family;
  const std::byte* data_ = nullptr;
  aligned_buffer<std::byte> memory_;
};

}  // namespace quant
BITNET_NAMESPACE_END
