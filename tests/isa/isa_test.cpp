// SPDX-License-Identifier: Apache-2.0
// Detection, lists of instruction sets and dispatch.
#include <bitnet/isa/list.hpp>

#include "doctest.hpp"

#include <string>
#include <vector>

using namespace bitnet;

TEST_CASE("detection is consistent") {
  const isa::cpu_features f = isa::detect();
  CHECK((!f.avx512 || f.avx2));
  CHECK((!f.avx_vnni || f.avx2));
  CHECK((!f.avx512_vnni || f.avx512));
  CHECK((!f.avx512_vbmi || f.avx512_vnni));
  CHECK((!f.neon_dotprod || f.neon));
  CHECK((!f.neon_i8mm || f.neon_dotprod));
  CHECK(f.neon == (BITNET_ARCH_AARCH64 != 0));
  CHECK(isa::runs(isa::scalar{}, f));
  CHECK(isa::runs(isa::scalar{}, isa::cpu_features{}));
  // This program was compiled for `native` and runs, so the machine has it.
  CHECK(isa::runs(isa::native{}, f));
#if BITNET_ARCH_X86_64 && defined(__GNUC__)
  // GCC's own detection, which also asks the operating system.
  CHECK(f.avx2 == (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")));
  CHECK(f.avx512 == (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")));
  CHECK(f.avx512_vnni == (f.avx512 && __builtin_cpu_supports("avx512vnni")));
  CHECK(f.avx512_vbmi == (f.avx512_vnni && __builtin_cpu_supports("avx512vbmi")));
#endif
  MESSAGE("best instruction set here: " << std::string{isa::best()});
}

TEST_CASE("lists keep their order from scalar to the best") {
  std::vector<std::string_view> names;
  isa::for_each(isa::compiled{}, [&]<class I>(I) { names.push_back(I::name); });
  CHECK(names.size() == isa::compiled::size);
  CHECK(names.front() == "scalar");
#if BITNET_ARCH_X86_64
  CHECK(names == std::vector<std::string_view>{"scalar", "avx2", "avx_vnni", "avx512",
                                               "avx512_vnni", "avx512_vbmi"});
#elif BITNET_ARCH_AARCH64
  CHECK(names == std::vector<std::string_view>{"scalar", "neon", "neon_dotprod", "neon_i8mm"});
#endif
}

TEST_CASE("dispatch picks the last of the list that runs") {
  const auto name = []<class I>(I) { return I::name; };
  CHECK(isa::dispatch(isa::compiled{}, isa::cpu_features{}, name) == "scalar");
  CHECK(isa::dispatch(isa::compiled{}, isa::detect(), name) == isa::best());
#if BITNET_ARCH_X86_64
  isa::cpu_features f;
  f.avx2 = true;
  CHECK(isa::dispatch(isa::compiled{}, f, name) == "avx2");
  CHECK(isa::dispatch(isa::list<isa::scalar, isa::avx512>{}, f, name) == "scalar");
  f.avx512 = true;
  CHECK(isa::dispatch(isa::list<isa::scalar, isa::avx512>{}, f, name) == "avx512");
  CHECK(isa::best(isa::list<isa::scalar, isa::avx2>{}, f) == "avx2");
#elif BITNET_ARCH_AARCH64
  isa::cpu_features f;
  f.neon = true;
  CHECK(isa::dispatch(isa::compiled{}, f, name) == "neon");
  CHECK(isa::dispatch(isa::list<isa::scalar, isa::neon_dotprod>{}, f, name) == "scalar");
  f.neon_dotprod = true;
  CHECK(isa::dispatch(isa::compiled{}, f, name) == "neon_dotprod");
  CHECK(isa::best(isa::list<isa::scalar, isa::neon>{}, f) == "neon");
#endif
}

#if BITNET_ARCH_X86_64 && defined(__MINGW32__) && defined(__GNUC__) && !defined(__clang__)
TEST_CASE("aligned moves take any address, since the stack of Windows is aligned to 16 bytes") {
  if (!isa::detect().avx2) return;
  alignas(64) unsigned char bytes[128];
  for (unsigned i = 0; i < 128; ++i) bytes[i] = static_cast<unsigned char>(i);
  __asm__ volatile(
      "vmovaps 8(%0), %%ymm0\n vmovdqa %%ymm0, 72(%0)\n"
      "vmovapd 17(%0), %%ymm0\n vmovapd %%ymm0, 40(%0)\n vzeroupper" ::"r"(bytes)
      : "memory", "xmm0");
  CHECK(bytes[72] == 8);
  CHECK(bytes[40] == 17);
}
#endif
