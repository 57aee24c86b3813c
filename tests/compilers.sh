#!/bin/sh
# sh tests/compilers.sh [COMPILER...]: builds the unit tests, warnings being errors, with every GCC
# from 12 and every Clang from 14 that Debian packages for this release, or with those that are
# named (g++-12 clang++-19), and passes them.
set -eu
cd "$(dirname "$0")/.."

# packaged NAME LEAST: the numbers, from LEAST on, of the packages NAME-1, NAME-2 ...
packaged() {
  apt-cache search "^$(echo "$1" | sed 's/+/[+]/g')-[0-9]+\$" | sed "s/^[^0-9]*\([0-9]*\) .*/\1/" |
    sort -n | while read -r number; do [ "$number" -lt "$2" ] || echo "$number"; done
}

compilers=$*
if [ -z "$compilers" ]; then
  for number in $(packaged g++ 12); do compilers="$compilers g++-$number"; done
  for number in $(packaged clang 14); do compilers="$compilers clang++-$number"; done
fi
[ -n "$compilers" ] || { echo "no compiler is packaged here" >&2; exit 1; }
# shellcheck disable=SC2046
sh cmake/packages.sh cmake ninja-build python3 ccache doctest-dev libeigen3-dev \
  $(echo "$compilers" | sed 's/clang++/clang/g')

jobs=$(nproc 2>/dev/null || echo 2)
layers='isa core quant kernels nn models engine gguf text sample hooks exceptions'
for compiler in $compilers; do
  printf '\n== %s\n' "$compiler"
  cmake --preset release -B "build/$compiler" -DCMAKE_CXX_COMPILER="$compiler" -DBITNET_WERROR=ON \
    -DBITNET_UNITY=ON -DBITNET_TEST_EMULATED=OFF -DBITNET_BUILD_EXAMPLES=OFF \
    -DBITNET_BUILD_BENCHMARKS=OFF
  # shellcheck disable=SC2046,SC2086
  cmake --build "build/$compiler" -j "$jobs" --target $(printf 'test_%s ' $layers)
  ctest --test-dir "build/$compiler" --no-tests=error --output-on-failure -j "$jobs" \
    -L "^($(echo "$layers" | tr ' ' '|'))\$" -LE full
done
printf '\nall passed:%s\n' "$(for compiler in $compilers; do printf ' %s' "$compiler"; done)"
