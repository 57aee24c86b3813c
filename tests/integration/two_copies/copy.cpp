// SPDX-License-Identifier: Apache-2.0
// A plugin with a copy of the library inside: runs a model, behind a C interface.
#include <bitnet/bitnet.hpp>

#if BITNET_EXCEPTIONS
#include <bitnet/exceptions.hpp>
#endif

#include <algorithm>
#include <array>

using network = bitnet::models::llama<>;

namespace {

bitnet::status run(const char* path, float* logits, std::size_t count) {
  BITNET_TRY(const auto model, bitnet::load<network>(bitnet::gguf::open(path)));
  BITNET_TRY(auto threads, bitnet::thread_pool::make({.threads = 2}));
  using session = bitnet::session<bitnet::model<network>>;
  BITNET_TRY(auto s, session::make(model, threads, {.context = 32}));
  if (s.vocab() != count) return bitnet::error{bitnet::errc::shape, "another vocabulary"};
  BITNET_CHECK(s.feed(std::array<bitnet::token, 5>{5, 6, 7, 8, 9}));
  for (int i = 0; i < 8; ++i) BITNET_CHECK(s.feed(std::array{s.best(1)[0].id}));
  std::ranges::copy(s.logits(), logits);
  return {};
}

}  // namespace

/// Logits after a prompt and 8 greedy tokens; 0 if all went well.
extern "C" int run_copy(const char* path, float* logits, std::size_t count) {
#if BITNET_EXCEPTIONS
  try {
    (void)bitnet::ex::gguf::open("/no/such.gguf");
    return 2;
  } catch (const bitnet::ex::failure&) {
  }
#endif
  return run(path, logits, count) ? 0 : 1;
}

/// Which copy this is.
extern "C" const char* isa_of_copy() { return bitnet::isa::native::name.data(); }
