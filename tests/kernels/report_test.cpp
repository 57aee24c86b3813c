// SPDX-License-Identifier: Apache-2.0
// Fallback by inheritance: which family serves which kernel, and how tables are found.
#include "kernels/support.hpp"

#include <set>

using namespace bitnet;

namespace {

template <isa::tag I>
constexpr std::string_view server_of(std::string_view kernel) {
  for (const kernels::served& s : kernels::report<I>())
    if (s.kernel == kernel) return s.by;
  return "none";
}

static_assert(kernels::kernel_count * sizeof(void*) + sizeof(std::string_view) + sizeof(void*) ==
                  sizeof(kernels::kernel_table),  // what is no kernel: isa and skips_zeros
              "for_each_kernel and kernel_table list the same kernels");
static_assert(server_of<isa::scalar>("gemm_tiled") == "scalar");
#if BITNET_ARCH_X86_64
static_assert(server_of<isa::avx2>("gemm_tiled") == "avx2");
static_assert(server_of<isa::avx_vnni>("gemm_tiled") == "avx_vnni");
static_assert(server_of<isa::avx_vnni>("rms_norm") == "avx2");
static_assert(server_of<isa::avx512>("gemm_tiled") == "avx512");
static_assert(server_of<isa::avx512_vnni>("gemm_tiled") == "avx512_vnni");
static_assert(server_of<isa::avx512_vnni>("rms_norm") == "avx512");
static_assert(server_of<isa::avx512_vbmi>("gemm_tiled") == "avx512_vbmi");
static_assert(kernels::table_of<isa::avx512_vbmi>.skips_zeros);
static_assert(server_of<isa::avx512_vbmi>("gemm_gated") == "avx512_vnni");
static_assert(!kernels::table_of<isa::avx512>.skips_zeros);
#elif BITNET_ARCH_AARCH64
static_assert(server_of<isa::neon>("gemm_tiled") == "neon");
static_assert(server_of<isa::neon>("tabulate") == "neon");
static_assert(server_of<isa::neon>("rms_norm") == "neon");
static_assert(server_of<isa::neon_dotprod>("gemm_tiled") == "neon_dotprod");
static_assert(server_of<isa::neon_dotprod>("rms_norm") == "neon");
static_assert(server_of<isa::neon_i8mm>("gemm_tiled") == "neon_i8mm");
static_assert(server_of<isa::neon_i8mm>("rms_norm") == "neon");
#endif

}  // namespace

TEST_CASE("every entry of every table is filled, and no vector family leaves one to scalar") {
  isa::for_each(isa::compiled{}, [&]<class I>(I) {
    const kernel_table& table = kernels::table_of<I>;
    kernels::for_each_kernel([&](std::string_view name, auto member, auto) {
      CAPTURE(std::string{name});
      const bool filled = table.*member != nullptr;
      CHECK(filled);
    });
    std::set<std::string_view> names;
    for (const kernels::served& s : kernels::report<I>()) {
      CAPTURE(std::string{s.kernel});
      CHECK(names.insert(s.kernel).second);
      if (I::name == isa::scalar::name || s.kernel == "list_nonzero") continue;
      CHECK((s.by == isa::scalar::name) == (s.kernel == "gemm_gated" && !table.skips_zeros));
    }
    CHECK(names.size() == kernels::kernel_count);
  });
}

TEST_CASE("tables are found by name") {
  isa::for_each(isa::compiled{}, [&]<class I>(I) {
    CHECK(kernels::table_for(I::name) == &kernels::table_of<I>);
    CHECK(kernels::table_of<I>.isa == I::name);
  });
  CHECK(kernels::table_for("") == nullptr);
  CHECK(kernels::table_for("avx") == nullptr);
}

TEST_CASE("the best table is the best that the features allow") {
  CHECK(kernels::best_table().isa == isa::best());
  CHECK(kernels::best_table(isa::cpu_features{}).isa == "scalar");
#if BITNET_ARCH_X86_64
  isa::cpu_features f;
  f.avx2 = true;
  CHECK(kernels::best_table(f).isa == "avx2");
  f.avx_vnni = true;
  CHECK(kernels::best_table(f).isa == "avx_vnni");
  f.avx512 = true;
  CHECK(kernels::best_table(f).isa == "avx512");
  f.avx512_vnni = true;
  CHECK(kernels::best_table(f).isa == "avx512_vnni");
  f.avx512_vbmi = true;
  CHECK(kernels::best_table(f).isa == "avx512_vbmi");
#elif BITNET_ARCH_AARCH64
  isa::cpu_features f;
  f.neon = true;
  CHECK(kernels::best_table(f).isa == "neon");
  f.neon_dotprod = true;
  CHECK(kernels::best_table(f).isa == "neon_dotprod");
  f.neon_i8mm = true;
  CHECK(kernels::best_table(f).isa == "neon_i8mm");
#endif
}
