#!/bin/sh
# sh tests/run.sh [--full|--platforms [PRESET...]]: installs what is missing, builds and passes all
# tests.
#
#   (nothing)    the release build, its tests, and every header compiled alone
#   --full       also: the slow tests (label full), GCC for this machine's processor, the address,
#                undefined-behaviour and thread sanitizers, Clang with exceptions, fuzzing, and the
#                unit tests on ARM, most of them on Windows, and a model on WebAssembly
#   --platforms  the unit tests on Windows (mingw64), ARM (aarch64) and WebAssembly (emscripten), or
#                those of them that are named, under wine, qemu and node, and nothing else
#
# Test data that is not in this repository comes from ../shared beside it, where there is one.
set -eu
cd "$(dirname "$0")/.."

full=no platforms=
case "${1:-}" in
  "") ;;
  --full) full=yes platforms="mingw64 aarch64 emscripten" ;;
  --platforms)
    shift
    platforms="${*:-mingw64 aarch64 emscripten}" ;;
  *) sed -n '2,12s/^# \{0,1\}//p' tests/run.sh >&2; exit 2 ;;
esac

fixed= # prefix of ctest
models=ON # BITNET_TEST_ALL_MODELS of a build
not_again='lint|integration|headers|full' # labels that another build settles
# Folders whose tests run on every platform.
core='isa core quant kernels nn models engine gguf text sample convert hooks'
say() { printf '\n== %s %s\n' "$(date +%T)" "$*"; }

packages="cmake ninja-build g++ python3 ccache clang-format-14 doctest-dev libeigen3-dev
  libbenchmark-dev libcli11-dev nlohmann-json3-dev libsimde-dev"
[ $full = no ] || packages="$packages clang-14 libclang-rt-14-dev"
for preset in $platforms; do
  case $preset in
    mingw64) packages="$packages g++-mingw-w64-x86-64-posix wine64" ;;
    aarch64) packages="$packages g++-aarch64-linux-gnu qemu-user" ;;
    emscripten) packages="$packages emscripten nodejs" ;;
    *) echo "no such platform: $preset" >&2; exit 2 ;;
  esac
done
# shellcheck disable=SC2086
sh cmake/packages.sh $packages

jobs=$(nproc 2>/dev/null || echo 2)
export CMAKE_BUILD_PARALLEL_LEVEL="$jobs" CTEST_PARALLEL_LEVEL="$jobs"

# build FOLDER PRESET TARGETS OPTION...: configures build/FOLDER and builds it.
build() {
  folder=$1 preset=$2 targets=$3
  shift 3
  say "build/$folder"
  cmake --preset "$preset" -B "build/$folder" -DBITNET_WERROR=ON -DBITNET_BUILD_TESTS=ON \
    -DBITNET_TEST_ALL_MODELS=$models "$@"
  # shellcheck disable=SC2086
  cmake --build "build/$folder" --target $targets
}

# check FOLDER CTEST_OPTION...: runs its tests.
check() {
  folder=$1
  shift
  say "tests of build/$folder $*"
  $fixed ctest --test-dir "build/$folder" --no-tests=error --output-on-failure "$@"
}

# platform PRESET FOLDER...: builds the tests of these folders for another platform and runs them,
# but for those that match $except.
except='^$'
platform() {
  preset=$1
  shift
  build "$preset" "$preset" "$(printf 'test_%s ' "$@")"
  check "$preset" -L "^($(echo "$*" | tr ' ' '|'))\$" -LE full -E "$except"
}

if [ $full = no ] && [ -n "$platforms" ]; then
  models=OFF
  # shellcheck disable=SC2086
  for preset in $platforms; do
    case $preset in
      emscripten) platform emscripten ${core% hooks} ;; # which want threads
      *) platform "$preset" $core ;;
    esac
  done
  exit
fi

if [ $full = no ]; then
  build release release "all all_verify_interface_header_sets" -DBITNET_BUILD_BENCHMARKS=ON
  check release -LE full
  exit
fi

# What only compares numbers runs once: other tests run the same code (engine.replay each
# instruction set, number of threads and batch; train.trainer and train.export the trainer).
numbers='engine[.]determinism|train[.]parity'

# All models of the shared suite are in the release build's tests. In those of the others the ten of
# the tree are, which have every architecture and layout in memory.
first_half() {
  # Without BITNET_TRAIN_NATIVE: the trainer would compile kernels of its own.
  build release release "all all_verify_interface_header_sets" -DBITNET_BUILD_BENCHMARKS=ON \
    -DBITNET_TRAIN_NATIVE=OFF
  check release

  # Clang: warnings and code, at -O1 as the tests always are (all programs, so they share the
  # kernels' object). How users' projects and single headers include is the same for GCC, and so is
  # what the app prints.
  models=OFF
  build clang debug all -DBITNET_BUILD_BENCHMARKS=OFF -DBITNET_TEST_EMULATED=OFF \
    -DCMAKE_CXX_COMPILER=clang++-14 -DBITNET_TEST_EXCEPTIONS=ON -DBITNET_BUILD_FUZZERS=ON \
    -DBITNET_TRAIN_NATIVE=OFF -DCMAKE_CXX_FLAGS_DEBUG="-O1 -DNDEBUG"
  check clang -LE "lint|full|headers|integration|cli" -E "$numbers"
  check clang -L copies

  # On Windows and WebAssembly what differs there, and the recorded sessions; --platforms runs all.
  except='engine[.](conformance|constraint|determinism|fork|repair|stepping|tiled|trained)'
  platform mingw64 isa core quant gguf hooks engine
}

second_half() {
  # The command line app, the trainer and every example are part of it; of the models with random
  # weights examples.robot_commands asks two. train.cli would train for seven minutes here.
  models=OFF
  build asan asan all -DBITNET_BUILD_BENCHMARKS=OFF -DBITNET_TRAIN_NATIVE=OFF
  check asan -LE "$not_again" -E "$numbers|cli[.](models|rivals|logits)|train[.]cli"

  build tsan tsan tests_with_threads -DBITNET_BUILD_BENCHMARKS=OFF
  # GCC 12's thread sanitizer cannot start where the kernel randomises addresses too widely.
  fixed="setarch $(uname -m) -R"
  $fixed true 2>/dev/null || fixed=
  # Every model at every split takes minutes here; sessions and the pool cover the same code.
  check tsan -L threads -LE full -E "$numbers"
  fixed=

  # What depends on this machine's own flags: kernels, layers and models. Emulated kernels do not.
  build native native "test_isa test_kernels test_nn test_engine" -DBITNET_BUILD_BENCHMARKS=OFF \
    -DBITNET_TEST_EMULATED=OFF
  check native -L 'isa|kernels|nn|engine' -LE "$not_again" -E "$numbers"

  # On ARM everything but those. Each instruction set is forced by the tests themselves, and by
  # processors that have no other (entries LAYER.FILE.PROCESSOR).
  except=$numbers
  # shellcheck disable=SC2086
  platform aarch64 $core

  except='engine[.](allocation|chat|conformance|constraint|loading|repair|snapshot|tiled|trained)'
  except="$except|gguf[.]corpus"
  platform emscripten core gguf engine
}

# Side by side, each with half of the processors, so that none of them waits for the last file or
# test of a build. Each has a folder of its own for temporary files.
jobs=$((jobs > 1 ? jobs / 2 : 1))
export CMAKE_BUILD_PARALLEL_LEVEL="$jobs" CTEST_PARALLEL_LEVEL="$jobs"
mkdir -p build/second_half
(
  export TMPDIR="$PWD/build/second_half"
  second_half
) >build/second_half.log 2>&1 &
second=$!
trap 'kill $second 2>/dev/null; tail -n 50 build/second_half.log' EXIT
first_half
trap - EXIT
failed=no
wait $second || failed=yes
cat build/second_half.log
[ $failed = no ]
say "all passed"
