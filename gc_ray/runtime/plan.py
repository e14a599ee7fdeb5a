"""Which products of which scans must be computed, given what the ledger already holds."""

from __future__ import annotations

from dataclasses import dataclass

from gc_ray.cohort.manifest import ScanRow
from gc_ray.runtime.products import settings_hash
from gc_ray.runtime.scan_work import Job, ScanTask, Wanted
from gc_ray.runtime.survey import Survey

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


def plan_scan(row: ScanRow, survey: Survey, done: Done, job: Job, verify: bool) -> Planned | None:
    """The task of one scan, or None when every product of it is committed and its source unchanged.

    verify: hash the content even where the stamp is known.
    """
    wanted = []
    for name, product in job.products.items():
        before = done.rows.get((*row.key, name))
        generation = before["generation"] + 1 if before else 1
        if before is None or not _current(before, settings_hash(product), job.code_version):
            wanted.append(Wanted(name, generation))
            continue
        sha256 = before["source_sha256"]
        known = before["source_stamp"] == survey.stamp or (row.key_id, survey.stamp, sha256) in done.contents
        if verify or not known:
            wanted.append(Wanted(name, generation, sha256))
    return Planned(ScanTask(row, survey.stamp, tuple(wanted)), survey.memory) if wanted else None


def _current(row: dict, settings: str, code: str) -> bool:
    return row["status"] in FINAL and row["settings_hash"] == settings and row["code_version"] == code
