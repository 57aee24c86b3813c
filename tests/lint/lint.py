# SPDX-License-Identifier: Apache-2.0
"""Rules about the sources that a compiler does not check: python3 lint.py RULE ROOT [options].

Rules: layering, words, ascii, length, head, format. Each prints its findings as FILE:LINE: TEXT and
exits with 1 if there are any, and with 2 if there was nothing to check.
"""
import argparse
import pathlib
import re
import subprocess
import sys

LIBRARY = "include/bitnet"
SOURCE_FOLDERS = ("include", "tests", "examples", "bench")
SOURCE_SUFFIXES = {".hpp", ".cpp", ".h"}
GENERATED = {"include/bitnet/text/unicode_tables.hpp"}
MAX_LINES = 600
MAX_COLUMNS = 100

# Which other layers a layer may include. A layer is a folder, or a file beside the folders.
BASE = {"config", "core"}
CHAIN = ["isa", "quant", "kernels", "nn", "models"]
LAYERS = {
    "config": set(),
    "core": {"config"},
    "isa": BASE,
    "quant": BASE,
    "kernels": BASE | {"isa", "quant"},
    "nn": BASE | {"isa", "quant", "kernels"},
    "gguf": BASE,
    "text": BASE,
    "sample": BASE,
    "models": BASE | {"isa", "quant", "kernels", "nn"},
    "engine": BASE | set(CHAIN) | {"gguf", "text", "sample"},
}
CORE_LAYERS = set(LAYERS)
EVERYTHING = CORE_LAYERS
LAYERS["bitnet"] = EVERYTHING  # the umbrella brings in all but the opt-in adapters
for adapter in ("convert", "eigen", "exceptions", "train"):
    LAYERS[adapter] = EVERYTHING | {"bitnet", "eigen"}

# Words that the core may not contain, as regular expressions on code without comments and strings.
FORBIDDEN = [
    (r"\b(throw|try|catch|dynamic_cast|typeid)\b", "exceptions and RTTI"),
    (r"\bstd\s*::\s*(rethrow_exception|current_exception|throw_with_nested)\b", "exceptions"),
    (r"\b(v?[fsd]?n?w?printf|v?snprintf|f?puts|f?putc|putchar|perror)\s*\(", "printing"),
    (r"\bstd\s*::\s*(print|println|cout|cerr|clog|wcout|wcerr)\b", "printing"),
    (r"\b(stdout|stderr|stdin)\b", "printing"),
    (r"(?<!\.)\b(abort|exit|_Exit|_exit|quick_exit|terminate)\s*\(", "ending the process"),
    (r"\b(getenv|secure_getenv|setenv|putenv|setlocale|system)\s*\(", "the environment"),
    (r"\bstd\s*::\s*(regex|basic_regex|function|any)\b", "heavy standard types"),
    (r"#\s*include\s*<(iostream|ostream|istream|sstream|fstream|iomanip|regex|stdexcept"
     r"|exception|typeinfo|any|print|csignal|csetjmp|locale)>", "such header"),
    (r"\b(srand|rand)\s*\(", "global mutable state"),
    (r"\busing\s+namespace\b", "using-directives in headers"),
    (r"\b(near|far|small|interface|hyper)\b", "names that windows.h defines"),
    (r"\b(check|checkf|verify|ensure|TEXT|PI|slots|signals|emit|foreach|Bool|None|Status|Success)\b",
     "names that engines and toolkits define as macros"),
]
# Constructs that only some compilers have. They may stand in the files of GNU_ALLOWED.
GNU_ONLY = [
    (r"__attribute__", "GNU attributes"),
    (r"\b_Pragma\b|#\s*pragma\s+(GCC|clang)\b", "compiler pragmas"),
    (r"\b__builtin_\w+", "compiler builtins"),
    (r"\b__int128\b|\b__typeof__\b|(=|\breturn)\s*\(\s*\{", "GNU extensions"),
    (r"\bifunc\b|\b__asm__\b|\basm\b", "assembly"),
]
GNU_ALLOWED = {"include/bitnet/isa/region.hpp", "include/bitnet/config.hpp",
               "include/bitnet/core/bit_cast.hpp",
               "include/bitnet/core/native_thread.hpp"}


def strip(text):
    """Code with the contents of comments, strings and character literals blanked, lines kept."""
    pattern = re.compile(
        r"""(?P<raw>R"(?P<tag>[^()\\\s]{0,16})\((?:.|\n)*?\)(?P=tag)")"""
        r"""|(?P<block>/\*(?:.|\n)*?\*/)|(?P<line>//[^\n]*)"""
        r"""|(?P<string>"(?:\\.|[^"\\\n])*")|(?P<char>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')"""
    )

    def blank(match):
        if match.lastgroup is None:
            return match.group(0)
        hollow = re.sub(r"[^\n]", " ", match.group(0))
        if match.group("line") or match.group("block"):
            return hollow
        return '""' + hollow[2:]

    return pattern.sub(blank, text)


def files_of(root, *folders):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SOURCE_SUFFIXES and path.is_file():
                yield path, path.relative_to(root).as_posix()


def layer_of(header):
    """Layer of a path below include/bitnet: its folder, or the stem of a file at the top."""
    head, _, tail = header.partition("/")
    return head if tail else head.removesuffix(".hpp")


def includes_of(text):
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1), match.group(2)


def layering(root, _):
    for path, name in files_of(root, LIBRARY):
        layer = layer_of(path.relative_to(root / LIBRARY).as_posix())
        if layer not in LAYERS:
            yield name, 1, f"layer '{layer}' is not in the map of lint.py"
            continue
        for line, bracket, header in includes_of(path.read_text("utf-8", "replace")):
            if bracket == '"':
                yield name, line, f'"{header}": include as <bitnet/...>'
                continue
            if not header.startswith("bitnet/"):
                if re.match(r"(Eigen|unsupported)/", header) and layer in CORE_LAYERS:
                    yield name, line, f"layer '{layer}' needs nothing but the standard library"
                continue
            target = header.removeprefix("bitnet/")
            if not (root / LIBRARY / target).is_file():
                yield name, line, f"<{header}> does not exist"
            elif layer_of(target) != layer and layer_of(target) not in LAYERS[layer]:
                yield name, line, f"layer '{layer}' may not include '{layer_of(target)}'"


def words(root, _):
    for path, name in files_of(root, LIBRARY):
        raw = path.read_text("utf-8", "replace")
        if layer_of(path.relative_to(root / LIBRARY).as_posix()) not in CORE_LAYERS | {"bitnet"}:
            continue
        rules = FORBIDDEN + ([] if name in GNU_ALLOWED else GNU_ONLY)
        for number, line in enumerate(strip(raw).splitlines(), 1):
            for pattern, why in rules:
                match = re.search(pattern, line)
                if match:
                    yield name, number, f"'{match.group(0).strip()}': no {why} in the core"


def ascii_only(root, _):
    for path, name in files_of(root, *SOURCE_FOLDERS):
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            if any(byte > 126 or (byte < 32) for byte in line):
                yield name, number, "bytes outside printable ASCII"


def length(root, _):
    for path, name in files_of(root, *SOURCE_FOLDERS):
        lines = path.read_text("utf-8", "replace").splitlines()
        if name not in GENERATED and len(lines) > MAX_LINES:
            yield name, len(lines), f"more than {MAX_LINES} lines"
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_COLUMNS:
                yield name, number, f"more than {MAX_COLUMNS} columns"


def head(root, _):
    for path, name in files_of(root, *SOURCE_FOLDERS):
        lines = path.read_text("utf-8", "replace").splitlines() + ["", ""]
        if lines[0] != "// SPDX-License-Identifier: Apache-2.0":
            yield name, 1, "the first line names the licence (SPDX)"
        if not re.match(r"// \S.{14,}", lines[1]):
            yield name, 2, "the second line says what the file is for"
        if path.suffix == ".hpp" and "#pragma once" not in lines:
            yield name, 1, "no #pragma once"
        if lines[-3:-2] == [""]:
            yield name, len(lines) - 2, "empty line at the end"


def formatting(root, options):
    names = [name for _, name in files_of(root, *SOURCE_FOLDERS) if name not in GENERATED]
    if not names or not options.clang_format:
        return
    run = subprocess.run([options.clang_format, "--style=file", "--dry-run", "-Werror", *names],
                         cwd=root, capture_output=True, text=True, check=False)
    first = {}
    for name, line in re.findall(r"^(.+?):(\d+):\d+: error:", run.stderr, re.M):
        first.setdefault(name, line)
    for name, line in first.items():
        yield name, line, "not formatted; clang-format-14 -i does it"
    if run.returncode != 0 and not first:
        yield options.clang_format, 0, run.stderr.strip()


RULES = {"layering": layering, "words": words, "ascii": ascii_only, "length": length,
         "head": head, "format": formatting}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rule", choices=RULES)
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--clang-format", help="the program that rule 'format' runs")
    options = parser.parse_args(arguments)
    checked = sum(1 for _ in files_of(options.root, *SOURCE_FOLDERS))
    if checked == 0:
        print(f"{options.root}: no sources")
        return 2
    findings = list(RULES[options.rule](options.root, options))
    for name, line, text in findings:
        print(f"{name}:{line}: {text}")
    print(f"{options.rule}: {checked} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
