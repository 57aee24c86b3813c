# SPDX-License-Identifier: Apache-2.0
"""Generation: determinism, limits, stops, chat, and text of a trained model."""
import json
import pathlib
import re

import app

MODELS = pathlib.Path(__file__).resolve().parents[2] / "examples/models"


class Run(app.Case):
    def test_greedy_is_deterministic(self):
        model = self.synth()
        arguments = ["run", "-m", model, "-p", "hello", "-n", "24", "--temp", "0"]
        first = app.run(*arguments)[0]
        self.assertEqual(app.run(*arguments, "-t", "1", "--seed", "9")[0], first)
        self.assertEqual(app.run(*arguments, "--isa", "scalar", "-b", "1")[0], first)

    def test_prompt_from_file(self):
        arguments = ["run", "-m", self.synth(), "-n", "4", "--temp", "0"]
        self.assertEqual(app.run(*arguments, "-f", "-", stdin=b"hello\n")[0],
                         app.run(*arguments, "-p", "hello")[0])
        whole = app.run(*arguments, "-p", "hello")[0]
        self.assertEqual(whole, "hello" + app.run(*arguments, "-p", "hello",
                                                  "--no-display-prompt")[0])

    def test_seed(self):
        model = self.synth()
        arguments = ["run", "-m", model, "-p", "hello", "-n", "24", "--temp", "1", "--ignore-eos"]
        one = app.run_json(*arguments, "--seed", "1")
        self.assertEqual(app.run_json(*arguments, "--seed", "1")["tokens"], one["tokens"])
        self.assertNotEqual(app.run_json(*arguments, "--seed", "2")["tokens"], one["tokens"])
        again = app.run_json(*arguments)
        repeated = app.run_json(*arguments, "--seed", str(again["seed"]))
        self.assertEqual(repeated["tokens"], again["tokens"])

    def test_json(self):
        out = app.run_json("run", "-m", self.synth(), "-p", "hello", "-n", "5", "--ignore-eos",
                           "--temp", "0")
        self.assertEqual(len(out["tokens"]), 5)
        self.assertEqual((out["generated_tokens"], out["stop_reason"]), (5, "max tokens"))
        for key in ("text", "prompt_tokens", "prefill_tokens_per_s", "decode_tokens_per_s", "isa",
                    "threads", "load_s"):
            self.assertIn(key, out)

    def test_statistics_are_not_results(self):
        model = self.synth()
        out, errors = app.run("run", "-m", model, "-p", "hello", "-n", "3", "--temp", "0")
        text = app.run_json("run", "-m", model, "-p", "hello", "-n", "3", "--temp", "0")["text"]
        self.assertEqual(out, "hello" + text + "\n")
        self.assertIn("tokens/s", errors)
        self.assertNotIn("\x1b", errors)  # no colours and no bars for a pipe

    def test_stop(self):
        model = self.synth()
        arguments = ["run", "-m", model, "-p", "hello", "-n", "40", "--temp", "0", "--ignore-eos"]
        text = app.run_json(*arguments)["text"]
        stop = text[len(text) // 2:][:2]
        out = app.run_json(*arguments, "--stop", "\x01never", "--stop", stop)
        self.assertEqual(out["text"], text[:text.index(stop)])
        self.assertEqual(out["stop_reason"], "stop string")

    def test_context(self):
        model = self.synth()
        out = app.run_json("run", "-m", model, "-p", "hello", "-n", "-1", "-c", "20",
                           "--ignore-eos")
        self.assertEqual(out["stop_reason"], "context full")
        self.assertEqual(out["prompt_tokens"] + out["generated_tokens"], 21)

    def test_nothing_to_generate(self):
        self.assertEqual(app.run("run", "-m", self.synth(), "-p", "hello", "-n", "0")[0],
                         "hello\n")

    def test_repetition_penalty(self):
        model = self.synth()
        arguments = ["run", "-m", model, "-p", "hello", "-n", "30", "--temp", "0", "--ignore-eos"]
        plain = app.run_json(*arguments)["tokens"]
        varied = app.run_json(*arguments, "--repeat-penalty", "1.5")["tokens"]
        self.assertGreater(len(set(varied)), len(set(plain)))

    def test_choices(self):
        arguments = ["run", "-m", self.synth(), "-p", "hello", "--temp", "5", "--choice", " yes",
                     "--choice", " no", "--choice", " no, never"]
        texts = set()
        for seed in range(12):
            out = app.run_json(*arguments, "--seed", seed)
            self.assertTrue(out["whole"])
            self.assertIn(out["stop_reason"], ("complete", "end of text"))
            texts.add(out["text"])
        self.assertLessEqual(texts, {" yes", " no", " no, never"})
        self.assertGreater(len(texts), 1)
        short, errors = app.run(*arguments, "-n", "0")
        self.assertEqual(short, "hello\n")
        self.assertIn("too soon", errors)

    def test_grammar(self):
        grammar = self.folder / "sum.gbnf"
        grammar.write_text('root ::= " " n (" + " n){1,3}\nn ::= [1-9] [0-9]{0,2} # small\n')
        arguments = ["run", "-m", self.synth(), "-p", "hello", "--temp", "2"]
        for seed in range(6):
            out = app.run_json(*arguments, "--seed", seed, "--grammar", grammar)
            self.assertRegex(out["text"], r"^ [1-9]\d{0,2}( \+ [1-9]\d{0,2}){1,3}$")
        grammar.write_text('root ::= "a"\n  b ::= c\n')
        _, errors = app.run(*arguments, "--grammar", grammar, code=2)
        self.assertIn("line 2, column 9: c", errors)
        app.run(*arguments, "--grammar", grammar, "--choice", "a", code=2)
        app.run(*arguments, "--grammar", self.folder / "none.gbnf", code=3)

    def test_chat(self):
        for shape, text in (("tiny", "System: be kind<|eot_id|>User: hi<|eot_id|>Assistant: "),):
            model = self.folder / "chat.gguf"
            app.run("synth", "--shape", shape, "-o", model)
            out = app.run_json("run", "-m", model, "-p", "hi", "--chat", "--system", "be kind",
                               "-n", "4", "--temp", "0")
            raw = app.run_json("run", "-m", model, "-p", text, "--parse-special", "-n", "4",
                               "--temp", "0")
            self.assertEqual(out["prompt_tokens"], raw["prompt_tokens"])
            self.assertEqual(out["tokens"], raw["tokens"])

    def test_conversation(self):
        model = self.synth()
        arguments = ["run", "-m", model, "--chat", "-n", "6", "--temp", "0"]
        first = app.run(*arguments, "-p", "hi")[0]
        out, errors = app.run(*arguments, stdin=b"hi\n\nand you?\n")
        self.assertTrue(out.startswith(first))
        answer = first.removesuffix("\n")
        raw = app.run("run", "-m", model, "-n", "6", "--temp", "0", "--parse-special",
                      "--no-display-prompt", "-p",
                      f"User: hi<|eot_id|>Assistant: {answer.strip()}<|eot_id|>"
                      "User: and you?<|eot_id|>Assistant: ")[0]
        self.assertEqual(out, first + raw)
        out, errors = app.run(*arguments, "-c", "48", stdin=b"hi there\n" * 6)
        self.assertIn("forgotten", errors)
        app.run(*arguments, "-c", "16", stdin=b"far too much to say at once " * 9, code=1)
        app.run(*arguments, "--json", stdin=b"hi\n", code=2)

    def test_models_that_come_along_tell_the_stories_of_their_card(self):
        card = (MODELS / "README.md").read_text(encoding="ascii")
        stories = re.findall(r"((?:^>.*\n?)+)", card, re.M)
        commands = re.findall(r"^(?:`bitnet run -m |The same of `)(.*?\.gguf).*?--seed (\d+)`:$",
                              card, re.M)
        self.assertEqual(len(commands), 2)
        self.assertEqual(len(stories), 2)
        for (model, seed), story in zip(commands, stories):
            told, _ = app.run("run", "-m", MODELS / model, "-p", "Once upon a time", "--temp",
                              "0.4", "--top-p", "0.9", "--repeat-penalty", "1.08", "--seed", seed,
                              "-n", "240")
            lines = [line[1:].strip() for line in story.splitlines()]
            self.assertEqual([line.strip() for line in told.splitlines()], lines)

    def test_trained_model(self):
        golden = app.shared("models/bitllama2/golden_3M_greedy.json")
        if golden is None:
            return
        expected = json.loads(golden.read_text())
        for kind in ("F16", "TQ1_0", "TQ2_0"):
            model = golden.with_name(f"bitllama2-3M-{kind}.gguf")
            out = app.run_json("run", "-m", model, "-p", "", "-n", "32", "--temp", "0")
            self.assertEqual(out["tokens"], expected["ids"][1:33], kind)


if __name__ == "__main__":
    app.main()
