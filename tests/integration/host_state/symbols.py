#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the library leaves the host's process alone: no code of it reaches a variable that can
be written, or a function that ends the process, prints, or asks the environment.

python3 symbols.py SOURCE_DIR COMPILER COMPILER_ID OBJDUMP SCRATCH_DIR

Every function and variable is compiled into a section of its own; the relocations between them are
followed from each one that has `bitnet` in its name, through what the standard library has inline.
std::terminate counts too. Clang calls it through __clang_call_terminate where a function that is
noexcept calls one that may throw, which -fno-exceptions leaves out.
"""
import pathlib
import re
import subprocess
import sys

FORBIDDEN = re.compile(
    r"(abort|_?exit|_Exit|quick_exit|at_quick_exit|atexit|raise|kill|_ZSt9terminatev|__assert_fail|"
    r"(__)?v?[fsd]?n?w?printf(_chk)?|v?asprintf|puts|fputs|fputc|putc|putchar|fwrite|perror|"
    r"stdout|stderr|_ZSt4(cout|cerr|clog)|(secure_|__secure_)?getenv|setenv|unsetenv|putenv|environ|"
    r"signal|sigaction|setlocale|srand|rand|system|__cxa_(throw|guard_acquire|thread_atexit))")
WRITABLE = re.compile(r"\.(data(?!\.rel\.ro)|bss|tdata|tbss|lbss|ldata)|\*COM\*")
# libstdc++'s table of threads that wait in std::atomic::wait (thread_pool): shared by the whole
# process, as its allocator is, and not the library's.
RUNTIME = re.compile(r"\.bss\._ZZNSt8__detail18__waiter_pool_base6_S_forEPKvE3__w")
FLAGS = ["-std=c++20", "-O1", "-fno-exceptions", "-fno-rtti", "-ffunction-sections",
         "-fdata-sections", "-w", "-Wno-psabi"]

# What the check has to find, or it proves nothing.
GUILTY = """
#include <cstdio>
#include <cstdlib>
inline void helper(const char* text) { std::puts(text); }
namespace bitnet {
int count;
int calls() { static int n = 0; return ++n; }
bool asks() { return std::getenv("HOME") != nullptr; }
void says() { helper("x"); helper("y"); }
[[noreturn]] void ends() { std::abort(); }
}
"""
EXPECTED = {"count", "calls", "getenv", "puts", "abort"}


def sections_of(listing: str) -> tuple[dict[str, str], dict[str, set[str]]]:
    """From objdump -t -r: the section of each symbol, and the names that each section refers to."""
    where: dict[str, str] = {}
    uses: dict[str, set[str]] = {}
    section = ""
    for line in listing.splitlines():
        if found := re.match(r"RELOCATION RECORDS FOR \[(.+)\]", line):
            section = found[1]
        elif found := re.match(r"[0-9a-f]{16}\s+R_\S+\s+(\S+)", line):
            name = re.split(r"[-+]0x|@", found[1])[0]
            uses.setdefault(section, set()).add(name)
        elif found := re.match(r"[0-9a-f]{16} .{7} (\S+)\s[0-9a-f]+\s+(?:\.\w+ )?(\S+)$", line):
            where[found[2]] = found[1]
    return where, uses


def offences(objdump: str, target: pathlib.Path) -> tuple[set[str], int]:
    """What the library reaches and should not, and how many sections of it there are."""
    listing = subprocess.run([objdump, "-t", "-r", str(target)], check=True, capture_output=True,
                             text=True).stdout
    where, uses = sections_of(listing)
    own = [s for s in set(where.values()) | set(uses)
           if "6bitnet" in s and not s.startswith((".rela", ".group", ".eh_frame"))]
    found = set()
    seen = set(own)
    todo = list(own)
    while todo:
        section = todo.pop()
        if WRITABLE.match(section) and not RUNTIME.fullmatch(section):
            found.add(f"variable {section}")
        for name in uses.get(section, ()):
            if FORBIDDEN.fullmatch(name):
                found.add(f"call of {name} from {section}")
            into = where.get(name, name)
            if into not in seen and into != "*UND*":
                seen.add(into)
                todo.append(into)
    # Those that no code refers to.
    found |= {f"variable {name} in {section}" for name, section in where.items()
              if "6bitnet" in name and WRITABLE.match(section)}
    return found, len(own)


def compile_to(target: pathlib.Path, compiler: str, source: pathlib.Path, extra: list[str]) -> None:
    subprocess.run([compiler, *FLAGS, *extra, "-c", str(source), "-o", str(target)], check=True)


def main() -> int:
    source, scratch = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[5])
    compiler, compiler_id, objdump = sys.argv[2:5]
    scratch.mkdir(parents=True, exist_ok=True)

    guilty = scratch / "guilty.cpp"
    guilty.write_text(GUILTY, "utf-8")
    compile_to(scratch / "guilty.o", compiler, guilty, [])
    found, _ = offences(objdump, scratch / "guilty.o")
    missed = {name for name in EXPECTED if not any(name in f for f in found)}
    if missed:
        print(f"the check does not see {sorted(missed)} in an object made to have them: {found}")
        return 1

    # GCC keeps every inline function, used or not; with others it is what the instances use.
    extra = ["-fkeep-inline-functions"] if compiler_id == "GNU" else []
    target = scratch / "everything.o"
    compile_to(target, compiler, pathlib.Path(__file__).with_name("everything.cpp"),
               [*extra, f"-I{source / 'include'}"])
    found, count = offences(objdump, target)
    for offence in sorted(found):
        print(offence)
    if count < 500:
        print(f"only {count} sections of the library: names are not read right")
        return 1
    print(f"{count} functions and tables of the library looked at, {len(found)} offences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
