# SPDX-License-Identifier: Apache-2.0
"""bitnet repair: what is changed and why, what is asked, and when nothing is written."""
import os
import pathlib

import app
import huggingface as hf

PRE, TEMPLATE = "tokenizer.ggml.pre", "tokenizer.chat_template"
EOT = "tokenizer.ggml.eot_token_id"
# Lacks its pre-tokenizer and chat template, as the published BitNet file does.
BITNET = pathlib.Path(app.DATA, "models", "b25-i2_s.gguf")
LLAMA = pathlib.Path(app.DATA, "models", "llama-q4_0.gguf")


class Repair(app.Case):
    def setUp(self):
        super().setUp()
        self.out = self.folder / "out.gguf"

    def repair(self, model, *options, **more):
        return app.run_json("repair", model, self.out, "--force", *options, **more)

    def keys(self, report):
        return [change["key"] for change in report["changes"]]

    def test_a_file_like_the_published_one(self):
        seen, errors = app.run("repair", BITNET, self.out)
        for text in (PRE + ": absent -> 'llama-bpe'", TEMPLATE + ": absent", "Llama 3"):
            self.assertIn(text, seen)
        self.assertIn("2 keys changed", errors)
        before, after = hf.Gguf(BITNET), hf.Gguf(self.out)
        self.assertEqual(after.tensors, before.tensors)
        self.assertEqual({k: v for k, v in after.meta.items() if k not in (PRE, TEMPLATE)},
                         before.meta)
        self.assertEqual(after.meta[PRE], "llama-bpe")
        report = self.repair(self.out, "--dry-run")
        self.assertEqual((report["changes"], report["open"], report["file"]), ([], [], None))
        self.out.rename(self.folder / "whole.gguf")
        self.assertEqual(app.run_json("inspect", BITNET)["repair"], [PRE, TEMPLATE])
        self.assertIn("`bitnet repair`", app.run("inspect", BITNET)[0])
        self.assertEqual(app.run_json("inspect", self.folder / "whole.gguf")["repair"], [])
        _, errors = app.run("repair", self.folder / "whole.gguf", self.out)
        self.assertIn("nothing to repair", errors)
        self.assertFalse(self.out.exists())

    def test_dry_run(self):
        seen, errors = app.run("repair", BITNET, "--dry-run")
        self.assertIn(PRE, seen)
        self.assertIn("nothing is written", errors)
        app.run("repair", BITNET, self.out, "-n")
        self.assertFalse(self.out.exists())
        app.run("repair", BITNET, code=2)

    def test_options(self):
        jinja = self.folder / "mine.jinja"
        jinja.write_text("{{ messages }}")
        report = self.repair(
            LLAMA, "--pre", "qwen2", "--chat-template", jinja, "--eot", "<|eot_id|>", "--pad", "3",
            "--no-add-bos", "--add-eos", "--set", "general.name=string:a:b=c", "--set", "x.y=i8:-3",
            "--set", "x.z=f32:0.5", "--set", "x.b=bool:true", "--remove", "general.file_type")
        meta = hf.Gguf(self.out).meta
        tokens = meta["tokenizer.ggml.tokens"]
        self.assertEqual(meta[PRE], "qwen2")
        self.assertEqual(meta[TEMPLATE], "{{ messages }}")
        self.assertEqual(tokens[meta[EOT]], "<|eot_id|>")
        self.assertEqual(meta["tokenizer.ggml.padding_token_id"], 3)
        self.assertEqual([meta["tokenizer.ggml.add_" + k + "_token"] for k in ("bos", "eos")],
                         [False, True])
        self.assertEqual([meta[k] for k in ("general.name", "x.y", "x.z", "x.b")],
                         ["a:b=c", -3, 0.5, True])
        self.assertNotIn("general.file_type", meta)
        for change in report["changes"]:
            self.assertTrue(change["reason"], change)
        for name in ("chatml", "llama2", "llama3", "bitnet", "falcon3", "falcon_e"):
            self.repair(LLAMA, "--chat-template", name)
            self.assertIn("message", hf.Gguf(self.out).meta[TEMPLATE])

    def test_wrong_options(self):
        for options in (["--pre", "starcoder"], ["--eos", "<none such>"], ["--bos", "99999999"],
                        ["--chat-template", "plain"], ["--chat-template", "no-such-file"],
                        ["--set", "key=value"], ["--set", "a=u8:256"], ["--set", "a=u9:1"],
                        ["--set", "a=bool:1"], ["--set", "split.count=u16:2"], ["--remove", ""],
                        ["--add-bos", "--no-add-bos"]):
            _, errors = app.run("repair", LLAMA, self.out, *options, code=2)
            self.assertTrue(errors.strip(), options)
            self.assertFalse(self.out.exists(), options)

    def test_open_questions(self):
        broken = self.folder / "broken.gguf"
        broken.write_bytes(LLAMA.read_bytes().replace(b"llama-bpe", b"starcoder"))
        _, errors = app.run("tokenize", "-m", broken, "-p", "a", code=4)
        self.assertIn("bitnet repair --pre", errors)
        _, errors = app.run("repair", broken, self.out, code=1)
        self.assertIn("--pre", errors)
        self.assertFalse(self.out.exists())
        report = self.repair(broken, code=1)
        self.assertEqual([(q["key"], q["option"]) for q in report["open"]], [(PRE, "--pre")])
        self.assertIsNone(report["file"])
        self.assertEqual(self.keys(self.repair(broken, "--pre", "llama-bpe")), [PRE])
        self.assertEqual(self.out.read_bytes(), LLAMA.read_bytes())

    def test_what_would_not_load_is_not_written(self):
        _, errors = app.run("repair", LLAMA, self.out, "--set",
                            "tokenizer.ggml.add_bos_token=string:maybe", code=3)
        self.assertIn("not a bool", errors)
        self.assertFalse(self.out.exists())

    def test_never_in_place(self):
        model = self.folder / "model.gguf"
        model.write_bytes(BITNET.read_bytes())
        hard, soft = self.folder / "hard.gguf", self.folder / "soft.gguf"
        os.link(model, hard)
        soft.symlink_to(model)
        for path in (model, hard, soft):
            _, errors = app.run("repair", model, path, "--force", code=2)
            self.assertIn("being read", errors)
        self.assertEqual(model.read_bytes(), BITNET.read_bytes())
        self.out.write_bytes(b"an older file")
        app.run("repair", model, self.out, code=2)
        self.assertEqual(self.out.read_bytes(), b"an older file")

    def test_templates_say_what_the_app_does(self):
        try:
            import jinja2
        except ImportError:
            self.skipTest("python3-jinja2 is not installed")
        messages = [{"role": "system", "content": "Be kind."},
                    {"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello."},
                    {"role": "user", "content": "Bye"}]
        expected = {
            "bitnet": "System: Be kind.<|eot_id|>User: Hi!<|eot_id|>Assistant: Hello.<|eot_id|>"
                      "User: Bye<|eot_id|>Assistant: ",
            "chatml": "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n"
                      "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
                      "<|im_start|>assistant\n",
            "llama3": "<|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
                      "<|start_header_id|>user<|end_header_id|>\n\nHi!<|eot_id|>"
                      "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
                      "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
                      "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "llama2": "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi! [/INST] Hello. </s><s>[INST] Bye "
                      "[/INST]",
            "falcon3": "<|system|>\nBe kind.\n<|user|>\nHi!\n<|assistant|>\nHello.\n<|user|>\nBye\n"
                       "<|assistant|>\n",
            "falcon_e": "systemBe kind.\nuserHi!\nassistantHello.\nuserBye\nassistant\n"}
        for name, text in expected.items():
            self.repair(LLAMA, "--chat-template", name)
            template = jinja2.Template(hf.Gguf(self.out).meta[TEMPLATE], trim_blocks=True,
                                       lstrip_blocks=True)
            self.assertEqual(template.render(messages=messages, add_generation_prompt=True), text)


if __name__ == "__main__":
    app.main()
