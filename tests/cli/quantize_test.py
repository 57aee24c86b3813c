# SPDX-License-Identifier: Apache-2.0
"""bitnet quantize: what is exact and said to be, what is refused, what is kept."""
import app


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
