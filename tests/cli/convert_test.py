# SPDX-License-Identifier: Apache-2.0
"""convert: folders made from GGUF models come back as the same models; the rest is refused."""
import json
import pathlib
import random
import resource
import shutil
import struct

import app
import huggingface as hf

TEXT = "The quick brown fox, they'll say, jumped 12345 times.\n\n  \u00fcber \U0001F98A"


class Convert(app.Case):
    def convert(self, folder, *options, name="made.gguf", code=0):
        out = self.folder / name
        seen = app.run("convert", folder, "-o", out, "--json", "--force", *options, code=code)
        if code:
            self.assertEqual([p for p in self.folder.glob(name + "*")], [])
            return seen[1]
        self.report = json.loads(seen[0])
        return out

    def assert_same_model(self, made, model):
        """The same tensors, to the byte, and the same scores and ids."""
        a, b = hf.Gguf(made), hf.Gguf(model)
        self.assertEqual(sorted(a.tensors), sorted(b.tensors))
        for name, (dims, kind, raw) in b.tensors.items():
            size = hf.size_of(dims, kind)
            self.assertEqual(a.tensors[name][:2], (dims, kind), name)
            self.assertEqual(a.tensors[name][2][:size], raw[:size], name)
        self.assert_same_scores(made, model)

    def assert_same_scores(self, made, model):
        scores = [app.run("logits", "-m", m, "--tokens", "5,6,7,8,9,10", "-o", "-", text=False)[0]
                  for m in (made, model)]
        self.assertEqual(scores[0], scores[1])
        ids = [app.run_json("tokenize", "-m", m, "-p", TEXT)["ids"] for m in (made, model)]
        self.assertEqual(ids[0], ids[1])

    def from_synth(self, *options, **folder):
        """A random model and the folder that it could come from."""
        model = self.synth(*options)
        return model, hf.write_folder(self.folder / "hf", hf.Gguf(model), **folder)

    def edit(self, path, change):
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))


class RoundTrip(Convert):
    def test_plain_models(self):
        for arch in ("llama", "qwen3"):
            for kind in ("f16", "bf16", "f32"):
                with self.subTest(arch + " " + kind):
                    model, folder = self.from_synth("--arch", arch, "--type", kind, "--embedding",
                                                    "f16", "--head", "bf16", pairs=kind == "f16")
                    self.assert_same_model(self.convert(folder), model)
                    self.assertEqual(self.report["errors"], {})
                    self.assertEqual(self.report["architecture"], arch)

    def test_packed_models_in_both_conventions(self):
        for arch in ("bitnet-b1.58", "bitnet", "llama"):
            for ternary in ("multiply", "divide"):
                with self.subTest(arch + " " + ternary):
                    model, folder = self.from_synth("--arch", arch, "--type", "i2_s", "--embedding",
                                                    "f16", ternary=ternary, shards=3)
                    made = self.convert(folder)
                    if ternary == "multiply":
                        self.assert_same_model(made, model)
                    else:  # 1 / (1 / scale) is the scale up to rounding
                        a, b = hf.Gguf(made), hf.Gguf(model)
                        for name, (dims, kind, raw) in b.tensors.items():
                            if kind != hf.I2_S:
                                continue
                            count = hf.product(dims) // 4
                            other = a.tensors[name][2]
                            self.assertEqual(other[:count], raw[:count], name)
                            scales = struct.unpack_from("<f", other, count) + struct.unpack_from(
                                "<f", raw, count)
                            self.assertAlmostEqual(scales[0] / scales[1], 1, delta=3e-7)
                    self.assertTrue(app.run_json("inspect", made)["runs"])

    def test_packed_models_in_other_ternary_types(self):
        model, folder = self.from_synth("--arch", "llama", "--type", "i2_s", "--embedding", "f16",
                                        ternary="multiply")
        scores = {}
        for kind in ("i2_s", "tq1_0", "tq2_0", "iq2_bn", "f32"):
            made = self.convert(folder, "--type", kind)
            self.assertLess(max(self.report["errors"].values(), default=0), 5e-4)
            self.assertEqual(bool(self.report["errors"]), kind.startswith("tq"))
            scores[kind] = app.floats(app.run("logits", "-m", made, "--tokens", "5,6,7", "-o", "-",
                                              text=False)[0])
        self.assertEqual(scores["iq2_bn"], scores["i2_s"])
        self.assertEqual(scores["tq1_0"], scores["tq2_0"])
        # Scales of half precision, or float inputs: other roundings of int8 inputs, 2 % of noise.
        for kind in ("tq2_0", "f32"):
            self.assertLess(app.relative_rms(scores[kind], scores["i2_s"]), 5e-2)
        del model

    def test_master_weights(self):
        """Rounded by the mean magnitude of each matrix; old names and configurations too."""
        for old in (False, True):
            model, folder = self.from_synth("--arch", "bitnet", "--type", "i2_s", "--embedding",
                                            "f16", ternary="master", old=old)
            if old:
                def change(config):
                    del config["quantization_config"]
                    config.update(architectures=["BitnetForCausalLM"], model_type="llama",
                                  weight_bits=1, input_bits=8)
                self.edit(folder / "config.json", change)
            made = self.convert(folder)
            a, b = hf.Gguf(made), hf.Gguf(model)
            for name, (dims, kind, raw) in b.tensors.items():
                if kind != hf.I2_S:
                    continue
                rows, scale = hf.codes_of_i2_s(dims, raw)
                other, mean = hf.codes_of_i2_s(dims, a.tensors[name][2])
                self.assertEqual(other, rows, name)
                used = sum(len(r) - r.count(1) for r in rows) / hf.product(dims)
                self.assertAlmostEqual(mean / (scale * used), 1, delta=1e-6)

    def test_master_weights_in_bf16(self):
        """Weights as training leaves them, rounded as its forward pass rounds them."""
        model, folder = self.from_synth("--arch", "bitnet-b1.58", "--type", "i2_s", "--embedding",
                                        "f16", ternary="master")
        tensors, draws, expected = hf.weights(hf.Gguf(model), "master"), random.Random(5), {}
        for name in [hf.source_name(n) for n, t in hf.Gguf(model).tensors.items()
                     if t[1] == hf.I2_S]:
            _, shape, _ = tensors[name]
            halves = [struct.unpack("<2H", struct.pack("<f", draws.gauss(0, 0.03)))[1]
                      for _ in range(hf.product(shape))]
            raw = struct.pack(f"<{len(halves)}H", *halves)
            tensors[name] = ("BF16", shape, raw)
            values = struct.unpack(f"<{len(halves)}f", b"".join(
                b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2)))
            mean = sum(map(abs, values)) / len(values)
            codes = [1 + max(-1, min(1, round(x / mean))) for x in values]
            ties = [abs(abs(x / mean) - 0.5) < 1e-5 for x in values]
            expected[name] = (mean, codes, ties)
        (folder / "model.safetensors").write_bytes(hf.safetensors(tensors))
        made = hf.Gguf(self.convert(folder))
        for name, (dims, kind, raw) in made.tensors.items():
            if kind != hf.I2_S:
                continue
            rows, scale = hf.codes_of_i2_s(dims, raw)
            mean, codes, ties = expected.pop(hf.source_name(name))
            self.assertAlmostEqual(scale / mean, 1, delta=1e-6)
            seen = [c for row in rows for c in row]
            self.assertEqual(len(seen), len(codes))
            self.assertEqual([a for a, b, tie in zip(seen, codes, ties) if a != b and not tie], [])
        self.assertEqual(expected, {})

    def test_absmean_must_be_said(self):
        _, folder = self.from_synth("--arch", "llama", "--type", "f16", "--embedding", "f16")
        for kind in ("i2_s", "tq2_0", "q1_0"):
            errors = self.convert(folder, "--type", kind, code=4)
            self.assertIn("--absmean", errors)
            self.assertIn("model.layers.0.self_attn.q_proj.weight", errors)
        made = self.convert(folder, "--absmean")
        seen = {t["name"]: t["type"] for t in app.run_json("inspect", made)["tensors"]}
        self.assertEqual(seen["blk.0.attn_q.weight"], "i2_s")
        self.assertEqual(seen["token_embd.weight"], "f16")
        _, folder = self.from_synth("--arch", "bitnet-b1.58", "--type", "f16", "--embedding", "f16")
        self.assertIn("--absmean", self.convert(folder, code=4, name="never.gguf"))

    def test_binary_models(self):
        model, folder = self.from_synth("--arch", "qwen3", "--type", "q1_0", "--embedding", "f16")
        made = self.convert(folder, "--type", "q1_0")
        self.assertEqual(self.report["errors"], {})
        self.assert_same_model(made, model)

    def test_lossy_types_say_so(self):
        _, folder = self.from_synth("--arch", "llama", "--type", "f32", "--embedding", "f32")
        self.convert(folder, "--type", "q8_0", "--embedding", "f16")
        worst = self.report["errors"]
        self.assertIn("blk.0.attn_q.weight", worst)
        self.assertIn("token_embd.weight", worst)
        self.assertTrue(all(0 < x < 0.01 for x in worst.values()), worst)

    def test_weights_beyond_the_range_of_a_type(self):
        model, folder = self.from_synth("--arch", "llama", "--type", "f16", "--embedding", "bf16")
        tensors = hf.weights(hf.Gguf(model))
        name = "model.embed_tokens.weight"
        dtype, shape, raw = tensors[name]
        tensors[name] = (dtype, shape, b"\x74\x49" + raw[2:])  # 999424
        (folder / "model.safetensors").write_bytes(hf.safetensors(tensors))
        self.convert(folder)
        errors = self.convert(folder, "--embedding", "f16", code=4, name="never.gguf")
        self.assertIn(name, errors)
        self.convert(folder, "--embedding", "q8_0")
        self.assertIn("head", self.convert(folder, "--head", "f16", code=2, name="never.gguf"))

    def test_sentencepiece(self):
        model = pathlib.Path(app.DATA, "models", "llama-f16.gguf")
        folder = hf.write_folder(self.folder / "hf", hf.Gguf(model))
        self.assert_same_model(self.convert(folder), model)
        made = hf.Gguf(self.folder / "made.gguf").meta
        for key, value in hf.Gguf(model).meta.items():
            if key.startswith("tokenizer.ggml.") and key.split(".")[-1] in ("tokens", "scores",
                                                                            "token_type"):
                self.assertEqual(made[key], value, key)
        (folder / "tokenizer.model").write_bytes(hf.tokenizer_model(hf.Gguf(model), model_type=1))
        self.assertIn("tokenizer.model", self.convert(folder, code=4, name="never.gguf"))
        (folder / "tokenizer.model").write_bytes(hf.tokenizer_model(hf.Gguf(model), _4=1))
        self.assertIn("normalization", self.convert(folder, code=4, name="never.gguf"))
        whole = hf.tokenizer_model(hf.Gguf(model))
        for end in (0, 1, 7, len(whole) - 1):
            (folder / "tokenizer.model").write_bytes(whole[:end])
            self.assertIn("tokenizer.model", self.convert(folder, code=3, name="never.gguf"))

    def test_rope_scaling(self):
        model, folder = self.from_synth("--arch", "llama", "--type", "f16", "--embedding", "f16")
        path = folder / "config.json"
        self.edit(path, lambda c: c.update(rope_scaling={
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}, rope_theta=500000.0))
        factors = hf.Gguf(self.convert(folder)).tensors["rope_freqs.weight"]
        values = struct.unpack_from(f"<{factors[0][0]}f", factors[2])
        self.assertEqual(values[0], 1.0)
        self.assertEqual(values[-1], 8.0)
        self.assertEqual(list(values), sorted(values))
        self.assertTrue(any(1.0 < v < 8.0 for v in values))
        for scaling, keys in (
                ({"type": "linear", "factor": 2.0}, {"type": "linear", "factor": 2.0}),
                ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
                 {"type": "yarn", "factor": 4.0, "original_context_length": 128})):
            self.edit(path, lambda c: c.update(rope_scaling=scaling))
            meta = hf.Gguf(self.convert(folder)).meta
            for key, value in keys.items():
                self.assertEqual(meta["llama.rope.scaling." + key], value)
        self.edit(path, lambda c: (c.update(rope_parameters={"rope_theta": 1e6,
                                                             "rope_type": "default"}),
                                   c.pop("rope_scaling"), c.pop("rope_theta")))
        meta = hf.Gguf(self.convert(folder)).meta
        self.assertEqual(meta["llama.rope.freq_base"], 1e6)
        self.assertNotIn("llama.rope.scaling.type", meta)

    def test_biases_are_permuted_with_their_rows(self):
        model, folder = self.from_synth("--arch", "llama", "--type", "f16", "--embedding", "f16")
        tensors = hf.weights(hf.Gguf(model))
        heads = hf.Gguf(model).meta["llama.attention.head_count"]
        for layer in range(2):
            name = f"model.layers.{layer}.self_attn.q_proj"
            rows = tensors[name + ".weight"][1][0]
            tensors[name + ".bias"] = ("F32", (rows,), struct.pack(f"<{rows}f", *range(rows)))
        (folder / "model.safetensors").write_bytes(hf.safetensors(tensors))
        bias = hf.Gguf(self.convert(folder)).tensors["blk.1.attn_q.bias"]
        values = list(struct.unpack_from(f"<{bias[0][0]}f", bias[2]))
        self.assertEqual(hf.unpermuted(values, heads), list(range(len(values))))
        self.assertEqual(values[1], len(values) / heads / 2)

    def test_metadata(self):
        model, folder = self.from_synth("--arch", "bitnet-b1.58", "--type", "i2_s", "--embedding",
                                        "f16", ternary="divide")
        (folder / "generation_config.json").write_text(json.dumps(
            {"eos_token_id": [hf.Gguf(model).meta["tokenizer.ggml.eos_token_id"]]}))
        made, meta = hf.Gguf(self.convert(folder, "--name", "mine")).meta, hf.Gguf(model).meta
        self.assertEqual(made["general.name"], "mine")
        self.assertEqual(made["general.file_type"], 40)
        for key, value in meta.items():
            if key in made and key != "general.name":
                self.assertEqual(made[key], value, key)
            elif not key.startswith("general."):
                self.fail(key + " is lost")
        made = hf.Gguf(self.convert(str(folder) + "/.")).meta
        self.assertEqual(made["general.name"], "hf")

    def test_threads_and_pieces_do_not_matter(self):
        _, folder = self.from_synth("--arch", "bitnet", "--type", "i2_s", "--embedding", "f16",
                                    ternary="master")
        files = [self.convert(folder, "-t", str(n), name=f"{n}.gguf").read_bytes()
                 for n in (1, 2, 5)]
        self.assertEqual(files[0], files[1])
        self.assertEqual(files[0], files[2])

    def test_memory_stays_under_a_tensor(self):
        """The embedding alone is 256 MiB, the file a sparse one."""
        model, folder = self.from_synth("--arch", "llama", "--type", "f16", "--embedding", "f16")
        self.convert(folder, "-t", "2")
        small = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        rows = 1 << 19
        self.edit(folder / "config.json", lambda c: c.update(vocab_size=rows))
        tensors = hf.weights(hf.Gguf(model))
        width = tensors["model.norm.weight"][1][0]
        name = "model.embed_tokens.weight"
        tensors[name] = ("F16", (0, width), b"")
        header = json.loads(hf.safetensors({n: t for n, t in tensors.items() if n != name})[8:]
                            .split(b"}}")[0].decode() + "}}")
        at = max(t["data_offsets"][1] for t in header.values())
        header[name] = {"dtype": "F16", "shape": [rows, width],
                        "data_offsets": [at, at + rows * width * 2]}
        text = json.dumps(header).encode()
        with open(folder / "model.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.write(b"".join(t[2] for n, t in tensors.items() if n != name))
            file.truncate(8 + len(text) + at + rows * width * 2)
        made = self.convert(folder, "-t", "2")
        self.assertGreater(made.stat().st_size, rows * width * 2)
        grown = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - small
        # Half a million unused tokens take their share too.
        self.assertLess(grown * 1024, rows * width * 2)


class Refusals(Convert):
    def setUp(self):
        super().setUp()
        self.model, self.source = self.from_synth("--arch", "llama", "--type", "f16",
                                                  "--embedding", "f16")
        self.tensors = hf.weights(hf.Gguf(self.model))

    def refuse(self, *words, code=4, options=()):
        errors = self.convert(self.source, *options, code=code, name="never.gguf")
        for word in words:
            self.assertIn(word, errors)
        self.assertNotIn("bitnet inspect", errors)  # which knows no folders

    def with_config(self, **changes):
        path = self.source / "config.json"
        before = path.read_text()
        self.addCleanup(path.write_text, before)
        path.write_text(json.dumps({**hf.config(hf.Gguf(self.model)), **changes}))

    def test_configurations(self):
        for word, code, changes in (
                ("MistralForCausalLM", 4, {"architectures": ["MistralForCausalLM"]}),
                ("hidden_act", 4, {"hidden_act": "gelu"}),
                ("hidden_act", 4, {"hidden_act": "relu2"}),
                ("rope_type", 4, {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}),
                ("beta_fast", 4, {"rope_scaling": {"rope_type": "yarn", "factor": 2.0,
                                                   "beta_fast": 16}}),
                ("quant_method", 4, {"quantization_config": {"quant_method": "gptq"}}),
                ("linear_class", 4, {"quantization_config": {"quant_method": "bitnet",
                                                             "linear_class": "other"}}),
                ("use_rms_norm", 4, {"quantization_config": {"quant_method": "bitnet",
                                                             "use_rms_norm": True}}),
                ("later", 4, {"quantization_config": {"quant_method": "bitnet", "later": 1}}),
                ("sliding_window", 4, {"sliding_window": 4096}),
                ("num_local_experts", 4, {"num_local_experts": 8}),
                ("partial_rotary_factor", 4, {"partial_rotary_factor": 0.5}),
                ("logits_scaling", 4, {"logits_scaling": 8.0}),
                ("layer_types", 4, {"layer_types": ["sliding_attention"]}),
                ("hidden_size", 3, {"hidden_size": 0}),
                ("hidden_size", 3, {"hidden_size": "64"}),
                ("hidden_size", 3, {"hidden_size": 64.5}),
                ("num_hidden_layers", 3, {"num_hidden_layers": 1 << 40}),
                ("model.layers.2.input_layernorm.weight", 3, {"num_hidden_layers": 1 << 30}),
                ("intermediate_size", 3, {"intermediate_size": None}),
                ("model.embed_tokens.weight", 3, {"vocab_size": 321}),
                ("lm_head.weight", 3, {"tie_word_embeddings": False}),
                ("rms_norm_eps", 3, {"rms_norm_eps": -1}),
                ("weight_bits", 4, {"weight_bits": 2})):
            with self.subTest(str(changes)):
                self.with_config(**changes)
                self.refuse(word, code=code)
        self.with_config(num_local_experts=0, sliding_window=None, attention_bias=False)
        self.convert(self.source)

    def test_tensors(self):
        name = "model.layers.1.mlp.up_proj.weight"
        dtype, shape, raw = self.tensors[name]
        cases = ((name, 3, None), (name, 3, (dtype, shape[::-1], raw)),
                 (name, 4, ("I16", shape, raw)), (name, 4, ("U8", (shape[0] * 2, shape[1]), raw)),
                 (name, 3, (dtype, shape, b"\0\x7c" * (len(raw) // 2))),
                 ("model.layers.0.self_attn.sinks", 4, ("F16", (1,), b"\0\0")),
                 (name + "_scale", 4, ("F32", (1,), b"\0\0\x80\x3f")))
        for changed, code, tensor in cases:
            with self.subTest(changed):
                tensors = {**self.tensors, changed: tensor}
                if tensor is None:
                    del tensors[changed]
                (self.source / "model.safetensors").write_bytes(hf.safetensors(tensors))
                self.refuse(name if "sinks" not in changed else changed, code=code)
        harmless = {**self.tensors,
                    "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", (1,), b"\0" * 4)}
        (self.source / "model.safetensors").write_bytes(hf.safetensors(harmless))
        self.convert(self.source)

    def test_packed_tensors(self):
        model, self.source = self.from_synth("--arch", "bitnet", "--type", "i2_s", "--embedding",
                                             "f16", ternary="divide")
        tensors = hf.weights(hf.Gguf(model), "divide")
        name = "model.layers.0.mlp.gate_proj.weight"
        dtype, shape, raw = tensors[name]
        for word, code, changes in (
                ("no weight", 3, {name: (dtype, shape, raw[:-1] + b"\xff")}),
                ("scale", 3, {name + "_scale": ("F32", (1,), struct.pack("<f", -1.0))}),
                ("scale", 3, {name + "_scale": ("F32", (2,), bytes(8))}),
                ("scale", 3, {name + "_scale": ("F32", (1,), b"\0\0\xc0\x7f")}),
                (name, 3, {name: (dtype, (shape[0], shape[1] - 1), raw[:-shape[0]])})):
            with self.subTest(word):
                (self.source / "model.safetensors").write_bytes(
                    hf.safetensors({**tensors, **changes}))
                self.refuse(word, "gate_proj", code=code)

    def test_hostile_safetensors(self):
        whole = hf.safetensors(self.tensors)
        length, = struct.unpack_from("<Q", whole)
        header, data = json.loads(whole[8:8 + length]), whole[8 + length:]
        first, second = list(header)[:2]

        def table(change):
            copy = json.loads(json.dumps(header))
            change(copy)
            text = json.dumps(copy).encode()
            return struct.pack("<Q", len(text)) + text + data

        def entry(**changes):
            return table(lambda h: h[first].update(changes))

        begin, end = header[first]["data_offsets"]
        twice = whole[8:8 + length].replace(b"{", b"{" + json.dumps(
            {first: header[first]}).encode()[1:-1] + b",", 1)
        cases = {
            "empty": b"", "short": whole[:7], "cut in the table": whole[:100],
            "cut in the data": whole[:-1], "trailing": whole + b"\0",
            "length": struct.pack("<Q", 1 << 63) + whole[8:],
            "length 2": struct.pack("<Q", len(whole)) + whole[8:],
            "no object": struct.pack("<Q", 2) + b"[]",
            "not JSON": whole[:20] + b"\0" + whole[21:],
            "duplicate": struct.pack("<Q", len(twice)) + twice + data,
            "dtype": entry(dtype="F99"), "dtype 2": entry(dtype=1),
            "shape": entry(shape=[1 << 33, 1 << 33]), "shape 2": entry(shape=[-1]),
            "shape 3": entry(shape=[0]), "shape 4": entry(shape=[1] * 100),
            "backwards": entry(data_offsets=[end, begin]),
            "far": entry(data_offsets=[1 << 62, (1 << 62) + end - begin]),
            "overlap": entry(data_offsets=header[second]["data_offsets"]),
            "negative": entry(data_offsets=[-1, end]), "one": entry(data_offsets=[begin]),
            "field": entry(stride=1), "missing": table(lambda h: h[first].pop("shape")),
            "hole": table(lambda h: h.pop(first)), "metadata": table(
                lambda h: h.update(__metadata__={"a": 1})),
            "deep": struct.pack("<Q", 200000) + b'{"a":' * 40000}
        for what, data_now in cases.items():
            with self.subTest(what):
                (self.source / "model.safetensors").write_bytes(data_now)
                code = 4 if what in ("dtype", "field") else 3
                self.refuse("model.safetensors", code=code)

    def test_shards(self):
        shutil.rmtree(self.source)
        folder = hf.write_folder(self.source, hf.Gguf(self.model), shards=2)
        index = folder / "model.safetensors.index.json"
        good = index.read_text()
        name = "model.norm.weight"
        for word, change in (
                ("../", lambda m: m.update({name: "../a.safetensors"})),
                (name, lambda m: m.update({name: "sub/a.safetensors"})),
                ("lacks this shard", lambda m: m.update({name: "other.safetensors"})),
                ("lacks", lambda m: m.update({"more": "model-00001-of-00002.safetensors"})),
                (name, lambda m: m.pop(name))):
            index.write_text(good)
            self.edit(index, lambda c: change(c["weight_map"]))
            self.refuse(word if word != "../" else name, code=3)
        index.write_text(good)
        self.convert(folder)
        (folder / "model-00002-of-00002.safetensors").unlink()
        self.refuse("model-00002-of-00002.safetensors", code=3)
        index.unlink()
        self.refuse("safetensors", code=3)

    def test_tokenizers(self):
        path = self.source / "tokenizer.json"
        good = path.read_text()
        for word, code, change in (
                ("--pre", 4, lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(
                    Regex="\\w+")),
                ("Lowercase", 4, lambda t: t.update(normalizer={"type": "Lowercase"})),
                ("Unigram", 4, lambda t: t["model"].update(type="Unigram")),
                ("dropout", 4, lambda t: t["model"].update(dropout=0.5)),
                ("two tokens", 3, lambda t: t["model"]["vocab"].update(more=0)),
                ("more", 3, lambda t: t["model"]["vocab"].update(more=1 << 40)),
                ("more", 3, lambda t: t["model"]["vocab"].update(more="1")),
                ("merge", 3, lambda t: t["model"]["merges"].append("a")),
                ("merge", 3, lambda t: t["model"]["merges"].append(["a", "b", "c"])),
                ("vocab_size", 3, lambda t: t["added_tokens"].append(
                    {"id": 5000, "content": "<x>", "special": True})),
                ("lstrip", 4, lambda t: t["added_tokens"].append(
                    {"id": 319, "content": "hello", "special": False, "lstrip": True})),
                ("ignore_merges", 4, lambda t: (t["model"].update(ignore_merges=False),
                                                t["model"]["merges"].clear())),
                ("post", 4, lambda t: t.update(post_processor={"type": "Bert"}))):
            with self.subTest(word):
                path.write_text(good)
                self.edit(path, change)
                self.refuse(word, code=code)
        path.write_text(good)
        self.edit(path, lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(
            Regex="\\w+"))
        self.assertIn("made", str(self.convert(self.source, "--pre", "qwen2")))
        self.assertEqual(hf.Gguf(self.folder / "made.gguf").meta["tokenizer.ggml.pre"], "qwen2")
        self.refuse("known", code=4, options=("--pre", "nothing"))
        path.write_text(good[:-1])
        self.refuse("tokenizer.json", code=3)
        path.unlink()
        self.refuse("tokenizer", code=3)

    def test_files_and_options(self):
        self.refuse("no such", code=2, options=("--type", "no such"))
        self.refuse("can be written", code=2, options=("--type", "q8_1"))
        for path in (self.folder / "nowhere", self.source / "config.json"):
            _, errors = app.run("convert", path, "-o", self.folder / "x.gguf", code=3)
            self.assertIn("no folder", errors)
        out = self.folder / "out.gguf"
        out.write_bytes(b"precious")
        _, errors = app.run("convert", self.source, "-o", out, code=2)
        self.assertIn("--force", errors)
        (self.source / "model.safetensors").write_bytes(
            hf.safetensors({**self.tensors, "model.norm.weight": (
                "F32", (self.tensors["model.norm.weight"][1][0],),
                b"\0\0\xc0\x7f" * self.tensors["model.norm.weight"][1][0])}))
        app.run("convert", self.source, "-o", out, "--force", code=3)
        self.assertEqual(out.read_bytes(), b"precious")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["hf", "out.gguf", "tiny.gguf"])


class RealTokenizers(Convert):
    """Tokenizers of published models, with goldens from llama.cpp."""

    def tiny(self, tokenizer, vocab):
        """A folder with that tokenizer and a model of two numbers a token."""
        folder = self.folder / "hf"
        folder.mkdir()
        for path in pathlib.Path(tokenizer).iterdir():
            if path.name != "config.json":
                shutil.copy(path, folder)
        shape = {"q": (4, 4), "k": (4, 4), "v": (4, 4), "o": (4, 4)}
        tensors = {"model.embed_tokens.weight": ("F16", (vocab, 4), bytes(vocab * 8)),
                   "model.norm.weight": ("F16", (4,), bytes(8))}
        block = "model.layers.0."
        for name, dims in shape.items():
            tensors[f"{block}self_attn.{name}_proj.weight"] = ("F16", dims, bytes(32))
        for name in ("gate", "up", "down"):
            tensors[f"{block}mlp.{name}_proj.weight"] = ("F16", (4, 4), bytes(32))
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{block}{name}.weight"] = ("F16", (4,), bytes(8))
        (folder / "model.safetensors").write_bytes(hf.safetensors(tensors))
        (folder / "config.json").write_text(json.dumps({
            "architectures": ["LlamaForCausalLM"], "hidden_size": 4, "intermediate_size": 4,
            "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 64,
            "rms_norm_eps": 1e-5, "vocab_size": vocab, "hidden_act": "silu",
            "tie_word_embeddings": True}))
        return folder

    def check_goldens(self, made, inputs, outputs):
        texts = inputs.read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
        wanted = [[int(n) for n in line.split()]
                  for line in outputs.read_text().split("\n")][:len(texts)]
        cases = 0
        for text, ids in zip(texts, wanted):
            if not text:
                continue
            seen = app.run_json("tokenize", "-m", made, "-f", "-", "--no-bos",
                                stdin=text.encode())["ids"]
            self.assertEqual(seen, ids, repr(text))
            cases += 1
        self.assertGreater(cases, 40)

    def test_qwen3(self):
        source, goldens = app.shared("tokenizers/qwen3"), app.shared("vocab")
        if source is None or goldens is None:
            return
        made = self.convert(self.tiny(source, 151936))
        meta = hf.Gguf(made).meta
        tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
        self.assertEqual(meta["tokenizer.ggml.pre"], "qwen2")
        self.assertEqual((tokens[151645], types[151645]), ("<|im_end|>", 3))
        self.assertEqual((tokens[151667], types[151667]), ("<think>", 4))
        self.assertEqual((tokens[151660], types[151660]), ("<|fim_middle|>", 3))
        self.assertEqual((tokens[151935], types[151935]), ("[PAD151935]", 5))
        self.assertEqual(meta["tokenizer.ggml.eos_token_id"], 151645)
        self.assertEqual(meta["tokenizer.ggml.padding_token_id"], 151643)
        self.assertFalse(meta["tokenizer.ggml.add_bos_token"])
        self.assertIn("<|im_start|>", meta["tokenizer.chat_template"])
        self.check_goldens(made, goldens / "ggml-vocab-qwen2.gguf.inp",
                           goldens / "ggml-vocab-qwen2.gguf.out")

    def test_bitnet_large(self):
        """The Llama 2 vocabulary, once from tokenizer.json and once from tokenizer.model."""
        source, goldens = app.shared("tokenizers/bitnet_b1_58-large"), app.shared("vocab")
        if source is None or goldens is None:
            return
        folder = self.tiny(source, 32002)
        metas = []
        for name in ("json", "model"):
            made = self.convert(folder, name=name)
            metas.append(hf.Gguf(made).meta)
            self.check_goldens(made, goldens / "ggml-vocab-llama-spm.gguf.inp",
                               goldens / "ggml-vocab-llama-spm.gguf.out")
            (folder / "tokenizer.json").unlink(missing_ok=True)
        for key in metas[0]:
            if key.startswith("tokenizer.") and not key.endswith(".scores"):
                self.assertEqual(metas[0][key], metas[1][key], key)
        self.assertEqual(metas[0]["tokenizer.ggml.padding_token_id"], 32000)
        self.assertTrue(metas[0]["tokenizer.ggml.add_bos_token"])


if __name__ == "__main__":
    app.main()
