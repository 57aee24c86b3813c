#!/bin/sh
# sh examples/quickstart.sh [model.gguf]: installs what is missing, builds the command-line tool and
# tells a story that begins with "Once upon a time": the same one on every machine. The text goes to
# stdout and everything else to stderr.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

# The story teller that comes along, unless another model is given.
model=${1:-$root/examples/models/stories-ternary.gguf}
if [ ! -f "$model" ]; then
  echo "quickstart: no such file: $model" >&2
  exit 2
fi

(
  sh "$root/cmake/packages.sh" cmake ninja-build g++ libcli11-dev nlohmann-json3-dev
  cd "$root"
  # A folder that was configured before, perhaps with tests, keeps its settings.
  [ -f build/release/build.ninja ] ||
    cmake --preset release -DBITNET_BUILD_TESTS=OFF -DBITNET_BUILD_BENCHMARKS=OFF
  cmake --build build/release --target bitnet-cli
) >&2

exec "$root/build/release/bin/bitnet" run -m "$model" -p "Once upon a time" --temp 0.4 --top-p 0.9 \
  --repeat-penalty 1.08 --seed 17 -n 240
