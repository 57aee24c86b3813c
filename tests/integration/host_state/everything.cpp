// SPDX-License-Identifier: Apache-2.0
// The whole library in one object, for symbols.py: what every class template has is instantiated
// here, and the script's flags keep what is inline. Contracts go to the host, as README shows.
extern "C" void host_contract(const char* text) noexcept;
#define BITNET_ASSERT(condition, text) ((condition) ? void() : host_contract(text))

#define BITNET_SEPARATE
#define BITNET_IMPLEMENTATION
#include <bitnet/bitnet.hpp>

using dynamic = bitnet::dynamic_model;
using exact = bitnet::model<bitnet::models::bitnet_b158<bitnet::quant::i2_s>>;

template class bitnet::model<bitnet::models::bitnet_b158<bitnet::quant::i2_s>>;
template class bitnet::session<exact>;
template class bitnet::session<dynamic>;
template class bitnet::generation<bitnet::session<exact>>;
template class bitnet::generation<bitnet::session<dynamic>>;
