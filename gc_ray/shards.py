"""Rows kept as Parquet shards below a folder of the store: read side by side, small ones merged with what is new.

The shards that belong together are named by a list: ``<folder>/lists/<number>.json``. A compaction writes its shards,
creates the next list, marks the one before as replaced, and only then deletes what was replaced. Of two compactions
one creates the next list; the other reads anew. Readers take the shards of the latest list and no others.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from gc_ray import older_rows, sealed, tables
from gc_ray.errors import DamagedError, StoreError
from gc_ray.joins import first_of_each
from gc_ray.store import Store

SHARD_ROWS = 2000  # most rows of one shard: about 40 MB of 1,925 float64 columns, still one GET
SMALL_SHARD = 500  # shards below this are merged with the next ones, so that scheduled small runs do not pile up
THREADS = 16  # concurrent small requests; latency, not bandwidth, is what they cost
TRIES = 5  # readings of a folder that other runs compact at the same time
RACES = 50  # compactions of others that one compaction gives way to
PAUSE_S = 0.02  # before the second reading, then twice as long each time
KEPT_LISTS = 16  # replaced lists that stay, so that a writer that slept cannot use their numbers again

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Listed:
    """The shards that belong together: their list's number (0: none, they were found by listing), rows by name."""

    number: int
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The objects, sorted."""
        return sorted(self.rows)

    @property
    def without_list(self) -> bool:
        """Whether shards were found whose list is gone; those of version 0.1.0, with shorter names, had none."""
        return not self.number and any(name.rpartition("/")[2].count("-") > 2 for name in self.rows)


def listed(store: Store, folder: str) -> Listed:
    """The shards of a folder that count: those of the latest list, or all where there is no list yet (0.1.0).

    StoreError when the latest list was deleted; DamagedError when it is damaged.
    """
    for attempt in range(TRIES):
        numbers = list_numbers(store, folder)
        number = numbers[-1] if numbers else 1  # the first list is asked for by name: a listing may lag behind
        try:
            while (found := sealed.read(store, list_name(folder, number))).get("replaced"):
                number += 1  # a listing may lag behind; what replaced it is there, since it was written before
            return Listed(number, {f"{folder}/{name}": rows for name, rows in found["shards"].items()})
        except FileNotFoundError:
            if not numbers and number == 1:
                return Listed(0, {name: rows_in(name) for name in stored_shards(store, folder)})
            time.sleep(PAUSE_S * 2**attempt)  # replaced and taken away meanwhile
    raise StoreError(
        f"store {store.uri}: {list_name(folder, number)}, which names the shards of {folder}, is gone; put it back "
        f"from a copy, or run gc-ray repair {store.uri}"
    )


def list_numbers(store: Store, folder: str) -> list[int]:
    """The numbers of the lists of a folder, also of replaced ones, in order."""
    names = (entry.key.rpartition("/")[2] for entry in store.list(f"{folder}/lists"))
    return sorted(int(name.removesuffix(".json")) for name in names)


def list_name(folder: str, number: int) -> str:
    """The object of a list."""
    return f"{folder}/lists/{number:08d}.json"


def stored_shards(store: Store, folder: str) -> list[str]:
    """All shards directly below a folder, whether a list names them or not."""
    return [entry.key for entry in store.list(folder) if entry.key.startswith(f"{folder}/shard-")]


def read_shards(
    store: Store, names: Sequence[str], columns: Sequence[str] | None = None, kind: tables.Table | None = None
) -> list[pa.Table]:
    """The rows of some shards, each compared with the digest in its name.

    Parameters
    ----------
    columns : sequence of str, optional
        The columns that are read; all when left out.
    kind : Table, optional
        Columns of this table that a shard of an earlier version lacks are added, empty.

    Raises
    ------
    FileNotFoundError
        One is not there.
    DamagedError
        One does not hold what was written.
    """

    def read(name: str) -> pa.Table:
        data = sealed.get_whole(store, name)
        try:
            found = pq.ParquetFile(io.BytesIO(data)).read(columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise sealed.damaged(store, name) from error
        return older_rows.widen(kind, found) if kind else found

    return side_by_side(read, names)


def add_rows(store: Store, kind: tables.Table, folder: str, fresh: pa.Table) -> None:
    """Write rows as shards, together with those of shards that are small, and make the list that names them.

    Safe beside other compactions: a shard's name is this call's alone, and what another list replaced is read anew.
    """
    for _ in range(RACES):
        before = listed(store, folder)
        small = [name for name in before.names if before.rows[name] < SMALL_SHARD]
        try:
            merged = unique(kind, pa.concat_tables([*read_shards(store, small, kind=kind), fresh]))
        except FileNotFoundError:
            if listed(store, folder) == before:
                raise
            continue
        written = _write(store, kind, folder, merged)
        kept = {name: rows for name, rows in before.rows.items() if name not in small}
        if advance(store, folder, before, kept | written):
            return
        delete_all(store, written)
    raise StoreError(f"store {store.uri}: other runs compact {folder} all the time; run the same command again")


def advance(store: Store, folder: str, before: Listed, rows: dict[str, int]) -> bool:
    """Make the list that follows ``before``, then delete what it replaces; False when another call was first."""
    number = before.number + 1
    content = {"number": number, "shards": {name.rpartition("/")[2]: n for name, n in sorted(rows.items())}}
    if not sealed.create(store, list_name(folder, number), content):
        return False
    if before.number and not _is_latest(store, folder, before.number):
        return False  # this call slept so long that its number was used, replaced and taken away
    if before.number:
        sealed.put(store, list_name(folder, before.number), {"number": before.number, "replaced": True})
    delete_all(store, set(before.rows) - set(rows))
    # the first one stays: nobody can begin anew with number 1
    past = [n for n in list_numbers(store, folder) if 1 < n <= number - KEPT_LISTS]
    delete_all(store, [list_name(folder, n) for n in past])
    return True


def renew(store: Store, kind: tables.Table, folder: str, good: dict[str, int], fresh: pa.Table | None) -> None:
    """Make a next list of some shards and, in new ones, some rows, whatever became of the lists before.

    Parameters
    ----------
    good : dict
        Rows by name of the shards that stay.
    fresh : pyarrow.Table, optional
        Rows that go into new shards.
    """
    written = _write(store, kind, folder, fresh) if fresh is not None else {}
    numbers = list_numbers(store, folder)
    number = numbers[-1] + 1 if numbers else 1
    if _replaced(store, folder, number - 1):
        number += 1  # the list that came after was deleted: its number is not used again
    content = {
        "number": number,
        "shards": {name.rpartition("/")[2]: n for name, n in sorted((good | written).items())},
    }
    if not sealed.create(store, list_name(folder, number), content):
        raise StoreError(
            f"store {store.uri}: another run compacts {folder}; run the same command again when it ended"
        )
    for before in numbers:
        sealed.put(store, list_name(folder, before), {"number": before, "replaced": True})
    for between in range(numbers[-1] + 1 if numbers else number, number):
        sealed.create(store, list_name(folder, between), {"number": between, "replaced": True})


def add_marked(store: Store, kind: tables.Table, folder: str, fresh: pa.Table, marks: Sequence[str]) -> None:
    """Write rows as shards, then remove the marks, which said that no shard holds these rows."""
    if fresh.num_rows > SHARD_ROWS:  # a crash after the first of several shards must not hide what is left
        side_by_side(lambda name: store.put(name, b""), marks)
    add_rows(store, kind, folder, fresh)
    delete_all(store, marks)


def read_loose(store: Store, commits: str, marks: str, folder: str) -> tuple[list[tuple[str, bytes]], Listed]:
    """What no shard below ``folder`` holds yet, and the shards that hold the rest.

    Parameters
    ----------
    commits : str
        The folder of the objects, a row each.
    marks : str
        That of empty ones, of the same name for each commit that no shard holds yet.

    Returns
    -------
    list of (name, bytes)
        Of the commits that are marked and there; of all commits where there is no shard, or no list of the shards:
        some of them may be missing.
    Listed
        The shards, looked up after the marks: a row that moves in between is seen twice, never missed.
    """
    names = [f"{commits}{entry.key.removeprefix(marks)}" for entry in store.list(marks)]
    held = listed(store, folder)
    if not held.rows or held.without_list:
        names = [entry.key for entry in store.list(commits)]
    return get_present(store, names), held


def unique(kind: tables.Table, rows: pa.Table) -> pa.Table:
    """Each key (and generation, where there are any) once, sorted: a reader may see a row in two places."""
    key = (*kind.key, *(("generation",) if "generation" in rows.column_names else ()))
    ordered = rows.combine_chunks().sort_by([(name, "ascending") for name in key])
    return first_of_each(ordered, key).combine_chunks()


def get_present(store: Store, names: Sequence[str]) -> list[tuple[str, bytes]]:
    """(name, bytes) of those objects that are there."""

    def get(name: str) -> tuple[str, bytes] | None:
        try:
            return name, store.get(name)
        except FileNotFoundError:
            return None

    return [found for found in side_by_side(get, names) if found]


def delete_all(store: Store, names: Iterable[str]) -> None:
    """Remove some objects."""
    side_by_side(store.delete, names)


def retry_when_moved(store: Store, read: Callable[[], Answer]) -> Answer:
    """``read()`` again when an object listed a moment ago is gone: another run has just compacted it.

    StoreError when it stays away.
    """
    for attempt in range(TRIES):
        try:
            return read()
        except FileNotFoundError as error:
            gone = error
            time.sleep(PAUSE_S * 2**attempt)
    raise StoreError(
        f"store {store.uri}: {_below(store, gone)} is gone, and a list names it; put it back from a copy, or run "
        f"gc-ray repair {store.uri}"
    ) from gone


def parquet(table: pa.Table) -> bytes:
    """The bytes of a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def rows_in(shard: str) -> int:
    """How many rows a shard holds, as its name says; 0 for names of earlier versions, which do not."""
    parts = shard.rpartition("/")[2].split("-")
    return int(parts[1]) if len(parts) > 2 else 0


def side_by_side(call: Callable[[str], Answer], names: Iterable[str]) -> list[Answer]:
    """``call(name)`` for each name, in threads; the answers in their order."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(call, names))


def _write(store: Store, kind: tables.Table, folder: str, merged: pa.Table) -> dict[str, int]:
    """Rows by name of the shards written."""
    written = {}
    for start in range(0, merged.num_rows, SHARD_ROWS):
        part = tables.check(kind, merged.slice(start, SHARD_ROWS))
        data = parquet(part)
        name = f"{folder}/shard-{part.num_rows:04d}-{secrets.token_hex(4)}-{hashlib.sha256(data).hexdigest()[:16]}"
        store.create(f"{name}.parquet", data)
        written[f"{name}.parquet"] = part.num_rows
    return written


def _replaced(store: Store, folder: str, number: int) -> bool:
    try:
        return bool(sealed.read(store, list_name(folder, number)).get("replaced"))
    except (FileNotFoundError, DamagedError):
        return False


def _is_latest(store: Store, folder: str, number: int) -> bool:
    try:
        return not sealed.read(store, list_name(folder, number)).get("replaced")
    except (FileNotFoundError, DamagedError):
        return False


def _below(store: Store, error: FileNotFoundError) -> str:
    path = str(error.filename or error)
    return path.partition(f"{store.uri}/")[2] or path.rpartition("/")[2]
