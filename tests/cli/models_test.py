# SPDX-License-Identifier: Apache-2.0
"""synth, inspect, bench and perplexity: what is made can be read, run and measured."""
import math

import app

TYPES = ("i2_s", "tq1_0", "tq2_0", "iq1_bn", "iq2_bn", "q1_0", "q2_0", "q4_0", "q8_0", "q6_k",
         "f16", "bf16", "f32")
ARCHITECTURES = ("bitnet-b1.58", "bitnet", "llama", "qwen3")


class Models(app.Case):
    def test_round_trip_of_types(self):
        for kind in TYPES:
            with self.subTest(kind):
                model = self.synth("--type", kind, "--embedding", "q8_0", "--head", "f16")
                seen = app.run_json("inspect", model)
                self.assertTrue(seen["runs"])
                self.assertEqual(seen["suspicious"], [])
                types = {t["name"]: t["type"] for t in seen["tensors"]}
                self.assertEqual(types["blk.0.attn_q.weight"], kind)
                self.assertEqual(types["token_embd.weight"], "q8_0")
                self.assertEqual(types["output.weight"], "f16")
                rms = {t["name"]: t["rms"] for t in seen["tensors"]}
                self.assertAlmostEqual(rms["blk.0.ffn_up.weight"], 1 / 16, delta=0.004)
                data = app.floats(app.run("logits", "-m", model, "--tokens", "1,2,3,4", "-o", "-",
                                          text=False)[0])
                self.assertTrue(all(math.isfinite(x) for x in data))
                spread = math.sqrt(sum(x * x for x in data) / len(data))
                self.assertTrue(1.0 < spread < 6.0, spread)

    def test_round_trip_of_architectures(self):
        for name in ARCHITECTURES:
            with self.subTest(name):
                model = self.synth("--arch", name)
                seen = app.run_json("inspect", model)
                self.assertEqual(seen["metadata"]["general.architecture"], name)
                self.assertTrue(seen["runs"])
                app.run("run", "-m", model, "-p", "hello", "-n", "2")

    def test_seed(self):
        one = self.synth("--seed", "1", name="1").read_bytes()
        self.assertEqual(self.synth("--seed", "1", name="2").read_bytes(), one)
        self.assertNotEqual(self.synth("--seed", "3", name="3").read_bytes(), one)

    def test_inspect(self):
        model = self.synth()
        seen = app.run_json("inspect", model)
        self.assertEqual(seen["file_bytes"], model.stat().st_size)
        self.assertEqual(seen["metadata"]["tokenizer.ggml.tokens"]["count"], 320)
        self.assertEqual(seen["metadata"]["bitnet-b1.58.attention.layer_norm_rms_epsilon"], 1e-5)
        self.assertEqual(seen["parameters"], sum(t["weights"] for t in seen["types"].values()))
        self.assertEqual(seen["memory"]["context"], 512)
        # 2 layers, keys and values, 2 heads of 64, 512 positions, 2 bytes
        self.assertEqual(seen["memory"]["kv_bytes"], 2 * 2 * 2 * 64 * 512 * 2)
        text, _ = app.run("inspect", model, "--tensors")
        for word in ("blk.1.ffn_down.weight", "bits a weight", "KV cache", "nothing suspicious"):
            self.assertIn(word, text)
        self.assertNotIn("  rms ", app.run("inspect", model, "--tensors", "--no-stats")[0])

    def test_inspect_finds_broken_norms(self):
        model = self.synth()
        tensors = {t["name"]: t for t in app.run_json("inspect", model)["tensors"]}
        data = bytearray(model.read_bytes())
        for name, value in (("blk.0.attn_norm.weight", b"\0\0\0\0"),
                            ("output_norm.weight", b"\0\0\xc0\x7f"),
                            ("blk.1.ffn_norm.weight", b"\0\0\x7a\x45")):  # 0, NaN, 4000
            t = tensors[name]
            data[t["offset"]:t["offset"] + t["bytes"]] = value * (t["bytes"] // 4)
        model.write_bytes(data)
        seen = app.run_json("inspect", model)
        self.assertEqual(sorted(seen["suspicious"]),
                         ["blk.0.attn_norm.weight", "blk.1.ffn_norm.weight", "output_norm.weight"])
        self.assertIn("hint", app.run("inspect", model)[0])

    def test_inspect_vocabulary(self):
        path = app.shared("conformance/vocab/llama3-vocab.gguf")
        if path is None:
            return
        seen = app.run_json("inspect", path)
        self.assertEqual(seen["tensors"], [])
        self.assertNotIn("runs", seen)
        self.assertIn("vocabulary only", app.run("inspect", path)[0])

    def test_tile(self):
        for options in ([], ["--type", "q6_k", "--embedding", "q6_k"], ["--type", "q1_0"],
                        ["--arch", "llama", "--type", "tq2_0", "--head", "q8_0"]):
            with self.subTest(options):
                model, tiled = self.synth(*options), self.folder / "tiled.gguf"
                made = app.run_json("tile", model, "-o", tiled, "--force")
                self.assertEqual(made["bytes"], tiled.stat().st_size)
                self.assertEqual(made["original_bytes"], model.stat().st_size)
                self.assertGreaterEqual(made["tiled_tensors"], 14)
                before, after = app.run_json("inspect", model), app.run_json("inspect", tiled)
                self.assertTrue(after["runs"])
                self.assertEqual(after["metadata"]["tiles.layout_version"], 1)
                self.assertEqual(after["memory"]["weight_bytes"], 0)
                # That groups have one scale is found when they are tiled, not when that is planned.
                planned = before["memory"]["bytes_per_token"]
                self.assertLessEqual(after["memory"]["bytes_per_token"], planned)
                self.assertGreater(after["memory"]["bytes_per_token"], 0.9 * planned)
                same = [app.run("logits", "-m", m, "--tokens", "1,2,3,4", "-o", "-", text=False)[0]
                        for m in (model, tiled)]
                self.assertEqual(same[0], same[1])
                app.run("run", "-m", tiled, "-p", "hello", "-n", "2", "--exact", code=4)

    def test_tile_writes_whole_files_only(self):
        model, out = self.synth(), self.folder / "out.gguf"
        out.write_bytes(b"precious")
        _, errors = app.run("tile", model, "-o", out, code=2)
        self.assertIn("--force", errors)
        self.assertEqual(out.read_bytes(), b"precious")
        broken = self.folder / "broken.gguf"
        broken.write_bytes(model.read_bytes().replace(b"blk.1.ffn_up.weight",
                                                      b"blk.1.ffn_xx.weight"))
        _, errors = app.run("tile", broken, "-o", out, "--force", code=3)
        self.assertIn("blk.1.ffn_up.weight", errors)
        self.assertEqual(out.read_bytes(), b"precious")
        app.run("tile", model, "-o", self.folder / "no" / "where.gguf", code=3)
        app.run("tile", model, "-o", model, "--force", code=2)  # in place
        self.assertTrue(app.run_json("inspect", model)["runs"])
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["broken.gguf", "out.gguf", "tiny.gguf"])

    def test_bench(self):
        seen = app.run_json("bench", "-m", self.synth(), "-p", "32", "-n", "8", "-t", "2", "-r",
                            "1")
        for key in ("prefill_tokens_per_s", "decode_tokens_per_s", "bytes_per_token",
                    "read_gb_per_s", "peak_gmac_per_s"):
            self.assertGreater(seen[key], 0, key)
        self.assertEqual(seen["threads"], 2)
        self.assertTrue(seen["isa"])
        seen = app.run_json("bench", "-m", self.synth(), "-p", "0", "-n", "2", "--no-limits",
                            "--isa", "scalar")
        self.assertEqual((seen["prefill_tokens_per_s"], seen["isa"]), (0, "scalar"))
        out, _ = app.run("bench", "-m", self.synth(), "-p", "8", "-n", "2", "-r", "1")
        self.assertIn("of the peak", out)
        self.assertIn("of the memory", out)
        self.assertIn("ms a token: weights", out)

    def test_bench_of_many_sequences(self):
        seen = app.run_json("bench", "-m", self.synth(), "-p", "0", "-n", "4", "-d", "9",
                            "--sessions", "3", "--no-limits", "-r", "1")
        self.assertEqual(seen["sessions"], 3)
        self.assertGreater(seen["together_tokens_per_s"], 0)
        out, _ = app.run("bench", "-m", self.synth(), "-p", "8", "-n", "2", "-r", "1",
                         "--sessions", "2")
        self.assertIn("2 sequences together", out)
        app.run("bench", "-m", self.synth(), "-n", "0", "--sessions", "2", code=2)
        app.run("bench", "-m", self.synth(), "-b", "2", "--sessions", "3", code=2)

    def test_bench_says_where_time_goes(self):
        model = self.synth()
        seen = app.run_json("bench", "-m", model, "-p", "16", "-n", "8", "-d", "100", "--no-limits",
                            "-t", "1")
        self.assertEqual(seen["depth"], 100)
        for step, speed in (("prefill", seen["prefill_tokens_per_s"]),
                            ("decode", seen["decode_tokens_per_s"])):
            parts = seen[step + "_parts"]
            self.assertAlmostEqual(parts["ms_per_token"] * speed, 1000, delta=1)
            for key, whole in (("share", 1), ("ms_per_token", parts["ms_per_token"])):
                each = [parts[p][key] for p in ("weights", "head", "attention", "rest")]
                self.assertGreater(min(each), 0)
                self.assertAlmostEqual(sum(each), whole, delta=1e-6 * whole)
        # 104.5 positions of 2 layers, 2 heads, 64 numbers of 2 bytes, keys and values
        self.assertAlmostEqual(seen["kv_bytes_per_token"], 104.5 * 2 * 2 * 64 * 2 * 2)
        self.assertGreater(seen["first_token_s"], seen["load_s"])
        all_scores = app.run_json("bench", "-m", model, "-p", "0", "-n", "4", "--all-scores",
                                  "--no-limits")
        self.assertTrue(all_scores["all_scores"])
        self.assertGreaterEqual(all_scores["bytes_per_token"], seen["bytes_per_token"])
        app.run("bench", "-m", model, "-d", "100", "-c", "100", code=2)

    def test_perplexity(self):
        model = self.synth()
        text = "the quick brown fox jumps over the lazy dog. " * 20
        seen = app.run_json("perplexity", "-m", model, "-f", "-", "-c", "64",
                            stdin=text.encode())
        self.assertEqual(seen["chunks"], seen["tokens"] // 64)
        self.assertEqual(seen["tokens_scored"], seen["chunks"] * 31)
        self.assertAlmostEqual(math.log(seen["perplexity"]), seen["nll_per_token"], places=6)
        out, _ = app.run("perplexity", "-m", model, "-p", text, "-c", "64")
        self.assertRegex(out, rf"^perplexity: {seen['perplexity']:.4f} \+/- ")
        few = app.run_json("perplexity", "-m", model, "-p", text, "-c", "64", "--chunks", "2")
        self.assertEqual(few["chunks"], 2)

    def test_perplexity_of_a_trained_model(self):
        text = app.shared("text/tinystories-valid-30k.txt")
        model = app.shared("models/bitllama2/bitllama2-3M-TQ2_0.gguf")
        if text is None or model is None:
            return
        seen = app.run_json("perplexity", "-m", model, "-f", text, "-c", "128", "--chunks", "8")
        self.assertLess(seen["perplexity"], 12)


if __name__ == "__main__":
    app.main()
