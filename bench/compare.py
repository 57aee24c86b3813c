#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares two results of benchmarks and finds what became slower.

Each file is the JSON of Google Benchmark (--benchmark_out), of `bitnet bench --json` (one object or
several, one after another or in a list), or of bench/run.py. Of repetitions of a benchmark the best
one counts. The ratio is the new speed over the old one: below 1 is slower. Benchmarks that only one
file has are listed and not judged.

Exit codes: 0 nothing is slower, 1 something is, 2 wrong options or files.
"""
import argparse
import json
import os
import sys

NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


class BadFile(Exception):
    """A file that cannot be compared."""


def json_values(text, name):
    """The JSON values of a text, which may hold several."""
    decoder = json.JSONDecoder()
    at = 0
    found = []
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            break
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError as e:
            raise BadFile(f"{name}: not JSON: {e}") from None
        found.extend(value if isinstance(value, list) else [value])
    return found


def of_google(result, name):
    """name, speed of every run of Google Benchmark's output."""
    for run in result["benchmarks"]:
        try:
            if run.get("run_type", "iteration") != "iteration" or run.get("error_occurred"):
                continue
            # Real time is what benchmarks with threads of their own are measured in.
            kind = "real_time" if "/real_time" in run["name"] else "cpu_time"
            time = run[kind] * NANOSECONDS[run.get("time_unit", "ns")]
            yield run.get("run_name", run["name"]), (1e9 / time if time > 0 else 0.0)
        except (AttributeError, KeyError, TypeError) as e:
            raise BadFile(f"{name}: a benchmark lacks or spoils the field {e}") from None


def of_app(result, name):
    """name, speed of prefill and decoding in the output of `bitnet bench --json`."""
    try:
        base = os.path.basename(result["model"])
        where = f"{base} {result['isa']} threads:{result['threads']}"
        if result.get("depth"):
            where += f" depth:{result['depth']}"
        if result.get("kv", "f16") != "f16":
            where += f" kv:{result['kv']}"
        if result.get("all_scores"):
            where += " all_scores"
        if result["prefill_tokens_per_s"] > 0:
            yield (f"{where} prefill:{result['prompt_tokens']}", result["prefill_tokens_per_s"])
        if result["decode_tokens_per_s"] > 0:
            yield (f"{where} decode:{result['generated_tokens']}", result["decode_tokens_per_s"])
    except (KeyError, TypeError) as e:
        raise BadFile(f"{name}: lacks or spoils the field {e}") from None


def speeds_of(result, name):
    if isinstance(result, dict) and isinstance(result.get("benchmarks"), list):
        yield from of_google(result, name)
    elif isinstance(result, dict) and "decode_tokens_per_s" in result:
        yield from of_app(result, name)
    elif isinstance(result, dict) and isinstance(result.get("models"), list):  # of run.py
        for entry in result["models"]:
            yield from of_app(entry.get("ours") if isinstance(entry, dict) else None, name)
        for part in result.get("kernels", []):
            yield from speeds_of(part, name)
    else:
        raise BadFile(f"{name}: neither of Google Benchmark, `bitnet bench --json` nor run.py")


def best_speeds(path):
    """The best speed of each benchmark of a file, in the file's order."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as e:
        raise BadFile(f"{path}: cannot be read: {e}") from None
    best = {}
    for result in json_values(text, path):
        for name, speed in speeds_of(result, path):
            best[name] = max(speed, best.get(name, 0.0))
    if not best:
        raise BadFile(f"{path}: holds no benchmarks")
    return best


def speed_text(speed):
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if speed >= size:
            return f"{speed / size:.4g} {unit}/s"
    return f"{speed:.4g} /s"


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD.json")
    parser.add_argument("new", metavar="NEW.json")
    parser.add_argument("--threshold", type=float, default=0.05, metavar="SHARE",
                        help="slower by more than this share is a regression (default 0.05)")
    options = parser.parse_args(arguments)
    if not 0.0 <= options.threshold < 1.0:
        parser.error("--threshold is a share: at least 0 and below 1")
    try:
        old, new = best_speeds(options.old), best_speeds(options.new)
    except BadFile as e:
        print(f"compare.py: {e}", file=sys.stderr)
        return 2
    common = [name for name in old if name in new]
    if not common:
        print("compare.py: the files have no benchmark in common", file=sys.stderr)
        return 2

    width = max(len(name) for name in common)
    print(f"{'benchmark':{width}} {'old':>12} {'new':>12} {'ratio':>7}")
    slower = 0
    for name in common:
        ratio = new[name] / old[name] if old[name] > 0 else float("inf")
        mark = ""
        if ratio < 1.0 - options.threshold:
            slower += 1
            mark = "  SLOWER"
        elif ratio > 1.0 + options.threshold:
            mark = "  faster"
        print(f"{name:{width}} {speed_text(old[name]):>12} {speed_text(new[name]):>12} "
              f"{ratio:7.3f}{mark}")
    for name in old:
        if name not in new:
            print(f"only in {options.old}: {name}")
    for name in new:
        if name not in old:
            print(f"only in {options.new}: {name}")
    print(f"{len(common)} benchmarks, {slower} slower by more than {100 * options.threshold:g} %")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
