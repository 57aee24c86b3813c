#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the library as one header: python3 single_header.py OUTPUT [HEADER...]

HEADER is a path below include/, bitnet/bitnet.hpp if none is given. Every header of the library is
put where it is first included; bodies (.inc), which are compiled for several instruction sets, are
put wherever they are included. The output depends on the sources alone.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r"\s*#\s*include\s*<(bitnet/[^>]+)>")
CONDITION = re.compile(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b")
# Said once at the top, or about the file that a line stood in.
DROPPED = re.compile(r"// SPDX-License-Identifier:|#pragma once$|// clang-format")


class Conditional(Exception):
    """A header stands under a condition, but is also needed where that need not hold."""


class SingleHeader:
    def __init__(self, root: pathlib.Path):
        self.root = root
        self.seen: dict[str, tuple[str, ...]] = {}  # headers, and the conditions they stand under
        self.lines: list[str] = []

    def add(self, name: str, conditions: tuple[str, ...] = ()) -> None:
        """Appends a file of the library; `conditions` are the branches open round it."""
        if name.endswith(".hpp"):
            if name in self.seen:
                first = self.seen[name]
                if conditions[:len(first)] != first:
                    raise Conditional(name)
                return
            self.seen[name] = conditions
        text = (self.root / name).read_text("ascii")
        self.lines += ["", f"// ==== {name} ===="]
        depth = len(conditions)
        for number, line in enumerate(text.splitlines(), 1):
            branch = CONDITION.match(line)
            if branch:
                if not branch[1].startswith("if"):
                    conditions = conditions[:-1]
                if branch[1] != "endif":
                    conditions += (f"{name}:{number}",)
            include = INCLUDE.match(line)
            if include:
                self.add(include[1], conditions)
            elif not DROPPED.match(line):
                self.lines.append(line)
        if len(conditions) != depth:
            sys.exit(f"{name}: conditions that do not end in the file")


def joined(root: pathlib.Path, names: list[str]) -> list[str]:
    """Lines of these headers. What would stand under a condition too narrow comes first instead,
    which is possible because every header compiles alone."""
    early: list[str] = []
    while True:
        header = SingleHeader(root)
        try:
            for name in early + names:
                header.add(name)
            return header.lines
        except Conditional as needed:
            early.append(str(needed))


def version(root: pathlib.Path) -> str:
    config = (root / "bitnet/config.hpp").read_text("ascii")
    return ".".join(re.findall(r"#define BITNET_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", config))


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    root = pathlib.Path(__file__).resolve().parent.parent / "include"
    names = sys.argv[2:] or ["bitnet/bitnet.hpp"]
    head = ["// SPDX-License-Identifier: Apache-2.0",
            f"// bitnet.hpp {version(root)} in one file, generated from its sources: not for editing.",
            "#pragma once"]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(head + joined(root, names)) + "\n")
    pathlib.Path(sys.argv[1]).write_text(text, "ascii", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
