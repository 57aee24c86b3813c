# SPDX-License-Identifier: Apache-2.0
"""Help texts and exit codes."""
import pathlib
import signal
import subprocess
import time

import app


class Usage(app.Case):
    def test_help(self):
        out, errors = app.run("--help")
        self.assertEqual(errors, "")
        for command in app.COMMANDS:
            self.assertIn(command, out)
            text, errors = app.run(command, "--help")
            self.assertEqual(errors, "")
            self.assertIn("Usage: bitnet " + command, text)
            self.assertEqual(text.count("Exit codes"), 1)

    def test_version(self):
        out, _ = app.run("--version")
        self.assertRegex(out, r"^bitnet\.hpp \d+\.\d+\.\d+")

    def test_usage_errors(self):
        model = self.synth()
        for arguments in (
                [], ["juggle"], ["run"], ["run", "-m", model], ["run", "-m", model, "--nonsense"],
                ["run", "-m", model, "-p", "a", "-f", "b"],
                ["run", "-m", model, "-p", "a", "-n", "many"],
                ["run", "-m", model, "-p", "a", "--temp", "-1"],
                ["run", "-m", model, "-p", "a", "--kv", "f8"],
                ["run", "-m", model, "-p", "a", "--isa", "z80"],
                ["tokenize", "-m", model],
                ["tokenize", "-m", model, "--hex", "-p", "zz"],
                ["logits", "-m", model, "-o", self.folder / "x"],
                ["logits", "-m", model, "-o", self.folder / "x", "--tokens", "1,two"],
                ["logits", "-m", model, "-o", self.folder / "x", "--tokens", "1,99999"],
                ["perplexity", "-m", model, "-p", "short"],
                ["bench", "-m", model, "-p", "0", "-n", "0"],
                ["synth", "-o", self.folder / "x", "--shape", "huge"],
                ["synth", "-o", self.folder / "x", "--type", "q3_k"]):
            _, errors = app.run(*arguments, code=2)
            self.assertTrue(errors.strip(), arguments)
        self.assertFalse((self.folder / "x").exists())

    def test_isa_error_names_the_alternatives(self):
        _, errors = app.run("run", "-m", self.synth(), "-p", "a", "--isa", "z80", code=2)
        self.assertIn("scalar", errors)

    def test_file_errors(self):
        model = self.synth().read_bytes()
        cases = {
            "empty.gguf": b"", "text.gguf": b"this is no model at all, is it?",
            "cut.gguf": model[: len(model) // 2], "head.gguf": model[:100],
            "old.gguf": b"lmgg" + model[4:]}
        for name, content in cases.items():
            path = self.folder / name
            path.write_bytes(content)
            _, errors = app.run("run", "-m", path, "-p", "a", code=3)
            self.assertIn("error:", errors)
            self.assertIn("hint:", errors)
            app.run("inspect", path, code=3)
        app.run("run", "-m", self.folder / "absent.gguf", "-p", "a", code=3)
        app.run("synth", "--shape", "tiny", "-o", self.folder / "no" / "such.gguf", code=3)
        app.run("tokenize", "-m", self.synth(), "-f", self.folder / "absent.txt", code=3)

    def test_unsupported(self):
        model = self.synth()
        for old, new in ((b"bitnet-b1.58", b"bytenet-9.99"),):
            path = self.folder / "other.gguf"
            path.write_bytes(model.read_bytes().replace(old, new))
            _, errors = app.run("run", "-m", path, "-p", "a", code=4)
            self.assertIn("bytenet-9.99", errors)
            out, _ = app.run("inspect", path)
            self.assertIn("does not run here", out)

    def test_memory(self):
        # 2^24 positions of a tiny model in float are 17 GB in all; more than a test may be given.
        limit = "ulimit -v 4000000; exec \"$0\" \"$@\""
        done = subprocess.run(
            ["sh", "-c", limit, app.APP, "run", "-m", self.synth(), "-p", "a", "-n", "1", "-c",
             str(1 << 24), "--kv", "f32"], capture_output=True, timeout=300, check=False)
        if b"AddressSanitizer" in done.stderr or b"ThreadSanitizer" in done.stderr:
            self.skipTest("sanitizers need more address space")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn(b"-c", done.stderr)

    def test_interrupt(self):
        process = subprocess.Popen(
            [app.APP, "run", "-m", self.synth(), "-p", "a", "-n", "-1", "-c", "100000",
             "--ignore-eos"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(process.stdout.read(1))  # it is generating
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 6, errors)
        self.assertIn(b"tokens/s", errors)

    def test_context_full(self):
        _, errors = app.run("run", "-m", self.synth(), "-p", "a " * 100, "-c", "16", code=1)
        self.assertIn("-c", errors)


if __name__ == "__main__":
    app.main()
