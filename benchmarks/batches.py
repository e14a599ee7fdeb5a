"""Whole batches through both command lines: 1 worker against 2, and what Ray costs."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil
from one_scan import FEATURE_SET, PRESET
from scans import Case

from gc_ray import ledger
from gc_ray.store import open_store

WORKERS = 2
HEAD = ("scan_id", "patient_id", "site", "phase", "image", "mask", "roi")
TOOLS = Path(sys.executable).parent


def measure_batches(cases: Sequence[Case], settings: Iterable[tuple[str, dict[str, str]]], folder: Path) -> None:
    """Print the table of batches and, below it, throughput and Ray's own cost.

    settings: (words, environment) for PyRadiomics. cases: the largest first, so that no worker waits for the last.
    """
    print(f"| batch of {len(cases)} | wall s | CPU s of the machine | s from first scan to last |\n|---|---|---|---|")
    _write(folder / "peer.csv", ("Image", "Mask", "Label"), (case.peer for case in cases))
    for words, environment in settings:
        out = folder / f"peer {words}.csv"
        command = [TOOLS / "pyradiomics", folder / "peer.csv", "--param", PRESET, "--jobs", WORKERS, "-f", "csv"]
        wall, cpu = _run([*command, "-o", out], environment)
        with out.open() as file:
            assert len(list(csv.reader(file))) == 1 + len(cases), "PyRadiomics left scans out"
        print(f"| PyRadiomics `--jobs {WORKERS}`, {words} | {wall:.1f} | {cpu:.1f} | |", flush=True)
    rows = [(c.name, c.name, "a", "v", c.image, c.mask, c.roi) for c in cases]
    _write(folder / "ours.csv", HEAD, rows)
    (alone, busy), (together, _) = (_ours(workers, folder) for workers in (1, WORKERS))
    print(f"\nThroughput of {WORKERS} workers: {alone / together:.2f} times that of 1")
    print(f"Ray's own cost between scans, 1 worker: {(alone - busy) / busy:.1%} of the scans' {busy:.1f} s")


def _ours(workers: int, folder: Path) -> tuple[float, float]:
    """(seconds from the first scan begun to the last committed, seconds inside scans) of a batch of ours."""
    store = folder / f"store{workers}"
    command = [TOOLS / "gc-ray", "extract", "--scans", folder / "ours.csv", "--store", store, "--workers", workers]
    command += ["--feature-set", FEATURE_SET]
    wall, cpu = _run(command, {})
    rows = ledger.read_ledger(open_store(str(store))).to_pylist()
    ends = [(store / ledger.commit_name(row)).stat().st_mtime for row in rows]
    begins = [end - row["seconds"] for end, row in zip(ends, rows, strict=True)]
    window = max(ends) - min(begins)
    print(f"| gc-ray `--workers {workers}` | {wall:.1f} | {cpu:.1f} | {window:.1f} |", flush=True)
    wall, cpu = _run(command, {})
    print(f"| the same again: Ray's start, listing, nothing to compute | {wall:.1f} | {cpu:.1f} | |", flush=True)
    return window, sum(row["seconds"] for row in rows)


def _run(command: list[object], environment: dict[str, str]) -> tuple[float, float]:
    """(wall, CPU) seconds of a command; CPU of the whole machine, as Ray's processes do not end as its children."""
    before, begin = psutil.cpu_times(), time.perf_counter()
    subprocess.run(list(map(str, command)), env=os.environ | environment, capture_output=True, check=True)
    wall, after = time.perf_counter() - begin, psutil.cpu_times()
    return wall, sum(getattr(after, name) - getattr(before, name) for name in ("user", "nice", "system"))


def _write(path: Path, head: tuple[str, ...], rows: Iterable[tuple]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
