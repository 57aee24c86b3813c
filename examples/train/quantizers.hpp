// SPDX-License-Identifier: Apache-2.0
// The quantizers that bitnet-train knows by name. A new one is one more line here.
#pragma once

#include "my_quantizer.hpp"

#include <bitnet/train/quantizers.hpp>

#include <string_view>

namespace trainer {

struct named_quantizer {
  std::string_view name;
  bitnet::train::weight_rounding<float> weights;
};

inline constexpr named_quantizer quantizers[] = {
    {"ternary", bitnet::train::weights<bitnet::train::absmean_ternary>()},
    {"binary", bitnet::train::weights<bitnet::train::sign_binary>()},
    {"centered-binary", bitnet::train::weights<bitnet::train::centered_binary>()},
    {"grouped-ternary", bitnet::train::weights<bitnet::train::grouped_ternary<128>>()},
    {"grouped-binary", bitnet::train::weights<bitnet::train::grouped_binary<128>>()},
    {"none", bitnet::train::weights<bitnet::train::no_quantizer>()},
    {"mine", bitnet::train::weights<my_quantizer>()}};

}  // namespace trainer
