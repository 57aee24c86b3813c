# SPDX-License-Identifier: Apache-2.0
"""Files of `bitnet quantize` and `bitnet convert` say the same to llama.cpp's family as to us.

Eight-bit inputs alone move the scores of these random networks by 2 %, so that the distance between
engines shows gross errors only. What shows a scale that is off by 2 % is its direction: scores of
another engine must lie nearer to those of the file than to those of one with such a scale.
"""
import itertools

import app
import rivals

MATRICES = ("blk.0.attn_output.weight", "blk.1.ffn_down.weight")
ERROR = 1.02


def shift(scores, right, wrong):
    """How far scores lie on the way from right to wrong: 0 for right ones, 1 for wrong ones."""
    way = [w - r for w, r in zip(wrong, right)]
    return sum((s - r) * x for s, r, x in zip(scores, right, way)) / sum(x * x for x in way)


class Rivals(app.Case):
    def make(self, golden, model):
        return rivals.make(model, golden.how, golden.type, self.folder)

    def compare(self, goldens, model):
        """Goldens of one file against what that file, made of `model`, says here."""
        first = goldens[0]
        made = self.make(first, model)
        usual = rivals.scores_of(made, first.model)
        exact = rivals.scores_of(made, first.model, "--exact")
        for golden in goldens:
            theirs = golden.read()
            for ours in usual, exact:
                self.assertLessEqual(app.relative_rms(ours, theirs), 1.5 * golden.tolerance)
        for matrix in MATRICES:
            wrong = self.make(first, rivals.scaled(model, self.folder / "wrong.gguf", matrix,
                                                   ERROR))
            wrong = rivals.scores_of(wrong, first.model, "--exact")
            for golden in goldens:
                self.assertLess(abs(shift(golden.read(), exact, wrong)), 0.5,
                                (golden.path.name, matrix))

    def test_scores(self):
        count = 0
        for file, goldens in itertools.groupby(rivals.goldens(), key=lambda g: g.file):
            with self.subTest(file):
                self.compare(list(goldens), rivals.model_path(file[0], ".gguf"))
                count += 1
        self.assertGreater(count, 12)

    def test_an_error_is_found(self):
        for kind in ("i2_s", "q8_0"):
            goldens = [g for g in rivals.goldens() if g.file == ("bitnet-tq1_0", "quantize", kind)]
            for matrix in MATRICES:
                model = rivals.scaled(rivals.model_path("bitnet-tq1_0", ".gguf"),
                                      self.folder / "model.gguf", matrix, ERROR)
                with self.assertRaises(AssertionError):
                    self.compare(goldens, model)


if __name__ == "__main__":
    app.main()
