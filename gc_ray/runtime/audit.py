"""Results of rescoring: one create-only object each, which is the commit, and the scores compacted from them."""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from gc_ray import tables
from gc_ray.cohort.manifest import ScanRow
from gc_ray.store import Store

SMALL_SHARD = 500  # rows; shards below it are merged with what is new, so that small runs do not pile up
THREADS = 16  # concurrent small GETs; latency is what they cost
TRIES = 4  # readings of a folder that another run compacts at the same time


def audit_name(bundle_id: str, row: ScanRow, input_hash: str) -> str:
    """The object whose creation commits a result: one for each bundle, scan key and content of the inputs."""
    return f"audit/{bundle_id}/{row.key_id}.{input_hash}.json"


def committed(store: Store, bundle_id: str) -> set[str]:
    """The names of all results of a bundle."""
    return {entry.key for entry in store.list(f"audit/{bundle_id}")}


def commit(store: Store, name: str, result: dict) -> bool:
    """Create a result, a row of RESCORES; False when it was committed already, by whomever: that one stands."""
    tables.build(tables.RESCORES, [result])
    return store.create(name, json.dumps(result, sort_keys=True, allow_nan=False).encode())


def read_scores(store: Store, bundle_id: str) -> pa.Table:
    """Every result of a bundle once, sorted by key: RESCORES."""
    return _all(store, bundle_id)[0]


def compact(store: Store, bundle_id: str) -> int:
    """Bring results into ``scores/bundles/<bundle_id>/``; how many were in no shard yet. Safe beside other runs."""
    _, small, loose = _all(store, bundle_id)
    if not loose.num_rows:
        return 0
    whole = _unique(pa.concat_tables([*(table for _, table in small), loose]))
    sink = io.BytesIO()
    pq.write_table(whole, sink, compression="zstd")
    name = f"{_folder(bundle_id)}/shard-{hashlib.sha256(sink.getvalue()).hexdigest()[:16]}.parquet"
    store.create(name, sink.getvalue())
    for old, _ in small:
        if old != name:
            store.delete(old)
    return loose.num_rows


def rebuild(store: Store, bundle_id: str) -> int:
    """Write the scores of a bundle anew, from the audit objects alone; how many results there are."""
    for entry in list(store.list(_folder(bundle_id))):
        store.delete(entry.key)
    return compact(store, bundle_id)


def _folder(bundle_id: str) -> str:
    return f"scores/bundles/{bundle_id}"


def _all(store: Store, bundle_id: str) -> tuple[pa.Table, list[tuple[str, pa.Table]], pa.Table]:
    """(every result, small shards by name, results in no shard)."""
    for left in reversed(range(TRIES)):
        try:
            names = [entry.key for entry in store.list(_folder(bundle_id))]
            shards = [(name, pq.read_table(io.BytesIO(store.get(name)))) for name in names]
            break
        except FileNotFoundError:  # another run has just merged it
            if not left:
                raise
    held = pa.concat_tables([table for _, table in shards] or [tables.RESCORES.schema().empty_table()])
    known = {_file(row) for row in held.select(["scan_id", "reader", "repeat", "roi", "input_hash"]).to_pylist()}
    new = [name for name in sorted(committed(store, bundle_id)) if name.rpartition("/")[2] not in known]
    with ThreadPoolExecutor(THREADS) as pool:
        loose = tables.build(tables.RESCORES, [json.loads(data) for data in pool.map(store.get, new)])
    small = [(name, table) for name, table in shards if table.num_rows < SMALL_SHARD]
    return _unique(pa.concat_tables([held, loose])), small, loose


def _file(row: dict) -> str:
    key = "\x1f".join(str(row[name]) for name in tables.SCAN_KEY)
    return f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.{row['input_hash']}.json"


def _unique(found: pa.Table) -> pa.Table:
    keys = zip(*(found.column(name).to_pylist() for name in tables.RESCORES.key), strict=True)
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    kept = found.take(pa.array(sorted(first.values()), pa.int64()))
    return tables.sort_by_key(tables.RESCORES, tables.check(tables.RESCORES, kept))
