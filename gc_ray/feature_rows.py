"""Feature rows and network inputs: staged as one whole object each, moved into shards, read by the object's name.

A ledger row names the object that it commits. A feature row counts when key, generation and object are those of a
ledger row; what no ledger row names is never read.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gc_ray import sealed, shards, tables
from gc_ray.bounded_tables import arrow_table
from gc_ray.errors import DamagedError
from gc_ray.joins import first_places
from gc_ray.store import Store

USABLE = ("ok", "repaired")
KEY = tables.LEDGER.key
IDENTITY = (*KEY, "generation")
OBJECT = tables.Column("object", pa.string(), "the object that the ledger row commits; empty: of version 0.1.0")
STORED = replace(tables.RADIOMICS, key=(*KEY, "object"), columns=(*tables.RADIOMICS.columns, OBJECT))
STAGED = re.compile(r"[0-9a-f]{24}\.g\d{4,}\.[0-9a-f]{12,64}\.(?:arrow|parquet)")
FOLDER_NAME = re.compile(r"(?:(?:deep|volumes)/)?[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9]+")


def settings_folder(feature_set: str, settings_hash: str) -> str:
    """Where rows of one settings hash lie: radiomics/<name>/<hash>, volumes/<recipe>/<hash>, deep/<model>/<hash>."""
    table = "" if feature_set.startswith(("volumes/", "deep/")) else "radiomics/"
    return f"{table}{feature_set}/{settings_hash}"


def names_its_own(row: dict) -> bool:
    """Whether a ledger row of a store that others wrote names an object of its own settings folder."""
    own = f"{row['feature_set']}/{row['settings_hash']}"
    folder, _, name = row["object"].rpartition("/")
    wanted = settings_folder(row["feature_set"], row["settings_hash"])
    right = (wanted,) if row["feature_set"].startswith("volumes/") else (f"{wanted}/staged",)
    return bool(FOLDER_NAME.fullmatch(own)) and folder in right and bool(STAGED.fullmatch(name))


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


def read_volume(store: Store, row: dict) -> dict:
    """The volumes row that a ledger row of a recipe commits, as a dict of Python values and bytes.

    FileNotFoundError when it is gone, LookupError when its bytes are not those that were written.
    """
    data = store.get(row["object"])
    if not sealed.is_whole(row["object"], data):
        raise LookupError(row["object"])
    return pq.read_table(io.BytesIO(data)).to_pylist()[0]


def is_whole(store: Store, name: str) -> bool:
    """Whether a staged object is there and holds what was written."""
    return bool(_whole(shards.get_present(store, [name])))


def read_staged(store: Store, row: dict) -> dict[str, float] | None:
    """The features that a ledger row commits, by name; None when their object is damaged, or moved into a shard."""
    found = _whole(shards.get_present(store, [row["object"]]))
    if not found:
        return None
    (data,) = found.values()
    values = arrow_table(data).column("values")[0].as_py()
    names = feature_names(store, settings_folder(row["feature_set"], row["settings_hash"]))
    return dict(zip(names, values, strict=True))


def read_rows(store: Store, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Features of some ledger rows of one feature set and settings hash.

    Parameters
    ----------
    rows : pyarrow.Table
        Ledger rows with their key, generation, settings hash and object; at least one.

    Returns
    -------
    found : pyarrow.Table
        RADIOMICS rows in the order of ``rows``, of those whose values are there and whole.
    lost : pyarrow.Table
        The rows whose values are nowhere.

    Raises
    ------
    DamagedError
        A shard, a list or the settings do not hold what was written.
    """
    folder = settings_folder(rows["feature_set"][0].as_py(), rows["settings_hash"][0].as_py())
    names = feature_names(store, folder)

    def once() -> tuple[pa.Table, pa.Array]:
        held = shards.listed(store, folder)
        found, where = _joined(store, held, rows, names)
        if where.null_count and shards.listed(store, folder) != held:
            raise FileNotFoundError(folder)  # staged rows moved into a shard meanwhile: both are read again
        return found, where

    found, where = shards.retry_when_moved(store, once)
    return tables.check(tables.RADIOMICS, found), rows.filter(where.is_null())


def compact_rows(store: Store, folder: str, rows: Sequence[dict]) -> None:
    """Move the staged objects that some ledger rows of one folder name into shards.

    A damaged object stays where it is: whoever wants its scan finds it, and it can still be put back.
    """
    found = _whole(shards.get_present(store, [row["object"] for row in rows if row["object"]]))
    if found:
        shards.add_rows(store, STORED, folder, _widen(found, feature_names(store, folder)))
        shards.delete_all(store, found)


def feature_names(store: Store, folder: str) -> tuple[str, ...]:
    """The features of a folder, in the order of the values.

    DamagedError when the settings that name them are gone or damaged.
    """
    name = f"{folder}/settings.json"
    try:
        return tuple(sealed.read(store, name)["names"])
    except FileNotFoundError as error:
        raise DamagedError(
            f"store {store.uri}: {name}, which names the features, is gone; put it back from a copy, or run the "
            "command that computed them again"
        ) from error


def _joined(store: Store, held: shards.Listed, rows: pa.Table, names: tuple[str, ...]) -> tuple[pa.Table, pa.Array]:
    """(features of the rows that are there, for each row its place among all that was read, null without one)."""
    schema = STORED.schema(names)
    parts = [part.select(schema.names) for part in shards.read_shards(store, held.names, kind=STORED)]
    stored = pa.concat_tables([*parts, schema.empty_table()]).cast(schema)
    where = _places(rows, stored)
    staged = [name for name in rows.filter(where.is_null())["object"].to_pylist() if name]
    if staged:
        fresh = _widen(_whole(shards.get_present(store, staged)), names)
        stored = pa.concat_tables([stored, fresh])
        where = _places(rows, stored)
    return stored.drop_columns(["object"]).take(where.drop_null()).combine_chunks(), where


def _places(rows: pa.Table, stored: pa.Table) -> pa.Array:
    """For each ledger row the place of its features: of the same object or, of version 0.1.0, of an unnamed one."""
    numbered = stored.select([*IDENTITY, "object"]).append_column("place", pa.array(np.arange(stored.num_rows)))
    exact = first_places(rows, numbered, (*IDENTITY, "object"))
    unnamed = numbered.filter(pc.equal(numbered["object"], ""))
    if not unnamed.num_rows or not exact.null_count:
        return exact
    return pc.coalesce(exact, first_places(rows, unnamed, IDENTITY))


def _whole(staged: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    """Those staged objects, by name, whose bytes have the digest that their name says."""
    return {name: data for name, data in staged if sealed.is_whole(name, data)}


def _widen(staged: dict[str, bytes], names: tuple[str, ...]) -> pa.Table:
    schema = STORED.schema(names)
    if not staged:
        return schema.empty_table()
    rows = pa.concat_tables([arrow_table(data) for data in staged.values()])
    values = rows.column("values").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    wide = values.reshape(rows.num_rows, len(names))
    fixed = [*(rows.column(c.name) for c in tables.RADIOMICS.columns), pa.array(list(staged), pa.string())]
    return pa.table([*fixed, *(pa.array(wide[:, i]) for i in range(len(names)))], schema=schema)


def _stage(store: Store, folder: str, row: dict, data: bytes, ending: str) -> str:
    key = hashlib.sha256("\x1f".join(str(row[n]) for n in tables.SCAN_KEY).encode()).hexdigest()[:24]
    # the digest in the name keeps a racing or interrupted attempt from replacing what a ledger row has named
    name = f"{folder}/{key}.g{row['generation']:04d}.{sealed.sha256(data)[:12]}.{ending}"
    store.put(name, data)
    return name


def _ipc(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
