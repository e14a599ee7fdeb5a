"""What is damaged or gone in a store rebuilt from what is whole; the rest is marked, so that a run computes it anew.

Nothing that is whole is deleted: what has to go is moved below ``set-aside/``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gc_ray import ledger, sealed, shards, tables
from gc_ray.errors import DamagedError
from gc_ray.feature_rows import STORED
from gc_ray.run_records import LATEST
from gc_ray.runtime.verify import SET_ASIDE, Problem, verify
from gc_ray.runtime.verify_bytes import Seen, look, named_digests
from gc_ray.runtime.verify_joins import feature_folders, last_rows, lost_rows
from gc_ray.runtime.verify_rows import AUDIT, LEDGER, Rows, commits_of, folder_list, same_row, shard_rows
from gc_ray.store import Store
from gc_ray.store_format import FORMAT, TAKEN_OVER, prepare, refuse_newer

# what the next run that needs it makes again, when it is not there
MADE_AGAIN = {
    "views/": "gc-ray train", "incoming/": "gc-ray rescore", "ledger/contents/": "gc-ray extract",
    "tune/": "gc-ray tune", "checkpoints/": "gc-ray train", "controls/": "gc-ray tune --control",
    "drift/": "gc-ray rescore", "reports/": "gc-ray evaluate", "reproductions/": "gc-ray reproduce",
}  # fmt: skip
CARDS = {"models/": "gc-ray train", "signatures/": "gc-ray tune"}  # whose parts are made again when the card is gone


@dataclass(frozen=True)
class Repaired:
    """What was done, a line each, and what is still wrong: only another run or a copy brings it back."""

    store: str
    done: tuple[str, ...]
    left: tuple[Problem, ...]


def repair(store: Store) -> Repaired:
    """Bring a store to a state in which every reader gets right values or an error.

    Rebuilt: shards and lists from commits, commits from rows in shards, feature names from shards. Ledger rows whose
    values are nowhere get a next generation ``failed``, so that the next run computes them. Computed data that is
    damaged is moved below ``set-aside/``; the command that made it makes it again. Safe to run twice.

    Raises
    ------
    StoreError
        The store cannot be read or written, or is of a newer format.
    """
    done = list(_format(store))
    seen = _look(store)
    for kind in (LEDGER, *AUDIT.of(seen.sha256)):
        done += _rows(store, kind, seen)
    for folder in feature_folders(seen):
        done += _features(store, folder, seen)
    seen = _look(store)
    done += _lost(store, seen)
    done += _others(store, seen)
    done += _records(store, seen)
    return Repaired(store.uri, tuple(done), verify(store).problems)


def _look(store: Store) -> Seen:
    return look(store, [entry.key for entry in store.list("") if not entry.key.startswith(SET_ASIDE)])


def _format(store: Store) -> Iterator[str]:
    """The store's format, set or set again."""
    try:
        if refuse_newer(store) is None:
            taken = [entry.key for entry in store.list(TAKEN_OVER)]
            if not taken:
                prepare(store)
                yield f"format {FORMAT} set"
                return
            _write_format(store, taken)
            yield f"{sealed.FORMAT_NAME} written again"
    except DamagedError as error:
        if sealed.FORMAT_NAME not in str(error):
            raise
        _set_aside(store, sealed.FORMAT_NAME)
        _write_format(store, [entry.key for entry in store.list(TAKEN_OVER)])
        yield f"{sealed.FORMAT_NAME} was damaged: written again"


def _write_format(store: Store, taken: list[str]) -> None:
    sealed.create(store, sealed.FORMAT_NAME, {"format": FORMAT} | ({"taken_over": taken[-1]} if taken else {}))


def _rows(store: Store, kind: Rows, seen: Seen) -> Iterator[str]:
    """Commits from rows in shards, shards and list from commits."""
    held, wrong = folder_list(store, kind.folder, seen)
    good: dict[str, int] = {}
    rows: dict[str, dict] = {}
    for name in held.names:
        if name in seen.whole:
            found = {kind.name(row): row for row in shard_rows(store, name, kind.table).to_pylist()}
            if all(n not in seen.content or same_row(kind, seen.content[n], row) for n, row in found.items()):
                good[name] = len(found)
            rows |= found
    kept = {n for name in good for n in map(kind.name, shard_rows(store, name, kind.table).to_pylist())}
    commits = {name: kind.row(seen.content[name]) for name in commits_of(kind, seen) if name in seen.content}
    for name in sorted(rows.keys() - commits.keys()):
        if name in seen.damaged:
            _set_aside(store, name)
        sealed.create(store, name, rows[name])
        yield f"{name}: written again from its row in a shard"
    for name in sorted(set(commits_of(kind, seen)) & seen.damaged - rows.keys()):
        yield _without_row(store, kind, name, [*commits.values(), *rows.values()])
    rows |= commits  # where both are whole and differ, the commit counts
    fresh = [row for name, row in rows.items() if name not in kept and kind.mark(name) not in seen.sha256]
    bad = set(held.rows) - good.keys()
    if fresh or bad or wrong:
        yield from _renew(store, kind, good, fresh, bad & seen.sha256.keys())


def _without_row(store: Store, kind: Rows, name: str, known: list[dict]) -> str:
    """A damaged commit of which no other copy is there: its scan is to be computed anew."""
    _set_aside(store, name)
    stem, _, generation = name.removesuffix(".json").rpartition(".g")
    if kind is LEDGER:
        for row in known:
            if ledger.commit_name(row).rpartition(".g")[0] == stem:
                lost = ledger.lost_row(row | {"generation": int(generation) - 1}, "its ledger row was damaged")
                sealed.create(store, name, lost)
                return f"{name}: was damaged; scan {row['scan_id']} is marked to be computed anew"
    store.delete(kind.mark(name))
    return f"{name}: was damaged and is set aside; the next run computes its scan anew"


def _renew(store: Store, kind: Rows, good: dict[str, int], fresh: list[dict], bad: set[str]) -> Iterator[str]:
    """A list of the whole shards, and of new ones with the rows that they lack."""
    table = tables.build(kind.table, fresh)
    shards.renew(store, kind.table, kind.folder, good, shards.unique(kind.table, table))
    for name in sorted(bad):
        _set_aside(store, name)
    yield f"{kind.folder}: list written again, with {len(fresh)} rows rebuilt from commits"


def _features(store: Store, folder: str, seen: Seen) -> Iterator[str]:
    """A list of the feature shards that are whole, and their names where the settings are gone."""
    held, wrong = folder_list(store, folder, seen)
    good = {name: rows for name, rows in held.rows.items() if name in seen.whole}
    bad = set(held.rows) - good.keys()
    settings = f"{folder}/settings.json"
    if settings not in seen.content and good:
        fixed = {column.name for column in STORED.columns}
        (first,) = shards.read_shards(store, [min(good)])
        _set_aside(store, settings)
        names = [name for name in first.column_names if name not in fixed]
        sealed.put(store, settings, {"settings": None, "names": names})
        yield f"{settings}: names written again from a shard; the command that computed the rows adds the settings"
    if bad or wrong:
        shards.renew(store, STORED, folder, good, None)
        for name in sorted(bad & seen.sha256.keys()):
            _set_aside(store, name)
        yield f"{folder}: list of the {len(good)} whole shards written again"


def _lost(store: Store, seen: Seen) -> Iterator[str]:
    """Rows whose values are nowhere are marked; their damaged objects are set aside."""
    for row in lost_rows(store, seen):
        ledger.commit_lost(store, row)
        yield f"{row['feature_set']} of scan {row['scan_id']}: values are gone; marked to be computed anew"
    named = {row["object"] for row in last_rows(store, seen)}
    for name in sorted(seen.damaged):
        if name.startswith(("radiomics/", "deep/", "volumes/")) and not name.endswith(".json"):
            _set_aside(store, name)
            if name not in named:
                yield f"{name}: was damaged and is set aside; no result is of it"


def _others(store: Store, seen: Seen) -> Iterator[str]:
    """Whatever a command can make again is set aside, so that it does."""
    wrong = set(seen.damaged)
    for card, named in named_digests(seen.content).items():
        hurt = {name for name, digest in named.items() if seen.sha256.get(name) != digest}
        wrong |= hurt & seen.sha256.keys()
        if hurt and (begin := next((b for b in CARDS if card.startswith(b)), None)) and card.endswith("/card.json"):
            _set_aside(store, card)
            yield f"{card}: is set aside, since a part is damaged or gone; run {CARDS[begin]} again"
    for name in sorted(wrong):
        again = next((command for begin, command in (MADE_AGAIN | CARDS).items() if name.startswith(begin)), None)
        if again or name.startswith(("scores/", "resampling/", "coefficients/", "selection/")):
            _set_aside(store, name)
            yield f"{name}: was damaged and is set aside; {again or 'gc-ray tune'} makes it again"


def _records(store: Store, seen: Seen) -> Iterator[str]:
    """Run records that are gone are replaced by one that says so; the last one is named again."""
    records = {n: c for n, c in seen.content.items() if n.startswith("runs/")}
    named = {held["before"] for held in records.values() if held.get("before")}
    named |= {seen.content[LATEST]["run"]} if LATEST in seen.content else set()
    named |= {name.removeprefix("runs/").removesuffix(".json") for name in seen.damaged if name.startswith("runs/")}
    for run in sorted(named):
        if (name := f"runs/{run}.json") not in records:
            if name in seen.damaged:
                _set_aside(store, name)
            sealed.put(store, name, {"run": run, "command": run.partition("-")[0], "exit_code": 1, "lost": True})
            yield f"{name}: was damaged or gone; a record that says so stands in its place"
    if LATEST not in seen.content and records:
        if LATEST in seen.damaged:
            _set_aside(store, LATEST)
        sealed.put(store, LATEST, {"run": max(records).removeprefix("runs/").removesuffix(".json")})
        yield f"{LATEST}: written again"


def _set_aside(store: Store, name: str) -> None:
    try:
        store.put(f"{SET_ASIDE}{name}", store.get(name))
    except FileNotFoundError:
        return
    store.delete(name)
