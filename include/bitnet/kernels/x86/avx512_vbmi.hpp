// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI with VBMI: few tokens times binary weights, looked up and added by dot products.
#pragma once

#include <bitnet/kernels/x86/avx512_vnni.hpp>

BITNET_NAMESPACE_BEGIN
BITNET_REGION_BEGIN_AVX512_VBMI
namespace kernels {
namespace on_avx512::vbmi {

using tag = isa::avx512_vbmi;

/// As in avx512_tiled.hpp, but one permutation of bytes brings both digits of a row, for two of the
/// four runs of 8 columns, side by side, where a dot product adds them.
struct lookup {
  static constexpr std::size_t in_line = 2, apart = 4;
  static constexpr bool reads_apart = false;
  struct indices {
    on_avx512::lookup::indices of;
  };
  struct digits {
    on_avx512::lookup::digits of;
  };
  struct joined {
    __m512i first, second;  ///< columns 0 .. 15 and 16 .. 31 of each row
  };

  static BITNET_INLINE indices split(const std::uint8_t* line) noexcept {
    return {on_avx512::lookup::split(line)};
  }
  static BITNET_INLINE digits find(const indices& at, const std::int8_t* sums) noexcept {
    return {on_avx512::lookup::find(at.of, sums)};
  }
  static BITNET_INLINE joined join(const digits& d) noexcept {
    // Bytes 4 r + 2 j and 4 r + 2 j + 1 are the low and the high digit of row r in run j.
    constexpr auto row = [](std::size_t r) {
      const std::size_t byte = quant::place_in_line(quant::encoding::binary, r, 0).byte;
      return static_cast<int>(0x50104000U + 0x01010101U * static_cast<std::uint32_t>(byte));
    };
    const __m512i first =
        _mm512_setr_epi32(row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7), row(8),
                          row(9), row(10), row(11), row(12), row(13), row(14), row(15));
    const __m512i second = _mm512_or_si512(first, _mm512_set1_epi8(32));
    return {_mm512_permutex2var_epi8(d.of.low, first, d.of.high),
            _mm512_permutex2var_epi8(d.of.low, second, d.of.high)};
  }
  static BITNET_INLINE i32x16 widen(const joined& d) noexcept {
    const __m512i weights = _mm512_set1_epi16(0x2001);
    const __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), weights, d.first);
    return {_mm512_dpbusd_epi32(sum, weights, d.second)};
  }
};

#include <bitnet/kernels/body/lookup.inc>

/// Tokens up to which looking up is faster than multiplying bits.
inline constexpr std::size_t most_lookups = 3;

inline tag gemm_tiled(tag self, const quant::tiled_view& w, const quant::quantized_rows& x,
                      matrix_view<float> y, std::size_t first_tile,
                      std::size_t last_tile) noexcept {
  if (w.codes == quant::encoding::binary && x.rows <= most_lookups && can_look_up(w, x)) {
    lookup_tiles(w, x, y, first_tile, last_tile, 0);
  } else {
    vnni::gemm_tiled(isa::avx512_vnni{}, w, x, y, first_tile, last_tile);
  }
  return self;
}

}  // namespace on_avx512::vbmi
}  // namespace kernels
BITNET_REGION_END
BITNET_NAMESPACE_END
