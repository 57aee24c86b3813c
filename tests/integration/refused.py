#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the library refuses when it is compiled, and says why: big-endian targets, 32-bit targets
but WebAssembly, flags that give up exact floating point, and macros called min and max. Other
macros that engines and toolkits define do it no harm.

python3 refused.py SOURCE_DIR COMPILER SCRATCH_DIR

Targets are imitated, since nobody has cross compilers for all of them: byte order by the macro that
std::endian is made of, pointers of 32 bits by -m32, with the headers of this target. Where a
compiler of a real one is there, it is asked too.
"""
import pathlib
import re
import shutil
import subprocess
import sys

ENDIAN = "big-endian targets are refused"
POINTERS = "needs a 64-bit target"
FAST = "needs exact floating point"
MINMAX = "define NOMINMAX"
# Unreal's, Qt's, X11's and those of windows.h.
MACROS = ["check(x)=", "checkf(x,...)=", "verify(x)=", "ensure(x)=", "TEXT(x)=L##x", "PI=3.14f",
          "slots=", "signals=public", "emit=", "foreach=for", "None=0L", "Bool=int", "Status=int",
          "Success=0", "near=", "far=", "small=char", "interface=struct", "ERROR=0", "DELETE=1",
          "IN=", "OUT=", "STRICT=1", "TRUE=1", "FALSE=0", "FORCEINLINE=inline", "UNICODE=1"]
CONFIG = "#include <bitnet/config.hpp>\n"
REAL = {"powerpc64-linux-gnu-g++": ENDIAN, "s390x-linux-gnu-g++": ENDIAN,
        "i686-linux-gnu-g++": POINTERS, "i686-w64-mingw32-g++": POINTERS,
        "arm-linux-gnueabihf-g++": POINTERS}


def own_folders(compiler: str) -> list[str]:
    """Where this target's own headers lie, which -m32 would not look for."""
    said = subprocess.run([compiler, "-E", "-v", "-x", "c++", "/dev/null"], capture_output=True,
                          text=True, check=True).stderr
    listed = re.search(r"search starts here:\n(?:#include <\.\.\.>.*\n)?((?: .*\n)+)", said)
    return [f"-isystem{folder.strip()}" for folder in listed[1].splitlines()] if listed else []


def main() -> int:
    source, compiler, scratch = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    scratch.mkdir(parents=True, exist_ok=True)
    program = scratch / "refused.cpp"
    program.write_text(CONFIG, "utf-8")
    stubs = scratch / "stubs/gnu/stubs-32.h"  # the C library's, of the target that is not installed
    stubs.parent.mkdir(parents=True, exist_ok=True)
    stubs.write_text("")

    def errors(*options: str, by: str = compiler) -> str:
        done = subprocess.run([by, "-std=c++20", "-fsyntax-only", *options,
                               f"-I{source / 'include'}", str(program)], capture_output=True,
                              text=True, check=False)
        return "" if done.returncode == 0 else done.stderr

    wrong = 0

    def expect(name: str, text: str, said: str) -> None:
        nonlocal wrong
        good = text in said if text else not said
        print(f"{name}: {text if good and text else 'accepted' if good else 'WRONG ' + said}")
        wrong += not good

    expect("this target", "", errors())
    expect("big-endian", ENDIAN, errors("-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__"))
    if "__x86_64__" in subprocess.run([compiler, "-dM", "-E", "-x", "c++", "/dev/null"],
                                      capture_output=True, text=True, check=True).stdout:
        expect("32 bits", POINTERS, errors("-m32", f"-isystem{scratch / 'stubs'}",
                                           *own_folders(compiler)))
    for name in ("min", "max"):  # after a header of the C++ library, some of which undefine them
        program.write_text(f"#include <cstddef>\n#define {name}(a, b) a\n" + CONFIG, "utf-8")
        expect(f"macro {name}", MINMAX, errors())
    program.write_text(CONFIG, "utf-8")
    for flag in ("-ffast-math", "-Ofast", "-ffinite-math-only"):
        expect(flag, FAST, errors(flag))
    expect("-fno-fast-math", "", errors("-ffast-math", "-fno-fast-math"))
    program.write_text("#include <bitnet/bitnet.hpp>\n", "utf-8")
    expect("macros of engines", "", errors("-DBITNET_SEPARATE", *(f"-D{m}" for m in MACROS)))
    program.write_text(CONFIG, "utf-8")
    for real, text in REAL.items():
        if shutil.which(real):
            expect(real, text, errors(by=real))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
