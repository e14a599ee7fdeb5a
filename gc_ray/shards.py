"""Rows kept as Parquet shards below a folder of the store: read side by side, small ones merged with what is new."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from gc_ray import tables
from gc_ray.joins import first_of_each
from gc_ray.store import Store

SHARD_ROWS = 2000  # most rows of one shard: about 40 MB of 1,925 float64 columns, still one GET
SMALL_SHARD = 500  # shards below this are merged with the next ones, so that scheduled small runs do not pile up
THREADS = 16  # concurrent small requests; latency, not bandwidth, is what they cost
TRIES = 5  # readings of a folder that other runs compact at the same time

Answer = TypeVar("Answer")


def shard_names(store: Store, folder: str) -> list[str]:
    """The shards directly below a folder."""
    return [entry.key for entry in store.list(folder) if entry.key.startswith(f"{folder}/shard-")]


def read_shards(store: Store, names: Sequence[str], columns: Sequence[str] | None = None) -> list[pa.Table]:
    """The rows of some shards, of their columns all or those named, where they have them."""

    def read(name: str) -> pa.Table:
        file = pq.ParquetFile(io.BytesIO(store.get(name)))
        held = None if columns is None else [column for column in columns if column in file.schema_arrow.names]
        return file.read(columns=held, use_threads=False)

    return _side_by_side(read, names)


def add_rows(store: Store, kind: tables.Table, folder: str, fresh: pa.Table) -> None:
    """Write rows as shards, together with those of shards that are small, which are then deleted."""
    small = [name for name in shard_names(store, folder) if _rows_in(name) < SMALL_SHARD]
    merged = unique(
        kind, pa.concat_tables([*(tables.widen(kind, part) for part in read_shards(store, small)), fresh])
    )
    written = set()
    for start in range(0, merged.num_rows, SHARD_ROWS):
        part = tables.check(kind, merged.slice(start, SHARD_ROWS))
        data = parquet(part)
        name = f"{folder}/shard-{part.num_rows:04d}-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        store.create(name, data)
        written.add(name)
    delete_all(store, set(small) - written)


def add_marked(store: Store, kind: tables.Table, folder: str, fresh: pa.Table, marks: Sequence[str]) -> None:
    """Write rows as shards, then remove the marks, which said that no shard holds these rows."""
    if fresh.num_rows > SHARD_ROWS:  # a crash after the first of several shards must not hide what is left
        _side_by_side(lambda name: store.put(name, b""), marks)
    add_rows(store, kind, folder, fresh)
    delete_all(store, marks)


def read_loose(store: Store, commits: str, marks: str, folder: str) -> list[tuple[str, bytes]]:
    """(name, bytes) of the commits that no shard below ``folder`` holds yet; of all commits where there is no shard.

    commits: the folder of the objects, a row each. marks: that of empty ones, of the same name for each such commit.
    """
    names = [f"{commits}{entry.key.removeprefix(marks)}" for entry in store.list(marks)]
    if not shard_names(store, folder):
        names = [entry.key for entry in store.list(commits)]
    return get_present(store, names)


def unique(kind: tables.Table, rows: pa.Table) -> pa.Table:
    """Each key (and generation, where there are any) once, sorted: a reader may see a row in two places."""
    key = (*kind.key, *(("generation",) if "generation" in rows.column_names else ()))
    ordered = rows.combine_chunks().sort_by([(name, "ascending") for name in key])
    return first_of_each(ordered, key).combine_chunks()


def get_all(store: Store, names: Sequence[str]) -> list[bytes]:
    """The bytes of some objects; FileNotFoundError when one is not there."""
    return _side_by_side(store.get, names)


def get_present(store: Store, names: Sequence[str]) -> list[tuple[str, bytes]]:
    """(name, bytes) of those objects that are there."""

    def get(name: str) -> tuple[str, bytes] | None:
        try:
            return name, store.get(name)
        except FileNotFoundError:
            return None

    return [found for found in _side_by_side(get, names) if found]


def delete_all(store: Store, names: Iterable[str]) -> None:
    """Remove some objects."""
    _side_by_side(store.delete, names)


def retry_when_moved(read: Callable[[], Answer]) -> Answer:
    """``read()`` again when an object listed a moment ago is gone: another run has just compacted it."""
    for _ in range(TRIES - 1):
        try:
            return read()
        except FileNotFoundError:
            continue
    return read()


def parquet(table: pa.Table) -> bytes:
    """The bytes of a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _rows_in(shard: str) -> int:
    """How many rows a shard holds, as its name says; 0 for names of earlier versions, which do not."""
    parts = shard.rpartition("/")[2].split("-")
    return int(parts[1]) if len(parts) == 3 else 0


def _side_by_side(call: Callable[[str], Answer], names: Iterable[str]) -> list[Answer]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(call, names))
