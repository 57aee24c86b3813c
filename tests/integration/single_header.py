#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Generates the single header, and compiles and runs the first program of README.md on it alone.

python3 single_header.py SOURCE_DIR COMPILER MODEL SCRATCH_DIR NORMAL_PROGRAM

NORMAL_PROGRAM is the same program built on the headers of the tree: both print the same.
"""
import pathlib
import re
import shutil
import subprocess
import sys

from readme import programs_of


def generate(source: pathlib.Path, output: pathlib.Path) -> bytes:
    subprocess.run([sys.executable, source / "cmake/single_header.py", output], check=True)
    return output.read_bytes()


def main() -> int:
    source, compiler, model, scratch, normal = (pathlib.Path(a) for a in sys.argv[1:6])
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    header = generate(source, scratch / "bitnet.hpp")
    if header != generate(source, scratch / "again.hpp"):
        print("generated twice, it differs")
        return 1
    text = header.decode("ascii")
    left = re.findall(r"^\s*#\s*include\s*[<\"]bitnet.*", text, re.M)
    if left or not text.startswith("// SPDX-License-Identifier: Apache-2.0\n"):
        print(f"not alone, or without its licence: {left}")
        return 1

    (scratch / "app.cpp").write_text(
        programs_of(source)[0].replace("<bitnet/bitnet.hpp>", '"bitnet.hpp"'), "utf-8")
    # Not optimized, unlike the other: neither that nor the form of the library may change a bit.
    subprocess.run([compiler, "-std=c++20", "-O0", "-Wall", "-Wextra", "-Werror", "app.cpp",
                    "-o", "app", "-pthread"], cwd=scratch, check=True)
    outputs = [subprocess.run([program, model], capture_output=True, check=True).stdout
               for program in (scratch / "app", normal)]
    if not outputs[0] or outputs[0] != outputs[1]:
        print(f"the single header gives {outputs[0]!r}, the others {outputs[1]!r}")
        return 1
    print(f"{len(text.splitlines())} lines, {len(header)} bytes: the same {len(outputs[0])} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
