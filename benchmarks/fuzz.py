"""Damages inputs of every parser of outside bytes, 10,000 each by default, and prints what became of them.

python benchmarks/fuzz.py --parser seg --number 123 --out there   # one input again, written to a folder
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from fuzzing.parsers import PARSERS, build, write
from fuzzing.watch import Outcome, judge, watch

INPUTS = 10_000
SHOWN = 20  # findings of one kind that are listed


def main() -> int:
    """0 when nothing was found, else 1."""
    options = _options()
    if options.number is not None:
        return _again(options.parser[0], options.number, options.out)
    print("| parser | inputs | accepted | refused | slowest s | peak MB | findings |")
    print("|---|---|---|---|---|---|---|")
    with ThreadPoolExecutor(options.processes) as pool:
        rows = list(pool.map(partial(_row, first=options.first, inputs=options.inputs), options.parser))
    return int(any(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parser", choices=PARSERS, nargs="+", default=list(PARSERS))
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--number", type=int, help="try this one input here, and write it to --out")
    parser.add_argument("--out", type=Path, help="a new folder for the input of --number")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    return parser.parse_args()


def _row(name: str, first: int, inputs: int) -> int:
    """How many findings a parser had; its line of the table and the findings are printed."""
    began, counts = time.monotonic(), Counter()
    slowest = peak = 0.0
    found: list[Outcome] = []
    for outcome in watch(name, first, first + inputs):
        counts[outcome.verdict] += 1
        slowest, peak = max(slowest, outcome.seconds), max(peak, outcome.peak_mb)
        if outcome.verdict == "finding":
            found.append(outcome)
    line = (name, inputs, counts["accepted"], counts["refused"], f"{slowest:.2f}", f"{peak:.0f}", len(found))
    print("| " + " | ".join(map(str, line)) + " |", flush=True)
    for outcome in found[:SHOWN]:
        print(f"  {name} {outcome.number}: {outcome.detail}", file=sys.stderr, flush=True)
    print(f"  {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return len(found)


def _again(name: str, number: int, out: Path | None) -> int:
    if out is not None:
        out.mkdir(parents=True)
        write(build(name, number), out)
    with tempfile.TemporaryDirectory() as folder:
        outcome = judge(name, number, Path(folder))
    print(outcome)
    return int(outcome.verdict == "finding")


if __name__ == "__main__":
    sys.exit(main())
