# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line app share: running it, reading its files, finding data.

A test is started as: python3 NAME_test.py APP TEST_DATA SHARED_DATA ("" if there is none).
"""
import array
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import unittest

APP, DATA, SHARED = (sys.argv + ["", "", ""])[1:4]
COMMANDS = ["run", "tokenize", "logits", "perplexity", "inspect", "bench", "synth", "tile",
            "quantize", "convert", "repair"]


def run(*arguments, code=0, stdin=b"", text=True):
    """Runs the app and checks its exit code. Returns stdout and stderr."""
    done = subprocess.run([APP, *map(str, arguments)], input=stdin, capture_output=True,
                          timeout=300, check=False)
    errors = done.stderr.decode("utf-8", "replace")
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit code {done.returncode}, not {code}\n{errors}")
    return (done.stdout.decode("utf-8", "replace") if text else done.stdout), errors


def run_json(*arguments, **options):
    out, _ = run(*arguments, "--json", **options)
    return json.loads(out)


def shared(name):
    """A file of the shared data, or None, said aloud, if that is absent."""
    if SHARED and pathlib.Path(SHARED, name).exists():
        return pathlib.Path(SHARED, name)
    print(f"the shared data has no {name}: using less")
    return None


def models():
    """Paths of the small models that travel with the tests, without their suffix."""
    paths = sorted(pathlib.Path(DATA, "models").glob("*.gguf"))
    assert paths, "tests/data/models is empty"
    return [path.with_suffix("") for path in paths]


def floats(path_or_bytes):
    data = path_or_bytes if isinstance(path_or_bytes, bytes) else path_or_bytes.read_bytes()
    values = array.array("f")
    values.frombytes(data)
    return values


def relative_rms(values, expected):
    assert len(values) == len(expected), (len(values), len(expected))
    error = sum((a - b) ** 2 for a, b in zip(values, expected))
    return math.sqrt(error / sum(b * b for b in expected))


class Case(unittest.TestCase):
    """A test with a folder of its own and, on demand, a tiny random model in it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="bitnet-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def synth(self, *options, name="tiny.gguf"):
        path = self.folder / name
        run("synth", "--shape", "tiny", "-o", path, *options)
        return path


def main():
    unittest.main(argv=sys.argv[:1], verbosity=2)
