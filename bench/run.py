#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs all benchmarks and puts what they say into one file, bench/results/MACHINE.json.

It builds nothing: programs come from build/release/bin. Models are made there once by `bitnet synth`
(1.2 GB each). Every round runs each workload once, ours and the rivals in turn, so that a machine
that is busy for a while is busy for all; of the rounds the best figures count.

A rival is NAME=COMMAND: a command line for the shell that prints the JSON of llama-bench (-o json).
{threads}, {prompt}, {predict}, {depth} and {model} in it are replaced; one without {depth} is left
out where a workload has a depth. MODEL:NAME=COMMAND is for workloads of that model only:

  python3 bench/run.py --rival \\
    '2b4t-i2_s:llama.cpp TQ2_0=llama-bench -m tq2_0.gguf -p {prompt} -n {predict} -t {threads} -o json'
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys

import plot

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ["gemv", "gemm", "attention", "vector", "tokenizer", "load", "model"]
# Name, options of `bitnet synth`, depths.
MODELS = [
    ("2b4t-i2_s", ["--shape", "2b4t", "--type", "i2_s"], [0, 2048]),
    ("2b4t-i2_s-q6_k", ["--shape", "2b4t", "--type", "i2_s", "--embedding", "q6_k"], [0]),
    ("bonsai-1.7b-q1_0", ["--shape", "bonsai-1.7b", "--type", "q1_0"], [0]),
]
QUICK_MODELS = [("tiny-i2_s", ["--shape", "tiny", "--type", "i2_s"], [0, 64])]
KEPT = ["name", "run_name", "run_type", "real_time", "cpu_time", "time_unit", "label",
        "GB/s", "GMAC/s", "MB/s", "tokens/s", "of_limit"]


class Failure(Exception):
    """A command that failed or said something else than expected."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(command, shell=False):
    """Runs a command and returns what it prints."""
    try:
        done = subprocess.run(command, shell=shell, capture_output=True, text=True, check=False)
    except OSError as e:
        raise Failure(f"{command[0]}: {e.strerror}") from None
    if done.returncode != 0:
        tail = "\n".join(done.stderr.splitlines()[-10:])
        raise Failure(f"exit code {done.returncode} from: "
                      f"{command if shell else shlex.join(map(str, command))}\n{tail}")
    return done.stdout


def run_json(command, shell=False):
    out = run(command, shell)
    try:
        return json.loads(out)
    except ValueError as e:
        raise Failure(f"no JSON ({e}) from: {command}") from None


def without_folders(command):
    """A command line without the folders of this machine."""
    return re.sub(r"[^\s='\"]*/(?=[^/\s])", "", command)


def processor():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit():
    try:
        name = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
        changed = run(["git", "-C", str(ROOT), "status", "--porcelain", "-uno"]).strip()
        return name + (" and changes" if changed else "")
    except Failure:
        return "unknown"


def bench_command(options, workload):
    return ["bench", "-m", workload["file"], "-t", str(workload["threads"]),
            "-p", str(options.prompt), "-n", str(options.predict), "-d", str(workload["depth"]),
            "-r", str(options.repetitions)]


def better_of(old, new):
    """The best figures of two outputs of `bitnet bench --json`."""
    if not old:
        return new
    best = dict(new)
    for part in ("prefill", "decode"):
        if old[f"{part}_tokens_per_s"] > new[f"{part}_tokens_per_s"]:
            best[f"{part}_tokens_per_s"] = old[f"{part}_tokens_per_s"]
            best[f"{part}_parts"] = old[f"{part}_parts"]
    for key in ("read_gb_per_s", "peak_gmac_per_s", "decode_read_gb_per_s", "prefill_gmac_per_s"):
        best[key] = max(old[key], new[key])
    for key in ("load_s", "first_token_s"):
        best[key] = min(old[key], new[key])
    for share, speed, limit in (
            ("decode_share_of_read", "decode_read_gb_per_s", "read_gb_per_s"),
            ("prefill_share_of_peak", "prefill_gmac_per_s", "peak_gmac_per_s")):
        best[share] = best[speed] / best[limit] if best[limit] > 0 else 0.0
    return best


def run_ours(options, workload):
    command = [str(options.bin / "bitnet"), *bench_command(options, workload), "--json"]
    result = run_json(command)
    result["model"] = os.path.basename(result["model"])
    workload["ours"] = better_of(workload.get("ours"), result)


def run_rival(options, workload, name, command):
    values = {"threads": workload["threads"], "prompt": options.prompt,
              "predict": options.predict, "depth": workload["depth"], "model": workload["file"]}
    for key, value in values.items():
        command = command.replace("{" + key + "}", shlex.quote(str(value)))
    rows = run_json(command, shell=True)
    rival = workload["rivals"].setdefault(
        name, {"prefill_tokens_per_s": 0.0, "decode_tokens_per_s": 0.0})
    rival["command"] = without_folders(command)
    try:
        for row in rows:
            key = "prefill_tokens_per_s" if row["n_gen"] == 0 else "decode_tokens_per_s"
            if row["n_gen"] and row["n_prompt"]:
                continue
            rival[key] = max([rival[key], row["avg_ts"], *row.get("samples_ts", [])])
            rival["version"] = row.get("build_commit", "unknown")
    except (TypeError, KeyError) as e:
        raise Failure(f"{name}: not the JSON of llama-bench: no {e}") from None


def make_models(options):
    """Workloads, and the files that they need."""
    options.models.mkdir(parents=True, exist_ok=True)
    workloads = []
    for name, recipe, depths in QUICK_MODELS if options.quick else MODELS:
        path = options.models / f"{name}.gguf"
        if not re.search(options.only, name):
            continue
        if not path.exists():
            say(f"making {path.name}")
            partial = path.with_suffix(".partial")
            run([str(options.bin / "bitnet"), "synth", *recipe, "-o", str(partial)])
            partial.rename(path)
        for depth in depths:
            for threads in options.threads:
                workloads.append({"model": name, "synth": " ".join(recipe), "threads": threads,
                                  "depth": depth, "file": str(path), "ours": {}, "rivals": {}})
    return workloads


def run_models(options, workloads, save):
    for number in range(options.rounds):
        for workload in workloads:
            what = f"{workload['model']}, {workload['threads']} threads, depth {workload['depth']}"
            say(f"round {number + 1} of {options.rounds}: {what}")
            run_ours(options, workload)
            for model, name, command in options.rival:
                if model and model != workload["model"]:
                    continue
                if workload["depth"] and "{depth}" not in command:
                    continue
                say(f"  {name}")
                run_rival(options, workload, name, command)
            save()


def run_kernels(options):
    kernels = []
    for name in PROGRAMS:
        program = options.bin / f"{name}_bench"
        if not program.exists():
            say(f"{program.name} is not built: left out")
            continue
        say(program.name)
        result = run_json([
            str(program), "--benchmark_format=json", f"--benchmark_filter={options.filter}",
            f"--benchmark_min_time={0.01 if options.quick else 0.5}",
            f"--benchmark_repetitions={1 if options.quick else 3}"])
        best = {}
        for entry in result["benchmarks"]:
            if entry["run_type"] != "iteration" or entry.get("error_occurred"):
                continue
            kind = "real_time" if "/real_time" in entry["name"] else "cpu_time"
            old = best.get(entry["run_name"])
            if old is None or entry[kind] < old[kind]:
                best[entry["run_name"]] = {key: entry[key] for key in KEPT if key in entry}
        kernels.append({"program": program.name, "benchmarks": list(best.values())})
    return kernels


def print_tables(result):
    """Tables for people, in Markdown."""
    def rate(x):
        return f"{x:.3g}" if x < 100 else f"{x:.0f}"

    def percent(x):
        return f"{100 * x:.0f} %"

    groups = {}
    for w in result["models"]:
        groups.setdefault((w["model"], w["depth"]), []).append(w)
    print("\n| model, depth | engine | threads | prefill, tokens/s (of the dot-product peak) "
          "| decode, tokens/s (of the memory's reading) |\n|---|---|---|---|---|")
    for (model, depth), group in groups.items():
        threads = " / ".join(str(w["threads"]) for w in group)
        done = [w["ours"] for w in group if w["ours"]]
        for title, part, share in (("prefill", "prefill_tokens_per_s", "prefill_share_of_peak"),
                                   ("decode", "decode_tokens_per_s", "decode_share_of_read")):
            text = " / ".join(f"{rate(o[part])} ({percent(o[share])})" for o in done)
            if title == "prefill":
                prefill = text
            else:
                print(f"| {model}, {depth} | bitnet.hpp | {threads} | {prefill} | {text} |")
        for name in dict.fromkeys(n for w in group for n in w["rivals"]):
            rivals = [w["rivals"][name] for w in group if name in w["rivals"]]
            print(f"| {model}, {depth} | {name} | {threads} | "
                  + " / ".join(rate(r["prefill_tokens_per_s"]) for r in rivals) + " | "
                  + " / ".join(rate(r["decode_tokens_per_s"]) for r in rivals) + " |")
    print("\n| model, depth, threads | step | ms a token | weights | head | attention | rest |\n"
          "|---|---|---|---|---|---|---|")
    for w in result["models"]:
        for step in ("prefill", "decode"):
            parts = w["ours"].get(f"{step}_parts") or {}
            if parts:
                print(f"| {w['model']}, {w['depth']}, {w['threads']} | {step} | "
                      f"{parts['ms_per_token']:.3g} | " + " | ".join(
                          percent(parts[p]["share"]) for p in
                          ("weights", "head", "attention", "rest")) + " |")
    for program in result["kernels"]:
        print(f"\n{program['program']}\n\n| benchmark | time | GB/s | GMAC/s | of limit |\n"
              "|---|---|---|---|---|")
        for b in program["benchmarks"]:
            kind = "real_time" if "/real_time" in b["name"] else "cpu_time"
            speed = [rate(b[key]) if key in b else "" for key in ("GB/s", "GMAC/s")]
            limit = f"{percent(b['of_limit'])} {b.get('label', '')}" if "of_limit" in b else (
                f"{rate(b['MB/s'])} MB/s" if "MB/s" in b else "")
            print(f"| {b['run_name']} | {b[kind]:.4g} {b['time_unit']} | {speed[0]} | {speed[1]} "
                  f"| {limit} |")


def rival_option(text):
    name, equals, command = text.partition("=")
    if not equals or not name or not command:
        raise argparse.ArgumentTypeError("NAME=COMMAND expected")
    model, colon, rest = name.partition(":")
    return (model, rest, command) if colon else ("", name, command)


def threads_option(text):
    try:
        counts = [int(t) for t in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError("numbers expected, like 1,2") from None
    if min(counts) < 1:
        raise argparse.ArgumentTypeError("at least one thread")
    return counts


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    processors = os.cpu_count() or 1
    parser.add_argument("--quick", action="store_true",
                        help="a tiny model and short runs: shows that all works, measures nothing; "
                        "nothing is written into the source tree")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin",
                        metavar="FOLDER", help="where the programs are (build/release/bin)")
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "build/models",
                        metavar="FOLDER", help="where the models go (build/models)")
    parser.add_argument("--machine", help="name of this machine (default: its processor's)")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE",
                        help="where the results go (bench/results/MACHINE.json)")
    parser.add_argument("--threads", type=threads_option, metavar="N,N",
                        default=sorted({1, processors}), help="default: 1 and all")
    parser.add_argument("--only", default="", metavar="REGEX", help="only models whose name matches")
    parser.add_argument("--rival", type=rival_option, action="append", default=[],
                        metavar="[MODEL:]NAME=COMMAND", help="measure this too; see above")
    parser.add_argument("--rounds", type=int, default=3, help="default 3; with --quick 1")
    parser.add_argument("--repetitions", type=int, default=2, metavar="N",
                        help="repetitions of ours in a round (2)")
    parser.add_argument("-p", "--prompt", type=int, default=128, help="prompt tokens (128)")
    parser.add_argument("-n", "--predict", type=int, default=32, help="generated tokens (32)")
    parser.add_argument("--filter", default="-/scalar/", metavar="REGEX",
                        help="benchmarks to run, or with a - before it, not to (-/scalar/)")
    parser.add_argument("--no-kernels", action="store_true", help="whole models only")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.repetitions < 1 or options.prompt < 1 or options.predict < 1:
        parser.error("--rounds, --repetitions, -p and -n are at least 1")
    if options.quick:
        options.rounds = 1
    slug = re.sub(r"[^a-z0-9]+", "-", f"{options.machine or processor()}".lower()).strip("-")
    if options.out is None:
        options.out = (options.models / "quick.json" if options.quick
                       else ROOT / "bench/results" / f"{slug}.json")
    return options


def main(arguments=None):
    options = parse(arguments)
    if not (options.bin / "bitnet").exists():
        say(f"run.py: no program 'bitnet' in {options.bin}; build first, or give --bin")
        return 2
    words = sys.argv[1:] if arguments is None else arguments
    result = {
        "machine": {"name": options.machine or processor(), "processor": processor(),
                    "processors": os.cpu_count(), "system": platform.system()},
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "command": f"python3 bench/run.py {without_folders(shlex.join(map(str, words)))}".strip(),
        "models": [],
        "kernels": [],
    }

    def save():
        for w in result["models"]:
            w["command"] = without_folders("bitnet " + shlex.join(bench_command(options, w)))
        plain = [{k: v for k, v in w.items() if k != "file"} for w in result["models"]]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**result, "models": plain}, indent=1) + "\n", "utf-8")

    try:
        result["models"] = make_models(options)
        run_models(options, result["models"], save)
        if not options.no_kernels:
            result["kernels"] = run_kernels(options)
        save()
        drawing = (options.out.with_suffix(".svg") if options.quick
                   else ROOT / "bench" / "share_of_limit.svg")
        drawing.write_text(plot.draw(json.loads(options.out.read_text("utf-8"))), "utf-8")
    except (Failure, plot.BadResults, OSError) as e:
        say(f"run.py: {e}")
        return 1
    print_tables(result)
    say(f"\nwrote {options.out} and {drawing}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
