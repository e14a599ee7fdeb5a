"""Writers, compactors and readers at one store at a time, and a check that every read can be explained.

    python benchmarks/history.py --operations 100000
    python benchmarks/history.py --operations 2000 --store s3

Each writer commits generations of a few scans with values that are never used twice; compactors compact all the time;
readers read the whole table. Of every read is checked, scan by scan: the generation is not older than the last one
whose commit had returned before the read began; the value is that of the commit that won this generation; the commit
had begun before the read ended; and no reader sees an older generation than it saw before. ``late`` is a store in
memory whose listings lag behind by up to ``LAG`` calls, while an object is there at once: there the first and the
last rule hold for commits that are older than the lag.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import secrets
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gc_ray import ledger, sealed
from gc_ray.store import Entry, LocalStore, Store, open_store

HASH = "0123456789abcdef"
NAMES = ("original_x", "original_y")
LAG = 40  # calls of the store by which a listing of ``Late`` may be behind
SCANS = 6


class Late:
    """A store in memory: objects are there at once, listings show them, or show them still, some calls later."""

    uri = "late"
    root = "late"

    def __init__(self, seed: int = 0, lag: int = LAG) -> None:
        self._lock, self._rng, self._step, self._lag = threading.Lock(), random.Random(seed), 0, lag
        self._data: dict[str, bytes] = {}
        self._changes: dict[str, list[tuple[int, int | None]]] = defaultdict(list)  # (seen from call, size)

    def _change(self, key: str, size: int | None) -> None:
        self._step += 1
        before = self._changes[key][-1][0] if self._changes[key] else 0
        self._changes[key].append((max(before, self._step + self._rng.randrange(self._lag)), size))

    def put(self, key: str, data: bytes) -> None:
        """As a store."""
        with self._lock:
            self._data[key] = data
            self._change(key, len(data))

    def create(self, key: str, data: bytes) -> bool:
        """As a store."""
        with self._lock:
            if key in self._data:
                return False
            self._data[key] = data
            self._change(key, len(data))
            return True

    def get(self, key: str) -> bytes:
        """As a store."""
        time.sleep(0)  # so that another thread has its turn
        with self._lock:
            self._step += 1
            if key not in self._data:
                raise FileNotFoundError(key)
            return self._data[key]

    def delete(self, key: str) -> None:
        """As a store."""
        with self._lock:
            if self._data.pop(key, None) is not None:
                self._change(key, None)

    def list(self, prefix: str) -> Iterator[Entry]:
        """As a store, some calls late."""
        with self._lock:
            self._step += 1
            found = []
            for key, changes in self._changes.items():
                if key == prefix or key.startswith(f"{prefix}/"):
                    seen = [size for when, size in changes if when <= self._step]
                    if seen and seen[-1] is not None:
                        found.append(Entry(key, seen[-1], "0"))
        return iter(sorted(found, key=lambda entry: entry.key))

    @property
    def step(self) -> int:
        """How many calls were made."""
        return self._step


@dataclass
class History:
    """What happened, in order of an own clock; times are numbers of the store's calls for a late store."""

    store: Store
    clock: object
    lag: int = 0
    commits: list[tuple[int, int, str, int, float, bool]] = field(default_factory=list)
    reads: list[tuple[int, int, int, dict[str, tuple[int, float]]]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    operations: int = 0

    def now(self) -> int:
        """The time."""
        return self.clock()

    def write(self, rng: random.Random, values: Iterator[int]) -> None:
        """Commit the next generation of one scan, with a value of its own."""
        scan = f"s{rng.randrange(SCANS)}"
        known = [gen for _, _, key, gen, _, _ in self.commits[-200:] if key == scan]
        generation, value = max(known, default=0) + rng.randrange(2) or 1, float(next(values))
        begin = self.now()
        row = row_of(scan, generation)
        staged = ledger.stage_features(self.store, {n: row[n] for n in IDENTITY}, HASH, (value, -value))
        won = ledger.commit(self.store, row | {"object": staged})
        self.commits.append((begin, self.now(), scan, generation, value, won))

    def read(self, reader: int) -> None:
        """The whole table, as every reader sees it."""
        begin = self.now()
        held = ledger.read_ledger(self.store, ("status",))
        table = ledger.read_features(self.store, "test").to_pylist() if held.num_rows else []
        found = {row["scan_id"]: (row["generation"], row[NAMES[0]]) for row in table}
        if any(row[NAMES[1]] != -row[NAMES[0]] for row in table):
            self.faults.append(f"half of one row and half of another: {table}")
        self.reads.append((begin, self.now(), reader, found))

    def run(self, operations: int, threads: tuple[int, int, int], seed: int) -> None:
        """So many operations by writers, compactors and readers."""
        values = itertools.count(1)

        def work(kind: str, number: int) -> None:
            rng = random.Random(f"{seed}-{kind}-{number}")
            for _ in range(operations // sum(threads)):
                try:
                    if kind == "write":
                        self.write(rng, values)
                    elif kind == "read":
                        self.read(number)
                    else:
                        ledger.compact(self.store)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault of the store
                    self.faults.append(f"{kind}: {type(error).__name__}: {error}")
                self.operations += 1

        names = ("write", "compact", "read")
        kinds = [(name, n) for name, count in zip(names, threads, strict=True) for n in range(count)]
        running = [threading.Thread(target=work, args=pair) for pair in kinds]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    def check(self) -> list[str]:
        """What no order of the operations explains."""
        wrong = list(self.faults)
        winners = {(key, gen): (begin, value) for begin, _, key, gen, value, won in self.commits if won}
        if len(winners) != sum(won for *_, won in self.commits):
            wrong.append("a generation was committed twice")
        acknowledged = defaultdict(list)
        for _, end, key, gen, _, won in self.commits:
            if won:
                acknowledged[key].append((end, gen))
        last: dict[tuple[int, str], tuple[int, int]] = {}
        for begin, end, reader, found in sorted(self.reads, key=lambda read: read[1]):
            for key, known in acknowledged.items():
                wanted = max((gen for when, gen in known if when < begin - self.lag), default=0)
                generation, value = found.get(key, (0, None))
                if generation < wanted:
                    wrong.append(f"{key}: read {generation}, {wanted} was committed before")
                if generation and winners.get((key, generation), (end + 1, None))[1] != value:
                    wrong.append(f"{key}: generation {generation} has a value that nobody committed")
                if generation and winners.get((key, generation), (end + 1, None))[0] > end:
                    wrong.append(f"{key}: generation {generation} was read before it was written")
                before, when = last.get((reader, key), (0, 0))
                if generation < before and when < begin - self.lag:
                    wrong.append(f"{key}: reader {reader} saw {before}, then {generation}")
                last[reader, key] = max(last.get((reader, key), (0, 0)), (generation, end))
        return wrong


IDENTITY = ("scan_id", "reader", "repeat", "roi", "patient_id", "site", "generation", "feature_set")


def row_of(scan: str, generation: int) -> dict:
    """A ledger row."""
    return {
        "scan_id": scan, "reader": "R1", "repeat": 0, "roi": "", "patient_id": scan, "site": "a", "phase": "pv",
        "generation": generation, "feature_set": "test", "status": "ok", "stage": "done", "reason": "", "notes": [],
        "missing": "{}", "geometry": "{}", "mask_voxels": 1, "object": "", "source_stamp": "", "source_sha256": "",
        "settings_hash": HASH, "code_version": "1", "seconds": 0.0, "peak_mb": 0.0,
    }  # fmt: skip


def history(store: Store, operations: int, seed: int = 0, threads: tuple[int, int, int] = (3, 2, 3)) -> History:
    """What happened at a store, checked by ``check``."""
    sealed.put(store, f"radiomics/test/{HASH}/settings.json", {"names": NAMES})
    late = isinstance(store, Late)
    made = History(store, (lambda: store.step) if late else time.perf_counter_ns, 2 * LAG if late else 0)
    made.run(operations, threads, seed)
    return made


def main() -> None:
    """Run and check; exit 1 when a read cannot be explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--store", choices=["local", "late", "s3"], nargs="+", default=["local", "late"])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    wrong = 0
    for kind in asked.store:
        done, begin = 0, time.monotonic()
        with tempfile.TemporaryDirectory() as folder, stores_of(kind, Path(folder)) as empty_store:
            for seed in itertools.count(asked.seed):  # a new store now and then: readers read the whole table
                if done >= asked.operations:
                    break
                made = history(empty_store(seed), min(400, asked.operations - done), seed)
                found = made.check()
                done, wrong = done + made.operations, wrong + len(found)
                for line in found[:5]:
                    print(f"{kind}, seed {seed}: {line}")
        print(f"{kind}: {done:,} operations in {time.monotonic() - begin:.0f} s, {wrong} unexplained", flush=True)
    sys.exit(bool(wrong))


@contextmanager
def stores_of(kind: str, folder: Path) -> Iterator[Callable[[int], Store]]:
    """What makes an empty store of a kind for each seed."""
    if kind == "late":
        yield Late
    elif kind == "local":
        yield lambda seed: LocalStore(str(folder / str(seed)))
    else:
        with s3_server(folder):
            yield lambda _: open_store(f"s3://history/{secrets.token_hex(4)}")


@contextmanager
def s3_server(folder: Path) -> Iterator[None]:
    """A real S3 server with an empty bucket, which the settings of this process point at."""
    sys.path.insert(0, str(Path(__file__).parent / "chaos"))
    from seaweed import Seaweed

    server = Seaweed(folder)
    server.start()
    os.environ.update(server.settings)
    import boto3

    boto3.client("s3").create_bucket(Bucket="history")
    yield
    server.kill()


if __name__ == "__main__":
    main()
