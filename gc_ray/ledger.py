"""The ledger and the rows it commits: a scan's features count once its ledger row exists, and never before.

A worker writes one staged object (whole, under a name of its own), then creates the ledger row that names it. Rows
are compacted into Parquet shards; readers see shards plus staged rows and take the last generation of each key, with
the values of the object that it names. Commits are never deleted, so they grow for ever: a mark beside each that no
shard holds yet says which to read.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gc_ray import older_rows, sealed, shards, tables
from gc_ray.errors import DamagedError, TableError, some
from gc_ray.feature_rows import (
    IDENTITY,
    USABLE,
    compact_rows,
    is_whole,
    read_rows,
    read_staged,
    read_volume,
    settings_folder,
    stage_features,
    stage_volume,
)
from gc_ray.joins import first_of_each, first_places
from gc_ray.store import Store
from gc_ray.store_format import refuse_newer

__all__ = [
    "COMMITS",
    "CONTENTS",
    "KEY",
    "MARKS",
    "SHARDS",
    "USABLE",
    "commit",
    "commit_lost",
    "commit_name",
    "commits_since",
    "compact",
    "is_whole",
    "known_contents",
    "lost_row",
    "note_content",
    "read_commit",
    "read_commits",
    "read_deep",
    "read_features",
    "read_features_of",
    "read_ledger",
    "read_staged",
    "read_volume",
    "settings_folder",
    "stage_features",
    "stage_volume",
]  # fmt: skip

SHARDS = "ledger/shards"
COMMITS = "ledger/commits"
MARKS = "ledger/loose"  # an empty object for each commit that no shard holds yet
CONTENTS = "ledger/contents"
KEY = tables.LEDGER.key
NAMED = (*KEY, "generation", "settings_hash", "object")  # what says where the values of a row are


def commit_name(row: dict) -> str:
    """The object whose creation commits a ledger row: one per scan key, feature set and generation."""
    key = "\x1f".join(str(row[name]) for name in KEY)
    return f"{COMMITS}/{hashlib.sha256(key.encode()).hexdigest()[:32]}.g{row['generation']:04d}.json"


def commit(store: Store, row: dict) -> bool:
    """Create the ledger row; False when this generation of the key is committed already (the row is then dropped)."""
    row = tables.LATER["ledger"] | row
    tables.build(tables.LEDGER, [row])
    name = commit_name(row)
    store.put(_mark(name), b"")  # before it: a commit without its mark would go unseen
    return sealed.create(store, name, row)


def commits_since(store: Store, before: pa.Table) -> list[str]:
    """The commits of the ledger rows that are not in ``before``, which ``read_ledger`` gave earlier."""
    numbered = before.select(IDENTITY).append_column("place", pa.array(range(before.num_rows), pa.int64()))
    now = read_ledger(store, ())
    return [commit_name(row) for row in now.filter(first_places(now, numbered, IDENTITY).is_null()).to_pylist()]


def lost_row(row: dict, why: str) -> dict:
    """The row that says of the next generation of ``row`` that it has to be computed anew: status ``failed``."""
    reason = f"{row['feature_set']}: {why}; run this again to compute it anew"
    lost = {"status": "failed", "stage": "store", "reason": reason, "object": "", "seconds": 0.0}
    return row | lost | {"generation": row["generation"] + 1}


def commit_lost(store: Store, row: dict) -> str:
    """Commit that a ledger row's object is lost, and give back the reason; the next run computes its scan anew."""
    lost = lost_row(row, f"its object {row['object']} is gone or damaged")
    commit(store, lost)
    return lost["reason"]


def read_commit(store: Store, row: dict) -> dict | None:
    """The committed row of the same key, feature set and generation as ``row``; None when there is none.

    DamagedError when its object does not hold what was written.
    """
    name = commit_name(row)
    try:
        return whole_row(store, name, store.get(name))
    except FileNotFoundError:
        return None


def read_commits(store: Store, rows: list[dict]) -> list[dict]:
    """The whole rows of some committed ones, of which key and generation are given."""
    found = dict(_parsed(store, shards.get_present(store, [commit_name(row) for row in rows])))
    kept = [found.get(commit_name(row)) for row in rows]
    if None not in kept:
        return kept
    held = {_identity(row): row for row in read_ledger(store).to_pylist()}  # a lost commit still stands in a shard
    return [whole or held[_identity(row)] for whole, row in zip(kept, rows, strict=True)]


def whole_row(store: Store, name: str, data: bytes) -> dict:
    """The ledger row of a commit object; columns that an earlier version did not write are empty.

    DamagedError when the bytes are not those that were written, or belong to another name.
    """
    row = sealed.unseal(store, name, data)
    filled = {c.name: row.get(c.name, older_rows.empty(c)) for c in tables.LEDGER.columns}
    if not all(older_rows.fits(c, filled[c.name]) for c in tables.LEDGER.columns) or commit_name(filled) != name:
        raise sealed.damaged(store, name)
    return filled


def note_content(store: Store, key_id: str, stamp: str, sha256: str) -> None:
    """Remember that a source with this stamp has this content, so that a moved cohort is hashed only once."""
    store.create(f"{CONTENTS}/{key_id}.{stamp}.{sha256}", b"")


def known_contents(store: Store) -> set[tuple[str, str, str]]:
    """Every (key id, stamp, content digest) that was noted."""
    names = [entry.key for entry in store.list(CONTENTS)]
    packed = shards.get_present(store, [name for name in names if name.endswith(".parquet")])
    notes = [name.rpartition("/")[2] for name in names if not name.endswith(".parquet")]
    for name, data in packed:
        if sealed.is_whole(name, data):  # a note that is lost costs one hashing of its source
            notes += pq.read_table(io.BytesIO(data))["note"].to_pylist()
    return {tuple(note.split(".")) for note in notes}


def read_ledger(store: Store, columns: tuple[str, ...] | None = None) -> pa.Table:
    """The last generation of every ledger row, sorted by key; of its columns key, generation and ``columns``.

    StoreError where the store is of a newer format.
    """
    refuse_newer(store)
    kind = tables.LEDGER
    if columns is not None:
        wanted = {*KEY, "generation", *columns}
        kind = replace(kind, columns=tuple(c for c in kind.columns if c.name in wanted))
    return shards.retry_when_moved(store, lambda: _read_ledger(store, kind))


def read_features(store: Store, feature_set: str, settings_hash: str | None = None) -> pa.Table:
    """The radiomics table of one feature set: usable scans only, one row each, sorted by key.

    TableError when the store holds none, when it holds several settings hashes and none was asked for, when the rows
    were computed by different versions of code or libraries, or when the values of a row are nowhere.
    """
    held = read_ledger(store, ("status", "settings_hash", "code_version", "object"))
    there = sorted(set(held["feature_set"].to_pylist()) - {feature_set})
    rows = held.filter((pc.field("feature_set") == feature_set) & pc.field("status").isin(USABLE))
    hashes = sorted(rows["settings_hash"].unique().to_pylist())
    chosen = settings_hash or (hashes[0] if len(hashes) == 1 else None)
    if not hashes:
        more = f"; it has {some(there)}" if there else ""
        raise TableError(
            f"store {store.uri}: no usable scan of feature set {feature_set}{more}; name one, or compute it"
        )
    if chosen not in hashes:
        raise TableError(
            f"store {store.uri}: wanted one settings hash of feature set {feature_set}, "
            f"found {', '.join(hashes)}; name one of them, or compute it first"
        )
    rows = rows.filter(pc.field("settings_hash") == chosen)
    versions = sorted(rows["code_version"].unique().to_pylist())
    if len(versions) > 1:
        raise TableError(
            f"store {store.uri}: {feature_set} rows come from versions {', '.join(versions)} of code or libraries, "
            "which may differ in value; run extract over the whole cohort"
        )
    found, lost = read_rows(store, rows)
    if lost.num_rows:
        raise TableError(
            f"store {store.uri}: {rows.num_rows} {feature_set} rows are committed but {found.num_rows} are there, "
            f"that of scan {lost['scan_id'][0].as_py()} is not: its object was deleted or damaged; put it back from "
            f"a copy, or run gc-ray repair {store.uri} and compute it anew"
        )
    return found


def read_deep(store: Store, model_id: str) -> pa.Table:
    """The deep table of a model: usable scans only, one row each, sorted by key; TableError as ``read_features``."""
    found = read_features(store, f"deep/{model_id}")
    whose = pa.array([model_id] * found.num_rows, pa.string())
    place = found.column_names.index("feature_set")
    return tables.check(tables.DEEP, found.set_column(place, pa.field("model_id", pa.string(), False), whose))


def read_features_of(store: Store, rows: list[dict]) -> pa.Table:
    """The features that some ledger rows of one feature set and settings hash commit, of those that are there."""
    schema = pa.schema([field for field in tables.LEDGER.schema() if field.name in NAMED])
    return read_rows(store, pa.Table.from_pylist([{n: row[n] for n in NAMED} for row in rows], schema=schema))[0]


def compact(store: Store) -> int:
    """Move staged rows into Parquet shards, merging small shards on the way; the number of ledger rows moved.

    Safe at any time and beside other runs: shards are written before what they replace is deleted, and readers drop
    a row that they see twice. The commit objects stay: they are what makes a generation impossible to commit again.
    Costs what is new, not what is there.
    """
    return shards.retry_when_moved(store, lambda: _compact(store))


def _compact(store: Store) -> int:
    loose, _ = _loose(store)
    staged: dict[str, list[dict]] = defaultdict(list)
    for row in loose.values():
        if row["status"] in USABLE and not row["feature_set"].startswith("volumes/"):
            staged[settings_folder(row["feature_set"], row["settings_hash"])].append(row)
    for folder in sorted(staged):
        compact_rows(store, folder, staged[folder])
    if loose:
        marks = [_mark(name) for name in loose]
        rows = tables.build(tables.LEDGER, list(loose.values()))
        shards.add_marked(store, tables.LEDGER, SHARDS, rows, marks)
    _compact_contents(store)
    return len(loose)


def _compact_contents(store: Store) -> None:
    notes = [entry.key for entry in store.list(CONTENTS) if not entry.key.endswith(".parquet")]
    if len(notes) >= shards.SMALL_SHARD:
        data = shards.parquet(pa.table({"note": [name.rpartition("/")[2] for name in notes]}))
        store.create(f"{CONTENTS}/{hashlib.sha256(data).hexdigest()[:16]}.parquet", data)
        shards.delete_all(store, notes)


def _read_ledger(store: Store, kind: tables.Table) -> pa.Table:
    loose, held = _loose(store)
    names = [column.name for column in kind.columns]
    fresh = pa.Table.from_pylist([{n: row[n] for n in names} for row in loose.values()], schema=kind.schema())
    order = [*((name, "ascending") for name in kind.key), ("generation", "descending")]
    both = pa.concat_tables([*shards.read_shards(store, held.names, names, kind), fresh])
    ordered = both.combine_chunks().sort_by(order)
    return tables.check(kind, first_of_each(ordered, kind.key).combine_chunks())


def _loose(store: Store) -> tuple[dict[str, dict], shards.Listed]:
    """Rows by name of the commits that no shard holds yet, of all where there is no shard; and the shards."""
    found, held = shards.read_loose(store, COMMITS, MARKS, SHARDS)
    rows = dict(_parsed(store, found))
    for name, row in rows.items():
        if row is None:
            raise TableError(
                f"store {store.uri}: ledger row {name} is damaged; put it back from a copy, or run gc-ray repair "
                f"{store.uri} and compute its scan anew"
            )
    return rows, held


def _parsed(store: Store, found: Iterable[tuple[str, bytes]]) -> Iterable[tuple[str, dict | None]]:
    """(name, ledger row) of some commits; None for a row whose bytes are damaged."""
    for name, data in found:
        try:
            yield name, whole_row(store, name, data)
        except DamagedError:
            yield name, None


def _mark(commit: str) -> str:
    return f"{MARKS}/{commit.rpartition('/')[2]}"


def _identity(row: dict) -> tuple:
    return (*(row[name] for name in KEY), row["generation"])
