// SPDX-License-Identifier: Apache-2.0
// A grammar (GBNF) as a language for constrained decoding: a pushdown automaton over bytes.
#pragma once

#include <bitnet/sample/grammar_compiler.hpp>
#include <bitnet/sample/grammar_type.hpp>
#include <bitnet/sample/grammar_walker.hpp>
