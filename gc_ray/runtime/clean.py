"""Objects that nothing in a store names, unfinished files, and what was set aside: listed, then deleted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gc_ray import ledger, shards
from gc_ray.errors import StoreError, StudyError
from gc_ray.probe import PROBES
from gc_ray.runtime import active_runs, audit
from gc_ray.runtime.verify import SET_ASIDE, verify
from gc_ray.runtime.verify_bytes import Seen, look, named_digests
from gc_ray.runtime.verify_rows import is_shard
from gc_ray.store import Entry, Store
from gc_ray.store_format import refuse_newer

UNITS_S = {"d": 86400, "h": 3600, "m": 60}
NAMED_BY_SOMETHING = ("radiomics/", "deep/", "volumes/", "scores/bundles/", "ledger/shards/", "models/")
MARKS = ((f"{ledger.MARKS}/", f"{ledger.COMMITS}/"), (audit.MARKS, "audit/"))


@dataclass(frozen=True)
class Leftover:
    """An object that nothing names: its size in bytes, and why it is one."""

    name: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Cleaned:
    """Leftovers older than was asked for. deleted: False where they were only listed."""

    store: str
    leftovers: tuple[Leftover, ...]
    deleted: bool


def age_seconds(text: str) -> float:
    """Seconds of an age such as 7d, 12h or 30m; StudyError when it is none."""
    found = re.fullmatch(r"(\d{1,5})([dhm])", text)
    if found is None:
        raise StudyError(
            f"older than: wanted a number with d, h or m, such as 7d, got {text!r}; correct --older-than"
        )
    return int(found[1]) * UNITS_S[found[2]]


def clean(store: Store, before: float, delete: bool) -> Cleaned:
    """Find, and delete where asked, what nothing in a store names.

    Parameters
    ----------
    before : float
        Only what was written before this time, seconds since 1970: a younger object may be in use by a run.
    delete : bool
        Whether the leftovers are deleted; else they are only listed.

    Raises
    ------
    StoreError
        The store cannot be read or written, is of a newer format, or is not whole: what names an object could be what
        is damaged.
    """
    if refuse_newer(store) is None:
        raise StoreError(f"store {store.uri}: it is of version 0.1.0 or empty; run gc-ray repair {store.uri} first")
    problems = verify(store).problems
    if problems:
        raise StoreError(
            f"store {store.uri}: {len(problems)} problems, the first is {problems[0].name}: {problems[0].what}; run "
            f"gc-ray repair {store.uri} first, since what is damaged may name what would be deleted"
        )
    entries = [entry for entry in store.list("") if entry.modified < before]
    names = [entry.key for entry in store.list("")]
    seen = look(store, [name for name in names if name.endswith(".json") and not name.startswith(SET_ASIDE)])
    named = _named(store, seen, names)
    found = [Leftover(entry.key, entry.size, why) for entry in entries if (why := _why(entry, named))]
    unfinished = [entry for entry in store.unfinished() if entry.modified < before]
    found += [Leftover(entry.key, entry.size, "was never finished") for entry in unfinished]
    if delete:
        shards.delete_all(store, [leftover.name for leftover in found])
    return Cleaned(store.uri, tuple(found), delete)


def _named(store: Store, seen: Seen, names: Iterable[str]) -> set[str]:
    """Every object that a commit, a list, a card or another sealed object names."""
    named = {name for part in named_digests(seen.content).values() for name in part}
    named |= set(seen.taken_over)
    for name, content in seen.content.items():
        if name.startswith(f"{ledger.COMMITS}/") and content.get("object"):
            named.add(content["object"])
    for folder in sorted({name.rpartition("/")[0] for name in names if "/shard-" in name}):
        named |= set(shards.listed(store, folder).rows)
    there = set(names)
    for mark, commit in MARKS:
        named |= {n for n in there if n.startswith(mark) and f"{commit}{n.removeprefix(mark)}" in there}
    return named


def _why(entry: Entry, named: set[str]) -> str:
    """Why an object is a leftover; empty when it is none."""
    name = entry.key
    if name.startswith(SET_ASIDE):
        return "was set aside by gc-ray repair"
    if name.startswith(f"{active_runs.FOLDER}/"):
        return "is the sign of life of a run that was cut off"
    if name.startswith(PROBES):
        return "is left from a probe"
    if name in named:
        return ""
    if any(name.startswith(mark) for mark, _ in MARKS):
        return "marks a result that was never committed"
    if name.startswith(NAMED_BY_SOMETHING) and not name.endswith(".json"):
        return "no list names this shard" if is_shard(name, name.rpartition("/")[0]) else "no commit or card names it"
    return ""
