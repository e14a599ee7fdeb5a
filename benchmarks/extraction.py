"""Extraction side by side with PyRadiomics' own command line: same scans, same settings, same cores, one run.

    make bench                        every real scan of ../shared/data
    python benchmarks/extraction.py --data ../shared/data --only lung1 STS_025

Prints Markdown tables: CPU and wall seconds and peak memory of each scan in a warm process, files read and results
written; the share of each stage; then whole batches. Ratios mean something, seconds belong to the machine. What each
number means: docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from batches import measure_batches
from scans import Case, real_scans
from stages import ORDER

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
ONE_THREAD = dict.fromkeys(THREADS, "1")
SMALL_VOXELS = 50_000  # at 1 mm
TOLERANCE, LBP_TOLERANCE = 1e-6, 1e-3  # relative; LBP3D turns the last bits of a plateau into patterns
FLOOR = 1e-3  # a value below it is compared as if it were this large
COLUMNS = (
    *("scan", "voxels at 1 mm", "CPU s, ours", "CPU s, PyRadiomics", "ratio", "CPU s, as it ships"),
    *("wall s, ours", "wall s, PyRadiomics", "wall s, as it ships", "MB, ours", "MB, PyRadiomics"),
    *("equal", "LBP3D equal"),
)
LIBRARIES = ("pyradiomics-bhklab", "SimpleITK", "numpy", "scipy", "numba", "ray")
BATCH_MM3 = 500_000  # a larger region would keep one worker busy while the other has nothing left to do


@dataclass(frozen=True)
class Row:
    """One scan as ``one_scan.py`` did it: ours, PyRadiomics on one thread, and PyRadiomics as it ships."""

    case: Case
    ours: dict
    peer: dict | None
    ships: dict | None

    @property
    def voxels(self) -> float:
        """Size of the region at 1 mm."""
        return self.ours["values"]["original_shape_VoxelVolume"]

    @property
    def ratio(self) -> float:
        """CPU seconds of PyRadiomics on one thread for one of ours."""
        return self.peer["cpu"] / self.ours["cpu"]


@contextmanager
def program(name: str, threads: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A warm process of ``one_scan.py``."""
    environment = {k: v for k, v in os.environ.items() if k not in THREADS} | threads
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("one_scan.py")), name]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()


def ask(process: subprocess.Popen, *request: object) -> dict:
    """The program's answer for one scan."""
    process.stdin.write(json.dumps(list(map(str, request))) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def measured(cases: list[Case]) -> list[Row]:
    """Every case by each program, one after the other."""
    rows = []
    with ExitStack() as stack:
        ours = stack.enter_context(program("ours", ONE_THREAD))
        peer = stack.enter_context(program("peer", ONE_THREAD))
        ships = stack.enter_context(program("peer", {}))
        for case in cases:
            found = [ask(p, *case.peer) if case.peer else None for p in (peer, ships)]
            rows.append(Row(case, ask(ours, case.image, case.mask, case.roi), *found))
            print(f"{case.name}: {rows[-1].ours['cpu']:.2f} s", file=sys.stderr, flush=True)
    return sorted(rows, key=lambda row: row.voxels)


def equal(row: Row, lbp: bool) -> str:
    """How many features agree with PyRadiomics', of how many: those of LBP3D, or all others."""
    tolerance = LBP_TOLERANCE if lbp else TOLERANCE
    pairs = [(row.ours["values"][k], v) for k, v in row.peer["values"].items() if k.startswith("lbp-3D") == lbp]
    return f"{sum(abs(a - b) <= tolerance * max(abs(b), FLOOR) for a, b in pairs)}/{len(pairs)}"


def print_scans(rows: list[Row]) -> None:
    """The table of scans and what the project is held to."""
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---" * len(COLUMNS) + "|")
    for row in rows:
        start = f"| {row.case.name} | {row.voxels:,.0f} | {row.ours['cpu']:.2f} | "
        if row.peer is None:
            print(start + f"- | - | - | {row.ours['wall']:.2f} | - | - | {row.ours['peak_mb']:.0f} | - | - | - |")
            continue
        print(
            start + f"{row.peer['cpu']:.2f} | {row.ratio:.2f} | {row.ships['cpu']:.2f} | {row.ours['wall']:.2f} "
            f"| {row.peer['wall']:.2f} | {row.ships['wall']:.2f} | {row.ours['peak_mb']:.0f} "
            f"| {row.peer['peak_mb']:.0f} | {equal(row, lbp=False)} | {equal(row, lbp=True)} |"
        )
    both = [row for row in rows if row.peer]
    for words, group in (
        (f"under {SMALL_VOXELS:,} voxels", [row for row in both if row.voxels < SMALL_VOXELS]),
        (f"of {SMALL_VOXELS:,} voxels and more", [row for row in both if row.voxels >= SMALL_VOXELS]),
    ):
        if group:
            ratios = [row.ratio for row in group]
            print(f"\nCPU ratio of {len(group)} regions {words}: median {statistics.median(ratios):.2f}, "
                  f"{min(ratios):.2f} to {max(ratios):.2f}")  # fmt: skip
    total = {n: sum(getattr(row, n)["cpu"] for row in both) for n in ("ours", "peer", "ships")}
    print(f"\nAll {len(both)} that both read: ours {total['ours']:.1f} CPU s, PyRadiomics {total['peer']:.1f} on one"
          f" thread, {total['ships']:.1f} as it ships; ratio {total['peer'] / total['ours']:.2f}\n")  # fmt: skip


def print_stages(rows: list[Row]) -> None:
    """The share of each stage in our CPU time."""
    groups = (
        [row for row in rows if row.voxels < SMALL_VOXELS],
        [row for row in rows if row.voxels >= SMALL_VOXELS],
        rows,
    )
    print(f"| stage | regions under {SMALL_VOXELS:,} voxels | larger ones | all |\n|---|---|---|---|")
    for stage in ORDER:
        shares = (
            sum(r.ours["stages"][stage] for r in g) / (sum(sum(r.ours["stages"].values()) for r in g) or 1)
            for g in groups
        )
        print(f"| {stage} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the reference scans")
    parser.add_argument("--only", nargs="*", help="names of scans, all when left out")
    parser.add_argument("--parts", nargs="*", choices=("scans", "batches"), default=("scans", "batches"))
    options = parser.parse_args()
    print(f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          + ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES) + "\n")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        cases = [
            c for c in real_scans(options.data.resolve(), Path(name)) if not options.only or c.name in options.only
        ]
        if "scans" in options.parts:
            rows = measured(cases)
            print_scans(rows)
            print_stages(rows)
        if "batches" in options.parts:
            batch = [case for case in reversed(cases) if case.peer and case.mm3 < BATCH_MM3]
            measure_batches(batch, (("as it ships", {}), ("one thread per process", ONE_THREAD)), Path(name))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
