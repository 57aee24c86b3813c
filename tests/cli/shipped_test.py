# SPDX-License-Identifier: Apache-2.0
"""The models that come along are what their card says, and quickstart's command tells its story."""
import pathlib
import re
import shlex

import app

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODELS = ROOT / "examples" / "models"
CARD = (MODELS / "README.md").read_text(encoding="utf-8")
NAMES = ("stories-ternary.gguf", "stories-binary.gguf")


class Shipped(app.Case):
    def samples(self):
        """Quoted texts of the card, in order."""
        texts = re.findall(r"(?:^> .*\n)+", CARD, re.M)
        return ["\n".join(line[2:].rstrip() for line in t.splitlines()) for t in texts]

    def story(self, name, options):
        out, _ = app.run("run", "-m", MODELS / name, *options)
        return out.strip()

    def test_files(self):
        for name in NAMES:
            size = (MODELS / name).stat().st_size
            self.assertLessEqual(size, 1.5e6)
            self.assertRegex(CARD, rf"`{name}` \|[^|]*\| {size / 1e6:.2f} MB \|")
            seen = app.run_json("inspect", MODELS / name)
            self.assertTrue(seen["runs"])
            self.assertEqual(seen["suspicious"], [])
            self.assertEqual(seen["metadata"]["general.architecture"], "bitnet-b1.58")
            kind = "i2_s" if "ternary" in name else "q1_0"
            matrices = seen["types"][kind]["weights"]
            self.assertRegex(CARD, rf"{matrices / 1e6:.2f} M parameters in matrices")
            embedding = seen["types"]["q8_0"]["weights"]
            self.assertRegex(CARD, rf"{embedding / 1e6:.2f} M in the embedding")

    def test_losses(self):
        """The table's columns agree, and the ternary model is within 5 % of the float one."""
        rows = re.findall(r"^\|.*\| ([\d.]+) \| ([\d.]+) \| *([\d.]*) ?%? *\|$", CARD, re.M)
        self.assertEqual(len(rows), 3)
        nats = [float(row[0]) for row in rows]
        for loss, row in zip(nats, rows):
            self.assertAlmostEqual(float(row[1]) / loss, float(rows[0][1]) / nats[0], delta=5e-4)
        for loss, row in zip(nats[:2], rows):
            self.assertAlmostEqual(100 * (loss / nats[2] - 1), float(row[2]), delta=0.06)
        self.assertLess(nats[0], 1.05 * nats[2])

    def test_samples(self):
        commands = re.findall(r"`bitnet run -m (\S+) ([^`]*)`", CARD)
        self.assertEqual([name for name, _ in commands], [NAMES[0]])
        options = shlex.split(commands[0][1])
        ternary, binary = self.samples()
        self.assertEqual(self.story(NAMES[0], options), ternary)
        seed = re.search(r"`stories-binary.gguf`, `--seed (\d+)`", CARD)[1]
        options[options.index("--seed") + 1] = seed
        self.assertEqual(self.story(NAMES[1], options), binary)

    def test_quickstart_tells_the_story_of_the_card(self):
        script = (ROOT / "examples" / "quickstart.sh").read_text(encoding="utf-8")
        self.assertIn("examples/models/" + NAMES[0], script)
        options = re.search(r'bin/bitnet" run -m "\$model" (.*)', script.replace("\\\n", " "))[1]
        for threads in ("1", "2"):
            told = self.story(NAMES[0], [*shlex.split(options), "-t", threads])
            self.assertEqual(told, self.samples()[0])


if __name__ == "__main__":
    app.main()
