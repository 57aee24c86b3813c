// SPDX-License-Identifier: Apache-2.0
// Checks that units with different flags share no library function, and runs the baseline ones.
#include <cstddef>
#include <cstdio>
#include <set>
#include <string>

// Only the address functions of the AVX units are called: they hold no vector code.
#define DECLARE(unit)               \
  const void* template_in_##unit(); \
  const void* inline_in_##unit();   \
  std::string text_in_##unit();

DECLARE(baseline)
DECLARE(no_exceptions)
#if defined(HAVE_X86_UNITS)
DECLARE(avx2)
DECLARE(avx2_alone)
DECLARE(avx512)
#endif

int main() {
  const std::set<const void*> templates {
    template_in_baseline(), template_in_no_exceptions(),
#if defined(HAVE_X86_UNITS)
        template_in_avx2(), template_in_avx2_alone(), template_in_avx512(),
#endif
  };
  const std::set<const void*> inlines {
    inline_in_baseline(), inline_in_no_exceptions(),
#if defined(HAVE_X86_UNITS)
        inline_in_avx2(), inline_in_avx2_alone(), inline_in_avx512(),
#endif
  };
#if defined(HAVE_X86_UNITS)
  constexpr std::size_t units = 5;
#else
  constexpr std::size_t units = 2;
#endif
  const std::string text = "shape: 'w' at byte 3: m";
  const bool ok = templates.size() == units && inlines.size() == units &&
                  text_in_baseline() == text && text_in_no_exceptions() == text;
  std::printf("%zu and %zu of %zu units have functions of their own: %s\n", templates.size(),
              inlines.size(), units, ok ? "ok" : "wrong");
  return ok ? 0 : 1;
}
