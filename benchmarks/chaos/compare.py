"""What a store holds beside what it should hold: lost, doubled, half-written, and equal to an undisturbed run."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gc_ray import ledger
from gc_ray.runtime import audit
from gc_ray.store import Store, open_store
from gc_ray.tables import SCAN_KEY

FEATURES = "quick"
MEASURED = ("seconds", "peak_mb")  # what two runs may differ in
SCORED = ("scored_at", "run", "sequence")
READERS = {
    "json": json.loads,
    "arrow": lambda data: pa.ipc.open_file(data).read_all(),
    "parquet": lambda data: pq.read_table(io.BytesIO(data)),
}


@dataclass(frozen=True)
class Verdict:
    """lost: outlines without their result. doubled: results too many. half: objects that cannot be read."""

    lost: int
    doubled: int
    half: int
    equal: bool

    @property
    def sound(self) -> bool:
        """Whether the fault left no trace."""
        return self == Verdict(0, 0, 0, True)


def committed(store: Store) -> int:
    """How many results are committed."""
    return sum(1 for _ in store.list("ledger/commits"))


def half_written(store: Store) -> int:
    """How many listed objects cannot be read as what their names say."""
    damaged = 0
    for entry in store.list(""):
        if "/loose/" in entry.key:
            continue  # a mark: empty, under the name of the commit that it stands for
        try:
            READERS.get(entry.key.rpartition(".")[2], len)(store.get(entry.key))
        except (ValueError, pa.ArrowException):
            damaged += 1
    return damaged


def extracted(uri: str, keys: list[tuple], expected: str, half: int = 0, leave_out: tuple[str, ...] = ()) -> Verdict:
    """A store after ``extract`` of some outlines against one that was left in peace.

    half: what was found half-written. leave_out: columns of the ledger that tell where the scans lay.
    """
    store, peace = open_store(uri), open_store(expected)
    rows = (json.loads(store.get(entry.key)) for entry in store.list("ledger/commits"))
    commits = Counter(_key(row) for row in rows)
    found, features = ledger.read_ledger(store), ledger.read_features(store, FEATURES)
    lost = len(set(keys) - (set(commits) & {_key(row) for row in found.to_pylist()}))
    doubled = _surplus(commits) + _surplus(Counter(_key(row) for row in features.to_pylist()))
    dropped = [*MEASURED, *leave_out]
    equal = same(found.drop_columns(dropped), ledger.read_ledger(peace).drop_columns(dropped))
    equal = equal and same(features, ledger.read_features(peace, FEATURES))
    return Verdict(lost, doubled + len(set(commits) - set(keys)), half, equal)


def rescored(uri: str, keys: list[tuple], bundle_id: str, expected: str) -> Verdict:
    """A store after ``rescore`` of some scans against one that was left in peace."""
    store = open_store(uri)
    audits = Counter(_key(json.loads(store.get(name))) for name in audit.committed(store, bundle_id))
    scores, wanted = (
        audit.read_scores(place, bundle_id).drop_columns(list(SCORED)) for place in (store, open_store(expected))
    )
    lost = len(set(keys) - (set(audits) & {_key(row) for row in scores.to_pylist()}))
    doubled = _surplus(audits) + _surplus(Counter(_key(row) for row in scores.to_pylist()))
    return Verdict(lost, doubled, half_written(store), same(scores, wanted))


def same(found: pa.Table, wanted: pa.Table) -> bool:
    """Arrow-equal, with floats equal to the bit (a NaN equals the same NaN)."""
    if not found.schema.equals(wanted.schema) or found.num_rows != wanted.num_rows:
        return False
    pairs = zip(found.columns, wanted.columns, strict=True)
    return all(np.array_equal(_bits(a), _bits(b)) if pa.types.is_float64(a.type) else a.equals(b) for a, b in pairs)


def _bits(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy().view(np.int64)


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in SCAN_KEY)


def _surplus(counts: Counter) -> int:
    return sum(counts.values()) - len(counts)
