"""A manifest of a million scans on one core: seconds and peak memory of all that only plans, in a process each.

    python benchmarks/million.py --rows 1000000

The tables are made up on the spot. Nothing is read of any scan: the stamps that a first look would find are given,
and what that look costs is measured beside (``stamps``), file by file, since workers and threads share it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

LIMIT_S, LIMIT_MB = 60, 2000  # what a part may take
STEP = 2000  # rows written at a time
BUNDLE, CODE, STAMP, SHA = "0123456789abcdef", "1-0123456789ab", "0" * 32, "0" * 64
LOOKED = 5000  # scans whose stamps are measured
GEOMETRY = '{"size": [512, 512, 300], "spacing_mm": [0.7, 0.7, 1.0], "origin_mm": [0, 0, 0], "pixel_type": "int16"}'


def write_tables(folder: Path, rows: int) -> None:
    """The manifest in both formats, and stores whose ledger and scores hold every scan of it."""
    ids = [f"{i:07d}" for i in range(rows)]
    columns = {"scan_id": [f"scan-{i}" for i in ids], "patient_id": [f"patient-{i}" for i in ids]}
    columns |= {"site": [f"site_{i % 4}" for i in range(rows)], "phase": ["portal_venous"] * rows}
    columns |= {"image": [f"site/P{i}/ct" for i in ids], "mask": [f"site/P{i}/mask.dcm" for i in ids]}
    table = pa.table(columns)
    pacsv.write_csv(table, folder / "scans.csv")
    pq.write_table(table, folder / "scans.parquet")
    for start in range(0, rows, STEP):
        write_shards(folder / "store", start, columns["scan_id"][start : start + STEP])


def write_shards(store: Path, start: int, ids: list[str]) -> None:
    """A shard of the ledger and one of the scores; the commits behind them are not made, since no plan reads them."""
    from gc_ray import tables
    from gc_ray.study import digest

    ((product, settings),) = job_of(store).settings_hashes.items()
    whose = [{"scan_id": i, "reader": "R1", "repeat": 0, "roi": "", "patient_id": i, "site": "a"} for i in ids]
    ledger = {
        "feature_set": product, "phase": "portal_venous", "status": "ok", "stage": "done", "reason": "", "notes": [],
        "missing": "{}", "geometry": GEOMETRY, "mask_voxels": 9, "object": SHA,
        "source_stamp": STAMP, "source_sha256": SHA, "settings_hash": settings, "code_version": CODE, "generation": 1,
        "seconds": 3.2, "peak_mb": 700.0,
    }  # fmt: skip
    score = {
        "bundle_id": BUNDLE, "study_id": "s", "model_id": "m", "input_hash": digest([SHA, {}, "portal_venous"]),
        "phase": "portal_venous", "status": "scored", "score": 0.5, "linear_predictor": 0.0, "lower": 0.4,
        "upper": 0.6, "interval": "", "risk_group": "low", "verdict": "in-domain", "reasons": [], "predictors": "{}",
        "scored_at": "", "run": "r",
    }  # fmt: skip
    for kind, folder, more in (
        (tables.LEDGER, "ledger/shards", ledger),
        (tables.RESCORES, f"scores/bundles/{BUNDLE}", score),
    ):
        path = store / folder / f"shard-{len(ids):04d}-{start:016d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(tables.build(kind, [{**row, **more} for row in whose]), path, compression="zstd")


@cache
def job_of(store: Path):
    """A job with the 1,925 features, which is what the ledger was written with."""
    from gc_ray.runtime.products import products_of
    from gc_ray.runtime.scan_work import Job
    from gc_ray.store import open_store
    from gc_ray.study import ExtractSettings

    return Job(open_store(str(store)), products_of(ExtractSettings()), CODE, 60.0)


def check(folder: Path, manifest: str) -> None:
    """``gc-ray check --manifest-only``."""
    from gc_ray.runtime.check import check as run
    from gc_ray.study import load_study

    print(run((str(folder / manifest),), None, load_study(None), True, None).outlines, "outlines")


def plan(folder: Path, store: str) -> None:
    """What ``extract`` does of a cohort before and between its waves, but for looking at sources and computing."""
    from gc_ray.runtime import plan as planning
    from gc_ray.runtime.manifests import read_manifests
    from gc_ray.runtime.survey import Survey

    job, scans = job_of(folder / store), read_manifests((str(folder / "scans.csv"),))
    unchanged: list[str] = []
    waves = planning.plan_waves(
        planning.read_history(job.store, scans, job),
        job,
        lambda asked: [Survey(STAMP, 0) for _ in asked],
        lambda site, _: unchanged.append(site),
        size=1000,
        verify=False,
    )
    print(sum(len(wave) for wave in waves), "to compute,", len(unchanged), "unchanged")


def rescoring(folder: Path) -> None:
    """What ``rescore`` does of a cohort that is scored, but for looking at sources, drift and the run record."""
    from gc_ray.runtime import rescore, rescore_input
    from gc_ray.runtime.manifests import read_manifests

    job, scans = job_of(folder / "store"), read_manifests((str(folder / "scans.csv"),))
    ready = rescore_input.Ready(scans, [STAMP] * len(scans), None)
    request = SimpleNamespace(bundle=SimpleNamespace(bundle_id=BUNDLE, harmonisation={}), store=job.store)
    to_extract = rescore_input._plans(job.store, ready, job)
    todo, failed, already = rescore._unscored(request, ready, tuple(job.products))
    print(len(to_extract), "to extract,", len(todo) + len(failed), "to score,", already, "scored already")


def summary(folder: Path) -> None:
    """The last step of ``extract``: the ledger counted against the manifest."""
    from gc_ray.runtime.extract import _summarise
    from gc_ray.runtime.manifests import read_manifests

    job, scans = job_of(folder / "store"), read_manifests((str(folder / "scans.csv"),))
    study = SimpleNamespace(extract=SimpleNamespace(failure_budget=0.05))
    done = _summarise(scans, job, SimpleNamespace(store=job.store, study=study), "run", 0, 0.0)
    print(sum(done.counts.values()), "results counted")


def stamps(folder: Path) -> None:
    """A first look at scans on this machine's disk: a folder with ten files and a mask each."""
    from gc_ray.cohort.manifest import ScanRow
    from gc_ray.runtime.survey import survey_scan

    (folder / "looked" / "ct").mkdir(parents=True, exist_ok=True)
    for i in range(10):
        (folder / "looked" / "ct" / str(i)).write_bytes(b"0" * 1000)
    (folder / "looked" / "mask.dcm").write_bytes(b"0")
    uris = (str(folder / "looked" / "ct"), str(folder / "looked" / "mask.dcm"))
    row = ScanRow("s", "R1", 0, "", "p", "a", "v", "ct", "m", "", *uris)
    settled = survey_scan(row).stamp
    begin = time.perf_counter()
    for _ in range(LOOKED):
        survey_scan(row, settled)
    print(f"{(time.perf_counter() - begin) / LOOKED * 1e6:.0f} us a scan of 11 files")


PARTS = {
    "check --manifest-only, CSV": partial(check, manifest="scans.csv"),
    "check --manifest-only, Parquet": partial(check, manifest="scans.parquet"),
    "extract, every scan new: plan": partial(plan, store="empty"),
    "extract, nothing to do: resume": partial(plan, store="store"),
    "extract, the count at the end": summary,
    "rescore, nothing to do": rescoring,
    "stamps of 5,000 scans, local disk": stamps,
}


def measure(part: str, folder: Path) -> str:
    """One part in a process of its own on one core, as a row of the table."""
    begin = time.perf_counter()
    command = [sys.executable, __file__, "--folder", str(folder), "--part", part]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    wall = time.perf_counter() - begin
    *said, peak, cpu = done.stdout.split("\n")[:-1]
    held = "yes" if float(cpu) < LIMIT_S and float(peak) < LIMIT_MB else "no"
    return f"| {part} | {wall:.1f} | {float(cpu):.1f} | {float(peak):.0f} | {held} | {' '.join(said)} |"


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        import resource

        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        PARTS[asked.part](asked.folder)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime, sep="\n")
        return
    with tempfile.TemporaryDirectory() as name:
        write_tables(Path(name), asked.rows)
        print(f"{asked.rows:,} rows, one core\n\n| | wall s | CPU s | peak MB | within limits | what was found |")
        print("|---|---|---|---|---|---|", flush=True)
        for part in PARTS:
            print(measure(part, Path(name)), flush=True)


if __name__ == "__main__":
    main()
