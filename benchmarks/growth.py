"""Does a large cohort cost more per scan than a small one? Cost per outline and memory of the driver, by size.

    python benchmarks/growth.py --sizes 10 100 1000 10000

The outlines are ten simulated scans over and over under names of their own, with five quick features each, so that
what grows is the bookkeeping: planning, ledger, compaction, progress.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort.synthetic.write import write_cohort

SCANS = 10
QUICK = """
imageType: {Original: {}}
featureClass: {shape: [MeshVolume, Sphericity], firstorder: [Mean, Entropy], glcm: [Contrast]}
setting: {resampledPixelSpacing: [3, 3, 3], interpolator: sitkBSpline, binWidth: 25}
"""
DRIVER = """
import resource, sys, time
from gc_ray.runtime.extract import Request, extract
from gc_ray.store import open_store
from gc_ray.study import load_study
manifest, store, features = sys.argv[1:]
study = load_study(None, (f'extract.feature_sets=["{features}"]',))
request = Request((manifest,), open_store(store), study)
extract(request, lambda totals: lambda *_: None, f"grow-{time.time_ns()}", time.monotonic)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def manifest(folder: Path, cohort: Path, size: int) -> Path:
    """A manifest of ``size`` outlines of the cohort's scans."""
    path = folder / f"scans_{size}.csv"
    with (cohort / "scans.csv").open() as source, path.open("w", newline="") as target:
        rows = list(csv.DictReader(source))
        writer = csv.DictWriter(target, rows[0].keys())
        writer.writeheader()
        for i in range(size):
            row = rows[i % len(rows)]
            places = {name: cohort / row[name] for name in ("image", "mask")}
            writer.writerow(row | places | {"scan_id": f"s{i:06d}", "patient_id": f"p{i:06d}"})
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
    parser.add_argument("--sizes", type=int, nargs="*", default=[10, 100, 1000])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(folder / "c", CohortSpec(patients=SCANS, matrix=64, reread_share=0))
        (folder / "quick.yaml").write_text(QUICK)
        print("| outlines | wall s | s per outline | driver MB | same again, wall s |\n|---|---|---|---|---|")
        for size in parser.parse_args().sizes:
            scans, store = manifest(folder, folder / "c", size), folder / f"store_{size}"
            wall, peak = run(scans, store, folder / "quick.yaml")
            again, _ = run(scans, store, folder / "quick.yaml")
            print(f"| {size:,} | {wall:.0f} | {wall / size:.3f} | {peak:.0f} | {again:.0f} |", flush=True)


if __name__ == "__main__":
    main()
