// SPDX-License-Identifier: Apache-2.0
// doctest set up for builds with and without exceptions; tests include this, never doctest itself.
#pragma once

#include <bitnet/config.hpp>

#if !BITNET_EXCEPTIONS
// A failed REQUIRE then marks the test as failed but does not end it.
#define DOCTEST_CONFIG_NO_EXCEPTIONS_BUT_WITH_ALL_ASSERTS
#endif
#define DOCTEST_CONFIG_SUPER_FAST_ASSERTS

#include <doctest/doctest.h>
