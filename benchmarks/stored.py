"""What one row of results weighs in the store, and how long a cohort's table takes to read.

python benchmarks/stored.py --rows 1000
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

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
        kind = next(k for k in ("staged", "commits", "shard", "settings") if k in entry.key)
        found.setdefault(kind, []).append(entry.size)
    return ", ".join(f"{kind} {len(s):,} x {statistics.mean(s) / 1000:,.1f} KB" for kind, s in found.items())


def read_seconds(store: Store) -> float:
    """Median of ``READS`` readings of the whole table."""
    taken = []
    for _ in range(READS):
        begin = time.perf_counter()
        ledger.read_features(store, FEATURE_SET)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    rows = parser.parse_args().rows
    product = products_of(load_study(None, (f'extract.feature_sets=["{FEATURE_SET}"]',)).extract)[FEATURE_SET]
    with tempfile.TemporaryDirectory() as name:
        store = open_store(name)
        write_rows(rows, product, store)
        print(f"before compaction: {weights(store)}; read in {read_seconds(store):.2f} s")
        begin = time.perf_counter()
        ledger.compact(store)
        print(f"compaction of {rows:,} rows: {time.perf_counter() - begin:.2f} s")
        print(f"after: {weights(store)}; read in {read_seconds(store):.2f} s")


if __name__ == "__main__":
    main()
