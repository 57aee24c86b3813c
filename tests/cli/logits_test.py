# SPDX-License-Identifier: Apache-2.0
"""Scores of the small models against exact arithmetic, and the invariances that are promised."""
import pathlib

import app


def tolerances():
    table = {}
    for line in pathlib.Path(app.DATA, "models", "manifest.tsv").read_text().splitlines():
        if not line.startswith("#"):
            fields = line.split("\t")
            table[fields[0]] = float(fields[8])
    return table


class Logits(app.Case):
    def logits(self, path, *options):
        out = self.folder / "scores"
        stdout, errors = app.run("logits", "-m", path.with_suffix(".gguf"), "-f",
                                 path.with_suffix(".tokens.txt"), "-o", out, *options)
        self.assertEqual(stdout, "")
        self.assertIn("positions", errors)
        return out.read_bytes()

    def test_against_exact(self):
        limits = tolerances()
        for path in app.models():
            with self.subTest(path.name):
                expected = app.floats(pathlib.Path(f"{path}.exact.f32"))
                scores = app.floats(self.logits(path))
                self.assertLessEqual(app.relative_rms(scores, expected), limits[path.name])

    def test_exact_option(self):
        for path in app.models():
            with self.subTest(path.name):
                expected = app.floats(pathlib.Path(f"{path}.exact.f32"))
                scores = app.floats(self.logits(path, "--exact", "--kv", "f32"))
                self.assertLessEqual(app.relative_rms(scores, expected), 1e-4)

    def test_same_bits(self):
        path = app.models()[0]
        reference = self.logits(path)
        for options in (["-t", "1"], ["-t", "3"], ["-b", "1"], ["-b", "7"], ["--isa", "scalar"],
                        ["-c", "100"]):
            self.assertEqual(self.logits(path, *options), reference, options)

    def test_ways_to_write(self):
        model = self.synth()
        out = self.folder / "scores"
        app.run("logits", "-m", model, "--tokens", "1,2,3", "-o", out)
        data = out.read_bytes()
        self.assertEqual(len(data), 3 * 320 * 4)
        streamed, _ = app.run("logits", "-m", model, "--tokens", "1 2 3", "-o", "-", text=False)
        self.assertEqual(streamed, data)

    def test_i2s_order(self):
        model = self.synth()
        scores = [app.run("logits", "-m", model, "--tokens", "1,2", "-o", "-", "--i2s-order",
                          order, text=False)[0] for order in ("canonical", "arm")]
        self.assertNotEqual(scores[0], scores[1])


if __name__ == "__main__":
    app.main()
