#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws how much of the machine's limits each workload reaches: an SVG of bars from the results of
bench/run.py, readable on light and on dark pages."""
import argparse
import html
import json
import pathlib
import re
import sys

# What is drawn of the kernels: a heading, and the benchmarks below it by name.
KERNELS = [
    ("Matrix times vector, from memory", r"gemv/{isa}/([^/]+)/memory(/all_threads)?"),
    ("Matrix times 128 vectors", r"gemm/{isa}/([^/]+)/tokens:128(/all_threads)?"),
    ("Attention", r"attention/{isa}/((?:f16|q8)/[^/]+/depth:\d+)(/all_threads)?"),
    ("Between the matrices", r"vector/{isa}/([^/]+)()"),
    ("Repacking", r"repack/([^/]+)(/all_threads)?"),
]
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: 600; }
.head { font-weight: 600; }
.note { fill: #57606a; }
.grid { stroke: #d0d7de; }
.bar { fill: #2f81f7; }
.limit { stroke: #cf222e; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  .grid { stroke: #3d444d; }
  .bar { fill: #4493f8; }
  .limit { stroke: #ff7b72; }
}
"""
WIDTH, LABELS, BARS, ROW, TOP = 800, 300, 380, 19, 66


class BadResults(Exception):
    """Results that hold nothing to draw."""


def groups_of(results):
    """[heading, [(label, share, note)]] of everything that is drawn."""
    groups = []
    models = [w for w in results.get("models", []) if w.get("ours")]
    for heading, share, speed, unit in (
            ("Decoding, of the memory's reading", "decode_share_of_read", "decode_tokens_per_s",
             "tokens/s"),
            ("Prefill, of the dot-product peak", "prefill_share_of_peak", "prefill_tokens_per_s",
             "tokens/s")):
        bars = []
        for w in models:
            depth = f", depth {w['depth']}" if w["depth"] else ""
            plural = "s" if w["threads"] != 1 else ""
            bars.append((f"{w['model']}{depth}, {w['threads']} thread{plural}", w["ours"][share],
                         f"{w['ours'][speed]:.4g} {unit}"))
        groups.append((heading, [bar for bar in bars if bar[1] > 0]))
    benchmarks = [b for p in results.get("kernels", []) for b in p["benchmarks"] if "of_limit" in b]
    # All threads run the best instruction set only.
    isas = [m.group(1) for b in benchmarks
            if (m := re.match(r"gemv/([^/]+)/.*all_threads", b["run_name"]))]
    isa = models[0]["ours"]["isa"] if models else (isas[0] if isas else "")
    for heading, pattern in KERNELS:
        bars = []
        for b in benchmarks:
            name = b["run_name"].removesuffix("/real_time")
            match = re.fullmatch(pattern.replace("{isa}", re.escape(isa)), name)
            if match:
                label = match.group(1).replace("/", " ") + (", all threads" if match.group(2) else "")
                bars.append((label, b["of_limit"], b.get("label", "")))
        groups.append((heading, bars))
    groups = [(heading, bars) for heading, bars in groups if bars]
    if not groups:
        raise BadResults("the results hold no share of a limit")
    return groups


def draw(results):
    """The drawing as text."""
    try:
        groups = groups_of(results)
        machine = results["machine"]["name"]
        when = f"{results['date']}, commit {results['commit']}"
    except (AttributeError, KeyError, TypeError) as e:
        raise BadResults(f"these are not results of run.py: {e!r}") from None
    most = max(1.0, max(share for _, bars in groups for _, share, _ in bars))
    height = TOP + sum(ROW * (len(bars) + 2) for _, bars in groups)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
           f'width="{WIDTH}" height="{height}" role="img">',
           "<title>Share of the machine's limits</title>", f"<style>{STYLE}</style>"]

    def text(x, y, words, kind="", anchor="start"):
        out.append(f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">'
                   f"{html.escape(words)}</text>")

    def line(x, y, end, kind):
        out.append(f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{end}" class="{kind}"/>')

    text(10, 22, "Share of the machine's limits", "title")
    text(10, 42, f"{machine}; {when}", "note")
    y = TOP
    for heading, bars in groups:
        text(10, y + 13, heading, "head")
        y += ROW
        for percent in (0, 25, 50, 75, 100):
            x = LABELS + BARS * percent / 100 / most
            line(x, y, y + ROW * len(bars), "limit" if percent == 100 else "grid")
            text(round(x, 1), y - 5, f"{percent} %", "note", "middle")
        for label, share, note in bars:
            text(LABELS - 8, y + 14, label, "", "end")
            length = max(1.0, BARS * share / most)
            out.append(f'<rect x="{LABELS}" y="{y + 3}" width="{length:.1f}" height="{ROW - 6}" '
                       f'rx="2" class="bar"><title>{html.escape(note)}</title></rect>')
            text(round(LABELS + length + 6, 1), y + 14, f"{100 * share:.0f} %")
            y += ROW
        y += ROW
    return "\n".join([*out, "</svg>", ""])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=pathlib.Path, metavar="RESULTS.json")
    parser.add_argument("drawing", type=pathlib.Path, metavar="DRAWING.svg")
    options = parser.parse_args(arguments)
    try:
        results = json.loads(options.results.read_text("utf-8"))
        options.drawing.write_text(draw(results), "utf-8")
    except (OSError, ValueError, BadResults) as e:
        print(f"plot.py: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
