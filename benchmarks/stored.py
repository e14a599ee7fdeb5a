"""What one row of results weighs in the store, and how long a cohort's table takes to read.

python benchmarks/stored.py --rows 1000
python benchmarks/stored.py --rows 1000 --before CHECKOUT      ratios to the code of another checkout
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from one_scan import FEATURE_SET

from gc_ray import ledger
from gc_ray.code_versions import EXTRACTION, code_version
from gc_ray.cohort.manifest import ScanRow
from gc_ray.runtime.products import Product, describe, products_of, settings_hash
from gc_ray.runtime.scan_work import Job, Reading, ScanTask, Wanted, ledger_row
from gc_ray.store import Store, open_store
from gc_ray.study import load_study

READS = 5
TURNS = 3
KINDS = ("staged", "commits", "loose", "lists", "shard", "settings")


def write_rows(count: int, product: Product, store: Store) -> None:
    """Commit ``count`` rows of random values, which no compression makes smaller."""
    describe(product, store)
    job = Job(store, {product.name: product}, code_version(EXTRACTION), 3600.0)
    rng = np.random.default_rng(0)
    for i in range(count):
        image, mask = f"site_a/patient_{i}/ct", f"site_a/patient_{i}/mask.dcm"
        row = ScanRow(
            f"scan_{i}", "R1", 0, "tumour", f"patient_{i}", "site_a", "venous", image, mask, "", image, mask
        )
        wanted = Wanted(product.name, 1)
        committed = ledger_row(ScanTask(row, "0" * 32, (wanted,)), wanted, job, Reading(sha256="0" * 64))
        committed["object"] = ledger.stage_features(
            store, committed, settings_hash(product), rng.normal(size=len(product.features.names))
        )
        ledger.commit(store, committed)


def weights(store: Store) -> str:
    """Objects and bytes of the store by kind."""
    found = {}
    for entry in store.list(""):
        kind = next((k for k in KINDS if k in entry.key), "other")
        found.setdefault(kind, []).append(entry.size)
    return ", ".join(f"{kind} {len(s):,} x {statistics.mean(s) / 1000:,.1f} KB" for kind, s in found.items())


def read_seconds(store: Store) -> float:
    """Least processor time of ``READS`` readings of the whole table: other work on the machine does not count."""
    taken = []
    for _ in range(READS):
        begin = time.process_time()
        ledger.read_features(store, FEATURE_SET)
        taken.append(time.process_time() - begin)
    return min(taken)


def measured(rows: int, told: Callable[[str], None]) -> dict[str, float]:
    """Seconds of reading before compaction, of compaction, and of reading after it."""
    product = products_of(load_study(None, (f'extract.feature_sets=["{FEATURE_SET}"]',)).extract)[FEATURE_SET]
    with tempfile.TemporaryDirectory() as name:
        store = open_store(name)
        begin = time.perf_counter()
        write_rows(rows, product, store)
        found = {"write": time.perf_counter() - begin, "read staged": read_seconds(store)}
        told(f"before compaction: {weights(store)}; read in {found['read staged']:.2f} s")
        begin = time.perf_counter()
        ledger.compact(store)
        found["compact"] = time.perf_counter() - begin
        told(f"compaction of {rows:,} rows: {found['compact']:.2f} s")
        found["read shards"] = read_seconds(store)
        told(f"after: {weights(store)}; read in {found['read shards']:.2f} s")
    return found


def compared(rows: int, before: str) -> None:
    """The same with the code of another checkout, turn about, as ratios of the least of each."""
    least: dict[str, dict[str, float]] = {}
    for code in [before, str(Path(__file__).parents[1])] * TURNS:
        command = [sys.executable, __file__, "--rows", str(rows), "--json"]
        place = os.environ | {"PYTHONPATH": code}
        said = subprocess.run(command, env=place, capture_output=True, text=True, check=True)
        for name, seconds in json.loads(said.stdout).items():
            held = least.setdefault(code, {})
            held[name] = min(seconds, held.get(name, seconds))
    old, new = least.values()
    for name, seconds in new.items():
        print(f"{name}: {old[name]:.3f} s before, {seconds:.3f} s now, ratio {seconds / old[name]:.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--before", help="Another checkout of this project, to be compared with.")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.before:
        compared(asked.rows, asked.before)
    elif asked.json:
        print(json.dumps(measured(asked.rows, lambda line: None)))
    else:
        measured(asked.rows, print)


if __name__ == "__main__":
    main()
