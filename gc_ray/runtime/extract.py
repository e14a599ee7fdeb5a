"""The main job: every outline of the manifests ends in the ledger, and what can be computed ends in the store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gc_ray import ledger
from gc_ray.cohort.manifest import ScanRow
from gc_ray.runtime import cluster
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.plan import Done, Planned, plan_scan
from gc_ray.runtime.products import code_version, describe, library_versions, products_of
from gc_ray.runtime.scan_work import Job, process_scan
from gc_ray.runtime.summary import Summary, summarise
from gc_ray.runtime.survey import Survey, survey_scan
from gc_ray.runtime.waves import Way, Work, run_wave
from gc_ray.store import Store, probe
from gc_ray.study import Study

SURVEY_CHUNK = 16  # scans one survey task looks at: listing is short work, a task for each would be mostly overhead


@dataclass(frozen=True)
class Request:
    """What the command was asked for. workers: tasks at a time, None for all CPUs. limit: first N outlines only."""

    manifests: tuple[str, ...]
    store: Store
    study: Study
    workers: int | None = None
    limit: int | None = None
    verify: bool = False


def extract(
    request: Request,
    watch: Callable[[dict[str, int]], Callable[[str, str], None]],
    run: str,
    clock: Callable[[], float],
    work: Work = process_scan,
) -> Summary:
    """Bring the store up to date with the manifests; the run record is written last.

    watch: given the results to expect per site, returns what is called with (site, status) for each. run: the run's
    id. clock: seconds, monotonic. work: the function of one scan.
    TableError, StudyError or StoreError before any scan is touched when the request cannot be carried out.
    """
    begin = clock()
    settings = request.study.extract
    rows = read_manifests(request.manifests)[: request.limit]
    job = Job(request.store, products_of(settings), code_version(), settings.timeout_s)
    probe(request.store)
    for product in job.products.values():
        describe(product, request.store)
    tell = watch(Counter(row.site for row in rows for _ in job.products))
    computed = 0
    with cluster.session(request.workers):
        for wave in _waves(rows, settings.wave_scans):
            for site, status in compute_wave(wave, job, request, work):
                computed += status != "unchanged"
                tell(site, status)
            ledger.compact(request.store)
    summary = _summarise(rows, job, request, run, computed, clock() - begin)
    _record(request, rows, summary)
    return summary


def compute_wave(wave: list[ScanRow], job: Job, request: Request, work: Work) -> Iterator[tuple[str, str]]:
    """(site, status) of every product of some outlines, as they are committed; within ``cluster.session``."""
    done = Done({_key(r): r for r in _ledger_rows(request.store)}, frozenset(ledger.known_contents(request.store)))
    surveys = cluster.map_chunks(survey_scan, wave, SURVEY_CHUNK, lambda row: Survey("", 0))
    plans = [plan_scan(row, survey, done, job, request.verify) for row, survey in zip(wave, surveys, strict=True)]
    for row, plan in zip(wave, plans, strict=True):
        for _ in range(len(job.products) - (len(plan.task.wanted) if plan else 0)):
            yield row.site, "unchanged"
    planned: list[Planned] = [plan for plan in plans if plan]
    for outcome in run_wave(planned, Way(job, work, request.study.extract.attempts, request.workers)):
        yield planned[outcome["scan"]].task.row.site, outcome["status"]


def _waves(rows: list[ScanRow], size: int) -> Iterator[list[ScanRow]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _ledger_rows(store: Store) -> list[dict]:
    return ledger.read_ledger(store).to_pylist()


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in ledger.KEY)


def _summarise(rows: list[ScanRow], job: Job, request: Request, run: str, computed: int, seconds: float) -> Summary:
    """Count the ledger against the manifests; a result that no ledger row accounts for is an error of ours."""
    wanted = {(*row.key, name): row for row in rows for name in job.products}
    found = []
    for r in _ledger_rows(request.store):
        if wanted.pop(_key(r), None) is not None:
            found.append(r)
    if wanted:
        raise RuntimeError(
            f"{len(wanted)} results have no ledger row, the first is {next(iter(wanted))}; report this bug"
        )
    return summarise(found, run, computed, request.study.extract.failure_budget, seconds)


def _record(request: Request, rows: list[ScanRow], summary: Summary) -> None:
    """Write the run record, last of all: its presence says that the run came to its end."""
    record = {
        "run": summary.run,
        "command": "extract",
        "exit_code": 3 if summary.over_budget else 0,
        "outlines": len(rows),
        "results": [{"site": site, "status": s, "n": n} for (site, s), n in sorted(summary.counts.items())],
        "computed": summary.computed,
        "lost": [{"reason": reason, "scans": scans} for reason, scans in summary.lost],
        "seconds": summary.seconds,
        "study": request.study.model_dump(mode="json"),
        "limit": request.limit,
        "verify": request.verify,
        "code_version": code_version(),
        "libraries": library_versions(),
    }
    request.store.put(f"runs/{summary.run}.json", json.dumps(record, indent=1).encode())
