// SPDX-License-Identifier: Apache-2.0
// A user's program: one include, no flags. It also stands for the user who turns warnings on.
#include <bitnet/bitnet.hpp>

#include <cstdio>
#include <thread>

namespace {

bitnet::result<int> half_of(int x) {
  if (x % 2 != 0) return bitnet::error{bitnet::errc::invalid_argument, "odd", "x"};
  return x / 2;
}

bitnet::result<int> quarter_of(int x) {
  BITNET_TRY(const int half, half_of(x));
  return half_of(half);
}

}  // namespace

int main() {
  int on_thread = 0;
  std::thread worker{[&] { on_thread = *quarter_of(8); }};  // threads link without further ado
  worker.join();
  const auto failed = quarter_of(6);
  const bool ok =
      on_thread == 2 && !failed && failed.error().code() == bitnet::errc::invalid_argument;
  std::printf("bitnet %d.%d.%d: %s\n", BITNET_VERSION_MAJOR, BITNET_VERSION_MINOR,
              BITNET_VERSION_PATCH, ok ? "ok" : "wrong");
  return ok ? 0 : 1;
}
