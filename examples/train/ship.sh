#!/bin/sh
# Trains the models of examples/models: a ternary one, a binary one of the same size, and a float
# one of the same shape to compare with.
#
#   sh examples/train/ship.sh [options] OUT
#
#   OUT               folder for the text, models, logs, checkpoints and the plot
#   --minutes M       train about so long in all (default 15)
#   --steps N         train so many steps of 2048 tokens instead: the same models again, with any
#                     number of threads
#   --session S       stop after S minutes; the same command then goes on (default: no limit)
#   --threads N       processors, divided among the models (default: all)
#   --text FOLDER     where tinystories-*.txt are, or train.txt and held-out.txt as recase.py makes
#                     them (default: OUT)
#   --models LIST     of ternary, binary, float, mine; with a learning rate of its own: ternary:2e-3
#                     (default "ternary binary float")
#   -I FOLDER         where Eigen/ or CLI/ lie, if the compiler does not find them; several times
#
# Wants nothing but a C++20 compiler (CXX, default g++), Eigen, CLI11, and python3 if the text has
# to be prepared. What is there already is not made again; delete OUT to start over.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)

minutes=15 steps="" session="" threads=$(nproc) text="" models="ternary binary float" include="" out=""
while [ $# -gt 0 ]; do
  case $1 in
    --minutes) minutes=$2; shift 2 ;;
    --steps) steps=$2; shift 2 ;;
    --session) session=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --text) text=$2; shift 2 ;;
    --models) models=$2; shift 2 ;;
    -I) include="$include -isystem $2"; shift 2 ;;
    -*) sed -n '2,22s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    *) out=$1; shift ;;
  esac
done
[ -n "$out" ] || { sed -n '2,22s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$out"
text=${text:-$out}
for folder in /usr/include/eigen3 /usr/local/include/eigen3; do
  [ ! -d "$folder" ] || include="$include -isystem $folder"
done

# ---- the program --------------------------------------------------------------------------------
program=$out/bitnet-train
if [ ! -x "$program" ]; then
  echo "compiling with ${CXX:-g++} ..." >&2
  objects="" jobs=""
  for source in main arguments data setup history files run export ../bitnet/terminal; do
    object=$out/$(basename "$source").o
    # shellcheck disable=SC2086  # lists of options
    ${CXX:-g++} -std=c++20 -O3 -march=native -w -I"$root/include" $include \
      -c "$root/examples/train/$source.cpp" -o "$object" &
    jobs="$jobs $!"
    objects="$objects $object"
  done
  for job in $jobs; do wait "$job"; done
  # shellcheck disable=SC2086
  ${CXX:-g++} -pthread $objects -o "$program.part"
  # shellcheck disable=SC2086
  rm -f $objects
  mv "$program.part" "$program"
fi

# ---- the text -----------------------------------------------------------------------------------
if [ ! -f "$out/train.txt" ]; then
  if [ -f "$text/train.txt" ]; then
    cp "$text/train.txt" "$text/held-out.txt" "$out/"
  else
    python3 -B "$root/examples/train/recase.py" --cased "$text/tinystories-2m.txt" \
      --lower "$text/tinystories-4m.txt" --valid "$text/tinystories-valid-30k.txt" --out "$out"
  fi
fi

# ---- the models ---------------------------------------------------------------------------------
# One shape, one text and one number of tokens a step for all of them.
count=0
for model in $models; do count=$((count + 1)); done
each=$((threads / count))
[ "$each" -gt 0 ] || each=1
# A row of a batch is a piece of work, so the rows of a step, about eight, are a multiple of the
# threads.
batch=$(((7 + each) / each * each))
time="--minutes $minutes"
[ -z "$steps" ] || batch=8 time="--steps $steps"

train() { # train MODEL RATE options
  name=$1 rate=$2
  shift 2
  case $name in *:*) rate=${name#*:} ;; esac
  name=$(echo "$name" | tr : -)
  [ -z "$session" ] || set -- "$@" --session-minutes "$session"
  # shellcheck disable=SC2086  # an option and its value
  exec "$program" "$out/train.txt" --valid "$out/held-out.txt" -o "$out/stories-$name.gguf" \
    --name "TinyStories $name" $time --threads "$each" --resume --lr "$rate" \
    --arch bitnet-b1.58 --vocab 1792 --dim 256 --layers 6 --heads 8 --kv-heads 4 --ffn 512 \
    --embedding q8_0 --batch "$batch" --length 256 --warmup 200 --seed 1 --eval-every 250 \
    --sample-every 2000 --checkpoint-minutes 1 "$@" \
    >>"$out/$name.samples.txt" 2>>"$out/$name.log"
}

jobs=""
for model in $models; do
  case $model in
    ternary*) train "$model" 3e-3 --quantizer ternary --schedule two-stage & ;;
    binary*) train "$model" 3e-3 --quantizer binary --schedule two-stage & ;;
    mine*) train "$model" 3e-3 --quantizer mine --schedule two-stage & ;;
    float*) train "$model" 2e-3 --quantizer none --type f16 --schedule cosine & ;;
    *) echo "no such model: $model" >&2; exit 2 ;;
  esac
  jobs="$jobs $!"
done
trap 'kill -INT $jobs 2>/dev/null' INT TERM
failed=0
for job in $jobs; do wait "$job" || failed=1; done
wait  # after Ctrl-C they still write their checkpoints

set --
for model in $models; do
  name=$(echo "$model" | tr : -)
  csv=$out/stories-$name.gguf.run/losses.csv
  [ ! -f "$csv" ] || set -- "$@" --compare "$name=$csv"
  tail -n 3 "$out/$name.log" >&2
done
"$program" --plot "$out/losses.svg" "$@"
exit "$failed"
