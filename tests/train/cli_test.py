# SPDX-License-Identifier: Apache-2.0
"""bitnet-train from outside: python3 cli_test.py BITNET_TRAIN BITNET."""
import math
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

try:
    import pty
    import resource  # both absent on Windows
except ImportError:
    pty = resource = None

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import app  # noqa: E402  # lies beside the tests of the other program

BITNET = app.DATA  # the second argument
SHAPE = ["--vocab", "300", "--dim", "128", "--heads", "2", "--kv-heads", "1", "--layers", "1",
         "--ffn", "128", "--batch", "4", "--length", "32", "--warmup", "5", "--sample-every", "0",
         "--eval-every", "10", "--held-out", "0.2"]


class Train(app.Case):
    def setUp(self):
        super().setUp()
        words = random.Random(1)
        names, verbs, things = ["Tom", "Lily", "Ben"], ["saw", "had", "ate"], ["cake", "toy", "dog"]
        stories = ["\n".join(f"{words.choice(names)} {words.choice(verbs)} a {words.choice(things)}."
                             for _ in range(8)) for _ in range(60)]
        self.text = self.folder / "text.txt"
        self.text.write_text("\n<|endoftext|>\n".join(stories) + "\n<|endoftext|>\n")

    def train(self, name, *options, steps=30, code=0):
        path = self.folder / name
        out, errors = app.run(self.text, "-o", path, "--steps", steps, *SHAPE, *options, code=code)
        return path, out, errors

    def test_help(self):
        out, errors = app.run("--help")
        self.assertEqual(errors, "")
        for word in ("--quantizer", "--minutes", "--resume", "Example:", "Exit codes"):
            self.assertIn(word, out)

    def test_usage_errors(self):
        out = self.folder / "x.gguf"
        cases = [[], [self.text], [self.text, "-o", out], ["-o", out, "--steps", "3"],
                 [self.text, "-o", out, "--steps", "3", "--quantizer", "nonsense"],
                 [self.text, "-o", out, "--steps", "3", "--arch", "nonsense"],
                 [self.text, "-o", out, "--steps", "3", "--vocab", "100"],
                 [self.text, "-o", out, "--steps", "3", "--minutes", "3"],
                 [self.text, "-o", out, "--steps", "3", *SHAPE, "--dim", "100", "--heads", "3"],
                 [self.text, "-o", out, "--steps", "3", *SHAPE, "--dim", "96"],
                 [self.text, "-o", out, "--steps", "3", *SHAPE, "--lr", "-1"],
                 [self.text, "-o", out, "--steps", "3", *SHAPE, "--type", "nonsense"],
                 [self.text, "-o", out, "--steps", "-3", *SHAPE],
                 [self.text, "-o", out, "--steps", "3", *SHAPE, "--seed", "-1"],
                 [self.text, "-o", out, "--steps", "3", *SHAPE, "--resume", "--force"],
                 [self.text, "-o", out, "--steps", "3", *SHAPE, "--separator", "nowhere"]]
        for arguments in cases:
            _, errors = app.run(*arguments, code=2)
            self.assertTrue(errors.strip(), arguments)
        self.assertFalse(out.exists())
        app.run(self.folder / "absent.txt", "-o", out, "--steps", "3", code=3)
        app.run(self.text, "-o", self.folder / "no" / ("x" * 300), "--steps", "3", code=3)

    def test_errors_say_what_to_do(self):
        short = self.folder / "short.txt"
        short.write_text("One story.<|endoftext|>Two.")
        cases = ((short, ["--length", "64"], "--length 64"), (short, ["--held-out", "0"], "--valid"),
                 (self.text, ["--type", "q1_0"], "--type"), (self.text, ["--type", "x"], "tq2_0"),
                 (self.text, ["--quantizer", "x"], "grouped-binary"),
                 (self.text, ["--kv-heads", "3"], "--kv-heads"),
                 (self.text, ["--batch", "60000", "--length", "1000"], "--accumulate"),
                 (self.text, ["-q", "grouped-binary", "--ffn", "160"], "--ffn"))
        for text, options, word in cases:
            options = dict(zip(SHAPE[::2], SHAPE[1::2])) | dict(zip(options[::2], options[1::2]))
            _, errors = app.run(text, "-o", self.folder / "x.gguf", "--steps", "3",
                                *sum(options.items(), ()), code=2)
            self.assertIn(word, errors)
            self.assertFalse((self.folder / "x.gguf").exists())

    def test_nothing_is_replaced_unasked(self):
        before = self.text.read_bytes()
        for path in (self.text, self.folder / "." / self.text.name):
            _, errors = app.run(self.text, "-o", path, "--steps", "3", *SHAPE, "--force", code=2)
            self.assertIn("is read", errors)
            self.train("x.gguf", "--plot", path, steps=2, code=2)
            self.train("x.gguf", "--valid", self.text, "-o", path, steps=2, code=2)
        held = self.folder / "held-out.txt"
        held.write_bytes(before)
        _, _, errors = self.train("x.gguf", "--valid", held, "--plot", held, steps=2, code=2)
        self.assertIn("is read", errors)
        self.assertEqual((self.text.read_bytes(), held.read_bytes()), (before, before))
        path = self.folder / "model.gguf"
        path.write_bytes(b"precious")
        for options in ((), ("--resume",)):
            _, _, errors = self.train(path.name, *options, steps=2, code=2)
            self.assertIn("--force", errors)
        self.assertEqual(path.read_bytes(), b"precious")
        self.train(path.name, "--force", steps=2)
        model = path.read_bytes()
        _, _, errors = self.train(path.name, steps=3, code=2)
        self.assertIn("--resume", errors)
        self.assertEqual(path.read_bytes(), model)
        _, _, errors = self.train(path.name, "--force", steps=3)
        self.assertNotIn("going on", errors)

    def test_a_book_without_separators(self):
        book = self.folder / "book.txt"
        book.write_text(self.text.read_text().replace("<|endoftext|>", "") * 10)
        out, errors = app.run(book, "-o", self.folder / "book.gguf", "--steps", "2", *SHAPE[:-2])
        parts, held = re.search(r"(\d+) documents.*held out (\d+),", errors).groups()
        self.assertGreater(int(parts), 2)
        self.assertGreater(int(held), 0)
        self.assertIn("Once", out)

    def test_text_is_streamed(self):
        """One document of 20 MB, in 32 MB of memory of its own (besides the mapped files)."""
        if resource is None or "/asan/" in app.APP:
            self.skipTest("no limits on memory here")
        book = self.folder / "book.txt"
        book.write_text(self.text.read_text().replace("<|endoftext|>", "") * 3000)
        self.assertGreater(book.stat().st_size, 16 << 20)
        most = 32 << 20
        done = subprocess.run(
            [app.APP, book, "-o", self.folder / "book.gguf", "--steps", "2", *SHAPE[:-2]],
            capture_output=True, timeout=300, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (most, most)))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_batches_of_a_step_count_as_one(self):
        one, _, _ = self.train("one.gguf", "-q", "none", steps=10)
        options = [x if before != "--batch" else "1" for before, x in zip([""] + SHAPE, SHAPE)]
        path = self.folder / "parts.gguf"
        app.run(self.text, "-o", path, "--steps", 10, *options, "-q", "none", "--accumulate", "4")
        losses = [float(self.losses(p)[1].split(",")[2]) for p in (one, path)]
        self.assertAlmostEqual(losses[0], losses[1], delta=1e-3)
        self.assertLess(losses[0], 5.6)  # ln 300 = 5.7

    def test_progress(self):
        seen = r"\d+ tokens/s, (\d+:)?\d\d:\d\d left"
        _, _, errors = self.train("plain.gguf", steps=10)
        self.assertRegex(errors, "step 10/10: loss|" + seen)
        self.assertNotIn("\r", errors)
        if pty is None:
            self.skipTest("no terminals here")
        options = [x if before != "--eval-every" else "100000"
                   for before, x in zip([""] + SHAPE, SHAPE)]
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [app.APP, self.text, "-o", self.folder / "seen.gguf", "--minutes", "0.02",
             *options], stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while more := os.read(ours, 65536):
                shown += more
        except OSError:
            pass  # Linux says so when the other side has closed
        os.close(ours)
        self.assertEqual(process.wait(timeout=120), 0)
        self.assertRegex(shown.decode("utf-8", "replace"),
                         r"\r[^\n]*training[^\n]*loss [\d.]+, " + seen)

    def test_learns_and_writes_a_model_that_runs(self):
        plot = self.folder / "losses.svg"
        path, out, errors = self.train("model.gguf", "--plot", plot, "--prompt", "Tom", steps=60)
        self.assertIn("Tom", out)
        rows = (self.folder / "model.gguf.run" / "losses.csv").read_text().splitlines()
        self.assertEqual(rows[0], "step,train,valid,seconds")
        losses = [float(row.split(",")[2]) for row in rows[1:]]
        self.assertEqual(len(losses), 6)
        self.assertLess(losses[-1], 0.8 * losses[0])
        self.assertIn("held-out loss", errors)
        self.assertTrue(plot.read_text().startswith("<svg"))
        done = subprocess.run([BITNET, "run", "-m", path, "-p", "Tom", "-n", "8", "--temp", "0"],
                              capture_output=True, timeout=300, check=True)
        self.assertTrue(done.stdout.startswith(b"Tom"))

    def engine_loss(self, model):
        """Nats a token of the held-out tokens of the model's run, from scores of the engine."""
        data = (self.folder / f"{model.name}.run" / "valid.tokens").read_bytes()[24:-16]
        ids = [int.from_bytes(data[i:i + 2], "little") for i in range(0, len(data), 2)]
        total = 0.0
        for first in range(0, len(ids) - 1, 32):
            known, targets = ids[first:first + 32], ids[first + 1:first + 33]
            known = known[:len(targets)]
            done = subprocess.run([BITNET, "logits", "-m", model, "--tokens",
                                   ",".join(map(str, known)), "-o", "-"], capture_output=True,
                                  timeout=300, check=True)
            scores = app.floats(done.stdout)
            width = len(scores) // len(known)
            for i, target in enumerate(targets):
                row = scores[i * width:(i + 1) * width]
                total += math.log(sum(math.exp(x - row[target]) for x in row))
        return total / (len(ids) - 1)

    def test_the_held_out_loss_is_that_of_the_file(self):
        """What is measured in training is what the engine computes from the file."""
        for options in ((), ("-q", "mine"), ("-a", "llama", "-q", "grouped-binary"),
                        ("-a", "qwen3", "-q", "none"), ("--type", "tq1_0", "--dim", "256", "--ffn",
                                                        "256", "--embedding", "q8_0")):
            kept = [x for name, value in zip(SHAPE[::2], SHAPE[1::2]) if name not in options
                    for x in (name, value)]
            path = self.folder / "model.gguf"
            _, errors = app.run(self.text, "-o", path, "--steps", 12, *kept, *options, "--force")
            said = float(re.search(r"held-out loss ([\d.]+) nats", errors)[1])
            self.assertAlmostEqual(self.engine_loss(path), said, delta=3e-4, msg=options)

    def test_the_best_model_is_written(self):
        """Noise that is learned by heart: the held-out loss rises again, and the file is from before."""
        letters = random.Random(3)
        self.text.write_text("<|endoftext|>".join(
            "".join(letters.choice("abcdefghijklmnop") for _ in range(200)) for _ in range(30)))
        path, _, errors = self.train("model.gguf", "-q", "none", steps=120)
        losses = [float(row.split(",")[2]) for row in self.losses(path)[1:]]
        self.assertGreater(losses[-1], min(losses) + 0.01)
        said = float(re.search(r"held-out loss ([\d.]+) nats", errors)[1])
        self.assertAlmostEqual(said, min(losses), delta=1e-4)
        self.assertAlmostEqual(self.engine_loss(path), said, delta=3e-4)

    def test_quantizers_architectures_and_types(self):
        sizes = {}
        for quantizer in ("ternary", "binary", "centered-binary", "grouped-ternary",
                          "grouped-binary", "none", "mine"):
            path, _, _ = self.train(f"{quantizer}.gguf", "-q", quantizer, steps=2)
            sizes[quantizer] = path.stat().st_size
        self.assertLess(sizes["binary"], sizes["ternary"])
        self.assertLess(sizes["ternary"], sizes["none"])
        for architecture in ("bitnet", "llama", "qwen3"):
            self.train(f"{architecture}.gguf", "-a", architecture, "-q", "binary", steps=2)
        path, _, _ = self.train("f16.gguf", "-q", "none", "--type", "f16", steps=2)
        self.assertLess(path.stat().st_size, sizes["none"])

    def test_the_same_command_gives_the_same_bytes_with_any_threads(self):
        one, _, _ = self.train("one.gguf", "--name", "x")
        two, _, _ = self.train("two.gguf", "--name", "x", "--threads", "3")
        self.assertEqual(one.read_bytes(), two.read_bytes())
        other, _, _ = self.train("other.gguf", "--name", "x", "--seed", "2")
        self.assertNotEqual(one.read_bytes(), other.read_bytes())

    def losses(self, path):
        """Steps, training and held-out losses of a run: the table without its times."""
        table = (path.parent / f"{path.name}.run" / "losses.csv").read_text()
        return [row.rsplit(",", 1)[0] for row in table.splitlines()]

    def stop(self, name, with_signal, steps):
        """Ends a run by a signal once it has a checkpoint of its own; returns its exit code."""
        path = self.folder / name
        checkpoint = self.folder / f"{name}.run" / "checkpoint"
        process = subprocess.Popen(
            [app.APP, self.text, "-o", path, "--steps", str(steps), *SHAPE,
             "--checkpoint-minutes", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while not checkpoint.exists():
            self.assertLess(time.monotonic(), end)
            self.assertIsNone(process.poll())
            time.sleep(0.005)
        process.send_signal(with_signal)
        process.wait(timeout=120)
        return path, process.returncode

    def test_a_killed_run_goes_on_with_the_same_bits(self):
        steps = 400
        whole, samples, _ = self.train("whole.gguf", steps=steps)
        for name, kill, code in (("killed.gguf", signal.SIGKILL, -signal.SIGKILL),
                                 ("stopped.gguf", signal.SIGINT, 6)):
            path, returned = self.stop(name, kill, steps)
            self.assertEqual(returned, code)
            # Other options would be another run.
            _, _, errors = self.train(name, "--resume", "--lr", "0.001", steps=steps, code=2)
            self.assertIn("--resume", errors)
            _, out, errors = self.train(name, "--resume", steps=steps)
            self.assertIn("going on at step", errors)
            self.assertEqual(path.read_bytes(), whole.read_bytes())
            self.assertEqual(self.losses(path), self.losses(whole))
            self.assertEqual(out, samples)

    def test_killed_again_and_again(self):
        """Kills at any moment, while a checkpoint is written too, until the run is through."""
        steps = 300
        whole, samples, _ = self.train("whole.gguf", steps=steps)
        moments, path = random.Random(2), self.folder / "killed.gguf"
        kills = 0
        for attempt in range(100):
            process = subprocess.Popen(
                [app.APP, self.text, "-o", path, "--steps", str(steps), *SHAPE, "--resume",
                 "--checkpoint-minutes", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                out, _ = process.communicate(timeout=300 if attempt == 12 else
                                             moments.uniform(0.02, 0.4))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                self.assertFalse(path.exists() and path.stat().st_size != whole.stat().st_size)
        self.assertEqual(process.returncode, 0)
        self.assertGreater(kills, 2)
        self.assertEqual(path.read_bytes(), whole.read_bytes())
        self.assertEqual(self.losses(path), self.losses(whole))
        self.assertEqual(out.decode("utf-8", "replace"), samples)

    def test_no_space(self):
        """A full disk ends the run with an error, and the last checkpoint stays good."""
        if resource is None:
            self.skipTest("no limits on file sizes here")
        whole, _, _ = self.train("whole.gguf", steps=40)
        path, _, _ = self.train("model.gguf", "--session-minutes", "0.01", steps=40)
        checkpoint = self.folder / "model.gguf.run" / "checkpoint"
        size = checkpoint.stat().st_size // 2
        done = subprocess.run(
            [app.APP, self.text, "-o", path, "--steps", "40", *SHAPE, "--resume",
             "--checkpoint-minutes", "0"], capture_output=True, timeout=300, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(b"not full", done.stderr)
        self.assertEqual([p for p in checkpoint.parent.iterdir() if ".part" in p.name], [])
        self.train("model.gguf", "--resume", steps=40)
        self.assertEqual(path.read_bytes(), whole.read_bytes())

    def test_damaged_checkpoint(self):
        self.train("model.gguf", steps=5)
        checkpoint = self.folder / "model.gguf.run" / "checkpoint"
        data = bytearray(checkpoint.read_bytes())
        data[len(data) // 2] ^= 1
        checkpoint.write_bytes(data)
        _, _, errors = self.train("model.gguf", "--resume", steps=5, code=3)
        self.assertIn("checksum", errors)

    def test_session_limit(self):
        path, _, errors = self.train("model.gguf", "--session-minutes", "0.01", steps=1000000)
        self.assertIn("--resume goes on", errors)
        self.assertTrue(path.exists())

    def test_plot_of_earlier_runs(self):
        self.train("a.gguf", steps=10)
        self.train("b.gguf", "-q", "binary", steps=10)
        plot = self.folder / "both.svg"
        app.run("--plot", plot, "--compare", f"A={self.folder / 'a.gguf.run' / 'losses.csv'}",
                "--compare", f"B={self.folder / 'b.gguf.run' / 'losses.csv'}")
        text = plot.read_text()
        self.assertIn(">A</text>", text)
        self.assertIn(">B</text>", text)


if __name__ == "__main__":
    app.main()
