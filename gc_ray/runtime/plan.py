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


def plan_scan(row: ScanRow, survey: Survey, done: dict[tuple, dict], job: Job, verify: bool) -> Planned | None:
    """The task of one scan, or None when every product of it is committed and its source unchanged.

    done: ledger rows by (scan key, product), last generation. verify: hash the content even where the stamp is equal.
    """
    wanted = []
    for name, product in job.products.items():
        row_before = done.get((*row.key, name))
        generation = row_before["generation"] + 1 if row_before else 1
        if row_before is None or not _current(row_before, settings_hash(product), job.code_version):
            wanted.append(Wanted(name, generation))
        elif verify or row_before["source_stamp"] != survey.stamp:
            wanted.append(Wanted(name, generation, row_before["source_sha256"]))
    return Planned(ScanTask(row, survey.stamp, tuple(wanted)), survey.memory) if wanted else None


def _current(row: dict, settings: str, code: str) -> bool:
    return row["status"] in FINAL and row["settings_hash"] == settings and row["code_version"] == code
