"""Which products of which scans must be computed, given what the ledger already holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import ledger
from gc_ray.cohort.manifest import ScanRow, Scans
from gc_ray.joins import places
from gc_ray.runtime.scan_work import Job, ScanTask, Wanted, is_absent
from gc_ray.runtime.survey import Survey
from gc_ray.store import Store
from gc_ray.tables import SCAN_KEY

NEEDED = ("status", "stage", "settings_hash", "code_version", "source_stamp", "source_sha256")  # ledger columns
FINAL = ("ok", "repaired", "refused")  # a failed scan is tried again by the next run, a refused one when it changes


@dataclass(frozen=True)
class Planned:
    """A task and the memory, in bytes, that it will need as far as headers tell."""

    task: ScanTask
    memory: int


@dataclass(frozen=True)
class Done:
    """What the store holds already.

    rows: ledger rows by (scan key, product), last generation. contents: (key id, stamp, content digest) of sources
    whose stamp changed and whose content was found equal.
    """

    rows: dict[tuple, dict]
    contents: frozenset[tuple[str, str, str]] = frozenset()


@dataclass(frozen=True)
class History:
    """What the store holds of a cohort, as columns; ``part`` makes the objects of a few scans.

    scans: the cohort. rows: of the ledger. found: for each product the place in ``rows`` of each scan, null without.
    """

    scans: Scans
    rows: pa.Table
    found: dict[str, pa.Array]
    contents: frozenset[tuple[str, str, str]]

    def part(self, first: int, last: int) -> Done:
        """What is done of the scans from ``first`` up to ``last``, which is not among them."""
        held = [self.rows.take(found[first:last].drop_null()).to_pylist() for found in self.found.values()]
        return Done({tuple(r[n] for n in ledger.KEY): r for rows in held for r in rows}, self.contents)


def read_history(store: Store, scans: Scans, job: Job) -> History:
    """What the store holds of the products of a job for a cohort: the ledger is read once, and joined on the key."""
    rows = ledger.read_ledger(store, NEEDED)
    return History(scans, rows, results_of(scans, rows, job.products), frozenset(ledger.known_contents(store)))


def results_of(scans: Scans, rows: pa.Table, products: Iterable[str]) -> dict[str, pa.Array]:
    """For each product, by name, the place in ``rows``, of the ledger, of each scan's result; null without one."""
    found = {}
    for name in products:
        own = pc.indices_nonzero(pc.equal(rows["feature_set"], name))
        found[name] = own.take(places(scans.table, rows.select(SCAN_KEY).take(own), SCAN_KEY))
    return found


def plan_waves(
    history: History,
    job: Job,
    look: Callable[[list[tuple[ScanRow, str]]], list[Survey]],
    tell: Callable[[str, str], None],
    *,
    size: int,
    verify: bool,
) -> Iterator[list[Planned]]:
    """The scans of a cohort with something to do, at most ``size`` at a time.

    look: surveys of some scans, each given with the stamp at which there is nothing to do for it; the next stretch of
    the cohort is looked at when a wave is done. tell: hears (site, ``unchanged``) of every product that is.
    """
    scans, waiting = history.scans, []
    for first in range(0, len(scans), size):
        stretch, done = list(scans[first : first + size]), history.part(first, first + size)
        asked = [(row, settled_stamp(row, done, job, verify)) for row in stretch]
        for row, survey in zip(stretch, look(asked), strict=True):
            plan = plan_scan(row, survey, done, job, verify)
            for _ in range(len(job.products) - (len(plan.task.wanted) if plan else 0)):
                tell(row.site, "unchanged")
            waiting += [plan] if plan else []
        if len(waiting) >= size:
            yield waiting[:size]
            del waiting[:size]
    if waiting:
        yield waiting


def settled_stamp(row: ScanRow, done: Done, job: Job, verify: bool) -> str:
    """The stamp with which nothing is to be done for a scan; empty when there is work whatever its stamp."""
    stamps = {done.rows.get((*row.key, name), {}).get("source_stamp", "") for name in job.products}
    if len(stamps) == 1 and not plan_scan(row, Survey(stamp := stamps.pop(), 0), done, job, verify):
        return stamp
    return ""


def plan_scan(row: ScanRow, survey: Survey, done: Done, job: Job, verify: bool) -> Planned | None:
    """The task of one scan, or None when every product of it is committed and its source unchanged.

    verify: hash the content even where the stamp is known.
    """
    wanted = []
    for name in job.products:
        before = done.rows.get((*row.key, name))
        generation = before["generation"] + 1 if before else 1
        if before is None or not _current(before, name, job):
            wanted.append(Wanted(name, generation))
            continue
        if is_absent(before):
            wanted.append(Wanted(name, generation, unless_absent=True))
            continue
        sha256 = before["source_sha256"]
        known = before["source_stamp"] == survey.stamp or (row.key_id, survey.stamp, sha256) in done.contents
        if verify or not known:
            wanted.append(Wanted(name, generation, sha256))
    task = ScanTask(row, survey.stamp, tuple(wanted), seen=survey.seen)
    return Planned(task, survey.memory) if wanted else None


def _current(row: dict, product: str, job: Job) -> bool:
    same = row["settings_hash"] == job.settings_hashes[product] and row["code_version"] == job.code_version
    return same and row["status"] in FINAL and row["status"] not in job.again
