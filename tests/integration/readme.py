#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles the C++ programs of README.md and runs the first one on a small model.

python3 readme.py SOURCE_DIR COMPILER MODEL SCRATCH_DIR
"""
import pathlib
import re
import subprocess
import sys


def programs_of(source: pathlib.Path) -> list[str]:
    """The C++ programs of README.md, in its order."""
    readme = (source / "README.md").read_text("utf-8")
    return [p for p in re.findall(r"```cpp\n(.*?)```", readme, re.S) if "int main" in p]


def main() -> int:
    source, compiler, model, scratch = (pathlib.Path(a) for a in sys.argv[1:5])
    scratch.mkdir(parents=True, exist_ok=True)
    programs = programs_of(source)
    if not programs:
        print("README.md has no program")
        return 1
    if len(programs[0].strip().splitlines()) > 20:
        print("the first program of README.md is longer than 20 lines")
        return 1
    for number, text in enumerate(programs):
        path = scratch / f"program{number}.cpp"
        path.write_text(text, "utf-8")
        binary = scratch / f"program{number}"
        # Optimizing all of the kernels takes most of the time, and only the first one uses them.
        level = "-O1" if number == 0 else "-O0"
        subprocess.run([compiler, "-std=c++20", level, "-Wall", "-Wextra", "-Werror",
                        f"-I{source / 'include'}", str(path), "-o", str(binary), "-pthread"],
                       check=True)
    ran = subprocess.run([scratch / "program0", model], capture_output=True)
    print(ran.stdout.decode("utf-8", "replace"))
    if ran.returncode != 0 or not ran.stdout:
        print(f"the first program ended with {ran.returncode}: {ran.stderr!r}")
        return 1
    missing = subprocess.run([scratch / "program0", scratch / "no-such.gguf"], capture_output=True)
    if missing.returncode == 0:
        print("the first program takes a missing file for a success")
        return 1
    print(f"{len(programs)} programs of README.md compile; the first one runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
