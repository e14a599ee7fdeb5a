"""A process of gc_ray or of PyRadiomics that extracts one scan after the other and says what each took.

    python one_scan.py ours|peer

Reads [image, mask, region] as JSON, a line each; answers each with a line of JSON. Before the first it extracts a
small made-up scan, so that imports are done and kernels loaded, as in a worker that has had its first scan. A scan is
extracted up to ``REPEATS`` times until ``ENOUGH_S`` have passed, and the run of least CPU time counts.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import SimpleITK as sitk

from gc_ray.imaging.itk import image_of
from gc_ray.imaging.phantom import textured_ball

PRESET = str(resources.files("gc_ray.features").joinpath("pyradiomics_ct.yaml"))
FEATURE_SET = "pyradiomics-ct"
REPEATS = 3
ENOUGH_S = 3.0
TIMEOUT_S = 3600.0  # never reached: nothing is to be given up here

Extract = Callable[[str, str, str], dict]


def ours(folder: Path) -> Extract:
    """``process_scan`` of gc_ray, from the files to the committed ledger row; with the CPU seconds of each stage."""
    import stages

    from gc_ray import ledger
    from gc_ray.code_versions import EXTRACTION, code_version
    from gc_ray.cohort.manifest import ScanRow
    from gc_ray.runtime.products import describe, products_of
    from gc_ray.runtime.scan_work import Job, ScanTask, Wanted, process_scan
    from gc_ray.store import open_store
    from gc_ray.study import load_study

    clocks = stages.installed()
    products = products_of(load_study(None, (f'extract.feature_sets=["{FEATURE_SET}"]',)).extract)

    def extract(image: str, mask: str, region: str) -> dict:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            store = open_store(name)
            describe(products[FEATURE_SET], store)
            row = ScanRow("s", "R1", 0, region, "p", "a", "v", image, mask, "", image, mask)
            task = ScanTask(row, "", (Wanted(FEATURE_SET, 1),))
            job = Job(store, products, code_version(EXTRACTION), TIMEOUT_S)
            clocks.start()
            found = timed(lambda: process_scan(task, job))
            found["stages"] = clocks.stop()
            (features,) = ledger.read_features(store, FEATURE_SET).to_pylist()
        return found | {"values": {k: v for k, v in features.items() if isinstance(v, float)}}

    return extract


def peer(folder: Path) -> Extract:
    """``extractSegment`` of PyRadiomics, the function that its command line gives to its worker processes."""
    import radiomics
    from radiomics.featureextractor import RadiomicsFeatureExtractor
    from radiomics.scripts.segment import extractSegment

    radiomics.logger.setLevel(logging.CRITICAL)
    extractor = RadiomicsFeatureExtractor(PRESET)
    inputs = ("Image", "Mask", "Label")

    def extract(image: str, mask: str, region: str) -> dict:
        row: dict = {}
        case = dict(zip(inputs, (image, mask, region), strict=True))
        found = timed(lambda: row.update(extractSegment(0, case, extractor)))
        values = {k: float(v) for k, v in row.items() if "diagnostics" not in k and k not in inputs}
        return found | {"values": values}

    return extract


def timed(work: Callable[[], object]) -> dict:
    """CPU and wall seconds of ``work``, and the most memory of this process meanwhile in MB (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    found = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    return found | {"peak_mb": int(peak) / 1024}


def best_of(extract: Extract, request: list[str]) -> dict:
    """The extraction of least CPU time, with the highest peak of all."""
    runs: list[dict] = []
    while len(runs) < REPEATS and sum(run["wall"] for run in runs) < ENOUGH_S:
        runs.append(extract(*request))
    return min(runs, key=lambda run: run["cpu"]) | {"peak_mb": max(run["peak_mb"] for run in runs)}


def write_ball(folder: Path) -> tuple[str, str, str]:
    """A made-up scan of 9,000 voxels: image, mask and label."""
    volume, mask = textured_ball(13.0)
    paths = [str(folder / name) for name in ("ct.nrrd", "mask.nrrd")]
    for thing, path in zip((volume, mask), paths, strict=True):
        sitk.WriteImage(image_of(thing), path)
    return *paths, "1"


def main() -> None:
    """Answer until the input ends."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extract = {"ours": ours, "peer": peer}[sys.argv[1]](folder)
        extract(*write_ball(folder))
        for line in sys.stdin:
            print(json.dumps(best_of(extract, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
