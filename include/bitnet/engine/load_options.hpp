// SPDX-License-Identifier: Apache-2.0
// Choices made when a model is loaded.
#pragma once

#include <bitnet/core/function_ref.hpp>
#include <bitnet/core/log.hpp>
#include <bitnet/core/memory_source.hpp>
#include <bitnet/quant/activation.hpp>

#include <cstdint>
#include <optional>

BITNET_NAMESPACE_BEGIN

/// How linear layers compute.
enum class arithmetic : std::uint8_t {
  automatic,  ///< integer kernels wherever the weights allow; what every user wants
  exact       ///< every weight decoded to float, every input in float: slow, for comparisons
};

/// Choices made when a model is loaded. Nothing is owned.
struct load_options {
  arithmetic math = arithmetic::automatic;
  /// How inputs of integer matrices inside blocks are rounded, where the file's formats do not say
  /// it right: ternary weights get per_token, as BitNet trains; a ternary model trained with float
  /// activations (TriLM) does better with per_block or two_planes. Not float32.
  std::optional<quant::activation_kind> input = {};
  /// The file's I2_S tensors have the 64/16 order that some ARM builds of bitnet.cpp wrote.
  bool i2_s_arm = false;
  /// Keep an int8 copy of the output head (not of binary and ternary ones), by which the best
  /// tokens are found without reading all of it: session::best gives the same tokens either way,
  /// sooner with it.
  bool screen_head = true;
  /// Try while loading how this machine reads matrices of large models fastest: some 6 ms of
  /// reading on one thread. Off, kernels read as they were measured to do best elsewhere. Never
  /// changes a result.
  bool find_read_order = true;
  /// Where the large blocks of the model come from: tiles, converted weights, the head's screen,
  /// and what is needed for a while when loading. The provider must outlive the model and is called
  /// by the loading thread, and by the one that destroys the model.
  memory_source memory = {};
  /// Most bytes to take of `memory` at any time while loading, 0: no limit. A model that needs more
  /// is refused with errc::out_of_memory before anything is allocated.
  std::uint64_t memory_limit = 0;
  /// Called with bytes of tensors bound so far and in all, on the loading thread. What it refers to
  /// must outlive the call that loads: name the lambda before.
  std::optional<function_ref<void(std::uint64_t done, std::uint64_t total)>> progress = {};
  /// What is worth knowing about how a model was loaded, on the loading thread. Warnings: what a
  /// file leaves out and was assumed, and what makes the model slower than it could be. Info: which
  /// kernels were chosen, and what loading took.
  log_sink log = {};
};

BITNET_NAMESPACE_END
