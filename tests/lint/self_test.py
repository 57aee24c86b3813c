# SPDX-License-Identifier: Apache-2.0
"""Checks lint.py: each rule accepts a clean tree and finds each single fault planted in it."""
import contextlib
import io
import pathlib
import sys
import tempfile

import lint

HEAD = "// SPDX-License-Identifier: Apache-2.0\n// A file made to test the rules.\n#pragma once\n\n"
WORDS_IN_TEXT = '''/* throw, abort() and std::regex may stand in comments */
inline const char* text = "throw \\" abort() // "; // std::cout <<
inline const char* raw = R"(try { printf("") })";
inline int big = 1'000'000; inline char quote = '"';
struct retry_exit { void exit_code(); bool catches; };
'''
CLEAN = {
    "include/bitnet/config.hpp": HEAD + "#define BITNET_INLINE __attribute__((always_inline))\n",
    "include/bitnet/core/a.hpp": HEAD + "#include <bitnet/config.hpp>\n\n" + WORDS_IN_TEXT,
    "include/bitnet/nn/b.hpp": HEAD + "#include <bitnet/core/a.hpp>\n",
    "include/bitnet/text/c.hpp": HEAD + "#include <bitnet/core/a.hpp>\n",
    "include/bitnet/eigen.hpp": HEAD + "#include <bitnet/nn/b.hpp>\n\n#include <Eigen/Core>\n",
    "include/bitnet/exceptions.hpp": HEAD + "inline void f() { throw 1; }\n",
    "tests/core/a_test.cpp": HEAD.replace("#pragma once\n\n", "int x = 0;\n"),
}
# rule, file, text added to it
FAULTS = [
    ("layering", "include/bitnet/core/a.hpp", "#include <bitnet/nn/b.hpp>\n"),
    ("layering", "include/bitnet/config.hpp", "#include <bitnet/core/a.hpp>\n"),
    ("layering", "include/bitnet/nn/b.hpp", "#include <bitnet/text/c.hpp>\n"),
    ("layering", "include/bitnet/nn/b.hpp", "  #  include <bitnet/eigen.hpp>\n"),
    ("layering", "include/bitnet/nn/b.hpp", '#include "../core/a.hpp"\n'),
    ("layering", "include/bitnet/nn/b.hpp", "#include <bitnet/core/gone.hpp>\n"),
    ("layering", "include/bitnet/nn/b.hpp", "#include <Eigen/Core>\n"),
    ("layering", "include/bitnet/extra/d.hpp", HEAD),
    ("words", "include/bitnet/core/a.hpp", "inline void f() { throw 1; }\n"),
    ("words", "include/bitnet/core/a.hpp", "inline void f() { try { } catch (...) { } }\n"),
    ("words", "include/bitnet/core/a.hpp", "inline void f() { std::abort(); }\n"),
    ("words", "include/bitnet/core/a.hpp", "inline void f() { ::exit(1); }\n"),
    ("words", "include/bitnet/core/a.hpp", "inline void f() { std::terminate(); }\n"),
    ("words", "include/bitnet/core/a.hpp", 'inline void f() { std::printf("x"); }\n'),
    ("words", "include/bitnet/core/a.hpp", 'inline void f() { fprintf (stderr, "x"); }\n'),
    ("words", "include/bitnet/core/a.hpp", 'inline void f() { std::cout << "x"; }\n'),
    ("words", "include/bitnet/core/a.hpp", 'inline auto f() { return std::getenv("x"); }\n'),
    ("words", "include/bitnet/core/a.hpp", "inline std::regex r;\n"),
    ("words", "include/bitnet/core/a.hpp", "inline std::function<void()> f;\n"),
    ("words", "include/bitnet/core/a.hpp", "#include <iostream>\n"),
    ("words", "include/bitnet/core/a.hpp", "auto& d = dynamic_cast<int&>(x);\n"),
    ("words", "include/bitnet/core/a.hpp", "auto& d = typeid(int);\n"),
    ("words", "include/bitnet/core/a.hpp", "inline int f() { return __builtin_ctz(1); }\n"),
    ("words", "include/bitnet/core/a.hpp", "__attribute__((noinline)) inline int f();\n"),
    ("words", "include/bitnet/core/a.hpp", "#pragma GCC unroll 4\n"),
    ("words", "include/bitnet/core/a.hpp", "inline int x = ({ 1; });\n"),
    ("words", "include/bitnet/core/a.hpp", "inline int near = 1;\n"),
    ("words", "include/bitnet/core/a.hpp", "inline void check(int);\n"),
    ("words", "include/bitnet/config.hpp", "inline void f() { throw 1; }\n"),
    ("ascii", "tests/core/a_test.cpp", "// caf\u00e9\n"),
    ("ascii", "tests/core/a_test.cpp", "\tint tab;\n"),
    ("ascii", "tests/core/a_test.cpp", "int carriage_return;\r\n"),
    ("length", "tests/core/a_test.cpp", "int y;\n" * 600),
    ("length", "tests/core/a_test.cpp", "// " + "x" * 98 + "\n"),
    ("head", "tests/core/b_test.cpp", "// Purpose without a licence line.\nint y;\n"),
    ("head", "tests/core/b_test.cpp", "// SPDX-License-Identifier: Apache-2.0\n\nint y;\n"),
    ("head", "include/bitnet/core/b.hpp", HEAD.replace("#pragma once\n", "")),
]
FORMAT_FAULT = ("tests/core/a_test.cpp", "int    spaced  = 1 ;\n")


def run(rule, faults=(), extra=()):
    """Exit code and output of one rule on the clean tree with faults appended to its files."""
    texts = dict(CLEAN)
    for name, text in faults:
        texts[name] = texts.get(name, "") + text
    with tempfile.TemporaryDirectory() as folder, io.StringIO() as output:
        for name, text in texts.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        with contextlib.redirect_stdout(output):
            code = lint.main([rule, folder, *extra])
        return code, output.getvalue()


def main():
    checks = [(rule, [], (), 0) for rule in ("layering", "words", "ascii", "length", "head")]
    checks += [(rule, [(name, text)], (), 1) for rule, name, text in FAULTS]
    if len(sys.argv) > 1:  # the path of clang-format, which uses its own style here
        checks.append(("format", [FORMAT_FAULT], ("--clang-format", sys.argv[1]), 1))
    wrong = 0
    for rule, faults, extra, expected in checks:
        code, output = run(rule, faults, extra)
        named = all(name in output for name, _ in faults)
        if code != expected or (expected == 1 and not named):
            wrong += 1
            print(f"{rule} on {faults}: exit {code}, expected {expected}\n{output}")
    with tempfile.TemporaryDirectory() as empty:
        wrong += lint.main(["words", empty]) != 2
    print(f"{len(checks) + 1} checks, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
