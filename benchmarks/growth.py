"""Does a large cohort cost more per scan than a small one? Cost per scan and memory of the driver, by size.

    python benchmarks/growth.py --sizes 10 100 1000 10000

Every scan is a file pair of its own with noise of its own, 24 voxels wide, and five quick features, so that what is
seen to grow is the bookkeeping: survey, planning, ledger, compaction, progress.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SIDE_VOXELS = 24
RADIUS_VOXELS = 8
HEAD = ("scan_id", "patient_id", "site", "phase", "image", "mask")
QUICK = """
imageType: {Original: {}}
featureClass: {shape: [MeshVolume, Sphericity], firstorder: [Mean, Entropy], glcm: [Contrast]}
setting: {binWidth: 25}
"""
DRIVER = """
import resource, sys, time
from gc_ray.runtime.extract import Request, extract
from gc_ray.store import open_store
from gc_ray.study import load_study
manifest, store, features = sys.argv[1:]
study = load_study(None, (f'extract.feature_sets=["{features}"]',))
request = Request((manifest,), open_store(store), study)
summary = extract(request, lambda totals: lambda *_: None, f"grow-{time.time_ns()}", time.monotonic)
assert {status for _, status in summary.counts} == {"ok"}, summary.counts
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write_scans(folder: Path, count: int) -> None:
    """``count`` scans (int16, 1 mm) of a ball in noise, each with its mask."""
    rng = np.random.default_rng(0)
    away = np.indices((SIDE_VOXELS,) * 3) - (SIDE_VOXELS - 1) / 2
    ball = (np.sum(away**2, axis=0) < RADIUS_VOXELS**2).astype(np.uint8)
    for i in range(count):
        noise = rng.normal(60, 20, ball.shape).astype(np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(noise), folder / f"{i}_ct.nrrd")
        sitk.WriteImage(sitk.GetImageFromArray(ball), folder / f"{i}_mask.nrrd")


def write_manifest(folder: Path, size: int) -> Path:
    """A manifest of the first ``size`` scans."""
    path = folder / f"scans_{size}.csv"
    with path.open("w", newline="") as file:
        rows = ((f"s{i:06d}", f"p{i:06d}", "a", "portal", f"{i}_ct.nrrd", f"{i}_mask.nrrd") for i in range(size))
        csv.writer(file).writerows([HEAD, *rows])
    return path


def run(scans: Path, store: Path, features: Path) -> tuple[float, float]:
    """(wall seconds, peak memory of the driver in MB) of one extraction."""
    begin = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-c", DRIVER, str(scans), str(store), str(features)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return time.perf_counter() - begin, float(output.split()[-1])


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10, 100, 1000, 10000])
    sizes = parser.parse_args().sizes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scans(folder, max(sizes))
        (folder / "quick.yaml").write_text(QUICK)
        print("| scans | wall s | s per scan | driver MB | same again, wall s | driver MB |")
        print("|---|---|---|---|---|---|", flush=True)
        for size in sizes:
            scans, store = write_manifest(folder, size), folder / f"store_{size}"
            wall, peak = run(scans, store, folder / "quick.yaml")
            again, peak_again = run(scans, store, folder / "quick.yaml")
            print(
                f"| {size:,} | {wall:.0f} | {wall / size:.3f} | {peak:.0f} | {again:.0f} | {peak_again:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
