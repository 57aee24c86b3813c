// SPDX-License-Identifier: Apache-2.0
// The list of a model's parameters: names, shapes and places in one array.
#pragma once

#include <bitnet/train/config.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

enum class parameter_kind : std::uint8_t { norm, matrix, embedding };

/// One tensor: [rows][cols] from `offset` on; the name is that of GGUF.
struct parameter {
  std::string name;
  parameter_kind kind = parameter_kind::matrix;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t offset = 0;

  [[nodiscard]] std::size_t size() const noexcept { return rows * cols; }
};

/// A piece of a trainer's state by name; see trainer::state().
template <class T>
struct basic_named_array {
  std::string name;
  std::span<T> values;
};
using named_array = basic_named_array<float>;

/// Indices of a block's parameters; `none` for what the architecture lacks. Matrices that share
/// their input follow each other, so that one product serves them.
struct block_parameters {
  static constexpr std::size_t none = ~std::size_t{0};
  std::size_t attn_norm = none;
  std::size_t q = none;  ///< k and v follow
  std::size_t q_norm = none, k_norm = none;
  std::size_t attn_sub_norm = none;
  std::size_t output = none;
  std::size_t ffn_norm = none;
  std::size_t gate = none;  ///< up follows
  std::size_t ffn_sub_norm = none;
  std::size_t down = none;
};

/// All parameters of a model, in the order of their places.
class parameter_list {
 public:
  parameter_list() = default;
  parameter_list(architecture a, const nn::hparams& h) {
    using enum parameter_kind;
    embedding_ = add("token_embd", embedding, h.vocab, h.dim);
    for (std::size_t i = 0; i < h.layers; ++i) {
      const std::string block = "blk." + std::to_string(i) + ".";
      const auto put = [&](std::string_view name, parameter_kind kind, std::size_t rows,
                           std::size_t cols) {
        return add(block + std::string{name}, kind, rows, cols);
      };
      block_parameters b;
      b.attn_norm = put("attn_norm", norm, 1, h.dim);
      b.q = put("attn_q", matrix, h.q_dim(), h.dim);
      put("attn_k", matrix, h.kv_dim(), h.dim);
      put("attn_v", matrix, h.kv_dim(), h.dim);
      if (has_qk_norms(a)) {
        b.q_norm = put("attn_q_norm", norm, 1, h.head_dim);
        b.k_norm = put("attn_k_norm", norm, 1, h.head_dim);
      }
      if (has_sub_norms(a)) b.attn_sub_norm = put("attn_sub_norm", norm, 1, h.q_dim());
      b.output = put("attn_output", matrix, h.dim, h.q_dim());
      b.ffn_norm = put("ffn_norm", norm, 1, h.dim);
      b.gate = put("ffn_gate", matrix, h.ffn, h.dim);
      put("ffn_up", matrix, h.ffn, h.dim);
      if (has_sub_norms(a)) b.ffn_sub_norm = put("ffn_sub_norm", norm, 1, h.ffn);
      b.down = put("ffn_down", matrix, h.dim, h.ffn);
      blocks_.push_back(b);
    }
    output_norm_ = add("output_norm", norm, 1, h.dim);
  }

  [[nodiscard]] std::span<const parameter> all() const noexcept { return all_; }
  [[nodiscard]] const parameter& operator[](std::size_t i) const noexcept { return all_[i]; }
  [[nodiscard]] const block_parameters& block(std::size_t i) const noexcept { return blocks_[i]; }
  [[nodiscard]] std::size_t embedding() const noexcept { return embedding_; }
  [[nodiscard]] std::size_t output_norm() const noexcept { return output_norm_; }
  /// Values of all of them.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  std::size_t add(std::string name, parameter_kind kind, std::size_t rows, std::size_t cols) {
    all_.push_back({std::move(name) + ".weight", kind, rows, cols, size_});
    size_ += rows * cols;
    return all_.size() - 1;
  }

  std::vector<parameter> all_;
  std::vector<block_parameters> blocks_;
  std::size_t embedding_ = 0;
  std::size_t output_norm_ = 0;
  std::size_t size_ = 0;
};

}  // namespace train
BITNET_NAMESPACE_END
