// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019).
#pragma once

#include <bitnet/train/matrix.hpp>
#include <bitnet/train/parameter.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace train {

struct adamw_options {
  float beta1 = 0.9F;
  float beta2 = 0.95F;
  float eps = 1e-8F;
};

/// The square of the gradients' Euclidean norm, the same for every number of threads.
template <class T>
[[nodiscard]] double squared_norm(executor_ref threads, std::span<const T> x) {
  constexpr std::size_t piece = 1U << 16;
  std::vector<double> sums(ceil_div(x.size(), piece));
  const auto task = [&](std::size_t i, std::size_t) {
    const T* const p = x.data() + i * piece;
    const std::size_t n = std::min(piece, x.size() - i * piece);
    // Float lanes of 4096 values each, so that rounding stays small and loops stay vectors.
    for (std::size_t at = 0; at < n; at += lanes * 256) {
      const T* const q = p + at;
      sums[i] += static_cast<double>(
          lane_sum<T>(std::min(lanes * 256, n - at), [q](std::size_t k) { return q[k] * q[k]; }));
    }
  };
  threads.parallel_for(sums.size(), task);
  double sum = 0.0;
  for (const double s : sums) sum += s;
  return sum;
}

/// First and second moments of the gradients, as long as the parameters.
template <class T>
struct adamw {
  adamw_options options;
  aligned_buffer<T> first, second;

  [[nodiscard]] static result<adamw> make(std::size_t size, const adamw_options& options) {
    const auto share = [](float x) { return x >= 0.0F && x < 1.0F; };
    if (!share(options.beta1) || !share(options.beta2) || !(options.eps > 0.0F))
      return error{errc::invalid_argument, "betas lie in [0, 1) and eps above 0", "adamw"};
    adamw a;
    a.options = options;
    BITNET_TRY(a.first, aligned_buffer<T>::make(size, "first moments"));
    BITNET_TRY(a.second, aligned_buffer<T>::make(size, "second moments"));
    return a;
  }

  /// Step number `step`, from 1, with gradients multiplied by `factor` (clipping). Matrices and
  /// the embedding decay, norms do not. `values` and `gradients` are those of the list.
  void step(executor_ref threads, const parameter_list& list, std::span<T> values,
            std::span<const T> gradients, T factor, std::uint64_t step, double rate,
            double weight_decay) noexcept {
    const double b1 = static_cast<double>(options.beta1), b2 = static_cast<double>(options.beta2);
    const double steps = static_cast<double>(step);
    const T correct2 = static_cast<T>(1.0 / (1.0 - std::pow(b2, steps)));
    const T size = static_cast<T>(rate / (1.0 - std::pow(b1, steps)));
    const T beta1 = static_cast<T>(b1), beta2 = static_cast<T>(b2);
    const T eps = static_cast<T>(options.eps);
    const auto task = [&](std::size_t i, std::size_t) {
      const parameter& p = list[i];
      const T keep =
          p.kind == parameter_kind::norm ? T{1} : static_cast<T>(1.0 - rate * weight_decay);
      T* const w = values.data() + p.offset;
      const T* const gradient = gradients.data() + p.offset;
      T* const m = first.data() + p.offset;
      T* const v = second.data() + p.offset;
      for (std::size_t k = 0; k < p.size(); ++k) {
        const T g = gradient[k] * factor;
        m[k] = beta1 * m[k] + (T{1} - beta1) * g;
        v[k] = beta2 * v[k] + (T{1} - beta2) * g * g;
        w[k] = w[k] * keep - size * m[k] / (std::sqrt(v[k] * correct2) + eps);
      }
    };
    threads.parallel_for(list.all().size(), task);
  }
};

}  // namespace train
BITNET_NAMESPACE_END
