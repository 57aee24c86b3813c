// SPDX-License-Identifier: Apache-2.0
// The one include of bitnet.hpp: brings in the whole library except its opt-in adapters.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/log.hpp>
#include <bitnet/core/random.hpp>
#include <bitnet/core/thread_pool.hpp>
#include <bitnet/engine/chat.hpp>
#include <bitnet/engine/dynamic.hpp>
#include <bitnet/engine/generate.hpp>
#include <bitnet/engine/model.hpp>
#include <bitnet/engine/perplexity.hpp>
#include <bitnet/engine/plan.hpp>
#include <bitnet/engine/session.hpp>
#include <bitnet/engine/tile_model.hpp>
#include <bitnet/engine/token_trie.hpp>
#include <bitnet/engine/vocabulary.hpp>
#include <bitnet/gguf/sink.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/gguf/writer.hpp>
#include <bitnet/kernels/kernels.hpp>
#include <bitnet/models/registry.hpp>
#include <bitnet/quant/any.hpp>
#include <bitnet/sample/constraint.hpp>
#include <bitnet/sample/sampler.hpp>
#include <bitnet/text/chat.hpp>
#include <bitnet/text/conversation.hpp>
#include <bitnet/text/stop.hpp>
#include <bitnet/text/stream.hpp>
#include <bitnet/text/tokenizer.hpp>
