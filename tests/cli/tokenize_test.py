# SPDX-License-Identifier: Apache-2.0
"""Token ids: every way to give texts, and goldens of llama.cpp."""
import json

import app


def golden(line):
    """A line of a golden file as the app writes it."""
    return "" if line == "-" else line


class Tokenize(app.Case):
    def test_inputs_agree(self):
        model = self.synth()
        text = "some text, 12 3"
        (self.folder / "text").write_text(text)
        ids, errors = app.run("tokenize", "-m", model, "-p", text)
        self.assertRegex(ids, r"^304( \d+)+\n$")  # BOS first
        self.assertIn("tokens", errors)
        for arguments in (["-f", self.folder / "text"], ["-f", "-"], ["-f", "-", "--lines"]):
            self.assertEqual(app.run("tokenize", "-m", model, *arguments,
                                     stdin=text.encode())[0], ids)
        self.assertEqual(app.run("tokenize", "-m", model, "--hex", "-f", "-",
                                 stdin=text.encode().hex().encode())[0], ids)
        self.assertEqual(app.run_json("tokenize", "-m", model, "-p", text)["ids"],
                         [int(x) for x in ids.split()])
        self.assertEqual(app.run("tokenize", "-m", model, "-p", text, "--no-bos")[0],
                         ids.removeprefix("304 "))

    def test_lines(self):
        model = self.synth()
        out, _ = app.run("tokenize", "-m", model, "--lines", "--no-bos", "-f", "-",
                         stdin=b"a\n\nb c\n")
        lines = out.split("\n")
        self.assertEqual(len(lines), 4)
        self.assertEqual((lines[1], lines[3]), ("", ""))
        self.assertEqual(app.run_json("tokenize", "-m", model, "--hex", "--no-bos", "-f", "-",
                                      stdin=b"61\n-\n\n6220630a\n")["lines"][1:3], [[], []])

    def test_escape_and_special(self):
        model = self.synth()
        self.assertEqual(app.run("tokenize", "-m", model, "-e", "-p", r"a\nb")[0],
                         app.run("tokenize", "-m", model, "-p", "a\nb")[0])
        self.assertNotEqual(app.run("tokenize", "-m", model, "-p", r"a\nb")[0],
                            app.run("tokenize", "-m", model, "-p", "a\nb")[0])
        special = ["tokenize", "-m", model, "--no-bos", "-p", "<|eot_id|>"]
        self.assertEqual(app.run(*special, "--parse-special")[0], "313\n")
        self.assertNotEqual(app.run(*special)[0], "313\n")

    def test_fillers_are_reachable(self):
        model = self.synth()
        tokens = app.run("tokenize", "-m", model, "--no-bos", "--pieces", "--lines", "-f", "-",
                         stdin=b"ee\net\nea\n")[0]
        self.assertEqual(tokens, "256\t'ee'\n257\t'et'\n258\t'ea'\n")

    def test_goldens(self):
        folder = app.shared("conformance")
        if folder is None:
            return
        compared = 0
        for vocabulary in ("llama3", "llama-spm", "qwen3"):
            file = folder / "vocab" / f"{vocabulary}-vocab.gguf"
            for cases in ("standard", "hard", "fuzz"):
                for bos, special in ((0, 0), (1, 0), (0, 1)):
                    ids = (folder / "tokens" /
                           f"{cases}.{vocabulary}.add{bos}.parse{special}.ids")
                    if not ids.exists():
                        continue
                    arguments = ["tokenize", "-m", file, "--hex", "-f",
                                 folder / "tokens" / f"{cases}.cases.hex"]
                    arguments += [] if bos else ["--no-bos"]
                    arguments += ["--parse-special"] if special else []
                    out = app.run(*arguments)[0].split("\n")
                    expected = ids.read_text().split("\n")
                    self.assertEqual(len(out), len(expected))
                    for line, (a, b) in enumerate(zip(out, expected), 1):
                        if b != "!":
                            self.assertEqual(a, golden(b), f"{ids.name}:{line}")
                            compared += 1
        self.assertGreater(compared, 1000)

    def test_json_of_lines(self):
        out = app.run("tokenize", "-m", self.synth(), "--lines", "--json", "-p", "a\nb")[0]
        self.assertEqual(out.count("\n"), 1)
        self.assertEqual(len(json.loads(out)["lines"]), 2)


if __name__ == "__main__":
    app.main()
