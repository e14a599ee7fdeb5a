"""Extraction side by side with PyRadiomics' own command line: same scans, same settings, same cores, one run.

    make bench                        every scan of ../shared/data
    python benchmarks/extraction.py --data ../shared/data --only lung1 STS_025

Prints Markdown tables: CPU and wall seconds and peak memory per scan (decode included, imports not), then whole
batches with the time that Ray takes to start shown apart. Ratios mean something, seconds belong to the machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

PRESET = resources.files("gc_ray.features").joinpath("pyradiomics_ct.yaml")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
ONE_THREAD = dict.fromkeys(THREADS, "1")
SMALL_VOXELS = 50_000  # at 1 mm; above it the count matrices rule
HEAD = ("scan_id", "patient_id", "site", "phase", "image", "mask", "roi")

PEER = """
import json, resource, sys, time, logging
import radiomics
from radiomics.featureextractor import RadiomicsFeatureExtractor
from radiomics.scripts.segment import extractSegment
radiomics.logger.setLevel(logging.CRITICAL)
image, mask, label, preset = sys.argv[1:]
extractor = RadiomicsFeatureExtractor(preset)
wall, cpu = time.perf_counter(), time.process_time()
row = extractSegment(0, {"Image": image, "Mask": mask, "Label": label}, extractor)
found = [time.process_time() - cpu, time.perf_counter() - wall]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
values = {k: float(v) for k, v in row.items() if "diagnostics" not in k and k not in ("Image", "Mask", "Label")}
print(json.dumps([*found, peak, values]))
"""
OURS = """
import json, sys, tempfile, time
from gc_ray import ledger
from gc_ray.cohort.manifest import ScanRow
from gc_ray.runtime.products import code_version, describe, products_of
from gc_ray.runtime.scan_work import Job, ScanTask, Wanted, process_scan
from gc_ray.store import open_store
from gc_ray.study import ExtractSettings
image, mask, label = sys.argv[1:]
row = ScanRow("s", "R1", 0, label, "p", "a", "v", image, mask, "", image, mask)
with tempfile.TemporaryDirectory() as folder:
    store, products = open_store(folder), products_of(ExtractSettings())
    for product in products.values():
        describe(product, store)
    job = Job(store, products, code_version(), 3600.0)
    wall, cpu = time.perf_counter(), time.process_time()
    process_scan(ScanTask(row, "", (Wanted("pyradiomics-ct", 1),)), job)
    found = [time.process_time() - cpu, time.perf_counter() - wall]
    (line,) = ledger.read_ledger(store).to_pylist()
    (values,) = ledger.read_features(store, "pyradiomics-ct").to_pylist()
print(json.dumps([*found, line["peak_mb"], {k: v for k, v in values.items() if isinstance(v, float)}]))
"""


@dataclass(frozen=True)
class Case:
    """One scan and the label of its region."""

    name: str
    image: Path
    mask: Path
    label: str


@dataclass(frozen=True)
class Measured:
    """CPU and wall seconds of one extraction, peak memory of its process in MB, and the values."""

    cpu: float
    wall: float
    peak_mb: float
    values: dict[str, float]


def cases(data: Path) -> list[Case]:
    """Every real scan that both programs can read: NIfTI and NRRD."""
    found = [
        Case("lung1", data / "pyradiomics_nrrd/lung1_image.nrrd", data / "pyradiomics_nrrd/lung1_label.nrrd", "1"),
        Case("STS_025", *(data / f"sts_ct_rtstruct/STS_025/CT_{n}.nii.gz" for n in ("image", "mask")), "1"),
        Case("ibsi_phantom", *(data / f"ibsi/ct_phantom/{n}.nii.gz" for n in ("image", "mask")), "1"),
    ]
    abdomen = data / "totalseg_abdomen_nifti"
    organs = {"spleen": 1, "kidney": 2, "gallbladder": 4, "stomach": 6, "pancreas": 7, "duodenum": 19, "colon": 20}
    found += [Case(n, abdomen / "ct.nii.gz", abdomen / "seg_multilabel.nii.gz", str(i)) for n, i in organs.items()]
    for image in sorted((data / "sts_cohort_cropped").glob("*_ct.nii.gz")):
        mask = image.with_name(image.name.replace("_ct", "_gtv"))
        found.append(Case(f"{image.name[:7]}_cropped", image, mask, "1"))
    return found


def one(code: str, *arguments: object, threads: dict[str, str]) -> Measured:
    """Run one extraction in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k not in THREADS} | threads
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return Measured(*json.loads(output.splitlines()[-1]))


def batch(command: list[object], threads: dict[str, str]) -> tuple[float, float]:
    """(wall, CPU) seconds of a command with all its processes that end with it."""
    environment = {k: v for k, v in os.environ.items() if k not in THREADS} | threads
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(list(map(str, command)), env=environment, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def per_scan(chosen: list[Case]) -> None:
    """The table of scans by size of the region, and the medians that the project is held to."""
    print("| scan | voxels at 1 mm | CPU s, ours | CPU s, PyRadiomics | ratio | wall s, ours | wall s, as it ships"
          " | MB, ours | MB, PyRadiomics | features equal within 1e-6 |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows = []
    for case in chosen:
        ours = one(OURS, case.image, case.mask, case.label, threads=ONE_THREAD)
        peer = one(PEER, case.image, case.mask, case.label, PRESET, threads=ONE_THREAD)
        ships = one(PEER, case.image, case.mask, case.label, PRESET, threads={})
        rows.append((peer.values["original_shape_VoxelVolume"], case, ours, peer, ships))
    for voxels, case, ours, peer, ships in sorted(rows, key=lambda row: row[0]):
        same = sum(abs(ours.values[k] - v) <= 1e-6 * max(abs(v), 1e-3) for k, v in peer.values.items())
        print(
            f"| {case.name} | {voxels:,.0f} | {ours.cpu:.2f} | {peer.cpu:.2f} | {peer.cpu / ours.cpu:.2f} "
            f"| {ours.wall:.2f} | {ships.wall:.2f} | {ours.peak_mb:.0f} | {peer.peak_mb:.0f} "
            f"| {same}/{len(peer.values)} |",
            flush=True,
        )
    for what, group in (
        (f"under {SMALL_VOXELS:,} voxels", [r for r in rows if r[0] < SMALL_VOXELS]),
        (f"{SMALL_VOXELS:,} voxels and more", [r for r in rows if r[0] >= SMALL_VOXELS]),
    ):
        if group:
            ratio = statistics.median(r[3].cpu / r[2].cpu for r in group)
            print(f"\nMedian CPU ratio, {len(group)} scans {what}: {ratio:.2f}")
    print(
        f"\nAll scans: ours {sum(r[2].cpu for r in rows):.0f} CPU s, PyRadiomics {sum(r[3].cpu for r in rows):.0f}\n"
    )


def whole_batches(chosen: list[Case]) -> None:
    """Both programs over all scans at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "peer.csv", ("Image", "Mask", "Label"), [(c.image, c.mask, c.label) for c in chosen])
        _write(folder / "ours.csv", HEAD, [(c.name, c.name, "a", "v", c.image, c.mask, c.label) for c in chosen])
        tool = Path(sys.executable).parent
        peer = [tool / "pyradiomics", folder / "peer.csv", "--param", PRESET, "--jobs", 2, "-f", "csv", "-o"]
        print("| batch | wall s | CPU s |\n|---|---|---|")
        for label, threads in (("as it ships", {}), ("one thread per process", ONE_THREAD)):
            wall, cpu = batch([*peer, folder / f"{len(threads)}.csv"], threads)
            print(f"| PyRadiomics --jobs 2, {label} | {wall:.1f} | {cpu:.1f} |", flush=True)
        for workers in (1, 2):
            store = folder / f"store{workers}"
            extract = [tool / "gc-ray", "extract", "--scans", folder / "ours.csv", "--store", store]
            walls = [batch([*extract, "--workers", workers, "--failure-budget", 1], {})[0] for _ in range(2)]
            print(f"| gc-ray --workers {workers} | {walls[0]:.1f} | |")
            print(f"| of it start of Ray, planning and nothing to compute | {walls[1]:.1f} | |", flush=True)


def _write(path: Path, head: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the reference scans")
    parser.add_argument("--only", nargs="*", help="names of scans, all when left out")
    parser.add_argument("--no-batches", action="store_true", help="leave the whole batches out")
    options = parser.parse_args()
    chosen = [case for case in cases(options.data.resolve()) if not options.only or case.name in options.only]
    libraries = ("pyradiomics-bhklab", "SimpleITK", "numpy", "scipy", "ray")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          + ", ".join(f"{name} {metadata.version(name)}" for name in libraries) + "\n")  # fmt: skip
    per_scan(chosen)
    if not options.no_batches:
        whole_batches(chosen)


if __name__ == "__main__":
    main()
