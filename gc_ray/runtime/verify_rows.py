"""Rows that commits, marks, lists and shards hold together: the ledger's, and the results of rescoring."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import pyarrow as pa

from gc_ray import ledger, older_rows, sealed, shards, tables
from gc_ray.errors import StoreError
from gc_ray.runtime import audit
from gc_ray.runtime.verify_bytes import Seen
from gc_ray.store import Store

Found = tuple[str, str]  # (object, what is wrong with it)


@dataclass(frozen=True)
class Rows:
    """A kind of committed rows.

    commits, marks, folder: where the commit objects, their marks and the shards lie. table: the rows' contract. name:
    the commit object of a row.
    """

    commits: str
    marks: str
    folder: str
    table: tables.Table
    name: Callable[[dict], str]

    def mark(self, commit: str) -> str:
        """The mark of a commit object."""
        return f"{self.marks}{commit.removeprefix(self.commits)}"

    def row(self, content: dict) -> dict:
        """The row of a commit object; what an earlier version did not write is empty."""
        return {c.name: content.get(c.name, older_rows.empty(c)) for c in self.table.columns}


@dataclass(frozen=True)
class Audits:
    """The results of rescoring, a kind of rows for each bundle."""

    def of(self, names: Collection[str]) -> list[Rows]:
        """One for each bundle that has results."""
        begins = ("audit/", "scores/bundles/", f"{audit.MARKS}")
        found = {name.removeprefix(b).partition("/")[0] for name in names for b in begins if name.startswith(b)}
        return [self.rows(bundle_id) for bundle_id in sorted(found)]

    def rows(self, bundle_id: str) -> Rows:
        """The results of one bundle."""
        return Rows(
            f"audit/{bundle_id}",
            f"{audit.MARKS}{bundle_id}",
            f"scores/bundles/{bundle_id}",
            tables.RESCORES,
            audit.name_of,
        )


AUDIT = Audits()
LEDGER = Rows(ledger.COMMITS, ledger.MARKS, ledger.SHARDS, tables.LEDGER, ledger.commit_name)


def check_rows(store: Store, kind: Rows, seen: Seen) -> Iterator[Found]:
    """What is wrong with rows of one kind: shards against their list, rows against commits, commits against rows."""
    held, found = list_of(store, kind, seen)
    yield from found
    rows: dict[str, dict] = {}
    for name in held.names:
        if name not in seen.sha256:
            yield name, "the shard is gone; its list names it"
        elif name in seen.whole:
            table = shard_rows(store, name, kind.table)
            if table.num_rows != held.rows[name] and held.rows[name]:
                yield name, f"it has {table.num_rows} rows, its list says {held.rows[name]}"
            rows |= {kind.name(row): row for row in table.to_pylist()}
    for name, row in rows.items():
        if name not in seen.sha256:
            yield name, f"the commit of scan {row['scan_id']} is gone; its row is in a shard"
        elif name in seen.content and not same_row(kind, seen.content[name], row):
            yield name, f"the commit of scan {row['scan_id']} and its row in a shard differ"
    unseen = [name for name in commits_of(kind, seen) if name not in rows and kind.mark(name) not in seen.sha256]
    if unseen:
        scan = seen.content.get(unseen[0], {}).get("scan_id", "?")
        what = f"{len(unseen)} committed rows are in no shard and have no mark, the first is of scan {scan}"
        yield unseen[0], f"{what}: readers do not see them"


def list_of(store: Store, kind: Rows, seen: Seen) -> tuple[shards.Listed, list[Found]]:
    """The shards of rows of one kind, and what is wrong with their list."""
    return folder_list(store, kind.folder, seen)


def folder_list(store: Store, folder: str, seen: Seen) -> tuple[shards.Listed, list[Found]]:
    """The shards that a folder's list names, all that are there where it cannot be read; what is wrong with it."""
    there = {name: shards.rows_in(name) for name in seen.sha256 if is_shard(name, folder)}
    try:
        held = shards.listed(store, folder)
    except StoreError:
        last = shards.list_numbers(store, folder)[-1]
        if shards.list_name(folder, last) in seen.damaged:
            return shards.Listed(0, there), [(shards.list_name(folder, last), "the list of shards is damaged")]
        return shards.Listed(0, there), [(shards.list_name(folder, last + 1), "the list of shards is gone")]
    if not held.number and there and sealed.FORMAT_NAME in seen.sha256:
        what = "the list of its shards is gone, or a compaction was cut off before it was written"
        return held, [(shards.list_name(folder, 1), what)]
    return held, []


def is_shard(name: str, folder: str) -> bool:
    """Whether an object is a shard directly below a folder."""
    return name.startswith(f"{folder}/shard-") and "/" not in name.removeprefix(f"{folder}/")


def shard_rows(store: Store, name: str, kind: tables.Table) -> pa.Table:
    """The fixed columns of a shard that is whole."""
    columns = [column.name for column in kind.columns]
    return shards.read_shards(store, [name], columns, kind)[0]


def commits_of(kind: Rows, seen: Seen) -> list[str]:
    """The commit objects that are there."""
    return [name for name in seen.sha256 if name.startswith(f"{kind.commits}/")]


def same_row(kind: Rows, content: dict, row: dict) -> bool:
    """Whether a commit object and a shard say the same of a row."""
    wanted = tables.build(kind.table, [kind.row(content)]).to_pylist()[0]
    return json.dumps(wanted, sort_keys=True) == json.dumps(row, sort_keys=True)
