// SPDX-License-Identifier: Apache-2.0
// A decoder-only transformer that learns: parameters, gradients, forward and backward pass.
#pragma once

#include <bitnet/core/random.hpp>
#include <bitnet/train/batch.hpp>
#include <bitnet/train/block.hpp>
#include <bitnet/train/embedding.hpp>
#include <bitnet/train/head.hpp>
#include <bitnet/train/rounded_weights.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

/// Parameters in full precision, their gradients, and the memory of a step, in the scalar type T:
/// float to train, double to check gradients. The head is the embedding.
///
/// A forward pass computes what the inference engine computes from the exported file: weights and
/// inputs of linear layers are rounded as `model_config` says. All results depend on the
/// parameters and the batch alone, not on the number of threads. Not thread safe; move-only; the
/// executor must outlive it.
template <class T>
class basic_model {
 public:
  /// A model with random weights: matrices uniform with the standard deviation `deviation`, norms
  /// 1. Steps may have up to `tokens` tokens (rows * length). Errors: those of check();
  /// errc::out_of_memory.
  [[nodiscard]] static result<basic_model> make(const model_config<T>& config, executor_ref threads,
                                                std::size_t tokens, std::uint64_t seed = 0,
                                                float deviation = 0.02F) {
    BITNET_CHECK(check(config));
    if (tokens == 0 || tokens > (1U << 24))
      return error{errc::invalid_argument, "the number of tokens is out of range", "tokens"};
    basic_model m{config, threads};
    m.list_ = parameter_list{config.kind, config.shape};
    const std::size_t size = m.list_.size();
    BITNET_TRY(m.parameters_, aligned_buffer<T>::make(size, "parameters"));
    BITNET_TRY(m.gradients_, aligned_buffer<T>::make(size, "gradients"));
    BITNET_TRY(m.rounded_, rounded_weights<T>::make(config, m.list_));
    const std::size_t longest = std::min(tokens, config.shape.context);
    m.limits_ = {tokens, config.shape.context, config.shape.vocab};
    BITNET_TRY(m.memory_,
               aligned_buffer<T>::make(m.lay_out(nullptr, tokens, longest), "training step"));
    BITNET_TRY(m.rope_, rope_table<T>::make(config.shape.rope, longest));
    m.initialize(seed, deviation);
    return m;
  }

  [[nodiscard]] const model_config<T>& config() const noexcept { return config_; }
  [[nodiscard]] const parameter_list& parameters() const noexcept { return list_; }
  [[nodiscard]] executor_ref threads() const noexcept { return threads_; }

  /// All parameters in the order of the list. After a change call refresh().
  [[nodiscard]] std::span<T> values() noexcept { return parameters_.span(); }
  [[nodiscard]] std::span<const T> values() const noexcept { return parameters_.span(); }
  /// Their gradients.
  [[nodiscard]] std::span<T> gradients() noexcept { return gradients_.span(); }
  [[nodiscard]] std::span<const T> gradients() const noexcept { return gradients_.span(); }
  /// Parameter i as the forward pass uses it: values of matrices have to be multiplied by scale(i).
  [[nodiscard]] matrix_view<const T> rounded(std::size_t i) const noexcept {
    const parameter& p = list_[i];
    return p.kind == parameter_kind::norm ? view_of(parameters_, p) : rounded_[p];
  }
  [[nodiscard]] T scale(std::size_t i) const noexcept { return rounded_.scale(i); }

  /// Rounds the weights anew: to be called when parameters have changed.
  void refresh() { rounded_.refresh(threads_, config_, list_, parameters_); }

  void clear_gradients() noexcept { std::fill_n(gradients_.data(), gradients_.size(), T{0}); }

  /// Adds the gradient of `weight` times the batch's summed loss, and returns that loss; without a
  /// weight, of the mean loss. errc::invalid_argument for a batch that is too large, contradicts
  /// itself or has tokens outside the vocabulary; then nothing has changed.
  [[nodiscard]] result<loss_sum> loss_and_gradients(const batch& b, T weight) {
    BITNET_CHECK(check(b, limits_, true));
    forward(b);
    const head_gradient<T> gradient{weight, view_of(gradients_, embedding()), step_.shared.d_dim};
    const loss_sum loss = head(b, &gradient);
    backward(b);
    return loss;
  }
  [[nodiscard]] result<loss_sum> loss_and_gradients(const batch& b) {
    const std::size_t count = count_targets(b);
    return loss_and_gradients(b, count == 0 ? T{0} : T{1} / static_cast<T>(count));
  }
  /// Lets the weight quantizer change the gradients, if it has a `backward`: once, when all
  /// batches of a step were added.
  void finish_gradients() {
    if (config_.weights.backward == nullptr) return;
    const auto all = list_.all();
    const auto task = [&](std::size_t i, std::size_t) {
      if (all[i].kind == parameter_kind::matrix)
        config_.weights.backward(view_of(std::as_const(parameters_), all[i]),
                                 view_of(gradients_, all[i]));
    };
    threads_.parallel_for(all.size(), task);
  }

  /// The loss alone. Errors as for loss_and_gradients.
  [[nodiscard]] result<loss_sum> evaluate(const batch& b) {
    BITNET_CHECK(check(b, limits_, true));
    forward(b);
    return head(b, nullptr);
  }

  /// Scores of every token after each of `tokens`, [tokens.size()][vocab]. Errors as for
  /// loss_and_gradients.
  [[nodiscard]] result<std::vector<T>> logits(std::span<const token> tokens) {
    const int n = static_cast<int>(std::min(tokens.size(), limits_.tokens + 1));
    const batch b{1, n, tokens, {}};
    BITNET_CHECK(check(b, limits_, false));
    forward(b);
    const std::size_t vocab = config_.shape.vocab;
    std::vector<T> out(tokens.size() * vocab);
    const matrix_view<T> to{out.data(), tokens.size(), vocab};
    each_chunk(threads_, to.rows, [&](std::size_t first, std::size_t count) {
      multiply_nt(to.slice(first, count), step_.normed.slice(first, count), rounded_[embedding()]);
    });
    return out;
  }

 private:
  basic_model(const model_config<T>& config, executor_ref threads) noexcept
      : config_{config}, threads_{threads} {}

  [[nodiscard]] const parameter& embedding() const noexcept { return list_[list_.embedding()]; }

  void initialize(std::uint64_t seed, float deviation) {
    const counter_random random{seed};
    const float width = deviation * 3.46410162F;  // of a uniform distribution: sqrt(12)
    const auto task = [&](std::size_t i, std::size_t) {
      const parameter& p = list_[i];
      T* x = parameters_.data() + p.offset;
      const bool norm = p.kind == parameter_kind::norm;
      for (std::size_t k = 0; k < p.size(); ++k)
        x[k] = norm ? T{1} : static_cast<T>((random.uniform(i, k) - 0.5F) * width);
    };
    threads_.parallel_for(list_.all().size(), task);
    refresh();
  }

  std::size_t lay_out(T* base, std::size_t tokens, std::size_t length) {
    return step_.lay_out(config_.shape, has_qk_norms(config_.kind),
                         rounded_weights<T>::multiplies_integers(config_), threads_.concurrency(),
                         base, tokens, length);
  }

  [[nodiscard]] block<T> block_at(std::size_t i) const noexcept {
    const block_parameters& p = list_.block(i);
    const auto norm = [&](std::size_t n) -> const T* {
      return n == block_parameters::none ? nullptr : parameters_.data() + list_[n].offset;
    };
    block<T> b;
    b.config = &config_;
    b.rope = &rope_;
    b.norms = {norm(p.attn_norm),     norm(p.q_norm),   norm(p.k_norm),
               norm(p.attn_sub_norm), norm(p.ffn_norm), norm(p.ffn_sub_norm)};
    b.qkv = rounded_.layer(list_, i, block_layer::qkv);
    b.output = rounded_.layer(list_, i, block_layer::output);
    b.gate_up = rounded_.layer(list_, i, block_layer::gate_up);
    b.down = rounded_.layer(list_, i, block_layer::down);
    b.memory = step_.blocks[i];
    return b;
  }

  [[nodiscard]] block_gradients<T> gradients_of(std::size_t i) noexcept {
    const block_parameters& p = list_.block(i);
    const auto norm = [&](std::size_t n) -> T* {
      return n == block_parameters::none ? nullptr : gradients_.data() + list_[n].offset;
    };
    const auto matrix = [&](block_layer l) {
      return view_of(gradients_, list_, parameters_of(p, l));
    };
    return {{norm(p.attn_norm), norm(p.q_norm), norm(p.k_norm), norm(p.attn_sub_norm),
             norm(p.ffn_norm), norm(p.ffn_sub_norm)},
            matrix(block_layer::qkv),
            matrix(block_layer::output),
            matrix(block_layer::gate_up),
            matrix(block_layer::down)};
  }

  void forward(const batch& b) {
    const auto length = static_cast<std::size_t>(b.length);
    lay_out(memory_.data(), b.inputs.size(), length);
    const nn::hparams& h = config_.shape;
    const step_memory<T>& m = step_;
    embed<T>(threads_, b.inputs, rounded_[embedding()], m.blocks.front().x);
    for (std::size_t i = 0; i < h.layers; ++i)
      block_at(i).forward(threads_, length, m.shared,
                          i + 1 < h.layers ? m.blocks[i + 1].x : m.final);
    const T* const weight = rounded(list_.output_norm()).data;
    each_chunk(threads_, m.final.rows, [&](std::size_t first, std::size_t count) {
      for (std::size_t r = first; r < first + count; ++r)
        m.final_inverse[r] =
            rms_norm(m.final.row(r), weight, static_cast<T>(h.norm_eps), m.normed.row(r), h.dim);
    });
  }

  [[nodiscard]] loss_sum head(const batch& b, const head_gradient<T>* gradient) {
    return head_loss<T>(threads_, b, step_.normed, rounded_[embedding()], step_.logits, gradient);
  }

  /// From the gradient of the normed state, in shared.d_dim, back to the embedding.
  void backward(const batch& b) {
    shared_memory<T>& shared = step_.shared;
    final_norm_backward();
    for (std::size_t i = config_.shape.layers; i-- > 0;) {
      block_at(i).backward(threads_, static_cast<std::size_t>(b.length), shared, gradients_of(i));
      std::swap(shared.d_out, shared.d_in);
    }
    embed_backward<T>(threads_, b.inputs, shared.d_out, view_of(gradients_, embedding()));
  }
  void final_norm_backward() {
    const step_memory<T>& m = step_;
    const std::size_t dim = config_.shape.dim;
    const parameter& norm = list_[list_.output_norm()];
    const T* const weight = parameters_.data() + norm.offset;
    const std::size_t chunks = ceil_div(m.final.rows, chunk_rows);
    std::fill_n(m.shared.norm_partials, chunks * dim, T{0});
    each_chunk(threads_, m.final.rows, [&](std::size_t first, std::size_t count) {
      T* const part = m.shared.norm_partials + first / chunk_rows * dim;
      for (std::size_t r = first; r < first + count; ++r)
        rms_norm_backward<into::replace>(m.final.row(r), weight, m.final_inverse[r],
                                         m.shared.d_dim.row(r), m.shared.d_out.row(r), part, dim);
    });
    for (std::size_t c = 0; c < chunks; ++c)
      for (std::size_t i = 0; i < dim; ++i)
        gradients_[norm.offset + i] += m.shared.norm_partials[c * dim + i];
  }

  model_config<T> config_;
  executor_ref threads_;
  parameter_list list_;
  batch_limits limits_;
  aligned_buffer<T> parameters_, gradients_;
  rounded_weights<T> rounded_;
  rope_table<T> rope_;
  aligned_buffer<T> memory_;
  step_memory<T> step_;  ///< where everything of a step lies in memory_
};

/// What is trained.
using model = basic_model<float>;

}  // namespace train
BITNET_NAMESPACE_END
