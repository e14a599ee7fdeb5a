"""Every byte and every join of a store compared with what its objects say of each other; nothing is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from gc_ray import sealed
from gc_ray.errors import DamagedError, StoreError
from gc_ray.probe import PROBES
from gc_ray.run_records import FOLDER as RUNS
from gc_ray.run_records import LATEST
from gc_ray.runtime.verify_bytes import Seen, look, named_digests
from gc_ray.runtime.verify_joins import check_features, check_models, check_results, check_splits
from gc_ray.runtime.verify_rows import AUDIT, LEDGER, check_rows
from gc_ray.store import Store
from gc_ray.store_format import TAKEN_OVER, refuse_newer

# one of these is in every store, also in one of version 0.1.0
OURS = {sealed.FORMAT_NAME, RUNS, LATEST, "ledger", "splits", "clinical", "models", "signatures", "reports", "audit"}
SET_ASIDE = "set-aside/"  # what repair took away; nothing there counts


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the object or scan, what is wrong with it, and the fix."""

    name: str
    what: str
    fix: str


@dataclass(frozen=True)
class Verified:
    """What was compared. bytes: all that was read. problems: sorted by name; none in a store that is whole."""

    store: str
    objects: int
    bytes: int
    problems: tuple[Problem, ...]


def verify(store: Store, told: Callable[[int, int], None] = lambda done, of: None) -> Verified:
    """Read every object of a store, and compare digests, seals, lists, counts and joins.

    Parameters
    ----------
    told : callable
        Called with how many objects are read, and of how many.

    Raises
    ------
    StoreError
        The store cannot be read, is of a newer format, or holds nothing that this software wrote.
    """
    with contextlib.suppress(DamagedError):  # named below with the others
        refuse_newer(store)
    entries = [entry for entry in store.list("") if not entry.key.startswith(SET_ASIDE)]
    if not any(entry.key.partition("/")[0] in OURS for entry in entries):
        raise StoreError(
            f"store {store.uri}: wanted what gc-ray wrote, found {len(entries)} other objects; check the address"
        )
    seen = look(store, [entry.key for entry in entries], told)
    repair = f"gc-ray repair {store.uri}"
    problems = [Problem(name, "its bytes are not those that were written", repair) for name in sorted(seen.damaged)]
    problems += _check_named(store, seen, repair)
    problems += _check_format(seen, repair)
    problems += [*_check_runs(seen), *_check_commits(seen, repair)]
    for kind in (LEDGER, *AUDIT.of(seen.sha256)):
        problems += [Problem(*found, repair) for found in check_rows(store, kind, seen)]
    problems += [Problem(*found, repair) for found in check_features(store, seen)]
    problems += [Problem(*found) for found in (*check_models(seen), *check_splits(store, seen), *check_results(seen))]
    known = sorted(set(problems), key=lambda problem: (problem.name, problem.what))
    return Verified(store.uri, len(entries), sum(entry.size for entry in entries), tuple(known))


def _check_named(store: Store, seen: Seen, repair: str) -> list[Problem]:
    """Objects that a card, an index or the table of what was taken over names are there, as it says."""
    problems = []
    for card, named in named_digests(seen.content).items():
        for name, digest in named.items():
            if name not in seen.sha256:
                problems.append(Problem(name, f"it is gone; {card} names it", repair))
            elif seen.sha256[name] != digest:
                problems.append(Problem(name, f"its bytes are not those that {card} names", repair))
    for name, digest in seen.taken_over.items():
        if name.startswith(("scores/", "signatures/", "resampling/", "coefficients/", "selection/", "models/")):
            if name not in seen.sha256:
                problems.append(Problem(name, f"it is gone; it was there when {TAKEN_OVER} was written", repair))
            elif seen.sha256[name] != digest:
                problems.append(Problem(name, "its bytes are not those that were taken over", repair))
    return problems


def _check_format(seen: Seen, repair: str) -> list[Problem]:
    held = seen.content.get(sealed.FORMAT_NAME)
    if held is None and sealed.FORMAT_NAME not in seen.damaged and any("/lists/" in name for name in seen.sha256):
        return [Problem(sealed.FORMAT_NAME, "it is gone; the store has lists, so it was of format 2", repair)]
    named = (held or {}).get("taken_over")
    if named and named not in seen.sha256:
        return [Problem(named, f"it is gone; {sealed.FORMAT_NAME} names it", "put it back from a copy")]
    return []


def _check_runs(seen: Seen) -> list[Problem]:
    """Each run record that another names is there."""
    fix = "nothing can bring it back; run the same command again for a new one"
    records = {n: c for n, c in seen.content.items() if n.startswith(f"{RUNS}/") and not n.startswith(PROBES)}
    named = {held["before"]: name for name, held in records.items() if held.get("before")}
    if last := seen.content.get(LATEST):
        named[last["run"]] = LATEST
    elif LATEST not in seen.sha256 and any("before" in held for held in records.values()):
        return [Problem(LATEST, "it is gone; it names the last run record", fix)]
    gone = {run: by for run, by in named.items() if f"{RUNS}/{run}.json" not in seen.sha256}
    return [Problem(f"{RUNS}/{run}.json", f"the run record is gone; {by} names it", fix) for run, by in gone.items()]


def _check_commits(seen: Seen, repair: str) -> list[Problem]:
    """Each commit that a run record names is there."""
    gone = {}
    for name, held in sorted(seen.content.items()):
        if name.startswith(f"{RUNS}/"):
            gone |= {commit: name for commit in held.get("commits", ()) if commit not in seen.sha256}
    return [Problem(commit, f"the commit is gone; {by} names it", repair) for commit, by in gone.items()]
