// SPDX-License-Identifier: Apache-2.0
// Choices made when a model is loaded.
#pragma once

#include <bitnet/core/function_ref.hpp>

#include <cstdint>

BITNET_NAMESPACE_BEGIN

/// How linear layers compute.
enum class arithmetic : std::uint8_t {
  automatic,  ///< integer kernels wherever the weights allow; what every user wants
  exact       ///< every weight decoded to float, every input in float: slow, for comparisons
};

/// Choices made when a model is loaded. Nothing is owned.
struct load_options {
  arithmetic math = arithmetic::automatic;
  /// The file's I2_S tensors have the 64/16 order that some ARM builds of bitnet.cpp wrote.
  bool i2_s_arm = false;
  /// Called with bytes of tensors bound so far and in all, or null. On the loading thread.
  const function_ref<void(std::uint64_t done, std::uint64_t total)>* progress = nullptr;
};

BITNET_NAMESPACE_END
