# SPDX-License-Identifier: Apache-2.0
"""Files that `bitnet quantize` and `bitnet convert` make, and what other engines said of them.

As a program it asks those engines (see tests/data/rivals/README.md) and writes the goldens:
python3 rivals.py APP TEST_DATA "" ENGINE=PROGRAM...
"""
import array
import pathlib
import struct
import subprocess
import sys
import tempfile

import app
import huggingface as hf

FOLDER = pathlib.Path(app.DATA, "rivals")
POSITIONS = (7, 15, 23, 31, 39, 47)  # of the 48 that each model's tokens have

# Where the scales lie that a scaled copy of a matrix has changed: bytes of a block, and those of
# its scales, which are half-precision numbers. IQ1_BN has one before each row of blocks.
F16, Q4_K, Q6_K, TQ1_0, Q1_0, IQ1_BN = 1, 12, 14, 34, 41, 134
SCALES = {F16: (2, (0,)), Q4_K: (144, (0, 2)), Q6_K: (210, (208,)), TQ1_0: (54, (52,)),
          Q1_0: (18, (0,))}


class Golden:
    """A line of manifest.tsv: a model, how the file was made of it, the engine, a tolerance."""

    def __init__(self, line):
        self.model, self.how, self.type, self.engine, tolerance = line.split("\t")
        self.tolerance = float(tolerance)

    @property
    def file(self):
        return self.model, self.how, self.type

    @property
    def path(self):
        return FOLDER / f"{self.model}.{self.how}.{self.type}.{self.engine}.f16"

    def read(self):
        values = self.path.read_bytes()
        return array.array("f", struct.unpack(f"<{len(values) // 2}e", values))

    def write(self, scores):
        self.path.write_bytes(struct.pack(f"<{len(scores)}e", *scores))


def goldens():
    lines = (FOLDER / "manifest.tsv").read_text().splitlines()
    return [Golden(line) for line in lines if not line.startswith("#")]


def model_path(name, suffix):
    return pathlib.Path(app.DATA, "models", name + suffix)


def tokens(name):
    return model_path(name, ".tokens.txt")


def rows(scores):
    """Of the scores of all positions those that goldens have."""
    size = len(scores) // 48
    return array.array("f", (x for p in POSITIONS for x in scores[p * size:(p + 1) * size]))


def scores_of(path, name, *options):
    out, _ = app.run("logits", "-m", path, "-f", tokens(name), "-o", "-", "-t", "1", *options,
                     text=False)
    return rows(app.floats(out))


def scaled(path, out, matrix, factor):
    """A copy of a model with one matrix times `factor`, up to rounding of its scales."""
    model = hf.Gguf(path)
    dims, kind, raw = model.tensors[matrix]
    data, start = bytearray(model.data), model.data.index(raw)
    if kind == IQ1_BN:
        size = 2 + dims[0] // 64 * 13
        places = [r * size for r in range(hf.product(dims) // dims[0])]
    else:
        size, fields = SCALES[kind]
        places = [b + f for b in range(0, len(raw) // size * size, size) for f in fields]
    for place in places:
        value, = struct.unpack_from("<e", data, start + place)
        struct.pack_into("<e", data, start + place, value * factor)
    out.write_bytes(data)
    return out


def make(model, how, kind, folder):
    """The file of a golden, made from a model file."""
    out = folder / f"{how}-{kind}.gguf"
    app.run("quantize", model, out, "--type", kind, "--force", "-t", "1")
    if how == "convert":  # a checkpoint with these weights, and back
        source = hf.write_folder(folder / "checkpoint", hf.Gguf(out),
                                 ternary="multiply" if kind == "i2_s" else None)
        app.run("convert", source, "-o", out, "--force", "-t", "1")
    return out


def main(engines):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for golden in goldens():
            file = make(model_path(golden.model, ".gguf"), golden.how, golden.type, folder)
            subprocess.run([engines[golden.engine], file, tokens(golden.model), folder / "scores"],
                           check=True, capture_output=True)
            scores = rows(app.floats(folder / "scores"))
            golden.write(scores)
            ours = scores_of(file, golden.model, "--exact")
            print(golden.path.name, f"{app.relative_rms(ours, golden.read()):.1e}", flush=True)


if __name__ == "__main__":
    main(dict(argument.split("=", 1) for argument in sys.argv[4:]))
