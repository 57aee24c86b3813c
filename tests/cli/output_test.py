# SPDX-License-Identifier: Apache-2.0
"""Model files appear whole or not at all: no space, a killed process, an input as the output."""
import os
import pathlib
import random
import signal
import subprocess
import time

import app
import huggingface as hf

try:
    import resource  # absent on Windows
except ImportError:
    resource = None


def writers(model, out):
    """Command lines that write `out`, most of them from `model`."""
    folder = model.parent / "hf"
    if not folder.exists():
        hf.write_folder(folder, hf.Gguf(model), ternary="multiply")
    return [["tile", model, "-o", out, "--force"],
            ["quantize", model, out, "--force", "--type", "tq2_0"],
            ["repair", model, out, "--force", "--pre", "qwen2"],
            ["convert", folder, "-o", out, "--force"],
            ["synth", "--shape", "tiny", "-o", out]]


class Output(app.Case):
    def leftovers(self):
        return sorted(p.name for p in self.folder.iterdir() if ".part" in p.name)

    def test_no_space(self):
        if resource is None:
            self.skipTest("no limits on file sizes here")
        model, out = self.synth(), self.folder / "out.gguf"
        for arguments in writers(model, out):
            size = model.stat().st_size // 3
            for before in (None, b"an older file"):
                out.unlink(missing_ok=True)
                if before is not None:
                    out.write_bytes(before)
                done = subprocess.run(
                    [app.APP, *map(str, arguments)], capture_output=True, timeout=300, check=False,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
                self.assertEqual(done.returncode, 3, (arguments, done.stderr))
                self.assertIn(b"cannot be written", done.stderr)
                self.assertEqual(self.leftovers(), [])
                self.assertEqual(out.read_bytes() if out.exists() else None, before)

    def test_killed(self):
        out = self.folder / "out.gguf"
        out.write_bytes(b"an older file")
        for number in (signal.SIGKILL, signal.SIGTERM):
            process = subprocess.Popen([app.APP, "synth", "--shape", "2b4t", "-o", str(out)],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            part = pathlib.Path(str(out) + ".part0")
            deadline = time.monotonic() + 120
            while not (part.exists() and part.stat().st_size > 1 << 20):
                self.assertLess(time.monotonic(), deadline)
                self.assertIsNone(process.poll(), "ended before it was killed")
                time.sleep(0.005)
            process.send_signal(number)
            process.communicate()
            self.assertNotEqual(process.returncode, 0)
            self.assertEqual(out.read_bytes(), b"an older file")
            part.unlink()
        app.run("synth", "--shape", "tiny", "-o", out)  # what is left disturbs nobody
        self.assertEqual(self.leftovers(), [])
        app.run("inspect", out)

    def test_killed_at_any_moment(self):
        """Under the final name lies the older file or the whole new one, nothing else."""
        model, out = self.synth(), self.folder / "out.gguf"
        moments = random.Random(1)
        for arguments in writers(model, out):
            app.run(*arguments)
            whole = out.read_bytes()
            seen = set()
            for _ in range(40):
                out.write_bytes(b"an older file")
                process = subprocess.Popen([app.APP, *map(str, arguments)],
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                part = pathlib.Path(str(out) + ".part0")
                if moments.random() < 0.5:  # while it writes, which is not long
                    while process.poll() is None and not part.exists():
                        pass
                else:
                    time.sleep(moments.uniform(0.0, 0.02))
                process.kill()
                process.wait()
                seen.add(out.read_bytes())
                part.unlink(missing_ok=True)
            self.assertLessEqual(seen, {b"an older file", whole}, arguments)
            self.assertIn(b"an older file", seen, arguments)

    def test_interrupted(self):
        out = self.folder / "out.gguf"
        process = subprocess.Popen([app.APP, "synth", "--shape", "2b4t", "-o", str(out)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not self.leftovers():
            self.assertIsNone(process.poll())
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        process.communicate()
        self.assertEqual(process.returncode, 6)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_input_is_not_replaced(self):
        model = self.synth()
        content = model.read_bytes()
        hard, soft = self.folder / "hard.gguf", self.folder / "soft.gguf"
        os.link(model, hard)
        soft.symlink_to(model)
        for path in (model, hard, soft, self.folder / "." / ".." / self.folder.name / "tiny.gguf"):
            for arguments in writers(model, path)[:3]:
                _, errors = app.run(*arguments, code=2)
                self.assertIn("being read", errors)
        self.assertEqual(model.read_bytes(), content)
        self.assertEqual(self.leftovers(), [])


if __name__ == "__main__":
    app.main()
