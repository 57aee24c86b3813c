// SPDX-License-Identifier: Apache-2.0
// Loads plugins that each hold a copy of the library and compares what their models say.
#include <dlfcn.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

constexpr std::size_t vocab = 288;  // of the model

struct copy {
  int (*run)(const char*, float*, std::size_t) = nullptr;
  const char* (*isa)() = nullptr;
};

copy load(const char* path) {
  copy c;
  void* library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    std::printf("%s\n", dlerror());
    return c;
  }
  c.run = reinterpret_cast<decltype(c.run)>(dlsym(library, "run_copy"));
  c.isa = reinterpret_cast<decltype(c.isa)>(dlsym(library, "isa_of_copy"));
  return c;
}

}  // namespace

int main() {
  std::vector<const char*> paths;
#if defined(COPY_avx2)
  // The first to be loaded is the one whose symbols the others would be given.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) paths.push_back(COPY_avx2);
#endif
  paths.push_back(COPY_baseline);
  paths.push_back(COPY_tagged);
  paths.push_back(COPY_next);

  std::vector<copy> copies;
  for (const char* path : paths) copies.push_back(load(path));  // all before any runs
  std::vector<float> first(vocab);
  for (std::size_t i = 0; i < copies.size(); ++i) {
    std::vector<float> logits(vocab);
    const int code = copies[i].run == nullptr ? -1 : copies[i].run(MODEL, logits.data(), vocab);
    if (code != 0) {
      std::printf("copy %zu failed: %d\n", i, code);
      return 1;
    }
    if (i == 0) first = logits;
    const bool same = std::memcmp(first.data(), logits.data(), vocab * sizeof(float)) == 0;
    std::printf("%s: first logit %a, %s\n", copies[i].isa(), static_cast<double>(logits[0]),
                same ? "the same bits" : "other bits");
    if (!same) return 1;
  }
  return 0;
}
