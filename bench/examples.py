#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures each example as its user would see it: compile time, size, memory and latency.

Every program is compiled with a plain `g++ -std=c++20 -O2 -Iinclude` (CXX chooses another compiler),
stripped, and run on MODEL. It prints a Markdown table; times are processor seconds for compiling
and what the example itself says, or wall seconds of the whole process, for running. Memory is the
peak of resident bytes, the pages of the mapped model that were touched included.

  python3 bench/examples.py examples/models/stories-ternary.gguf

Compiling takes minutes and need not be undisturbed: --folder F --compile keeps programs and figures
in F, and --folder F runs what is there.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SENTENCES = "please go to the kitchen\nstop at once\nbring me the red cup\n"


def readme_program():
    """The first program of the README."""
    text = (ROOT / "README.md").read_text(encoding="ascii")
    return re.search(r"```cpp\n(.*?)```", text, re.S).group(1)


def measure(command, text=""):
    """Output, wall and processor seconds and peak resident bytes of a command."""
    # GNU time is small: what a process starts from counts for its peak, and this script is large.
    with tempfile.TemporaryDirectory() as name:
        used = pathlib.Path(name, "used")
        begin = time.monotonic()
        done = subprocess.run(["/usr/bin/time", "-q", "-f", "%U %S %M", "-o", used,
                               *map(str, command)],
                              input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        wall = time.monotonic() - begin
        if done.returncode != 0:
            sys.exit(f"exit code {done.returncode} from {shlex.join(map(str, command))}\n{done.stdout}")
        user, system, peak = map(float, used.read_text().split())
    return done.stdout, wall, user + system, peak * 1024


def latency(name, said, wall):
    """What a user of the example waits for."""
    found = {
        "game_npc": (r"median (.*?) ms, 99.9th percentile (.*?) ms", "frame {} ms, 99.9 % {} ms"),
        "robot_commands": (r", ([0-9.]+) ms at most", "{} ms a sentence at most"),
        "embedding_host": (r"opened dynamically:.*?([0-9.]+) ms a token", "{} ms a token"),
    }.get(name)
    match = re.search(found[0], said, re.S) if found else None
    return found[1].format(*match.groups()) if match else f"{wall:.2f} s, whole process"


def programs(folder, model):
    """Name, source, flags, arguments and input of each program."""
    example = ROOT / "examples"
    no_exceptions = ["-fno-exceptions", "-fno-rtti"]
    return [
        ("first_program", folder / "first_program.cpp", [], [model], ""),
        ("game_npc", example / "game_npc/main.cpp", no_exceptions, [model, "300"], ""),
        ("robot_commands", example / "robot_commands/main.cpp", no_exceptions, [model], SENTENCES),
        ("embedding_host", example / "embedding_host/main.cpp", no_exceptions,
         [folder / "bitnet.gguf", folder / "qwen3.gguf", model], ""),
        ("custom_architecture", example / "custom_architecture/main.cpp", [], [], ""),
        ("custom_format", example / "custom_format/main.cpp", [], [], ""),
    ]


def synthesize(folder):
    """The models that embedding_host knows as types."""
    tool = ROOT / "build/release/bin/bitnet"
    if not tool.exists():
        sys.exit("build/release/bin/bitnet is missing: cmake --preset release && "
                 "cmake --build build/release")
    for name, options in (("bitnet", ["--type", "i2_s"]),
                          ("qwen3", ["--arch", "qwen3", "--type", "q1_0"])):
        measure([tool, "synth", "--shape", "tiny", *options, "-o", folder / f"{name}.gguf"])


def compile_program(folder, name, source, flags):
    """Compiles a program unless it is there already; processor seconds and peak bytes that it took."""
    figures = folder / f"{name}.json"
    if not figures.exists():
        compiler = shlex.split(os.environ.get("CXX", "g++"))
        _, _, seconds, peak = measure(
            [*compiler, "-std=c++20", "-O2", *flags, "-I", ROOT / "include", "-I", ROOT / "examples",
             source, "-o", folder / name, "-pthread"])
        measure(["strip", folder / name])
        figures.write_text(json.dumps([seconds, peak]))
    return json.loads(figures.read_text())


def run(folder, options):
    (folder / "first_program.cpp").write_text(readme_program(), encoding="ascii")
    chosen = [p for p in programs(folder, options.model)
              if not options.only or p[0] in options.only]
    for name, source, flags, _, _ in chosen:
        compile_program(folder, name, source, flags)
    if options.compile:
        return
    if any(name == "embedding_host" for name, *_ in chosen):
        synthesize(folder)
    print("| example | compiling, s | compiler's memory | program, stripped | memory | latency |")
    print("|---|---|---|---|---|---|")
    for name, source, flags, arguments, text in chosen:
        seconds, compiler_peak = compile_program(folder, name, source, flags)
        program = folder / name
        said, wall, _, peak = measure([program, *arguments], text)
        print(f"| {name} | {seconds:.0f} | {compiler_peak / 1e9:.2f} GB | "
              f"{program.stat().st_size / 1e6:.2f} MB | {peak / 1e6:.0f} MB | "
              f"{latency(name, said, wall)} |", flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--only", action="append", help="this example alone; several times")
    parser.add_argument("--folder", type=pathlib.Path, help="keep programs here, and use those there")
    parser.add_argument("--compile", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    if not os.path.exists("/usr/bin/time"):
        sys.exit("/usr/bin/time is missing: the package time has it")
    options.model = options.model.resolve()
    if not options.model.is_file():
        sys.exit(f"{options.model} is not a file")
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        run(options.folder.resolve(), options)
        return
    with tempfile.TemporaryDirectory() as name:
        run(pathlib.Path(name), options)


if __name__ == "__main__":
    main()
