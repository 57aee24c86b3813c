# SPDX-License-Identifier: Apache-2.0
"""examples/game_npc and examples/embedding_host: what they print, and what odd arguments get.

python3 hosts_test.py game_npc|embedding_host PROGRAM DATA_DIR
"""
import pathlib
import re
import subprocess
import sys
import tempfile


def run(program, *arguments):
    return subprocess.run([program, *map(str, arguments)], timeout=120, capture_output=True,
                          text=True, check=False)


def check_help(program):
    """A user who asks gets help and success, one who guesses gets help and a failure."""
    for flag in ("--help", "-h"):
        done = run(program, flag)
        assert done.returncode == 0 and done.stdout.startswith("usage: "), (flag, done)
    done = run(program)
    assert done.returncode == 2 and done.stderr.startswith("usage: ") and not done.stdout, done


def check_refused(program, *arguments):
    done = run(program, *arguments)
    assert done.returncode in (1, 2) and done.stderr and not done.stdout, (arguments, done)


def game(program, models):
    check_help(program)
    frames = 90
    for model in models:
        done = run(program, model, frames)
        assert done.returncode == 0, (model, done)
        said = done.stdout
        bins = [int(n) for n in re.findall(r"^  (?:below +[0-9.]+ ms|missed +): ([0-9]+)$", said, re.M)]
        assert len(bins) == 9 and sum(bins) == frames, said
        assert re.search(r"^median [0-9.]+ ms, 99.9th percentile [0-9.]+ ms, worst [0-9.]+ ms$", said,
                         re.M), said
        for name in ("Anna:\n  ", "Boris:\n  "):
            assert name in said, said
        found = re.search(rf"^{frames} frames, .*; arena [0-9.]+ MB, ([0-9]) pages for both; "
                          r"Anna's ([0-9]+) tokens saved in [0-9.]+ MB$", said, re.M)
        assert found, said
        # The rules fill a page and part of a second one: the first is shared, 3 in place of 4.
        assert int(found[1]) == 3 and int(found[2]) > 256, said
    check_refused(program, "no-such.gguf")
    check_refused(program, __file__)
    for frames in ("0", "-5", "many", "12x", "", "99999999999999999999"):
        check_refused(program, models[0], frames)
    check_refused(program, models[0], "5", "5")


def host(program, bitnet, qwen3, other):
    check_help(program)
    for files, verdict in (((bitnet, qwen3), "exact and dynamic: the same bits"),
                           ((bitnet, qwen3, qwen3), "exact and dynamic: the same bits"),
                           ((bitnet, qwen3, other), "no model opened twice")):
        done = run(program, *files)
        assert done.returncode == 0 and done.stdout.endswith(verdict + "\n"), (files, done)
        assert len(re.findall(r"^  tokens:(?: [0-9]+){24}$", done.stdout, re.M)) == 3, done.stdout
    check_refused(program, bitnet)
    check_refused(program, qwen3, bitnet)  # of the wrong architectures
    check_refused(program, other, qwen3)
    check_refused(program, bitnet, qwen3, "no-such.gguf")
    check_refused(program, bitnet, qwen3, other, other)
    with tempfile.TemporaryDirectory() as folder:
        cut = pathlib.Path(folder, "cut.gguf")
        cut.write_bytes(bitnet.read_bytes()[:100000])
        check_refused(program, cut, qwen3)


def main():
    name, program, models = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3], "models")
    if name == "game_npc":
        game(program, [models / "llama-q4_0.gguf", models / "bitnet-tq1_0.gguf"])
    else:
        host(program, models / "b25-i2_s.gguf", models / "qwen3-q1_0-yarn.gguf",
             models / "llama-q4_0.gguf")
    print(f"{name} does as it says")


main()
