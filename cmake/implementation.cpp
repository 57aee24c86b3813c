// SPDX-License-Identifier: Apache-2.0
// The one file of a separated program that compiles kernels and architectures: see BITNET_SEPARATE
// in bitnet/config.hpp.
#define BITNET_IMPLEMENTATION
#include <bitnet/bitnet.hpp>
