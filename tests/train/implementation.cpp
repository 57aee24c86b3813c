// SPDX-License-Identifier: Apache-2.0
// The one file of this program that compiles what is behind bitnet::open (see engine/dynamic.hpp).
#define BITNET_IMPLEMENTATION
#include <bitnet/bitnet.hpp>
