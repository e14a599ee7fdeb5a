"""The ledger and the rows it commits: a scan's features count once its ledger row exists, and never before.

A worker writes one staged object (whole, under a name of its own), then creates the ledger row that names it. Rows
are compacted into Parquet shards; readers see shards plus staged rows and take the last generation of each key.
Commits are never deleted, so they grow for ever: a mark beside each that no shard holds yet says which to read.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Iterable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gc_ray import shards, tables
from gc_ray.errors import TableError, some
from gc_ray.joins import first_of_each
from gc_ray.store import Store

SHARDS = "ledger/shards"
COMMITS = "ledger/commits"
MARKS = "ledger/loose"  # an empty object for each commit that no shard holds yet
CONTENTS = "ledger/contents"
USABLE = ("ok", "repaired")
KEY = tables.LEDGER.key


def settings_folder(feature_set: str, settings_hash: str) -> str:
    """Where rows of one settings hash lie: radiomics/<name>/<hash>, volumes/<recipe>/<hash>, deep/<model>/<hash>."""
    table = "" if feature_set.startswith(("volumes/", "deep/")) else "radiomics/"
    return f"{table}{feature_set}/{settings_hash}"


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
    return store.create(name, json.dumps(row, sort_keys=True).encode())


def read_commit(store: Store, row: dict) -> dict | None:
    """The committed row of the same key, feature set and generation as ``row``; None when there is none."""
    try:
        return json.loads(store.get(commit_name(row)))
    except FileNotFoundError:
        return None


def read_commits(store: Store, rows: list[dict]) -> list[dict]:
    """The whole rows of some committed ones, of which key and generation are given."""
    found = {name: _parsed(data) for name, data in shards.get_present(store, [commit_name(row) for row in rows])}
    kept = [found.get(commit_name(row)) for row in rows]
    if None not in kept:
        return kept
    held = {_identity(row): row for row in read_ledger(store).to_pylist()}  # a lost commit still stands in a shard
    return [whole or held[_identity(row)] for whole, row in zip(kept, rows, strict=True)]


def note_content(store: Store, key_id: str, stamp: str, sha256: str) -> None:
    """Remember that a source with this stamp has this content, so that a moved cohort is hashed only once."""
    store.create(f"{CONTENTS}/{key_id}.{stamp}.{sha256}", b"")


def known_contents(store: Store) -> set[tuple[str, str, str]]:
    """Every (key id, stamp, content digest) that was noted."""
    names = [entry.key for entry in store.list(CONTENTS)]
    packed = shards.read_shards(store, [name for name in names if name.endswith(".parquet")])
    notes = [name.rpartition("/")[2] for name in names if not name.endswith(".parquet")]
    notes += (note for table in packed for note in table["note"].to_pylist())
    return {tuple(note.split(".")) for note in notes}


def stage_features(store: Store, row: dict, settings_hash: str, values: Iterable[float]) -> str:
    """Write one scan's features as a single whole object; the name to put into its ledger row."""
    schema = pa.schema([*tables.RADIOMICS.schema(), pa.field("values", pa.list_(pa.float64()))])
    table = pa.Table.from_pylist([{**row, "values": list(values)}], schema=schema)
    return _stage(store, f"{settings_folder(row['feature_set'], settings_hash)}/staged", row, _ipc(table), "arrow")


def stage_volume(store: Store, row: dict, settings_hash: str) -> str:
    """Write one scan's network input as a Parquet object of its own; the name to put into its ledger row."""
    table = tables.build(tables.VOLUMES, [row])
    folder = settings_folder(f"volumes/{row['recipe']}", settings_hash)
    return _stage(store, folder, row, shards.parquet(table), "parquet")


def read_ledger(store: Store, columns: tuple[str, ...] | None = None) -> pa.Table:
    """The last generation of every ledger row, sorted by key; of its columns key, generation and ``columns``."""
    kind = tables.LEDGER
    if columns is not None:
        wanted = {*KEY, "generation", *columns}
        kind = replace(kind, columns=tuple(c for c in kind.columns if c.name in wanted))
    return shards.retry_when_moved(lambda: _read_ledger(store, kind))


def read_features(store: Store, feature_set: str, settings_hash: str | None = None) -> pa.Table:
    """The radiomics table of one feature set: usable scans only, one row each, sorted by key.

    TableError when the store holds none, when it holds several settings hashes and none was asked for, or when the
    rows were computed by different versions of code or libraries.
    """
    held = read_ledger(store, ("status", "settings_hash", "code_version"))
    there = sorted(set(held["feature_set"].to_pylist()) - {feature_set})
    held = held.filter((pc.field("feature_set") == feature_set) & pc.field("status").isin(USABLE))
    rows = held.to_pylist()
    hashes = sorted({r["settings_hash"] for r in rows})
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
    rows = [r for r in rows if r["settings_hash"] == chosen]
    versions = sorted({r["code_version"] for r in rows})
    if len(versions) > 1:
        raise TableError(
            f"store {store.uri}: {feature_set} rows come from versions {', '.join(versions)} of code or libraries, "
            "which may differ in value; run extract over the whole cohort"
        )
    return _features_of(store, feature_set, chosen, {_identity(r) for r in rows})


def read_deep(store: Store, model_id: str) -> pa.Table:
    """The deep table of a model: usable scans only, one row each, sorted by key; TableError as ``read_features``."""
    found = read_features(store, f"deep/{model_id}")
    whose = pa.array([model_id] * found.num_rows, pa.string())
    place = found.column_names.index("feature_set")
    return tables.check(tables.DEEP, found.set_column(place, pa.field("model_id", pa.string(), False), whose))


def add_features(store: Store, folder: str, rows: pa.Table) -> None:
    """Write finished radiomics rows, such as another store's, as shards; the caller commits their ledger rows."""
    shards.add_rows(store, tables.RADIOMICS, folder, rows)


def read_volume(store: Store, row: dict) -> dict:
    """The volumes row that a ledger row of a recipe commits, as a dict of Python values and bytes.

    FileNotFoundError when it is gone, LookupError when its bytes are not those that were written.
    """
    name = row["object"]
    return pq.read_table(io.BytesIO(_whole([(name, store.get(name))])[name])).to_pylist()[0]


def is_whole(store: Store, name: str) -> bool:
    """Whether a staged object is there and holds what was written."""
    return bool(_whole(shards.get_present(store, [name])))


def read_staged(store: Store, row: dict) -> dict[str, float] | None:
    """The features that a ledger row commits, by name; None when their object is damaged, or moved into a shard."""
    found = _whole(shards.get_present(store, [row["object"]]))
    if not found:
        return None
    (data,) = found.values()
    values = pa.ipc.open_file(data).read_all().column("values")[0].as_py()
    names = _feature_names(store, settings_folder(row["feature_set"], row["settings_hash"]))
    return dict(zip(names, values, strict=True))


def read_features_of(store: Store, rows: list[dict]) -> pa.Table:
    """The features that some ledger rows of one feature set and settings hash commit, of those that are there."""
    return _present(store, rows[0]["feature_set"], rows[0]["settings_hash"], {_identity(row) for row in rows})


def compact(store: Store) -> int:
    """Move staged rows into Parquet shards, merging small shards on the way; the number of ledger rows moved.

    Safe at any time and beside other runs: shards are written before what they replace is deleted, and readers drop
    a row that they see twice. The commit objects stay: they are what makes a generation impossible to commit again.
    Costs what is new, not what is there.
    """
    return shards.retry_when_moved(lambda: _compact(store))


def _features_of(store: Store, feature_set: str, settings_hash: str, wanted: set[tuple]) -> pa.Table:
    kept = _present(store, feature_set, settings_hash, wanted)
    if lost := wanted.difference(_identities(kept)):
        raise TableError(
            f"store {store.uri}: {len(wanted)} {feature_set} rows are committed but {kept.num_rows} are there, that "
            f"of scan {min(lost)[0]} is not; objects were deleted or damaged, put them back, or run extract again "
            "with another store"
        )
    return kept


def _present(store: Store, feature_set: str, settings_hash: str, wanted: set[tuple]) -> pa.Table:
    found = shards.retry_when_moved(lambda: _read_rows(store, settings_folder(feature_set, settings_hash)))
    kept = _take(found, [i for i, identity in enumerate(_identities(found)) if identity in wanted])
    return tables.check(tables.RADIOMICS, kept)


def _compact(store: Store) -> int:
    names, loose = _loose(store)
    objects: dict[str, set[str]] = {}
    for row in loose:
        if row["status"] in USABLE and not row["feature_set"].startswith("volumes/"):
            folder = settings_folder(row["feature_set"], row["settings_hash"])
            objects.setdefault(folder, set()).add(row["object"])
    for folder in sorted(objects):
        _compact_features(store, folder, objects[folder])
    if loose:
        marks = [_mark(name) for name in names]
        shards.add_marked(store, tables.LEDGER, SHARDS, tables.build(tables.LEDGER, loose), marks)
    _compact_contents(store)
    return len(loose)


def _compact_features(store: Store, folder: str, committed: set[str]) -> None:
    ready = [entry.key for entry in store.list(f"{folder}/staged") if entry.key in committed]
    # a damaged object stays where it is: whoever wants its scan finds it, and it can still be put right
    if found := _whole(zip(ready, shards.get_all(store, ready), strict=True)):
        fresh = _widen(found.values(), _feature_names(store, folder))
        shards.add_rows(store, tables.RADIOMICS, folder, fresh)
        shards.delete_all(store, found)


def _compact_contents(store: Store) -> None:
    notes = [entry.key for entry in store.list(CONTENTS) if not entry.key.endswith(".parquet")]
    if len(notes) >= shards.SMALL_SHARD:
        data = shards.parquet(pa.table({"note": [name.rpartition("/")[2] for name in notes]}))
        store.create(f"{CONTENTS}/{hashlib.sha256(data).hexdigest()[:16]}.parquet", data)
        shards.delete_all(store, notes)


def _read_ledger(store: Store, kind: tables.Table) -> pa.Table:
    # loose rows first: one that moves into a shard in between is then seen twice, never missed
    _, loose = _loose(store)
    names = [column.name for column in kind.columns]
    fresh = pa.Table.from_pylist([{name: row[name] for name in names} for row in loose], schema=kind.schema())
    order = [*((name, "ascending") for name in kind.key), ("generation", "descending")]
    parts = shards.read_shards(store, shards.shard_names(store, SHARDS), names)
    held = pa.concat_tables([*(tables.widen(kind, part) for part in parts), fresh])
    ordered = held.combine_chunks().sort_by(order)
    return tables.check(kind, first_of_each(ordered, kind.key).combine_chunks())


def _loose(store: Store) -> tuple[list[str], list[dict]]:
    """Names and rows of the commits that no shard holds yet; of all commits in a store that has no shard."""
    found = {name: _parsed(data) for name, data in shards.read_loose(store, COMMITS, MARKS, SHARDS)}
    for name, row in found.items():
        if row is None:
            raise TableError(
                f"store {store.uri}: ledger row {name} is damaged; put it back, or delete it and run this again to "
                "compute its scan anew"
            )
    return list(found), list(found.values())


def _parsed(data: bytes) -> dict | None:
    """A ledger row, of this version or an older one; None when its bytes are damaged."""
    try:
        return tables.LATER["ledger"] | json.loads(data)
    except ValueError:
        return None


def _mark(commit: str) -> str:
    return f"{MARKS}/{commit.rpartition('/')[2]}"


def _read_rows(store: Store, folder: str) -> pa.Table:
    # staged rows are listed first: one that moves into a shard in between is then seen twice, never missed
    staged = [entry.key for entry in store.list(f"{folder}/staged")]
    whole = _whole(zip(staged, shards.get_all(store, staged), strict=True))
    fresh = _widen(whole.values(), _feature_names(store, folder))
    parts = [*shards.read_shards(store, shards.shard_names(store, folder)), fresh]
    return shards.unique(tables.RADIOMICS, pa.concat_tables(parts))


def _widen(staged: Collection[bytes], names: tuple[str, ...]) -> pa.Table:
    schema = tables.RADIOMICS.schema(names)
    if not staged:
        return schema.empty_table()
    rows = pa.concat_tables([pa.ipc.open_file(data).read_all() for data in staged])
    values = rows.column("values").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    wide = values.reshape(rows.num_rows, len(names))
    fixed = [rows.column(c.name) for c in tables.RADIOMICS.columns]
    return pa.table([*fixed, *(pa.array(wide[:, i]) for i in range(len(names)))], schema=schema)


def _feature_names(store: Store, folder: str) -> tuple[str, ...]:
    return tuple(json.loads(store.get(f"{folder}/settings.json"))["names"])


def _stage(store: Store, folder: str, row: dict, data: bytes, ending: str) -> str:
    key = hashlib.sha256("\x1f".join(str(row[n]) for n in tables.SCAN_KEY).encode()).hexdigest()[:24]
    # the digest in the name keeps a racing or interrupted attempt from replacing what a ledger row has named
    name = f"{folder}/{key}.g{row['generation']:04d}.{_content(data)}.{ending}"
    store.put(name, data)
    return name


def _whole(staged: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    """Those staged objects, by name, whose bytes have the digest that their name says."""
    return {name: data for name, data in staged if f".{_content(data)}." in name}


def _content(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _identity(row: dict) -> tuple:
    return (*(row[name] for name in KEY), row["generation"])


def _identities(table: pa.Table) -> list[tuple]:
    columns = [*KEY, "generation"]
    return list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))


def _take(table: pa.Table, rows: list[int]) -> pa.Table:
    return table.take(pa.array(rows, pa.int64()))  # typed, since pyarrow cannot take an empty list of no type


def _ipc(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
