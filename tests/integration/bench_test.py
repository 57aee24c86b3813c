# SPDX-License-Identifier: Apache-2.0
"""The scripts of bench/: python3 bench_test.py BENCH_FOLDER.

Between bench/old.json and bench/new.json here, one benchmark became 10 % slower by its best
repetition and one, measured in real time, twice as fast.
"""
import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import compare  # noqa: E402
import examples  # noqa: E402
import plot  # noqa: E402
import run  # noqa: E402

FIXTURES = pathlib.Path(__file__).parent / "bench"
OLD, NEW = str(FIXTURES / "old.json"), str(FIXTURES / "new.json")


def call(main, *arguments):
    """Exit code and output of a script's main."""
    with io.StringIO() as out, io.StringIO() as errors:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                code = main(list(map(str, arguments)))
            except SystemExit as end:
                code = end.code
        return code, out.getvalue(), errors.getvalue()


def app_result(prefill, decode, **more):
    return {"model": "folder/a.gguf", "isa": "x", "threads": 1, "depth": 0, "kv": "f16",
            "prompt_tokens": 8, "generated_tokens": 4, "prefill_tokens_per_s": prefill,
            "decode_tokens_per_s": decode, "read_gb_per_s": 20.0, "peak_gmac_per_s": 100.0,
            "decode_read_gb_per_s": decode, "prefill_gmac_per_s": prefill,
            "decode_share_of_read": decode / 20.0, "prefill_share_of_peak": prefill / 100.0,
            "decode_parts": {"ms_per_token": 1e3 / decode, **{
                part: {"ms_per_token": 250 / decode, "share": 0.25}
                for part in ("weights", "head", "attention", "rest")}}, "prefill_parts": {},
            "load_s": 1.0, "first_token_s": 2.0, **more}


@unittest.skipUnless(os.path.exists("/usr/bin/time"), "the package time is not installed")
class Examples(unittest.TestCase):
    """bench/examples.py with a compiler whose programs say what real ones would."""

    SAID = {"game_npc": "median 2.10 ms, 99.9th percentile 6.12 ms, worst 6.13 ms",
            "robot_commands": "3 sentences, 3 commands in time, 2.7 ms at most",
            "custom_format": "the same bits on every instruction set"}

    def run_with(self, compiler, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            tools = pathlib.Path(folder)
            for name, text in (("cxx", compiler), ("strip", "exit 0\n")):
                (tools / name).write_text("#!/bin/sh\n" + text)
                (tools / name).chmod(0o755)
            with unittest.mock.patch.dict(os.environ, {
                    "CXX": str(tools / "cxx"), "PATH": f"{tools}:{os.environ['PATH']}"}):
                only = [word for name in self.SAID for word in ("--only", name)]
                return call(examples.main, OLD, *only, *arguments)

    def test_figures(self):
        cases = "".join(f"*/{name}) said='{text}' ;;\n" for name, text in self.SAID.items())
        compiler = ('while [ "$1" != -o ]; do shift; done\ncase "$2" in\n' + cases + 'esac\n'
                    'printf \'#!/bin/sh\\necho "%s"\\n\' "$said" >"$2"\nchmod +x "$2"\n')
        _, out, errors = self.run_with(compiler)
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()]
        self.assertEqual([row[0] for row in rows[2:]], list(self.SAID), errors)
        self.assertEqual(rows[2][5], "frame 2.10 ms, 99.9 % 6.12 ms")
        self.assertEqual(rows[3][5], "2.7 ms a sentence at most")
        self.assertRegex(rows[4][5], r"^0\.\d\d s, whole process$")
        self.assertTrue(all(len(row) == 6 for row in rows), rows)

        with tempfile.TemporaryDirectory() as kept:  # compiled before, then run
            _, out, _ = self.run_with(compiler, "--folder", kept, "--compile")
            self.assertEqual(out, "")
            _, out, _ = self.run_with("exit 1\n", "--folder", kept)
            self.assertEqual(len(out.splitlines()), 5)

    def test_failures(self):
        code, _, _ = self.run_with("echo broken >&2; exit 3\n")
        self.assertIn("exit code 3", str(code))
        code, _, _ = call(examples.main, "no-such.gguf")
        self.assertIn("no-such.gguf", str(code))


class Test(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, *values):
        path = self.folder / name
        path.write_text("\n".join(v if isinstance(v, str) else json.dumps(v) for v in values))
        return path

    def test_compare_finds_a_regression(self):
        code, out, _ = call(compare.main, OLD, NEW)
        self.assertEqual(code, 1)
        row = next(line for line in out.splitlines() if line.startswith("gemv/x/row"))
        self.assertIn("0.900", row)  # 90 us at best before, 100 us now
        self.assertIn("SLOWER", row)
        row = next(line for line in out.splitlines() if line.startswith("gemm/x/threads"))
        self.assertIn("2.000", row)
        self.assertNotIn("SLOWER", row)
        self.assertIn(f"only in {OLD}: gone", out)
        self.assertIn(f"only in {NEW}: fresh", out)

    def test_compare_accepts_what_is_within_the_threshold(self):
        self.assertEqual(call(compare.main, OLD, NEW, "--threshold", "0.15")[0], 0)
        self.assertEqual(call(compare.main, OLD, OLD)[0], 0)

    def test_compare_reads_the_app_and_run(self):
        old = self.write("old", app_result(50.0, 10.0), app_result(40.0, 12.0))
        same = self.write("same", [app_result(50.0, 12.0)])
        slow = self.write("slow", app_result(50.0, 11.0))
        whole = self.write("whole", {"models": [{"ours": app_result(50.0, 11.0)}], "kernels": [
            json.loads(pathlib.Path(OLD).read_text())]})
        self.assertEqual(call(compare.main, old, same)[0], 0)
        code, out, _ = call(compare.main, old, slow)
        self.assertEqual(code, 1)
        self.assertRegex(out, r"a\.gguf x threads:1 decode:4 .* 0\.917  SLOWER")
        self.assertEqual(call(compare.main, slow, whole)[0], 0)
        self.assertEqual(call(compare.main, OLD, whole)[0], 0)
        deep = self.write("deep", app_result(50.0, 5.0, depth=9))
        self.assertEqual(call(compare.main, old, deep)[0], 2)  # nothing in common

    def test_compare_says_what_is_wrong_with_a_file(self):
        for content in ("", "{", "[]", "{}", "7", '{"benchmarks": []}', '{"benchmarks": [{}]}',
                        '{"benchmarks": [7]}', '{"decode_tokens_per_s": 1}',
                        '{"models": [{"ours": {}}]}', '{"models": [3]}'):
            bad = self.write("bad", content)
            code, _, errors = call(compare.main, OLD, bad)
            self.assertEqual(code, 2, content)
            self.assertIn(str(bad), errors)
        self.assertEqual(call(compare.main, OLD, self.folder / "absent")[0], 2)
        self.assertEqual(call(compare.main, OLD)[0], 2)
        self.assertEqual(call(compare.main, OLD, NEW, "--threshold", "2")[0], 2)

    def test_help(self):
        for script in (compare, plot, run):
            code, out, _ = call(script.main, "--help")
            self.assertEqual(code, 0)
            self.assertIn("usage:", out)

    def test_plot(self):
        results = {"machine": {"name": "a <machine>"}, "date": "today", "commit": "abc", "models": [
            {"model": "m", "threads": 1, "depth": 0, "ours": app_result(50.0, 10.0)}], "kernels": []}
        drawing = self.folder / "d.svg"
        self.assertEqual(call(plot.main, self.write("r", results), drawing)[0], 0)
        text = drawing.read_text()
        self.assertTrue(text.isascii())
        self.assertIn("prefers-color-scheme: dark", text)
        root = xml.etree.ElementTree.fromstring(text)
        words = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("m, 1 thread", words)
        self.assertEqual(words.count("50 %"), 4)  # two axes, and two bars
        code, _, errors = call(plot.main, self.write("bad", {}), drawing)
        self.assertEqual(code, 1)
        self.assertIn("plot.py", errors)

    def test_run(self):
        """Against programs that only pretend, and a rival that does."""
        binaries = self.folder / "bin"
        binaries.mkdir()

        def program(name, script):
            path = binaries / name
            path.write_text("#!/bin/sh\n" + script)
            path.chmod(0o755)

        program("bitnet", f"""if [ "$1" = synth ]; then
  while [ "$1" != -o ]; do shift; done; echo model > "$2"
else cat <<'END'
{json.dumps(app_result(50.0, 10.0))}
END
fi""")
        program("gemv_bench", f"cat '{OLD}'")
        rival = [{"n_prompt": 8, "n_gen": 0, "avg_ts": 7.0, "samples_ts": [6.0, 8.0]},
                 {"n_prompt": 0, "n_gen": 4, "avg_ts": 3.0}]
        file = self.write("rival.json", rival)
        arguments = ["--quick", "--bin", binaries, "--models", self.folder / "models", "--threads",
                     "1", "--machine", "Nobody's", "--out", self.folder / "results.json"]
        code, out, errors = call(run.main, *arguments, "--rival", f"other=cat '{file}' # {{threads}}")
        self.assertEqual(code, 0, errors)
        self.assertRegex(out, r"tiny-i2_s, 0 \| bitnet\.hpp \| 1 \| 50 \(50 %\) \| 10 \(50 %\)")
        self.assertRegex(out, r"tiny-i2_s, 0 \| other \| 1 \| 8 \| 3 ")
        self.assertIn("| tiny-i2_s, 0, 1 | decode | 100 | 25 % | 25 % | 25 % | 25 % |", out)
        self.assertIn("gemv/x/row", out)
        text = (self.folder / "results.json").read_text()
        self.assertNotIn(str(self.folder), text)  # no paths of this machine
        results = json.loads(text)
        self.assertEqual(results["machine"]["name"], "Nobody's")
        self.assertEqual(list(results["models"][0]["rivals"]), ["other"])
        self.assertEqual(results["models"][1]["rivals"], {})  # has a depth, the rival none
        self.assertEqual(len(results["kernels"][0]["benchmarks"]), 3)
        self.assertTrue((self.folder / "results.svg").exists())

        code, _, errors = call(run.main, *arguments, "--rival", "broken=false")
        self.assertEqual(code, 1)
        self.assertIn("false", errors)
        code, _, errors = call(run.main, *arguments, "--rival", "odd=echo '[{}]'")
        self.assertEqual(code, 1)
        self.assertIn("llama-bench", errors)
        self.assertEqual(call(run.main, *arguments, "--rival", "nonsense")[0], 2)
        self.assertEqual(call(run.main, "--bin", self.folder)[0], 2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
