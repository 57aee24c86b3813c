// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding with the angles of inference, forwards and backwards.
#pragma once

#include <bitnet/nn/rope.hpp>
#include <bitnet/train/matrix.hpp>

#include <cstddef>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Sines and cosines of every position, the same bits as in inference.
template <class T>
class rope_table {
 public:
  /// For positions [0, length).
  [[nodiscard]] static result<rope_table> make(const nn::rope_hparams& h, std::size_t length) {
    BITNET_TRY(const auto f, nn::rope_frequencies::make(h, {}));
    rope_table t;
    t.pairs_ = h.dims / 2;
    t.order_ = h.order;
    t.cos_.resize(length * t.pairs_);
    t.sin_.resize(length * t.pairs_);
    for (std::size_t p = 0; p < length; ++p) {
      for (std::size_t i = 0; i < t.pairs_; ++i) {
        const auto turn = static_cast<elementary::turns>(p) * f.per_position[i];
        const auto [sine, cosine] = elementary::sincos(turn);
        t.cos_[p * t.pairs_ + i] = static_cast<T>(cosine * f.magnitude);
        t.sin_[p * t.pairs_ + i] = static_cast<T>(sine * f.magnitude);
      }
    }
    return t;
  }

  /// Rotates a head at `position`, in place.
  void rotate(T* x, std::size_t position) const noexcept { turn<false>(x, position); }
  /// Rotates a head's gradient back, in place.
  void rotate_back(T* dx, std::size_t position) const noexcept { turn<true>(dx, position); }

 private:
  template <bool Back>
  void turn(T* x, std::size_t position) const noexcept {
    const T* c = cos_.data() + position * pairs_;
    const T* s = sin_.data() + position * pairs_;
    const bool halves = order_ == nn::rope_order::halves;
    const auto one = [&](T& a, T& b, std::size_t i) {
      const T sine = Back ? -s[i] : s[i];
      const T first = a * c[i] - b * sine;
      b = b * c[i] + a * sine;
      a = first;
    };
    if (halves) {
      T* y = x + pairs_;
      for (std::size_t i = 0; i < pairs_; ++i) one(x[i], y[i], i);
    } else {
      for (std::size_t i = 0; i < pairs_; ++i) one(x[2 * i], x[2 * i + 1], i);
    }
  }

  std::size_t pairs_ = 0;
  nn::rope_order order_ = nn::rope_order::halves;
  std::vector<T> cos_;  // [length][pairs]
  std::vector<T> sin_;
};

}  // namespace train
BITNET_NAMESPACE_END
