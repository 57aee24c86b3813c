// SPDX-License-Identifier: Apache-2.0
// A decoder-only transformer that learns: parameters, gradients, forward and backward pass.
#pragma once

#include <bitnet/core/random.hpp>
#include <bitnet/train/batch.hpp>
#include <bitnet/train/block.hpp>
#include <bitnet/train/embedding.hpp>
#include <bitnet/train/loss.hpp>
#include <bitnet/train/parameter.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
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
    BITNET_TRY(m.rounded_, aligned_buffer<T>::make(size, "rounded parameters"));
    m.scales_.assign(m.list_.all().size(), T{1});
    m.capacity_ = tokens;
    if (m.on_integers()) {
      const nn::hparams& h = config.shape;
      m.layer_words_ = integer_weight_words(h.q_dim() + 2 * h.kv_dim(), h.dim) +
                       integer_weight_words(h.dim, h.q_dim()) +
                       integer_weight_words(2 * h.ffn, h.dim) + integer_weight_words(h.dim, h.ffn);
      BITNET_TRY(m.integers_, aligned_buffer<std::int32_t>::make(h.layers * m.layer_words_,
                                                                 "integer parameters"));
      m.layers_.resize(h.layers);
    }
    m.lay_out(nullptr, tokens, std::min(tokens, config.shape.context));
    BITNET_TRY(m.memory_, aligned_buffer<T>::make(m.needed_, "training step"));
    BITNET_TRY(m.rope_,
               rope_table<T>::make(config.shape.rope, std::min(tokens, config.shape.context)));
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
    return {(p.kind == parameter_kind::norm ? parameters_ : rounded_).data() + p.offset, p.rows,
            p.cols};
  }
  [[nodiscard]] T scale(std::size_t i) const noexcept { return scales_[i]; }

  /// Rounds the weights anew: to be called when parameters have changed.
  void refresh() {
    const auto all = list_.all();
    const auto task = [&](std::size_t i, std::size_t) {
      const parameter& p = all[i];
      if (p.kind != parameter_kind::matrix) return;
      scales_[i] = config_.weights.quantize(of(std::as_const(parameters_), p), of(rounded_, p));
    };
    threads_.parallel_for(all.size(), task);
    if (on_integers()) pack_layers();
    const parameter& e = list_[list_.embedding()];
    round_to_format<T>(config_.embedding, threads_, of(std::as_const(parameters_), e),
                       of(rounded_, e));
  }

  void clear_gradients() noexcept { std::fill_n(gradients_.data(), gradients_.size(), T{0}); }

  /// Adds the gradient of `weight` times the batch's summed loss, and returns that loss; without a
  /// weight, of the mean loss. errc::invalid_argument for a batch that is too large, contradicts
  /// itself or has tokens outside the vocabulary; then nothing has changed.
  [[nodiscard]] result<loss_sum> loss_and_gradients(const batch& b, T weight) {
    BITNET_CHECK(check_batch(b, true));
    forward(b);
    const loss_sum loss = head(b, &weight);
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
        config_.weights.backward(of(std::as_const(parameters_), all[i]), of(gradients_, all[i]));
    };
    threads_.parallel_for(all.size(), task);
  }

  /// The loss alone. Errors as for loss_and_gradients.
  [[nodiscard]] result<loss_sum> evaluate(const batch& b) {
    BITNET_CHECK(check_batch(b, true));
    forward(b);
    return head(b, nullptr);
  }

  /// Scores of every token after each of `tokens`, [tokens.size()][vocab]. Errors as for
  /// loss_and_gradients.
  [[nodiscard]] result<std::vector<T>> logits(std::span<const token> tokens) {
    const int n = static_cast<int>(std::min(tokens.size(), capacity_ + 1));
    const batch b{1, n, tokens, {}};
    BITNET_CHECK(check_batch(b, false));
    forward(b);
    const std::size_t vocab = config_.shape.vocab;
    std::vector<T> out(tokens.size() * vocab);
    const matrix_view<T> to{out.data(), tokens.size(), vocab};
    each_chunk(threads_, to.rows, [&](std::size_t first, std::size_t count) {
      multiply_nt(to.slice(first, count), normed_.slice(first, count), rounded(list_.embedding()));
    });
    return out;
  }

  /// Targets that are not masked.
  [[nodiscard]] static std::size_t count_targets(const batch& b) noexcept {
    return static_cast<std::size_t>(
        std::count_if(b.targets.begin(), b.targets.end(), [](token t) { return t >= 0; }));
  }

 private:
  basic_model(const model_config<T>& config, executor_ref threads) noexcept
      : config_{config}, threads_{threads} {}

  template <class Buffer>
  [[nodiscard]] static auto of(Buffer& buffer, const parameter& p) noexcept {
    return matrix_view{buffer.data() + p.offset, p.rows, p.cols};
  }

  /// Whether layers multiply integers.
  [[nodiscard]] bool on_integers() const noexcept {
    return std::is_same_v<T, float> && config_.weights.integers && config_.activations.integers;
  }

  /// The matrices of a block that share an input: the first, and how many.
  struct layer_matrices {
    std::size_t first, count;
  };
  [[nodiscard]] std::array<layer_matrices, 4> matrices_of(std::size_t i) const noexcept {
    const block_parameters& p = list_.block(i);
    return {{{p.q, 3}, {p.output, 1}, {p.gate, 2}, {p.down, 1}}};
  }
  [[nodiscard]] bit_linear<T> linear(layer_matrices m) const noexcept {
    bit_linear<T> l;
    std::size_t rows = 0;
    for (std::size_t k = 0; k < m.count; ++k) {
      l.parts[k] = {list_[m.first + k].rows, scales_[m.first + k]};
      rows += list_[m.first + k].rows;
    }
    l.codes = {rounded_.data() + list_[m.first].offset, rows, list_[m.first].cols};
    return l;
  }

  /// Integers of the rounded weights, for both passes.
  void pack_layers() {
    if constexpr (std::is_same_v<T, float>) {
      const auto task = [&](std::size_t i, std::size_t) {
        std::int32_t* words = integers_.data() + i * layer_words_;
        std::vector<float> scales;
        for (std::size_t k = 0; k < layers_[i].size(); ++k) {
          const bit_linear<T> l = linear(matrices_of(i)[k]);
          scales.clear();
          for (const auto& part : l.parts) scales.insert(scales.end(), part.outputs, part.scale);
          layers_[i][k] = pack_weights(l.codes, scales, words);
          words += integer_weight_words(l.codes.rows, l.codes.cols);
        }
      };
      threads_.parallel_for(layers_.size(), task);
    }
  }

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

  [[nodiscard]] status check_batch(const batch& b, bool targets) const noexcept {
    const auto wrong = [](const char* message) {
      return error{errc::invalid_argument, message, "batch"};
    };
    if (b.rows < 1 || b.length < 1) return wrong("the batch is empty");
    const auto length = static_cast<std::size_t>(b.length);
    const std::size_t tokens = static_cast<std::size_t>(b.rows) * length;
    if (tokens > capacity_) return wrong("the batch has more tokens than the model was made for");
    if (length > config_.shape.context) return wrong("a sequence is longer than the context");
    if (b.inputs.size() != tokens || (targets && b.targets.size() != tokens))
      return wrong("the batch has not as many tokens as rows and length say");
    const auto vocab = static_cast<token>(config_.shape.vocab);
    for (const token t : b.inputs)
      if (t < 0 || t >= vocab) return wrong("a token is not in the vocabulary");
    if (targets)
      for (const token t : b.targets)
        if (t >= vocab) return wrong("a target is not in the vocabulary");
    return {};
  }

  /// Rows of the head that are computed at once: their logits are the largest matrix of a step.
  [[nodiscard]] std::size_t head_rows(std::size_t tokens) const noexcept {
    constexpr std::size_t most = std::size_t{1} << 23;  // values
    const std::size_t rows = most / config_.shape.vocab / chunk_rows * chunk_rows;
    return std::min(tokens, std::max(rows, chunk_rows));
  }

  /// Places everything of a step in `base`, or counts what that needs.
  void lay_out(T* base, std::size_t tokens, std::size_t length) {
    const nn::hparams& h = config_.shape;
    layout<T> l{base};
    const std::size_t qkv = h.q_dim() + 2 * h.kv_dim();
    // Codes are all that the backward pass needs of rounded inputs; then blocks share the values.
    const bool integers = on_integers();
    const auto shared_values = [&](std::size_t cols) {
      return integers ? l.take(tokens, cols) : matrix_view<T>{};
    };
    const auto dim_values = shared_values(h.dim), q_values = shared_values(h.q_dim()),
               ffn_values = shared_values(h.ffn);
    const auto input = [&](const matrix_view<T>& values, std::size_t cols) {
      layer_input<T> in;
      in.values = integers ? values : l.take(tokens, cols);
      in.scales = l.take(tokens);
      if (integers)
        in.codes = l.template take_integers<std::uint8_t>(tokens * layer_input<T>::stride_of(cols));
      return in;
    };
    blocks_.resize(h.layers);
    for (block_memory<T>& m : blocks_) {
      m.x = l.take(tokens, h.dim);
      m.attn_inverse = l.take(tokens);
      m.attn_in = input(dim_values, h.dim);
      m.qkv = l.take(tokens, qkv);
      if (has_qk_norms(config_.kind)) {
        m.qk_raw = l.take(tokens, h.q_dim() + h.kv_dim());
        m.qk_inverse = l.take(tokens, h.heads + h.kv_heads);
      }
      m.log_sum = l.take(tokens, h.heads);
      m.attended = l.take(tokens, h.q_dim());
      m.sub_inverse = l.take(tokens);
      m.output_in = input(q_values, h.q_dim());
      m.middle = l.take(tokens, h.dim);
      m.ffn_inverse = l.take(tokens);
      m.ffn_in = input(dim_values, h.dim);
      m.gate_up = l.take(tokens, 2 * h.ffn);
      m.ffn_sub_inverse = l.take(tokens);
      m.down_in = input(ffn_values, h.ffn);
    }
    final_ = l.take(tokens, h.dim);
    final_inverse_ = l.take(tokens);
    normed_ = l.take(tokens, h.dim);
    logits_ = l.take(head_rows(tokens), h.vocab);
    const std::size_t chunks = ceil_div(tokens, chunk_rows);
    shared_.attention = l.take(threads_.concurrency() * attention_scratch(length));
    shared_.gate = l.take(threads_.concurrency() * h.ffn);
    shared_.norm_partials = l.take(chunks * block<T>::norm_values(h));
    shared_.d_out = l.take(tokens, h.dim);
    shared_.d_middle = l.take(tokens, h.dim);
    shared_.d_in = l.take(tokens, h.dim);
    shared_.d_dim = l.take(tokens, h.dim);
    shared_.d_qkv = l.take(tokens, qkv);
    shared_.d_attended = l.take(tokens, h.q_dim());
    shared_.d_gate_up = l.take(tokens, 2 * h.ffn);
    shared_.d_ffn = l.take(tokens, h.ffn);
    if (integers) {
      const auto operands = [&](std::size_t outputs, std::size_t inputs) {
        gradient_operands g;
        g.outputs = outputs;
        g.inputs = inputs;
        g.left = l.template take_integers<std::int32_t>(chunks * g.left_words());
        g.scales = l.template take_integers<float>(chunks * outputs);
        g.right = l.template take_integers<std::int32_t>(chunks * g.right_words());
        return g;
      };
      shared_.qkv = operands(qkv, h.dim);
      shared_.output = operands(h.dim, h.q_dim());
      shared_.gate_up = operands(2 * h.ffn, h.dim);
      shared_.down = operands(h.dim, h.ffn);
      shared_.integer_words = integer_scratch(std::max({qkv, h.dim, 2 * h.ffn}));
      shared_.integers =
          l.template take_integers<std::int32_t>(threads_.concurrency() * shared_.integer_words);
    }
    needed_ = l.used();
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
    const auto m = matrices_of(i);
    b.qkv = linear(m[0]);
    b.output = linear(m[1]);
    b.gate_up = linear(m[2]);
    b.down = linear(m[3]);
    if (on_integers()) {
      b.qkv.integers = &layers_[i][0];
      b.output.integers = &layers_[i][1];
      b.gate_up.integers = &layers_[i][2];
      b.down.integers = &layers_[i][3];
    }
    b.memory = blocks_[i];
    return b;
  }

  [[nodiscard]] block_gradients<T> gradients_of(std::size_t i) noexcept {
    const block_parameters& p = list_.block(i);
    const auto norm = [&](std::size_t n) -> T* {
      return n == block_parameters::none ? nullptr : gradients_.data() + list_[n].offset;
    };
    const auto matrix = [&](layer_matrices m) {
      std::size_t rows = 0;
      for (std::size_t k = 0; k < m.count; ++k) rows += list_[m.first + k].rows;
      return matrix_view<T>{gradients_.data() + list_[m.first].offset, rows, list_[m.first].cols};
    };
    const auto m = matrices_of(i);
    return {{norm(p.attn_norm), norm(p.q_norm), norm(p.k_norm), norm(p.attn_sub_norm),
             norm(p.ffn_norm), norm(p.ffn_sub_norm)},
            matrix(m[0]),
            matrix(m[1]),
            matrix(m[2]),
            matrix(m[3])};
  }

  void forward(const batch& b) {
    const auto length = static_cast<std::size_t>(b.length);
    lay_out(memory_.data(), b.inputs.size(), length);
    const nn::hparams& h = config_.shape;
    embed<T>(threads_, b.inputs, rounded(list_.embedding()), blocks_.front().x);
    for (std::size_t i = 0; i < h.layers; ++i)
      block_at(i).forward(threads_, length, shared_, i + 1 < h.layers ? blocks_[i + 1].x : final_);
    const T* const weight = rounded(list_.output_norm()).data;
    each_chunk(threads_, final_.rows, [&](std::size_t first, std::size_t count) {
      for (std::size_t r = first; r < first + count; ++r)
        final_inverse_[r] =
            rms_norm(final_.row(r), weight, static_cast<T>(h.norm_eps), normed_.row(r), h.dim);
    });
  }

  /// The loss; with a weight also the gradients of the head, and that of the normed state, which
  /// goes to shared_.d_dim.
  [[nodiscard]] loss_sum head(const batch& b, const T* weight) {
    const auto table = rounded(list_.embedding());
    const auto d_table = of(gradients_, list_[list_.embedding()]);
    losses_.assign(b.targets.size(), 0.0);
    for (std::size_t begin = 0; begin < normed_.rows; begin += logits_.rows) {
      const std::size_t rows = std::min(logits_.rows, normed_.rows - begin);
      const auto state = normed_.slice(begin, rows);
      const auto scores = logits_.slice(0, rows);
      each_chunk(threads_, rows, [&](std::size_t first, std::size_t count) {
        const auto part = scores.slice(first, count);
        multiply_nt(part, state.slice(first, count), table);
        for (std::size_t r = 0; r < count; ++r) {
          const std::size_t at = begin + first + r;
          if (b.targets[at] < 0) {
            std::fill_n(part.row(r), part.cols, T{0});
          } else {
            losses_[at] = cross_entropy(part.row(r), part.cols, b.targets[at],
                                        weight == nullptr ? T{1} : *weight);
          }
        }
        if (weight != nullptr) multiply_nn(shared_.d_dim.slice(begin + first, count), part, table);
      });
      if (weight != nullptr) weight_gradients<T, 1>(threads_, {{{d_table, scores, state}}});
    }
    loss_sum loss;
    for (const double x : losses_) loss.total += x;
    loss.count = count_targets(b);
    return loss;
  }

  void backward(const batch& b) {
    const nn::hparams& h = config_.shape;
    const parameter& norm = list_[list_.output_norm()];
    const T* const weight = parameters_.data() + norm.offset;
    const std::size_t chunks = ceil_div(final_.rows, chunk_rows);
    std::fill_n(shared_.norm_partials, chunks * h.dim, T{0});
    each_chunk(threads_, final_.rows, [&](std::size_t first, std::size_t count) {
      T* const part = shared_.norm_partials + first / chunk_rows * h.dim;
      for (std::size_t r = first; r < first + count; ++r)
        rms_norm_backward<into::replace>(final_.row(r), weight, final_inverse_[r],
                                         shared_.d_dim.row(r), shared_.d_out.row(r), part, h.dim);
    });
    for (std::size_t c = 0; c < chunks; ++c)
      for (std::size_t i = 0; i < h.dim; ++i)
        gradients_[norm.offset + i] += shared_.norm_partials[c * h.dim + i];
    for (std::size_t i = h.layers; i-- > 0;) {
      block_at(i).backward(threads_, static_cast<std::size_t>(b.length), shared_, gradients_of(i));
      std::swap(shared_.d_out, shared_.d_in);
    }
    embed_backward<T>(threads_, b.inputs, shared_.d_out, of(gradients_, list_[list_.embedding()]));
  }

  model_config<T> config_;
  executor_ref threads_;
  parameter_list list_;
  aligned_buffer<T> parameters_, gradients_, rounded_;
  std::vector<T> scales_;  // of rounded matrices
  aligned_buffer<std::int32_t> integers_;
  std::size_t layer_words_ = 0;
  std::vector<std::array<integer_weights, 4>> layers_;
  rope_table<T> rope_;

  std::size_t capacity_ = 0;
  std::size_t needed_ = 0;
  aligned_buffer<T> memory_;
  std::vector<block_memory<T>> blocks_;
  shared_memory<T> shared_;
  matrix_view<T> final_, normed_, logits_;
  T* final_inverse_ = nullptr;
  std::vector<double> losses_;
};

/// What is trained.
using model = basic_model<float>;

}  // namespace train
BITNET_NAMESPACE_END
