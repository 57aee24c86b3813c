# SPDX-License-Identifier: Apache-2.0
"""bitnet quantize: what is exact and said to be, what is refused, what is kept."""
import math

import app
import huggingface as hf

TYPES = ("f16", "q8_0", "q6_k", "q4_0", "tq1_0", "tq2_0", "i2_s", "q1_0", "q2_0")
# What holds weights of a type without loss, besides itself and f32. Scales are half-precision
# numbers: one for 256 ternary weights, one for 128 signs or 64 ternary weights, one for 32 nibbles.
LOSSLESS = {"tq1_0": {"f16", "q8_0", "q6_k", "q4_0", "tq2_0", "q2_0"},
            "tq2_0": {"f16", "q8_0", "q6_k", "q4_0", "tq1_0", "q2_0"},
            "q1_0": {"f16", "q8_0", "q4_0", "q2_0"}, "q2_0": {"f16", "q8_0", "q4_0"},
            "q4_0": {"q8_0"}}


class Quantize(app.Case):
    def quantize(self, model, kind, *options):
        out = self.folder / f"{kind}.gguf"
        seen = app.run_json("quantize", model, out, "--force", "--type", kind, *options)
        self.assertEqual(seen["bytes"], out.stat().st_size)
        return out, seen

    def logits(self, model):
        return app.floats(app.run("logits", "-m", model, "--tokens", "1,2,3,4", "-o", "-",
                                  text=False)[0])

    def test_ternary_weights_stay_what_they_are(self):
        model = self.synth("--arch", "bitnet", "--type", "tq2_0", "--embedding", "f16")
        expected = self.logits(model)
        for kind in ("i2_s", "tq1_0", "iq2_bn", "iq1_bn", "q8_0", "q6_k", "q4_0", "f16", "f32"):
            out, seen = self.quantize(model, kind, "--embedding", "f16")
            self.assertEqual((seen["exact"], seen["converted"]), (14, 14), kind)
            self.assertEqual(seen["relative_error"], 0)
            self.assertTrue(app.run_json("inspect", out)["runs"])
            back, again = self.quantize(out, "tq2_0", "--embedding", "f16")
            self.assertEqual(again["exact"], 14)
            self.assertEqual(list(self.logits(back)), list(expected), kind)
            back.unlink()

    def decoded(self, model, name):
        out = self.folder / f"{name}.f32.gguf"
        app.run("quantize", model, out, "--force", "--type", "f32", "--embedding", "f32")
        found = {n: app.floats(bytes(raw[:4 * hf.product(dims)]))
                 for n, (dims, kind, raw) in hf.Gguf(out).tensors.items()}
        out.unlink()
        return found

    def test_every_pair_of_types(self):
        """What the report says of each tensor is what decoding both files shows."""
        for source in TYPES[::4] if "/asan/" in app.APP else TYPES:  # slow there
            model = self.synth("--arch", "llama", "--type", source, "--embedding", "f16")
            before = self.decoded(model, "before")
            for kind in TYPES:
                with self.subTest(source + " to " + kind):
                    out, seen = self.quantize(model, kind, "--embedding", "f16")
                    after, wrong = self.decoded(out, "after"), 0
                    self.assertEqual(set(after), set(before))
                    for tensor in seen["tensors"]:
                        a, b = before[tensor["name"]], after[tensor["name"]]
                        self.assertEqual(tensor["exact"] or tensor["copied"], a == b, tensor)
                        if a == b:
                            self.assertEqual(tensor["relative_error"], 0)
                        elif wrong == 0:  # a second or so each
                            error = math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b))
                                              / sum(x * x for x in a))
                            self.assertAlmostEqual(tensor["relative_error"] / error, 1, delta=1e-5)
                        wrong += a != b
                    if kind == source or kind in LOSSLESS.get(source, ()):
                        self.assertEqual(wrong, 0)
                    out.unlink()

    def test_the_report_for_people(self):
        model = self.synth("--arch", "llama", "--type", "f32", "--embedding", "f32")
        out = self.folder / "out.gguf"
        seen, errors = app.run("quantize", model, out, "--type", "q8_0")
        self.assertRegex(seen, r"blk\.0\.attn_q\.weight +f32 > q8_0 +relative RMS error 0\.\d+ %")
        self.assertRegex(seen, r"output_norm\.weight +f32 +as it was")
        self.assertRegex(errors, r"0 exactly, relative RMS error of all 0\.\d+ %")
        seen, errors = app.run("quantize", out, self.folder / "again.gguf", "--type", "f32")
        self.assertRegex(seen, r"blk\.0\.attn_q\.weight +q8_0 > f32 +exact")
        self.assertIn("all exactly", errors)

    def test_errors_are_reported_and_threads_change_nothing(self):
        model = self.synth("--arch", "llama", "--type", "f32", "--embedding", "f32")
        for kind, most in (("f16", 0.0003), ("q8_0", 0.006), ("q6_k", 0.019), ("q4_0", 0.1)):
            one, seen = self.quantize(model, kind, "-t", "1")
            self.assertLess(0, seen["relative_error"])
            self.assertLess(seen["relative_error"], most)
            content = one.read_bytes()
            two, _ = self.quantize(model, kind, "-t", "2")
            self.assertEqual(two.read_bytes(), content)
            self.assertLess(app.relative_rms(self.logits(one), self.logits(model)), 0.5)

    def test_refused(self):
        model, out = self.synth("--type", "f16"), self.folder / "out.gguf"
        tiled = self.folder / "tiled.gguf"
        app.run("tile", self.synth(name="i2_s.gguf"), "-o", tiled)
        _, errors = app.run("quantize", tiled, out, "--type", "f16", code=4)
        self.assertIn("tiled", errors)
        for kind in ("q4_k", "nonsense", ""):
            app.run("quantize", model, out, "--type", kind, code=2)
        app.run("quantize", model, model, "--type", "f32", "--force", code=2)
        self.assertFalse(out.exists())


if __name__ == "__main__":
    app.main()
