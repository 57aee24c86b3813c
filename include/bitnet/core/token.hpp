// SPDX-License-Identifier: Apache-2.0
// The integer type of token ids, shared by text, samplers and sessions.
#pragma once

#include <bitnet/config.hpp>

#include <cstdint>

BITNET_NAMESPACE_BEGIN

/// Index of a vocabulary entry. Negative values never name a token.
using token = std::int32_t;

BITNET_NAMESPACE_END
