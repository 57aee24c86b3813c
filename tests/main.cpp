// SPDX-License-Identifier: Apache-2.0
// The entry point that every test program is linked with.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "doctest.hpp"
