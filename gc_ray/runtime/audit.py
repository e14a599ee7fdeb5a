"""Results of rescoring: one create-only object each, which is the commit, and the scores compacted from them.

As in the ledger, a mark beside each result that no shard holds yet spares the listing of all results there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import sealed, shards, tables
from gc_ray.cohort.manifest import ScanRow
from gc_ray.errors import DamagedError, TableError
from gc_ray.store import Store

Keep = Callable[[Store, dict[str, dict | None]], dict[str, dict]]  # which rows of loose results are taken
COLUMNS = {column.name for column in tables.RESCORES.columns}
MARKS = "scores/loose/"  # an empty object for each result that no shard holds yet


def audit_name(bundle_id: str, row: ScanRow, input_hash: str) -> str:
    """The object whose creation commits a result: one for each bundle, scan key and content of the inputs."""
    return f"audit/{bundle_id}/{row.key_id}.{input_hash}.json"


def name_of(result: dict) -> str:
    """The object of a result, a row of RESCORES."""
    key = "\x1f".join(str(result[name]) for name in tables.SCAN_KEY)
    key_id = hashlib.sha256(key.encode()).hexdigest()[:24]
    return f"audit/{result['bundle_id']}/{key_id}.{result['input_hash']}.json"


def committed(store: Store, bundle_id: str) -> set[str]:
    """The names of all results of a bundle."""
    return {entry.key for entry in store.list(f"audit/{bundle_id}")}


def commit(store: Store, name: str, result: dict) -> bool:
    """Create a result, a row of RESCORES; False when there is one already: the first commit counts.

    TableError when that one is damaged.
    """
    tables.build(tables.RESCORES, [result])
    store.put(_mark(name), b"")
    if store.create(name, sealed.seal(result, name, allow_nan=False)):
        return True
    if _parsed(store, name, store.get(name)) is None:
        raise TableError(f"result {name} is damaged; delete it and run this again, which scores its scan anew")
    return False


def next_sequence(store: Store, bundle_id: str) -> int:
    """The number of a run that begins now: above those of all results that are there."""
    return (pc.max(read_whole_scores(store, bundle_id, ("sequence",))["sequence"]).as_py() or 0) + 1


def read_scores(store: Store, bundle_id: str, columns: tuple[str, ...] | None = None) -> pa.Table:
    """Every result of a bundle once, sorted by key: RESCORES, or its key and ``columns``.

    DamagedError when a result does not hold what was written.
    """
    return shards.retry_when_moved(store, lambda: _read(store, bundle_id, columns, _strictly))


def read_whole_scores(store: Store, bundle_id: str, columns: tuple[str, ...] | None = None) -> pa.Table:
    """As ``read_scores``, without results that are damaged: for a run that scores their scans, and names them."""
    return shards.retry_when_moved(store, lambda: _read(store, bundle_id, columns, _whole))


def compact(store: Store, bundle_id: str) -> int:
    """Bring results into ``scores/bundles/<bundle_id>/``; how many were in no shard yet. Safe beside other runs."""
    return shards.retry_when_moved(store, lambda: _compact(store, bundle_id))


def _folder(bundle_id: str) -> str:
    return f"scores/bundles/{bundle_id}"


def _mark(name: str) -> str:
    return f"{MARKS}{name.removeprefix('audit/')}"


def _loose(store: Store, bundle_id: str) -> tuple[dict[str, dict | None], shards.Listed]:
    """Rows by name of the results that no shard holds yet, of all where there is none; and the shards.

    None for a damaged result.
    """
    loose, held = shards.read_loose(store, f"audit/{bundle_id}", f"{MARKS}{bundle_id}", _folder(bundle_id))
    return {name: _parsed(store, name, data) for name, data in loose}, held


def _whole(store: Store, loose: dict[str, dict | None]) -> dict[str, dict]:
    return {name: row for name, row in loose.items() if row is not None}


def _strictly(store: Store, loose: dict[str, dict | None]) -> dict[str, dict]:
    for name, row in loose.items():
        if row is None:
            raise sealed.damaged(store, name)
    return _whole(store, loose)


def _parsed(store: Store, name: str, data: bytes) -> dict | None:
    """The row of a result; None when it is damaged, or is that of another name."""
    try:
        row = sealed.unseal(store, name, data)
    except DamagedError:
        return None
    row = tables.LATER["rescores"] | row
    return row if row.keys() == COLUMNS and name_of(row) == name else None


def _read(store: Store, bundle_id: str, columns: tuple[str, ...] | None, keep: Keep) -> pa.Table:
    kind = tables.RESCORES
    if columns is not None:
        wanted = {*kind.key, *columns}
        kind = replace(kind, columns=tuple(c for c in kind.columns if c.name in wanted))
    loose, held = _loose(store, bundle_id)
    names = [column.name for column in kind.columns]
    parts = shards.read_shards(store, held.names, names, kind)
    rows = [{name: row[name] for name in names} for row in keep(store, loose).values()]
    fresh = pa.Table.from_pylist(rows, schema=kind.schema())
    return tables.check(kind, shards.unique(kind, pa.concat_tables([*parts, fresh])))


def _compact(store: Store, bundle_id: str) -> int:
    loose = _whole(store, _loose(store, bundle_id)[0])
    if loose:
        rows = tables.build(tables.RESCORES, list(loose.values()))
        shards.add_marked(store, tables.RESCORES, _folder(bundle_id), rows, [_mark(name) for name in loose])
    return len(loose)
