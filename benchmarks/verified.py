"""How fast ``gc-ray verify`` reads a store: objects of some MB, and many small ones; beside what hashing alone takes.

python benchmarks/verified.py --folder /dev/shm
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from gc_ray import ledger, sealed
from gc_ray.runtime.verify import verify
from gc_ray.store import LocalStore
from gc_ray.store_format import prepare

LARGE, LARGE_BYTES, SMALL = 60, 5_000_000, 10_000


def spent(call) -> tuple[float, float]:
    """(seconds, processor seconds) of a call."""
    begin, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begin, time.process_time() - cpu


def write(store: LocalStore, name: str, data: bytes) -> None:
    """An object, without waiting for the disk."""
    path = Path(store.root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="Where the stores are made; the temporary folder when left out.")
    folder = parser.parse_args().folder
    data = os.urandom(LARGE_BYTES)
    _, alone = spent(lambda: [sealed.sha256(data) for _ in range(LARGE)])
    print(f"SHA-256 alone: {LARGE * LARGE_BYTES / 1e6 / alone:,.0f} MB a processor second")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        store = LocalStore(name)
        prepare(store)
        for i in range(LARGE):
            data = os.urandom(LARGE_BYTES)
            write(store, f"checkpoints/model/fold-0/{i:06d}-{sealed.sha256(data)[:32]}.safetensors", data)
        wall, cpu = spent(lambda: verify(store))
        size = LARGE * LARGE_BYTES / 1e6
        what = f"{LARGE} objects of {LARGE_BYTES / 1e6:g} MB"
        print(f"{what}: {size / wall:,.0f} MB/s, {size / cpu:,.0f} a processor second")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        store = LocalStore(name)
        prepare(store)
        for i in range(SMALL):
            row = row_of(i)
            write(store, ledger.commit_name(row), sealed.seal(row, ledger.commit_name(row)))
        wall, cpu = spent(lambda: verify(store))
        print(f"{SMALL:,} ledger rows: {SMALL / wall:,.0f} objects/s, {SMALL / cpu:,.0f} a processor second")


def row_of(i: int) -> dict:
    """A ledger row that has no values."""
    return {
        "scan_id": f"s{i}", "reader": "R1", "repeat": 0, "roi": "", "patient_id": f"p{i}", "site": "a", "phase": "pv",
        "generation": 1, "feature_set": "test", "status": "refused", "stage": "mask", "reason": "no region",
        "notes": [], "missing": "{}", "geometry": "{}", "mask_voxels": None, "object": "", "source_stamp": "t",
        "source_sha256": "s", "settings_hash": "h", "code_version": "1", "seconds": 1.0, "peak_mb": 1.0,
    }  # fmt: skip


if __name__ == "__main__":
    main()
