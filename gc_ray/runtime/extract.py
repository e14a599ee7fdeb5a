"""The main job: every outline of the manifests ends in the ledger, and what can be computed ends in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import ledger
from gc_ray.cohort.manifest import ScanRow, Scans
from gc_ray.exit_codes import exit_code
from gc_ray.probe import probe
from gc_ray.run_records import write_record
from gc_ray.runtime import cluster
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.plan import plan_waves, read_history, results_of
from gc_ray.runtime.preflight import Fleet, dismiss, muster
from gc_ray.runtime.products import code_version, describe, library_versions, products_of
from gc_ray.runtime.ray_tasks import RayTasks
from gc_ray.runtime.scan_work import Job, process_scan
from gc_ray.runtime.summary import Summary, summarise
from gc_ray.runtime.survey import Survey, survey_scan
from gc_ray.runtime.waves import Way, Work, run_waves
from gc_ray.store import Store
from gc_ray.store_format import prepare
from gc_ray.study import Study

Tell = Callable[[str, str], None]  # of (site, status)
SURVEY_CHUNK = 16  # scans one survey task looks at: listing is short work, a task for each would be mostly overhead


@dataclass(frozen=True)
class Request:
    """What the command was asked for. workers: tasks at a time, None for all CPUs. limit: first N outlines only.

    encoding: of manifests that are neither UTF-8 nor UTF-16. retry: ``refused`` or ``failed``: compute these again,
    also where their files are unchanged (failed ones are tried again anyway). mixed_cpu: nodes of several instruction
    sets may compute.
    """

    manifests: tuple[str, ...]
    store: Store
    study: Study
    workers: int | None = None
    limit: int | None = None
    verify: bool = False
    encoding: str | None = None
    retry: tuple[str, ...] = ()
    mixed_cpu: bool = False


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
    rows = read_manifests(request.manifests, request.encoding)[: request.limit]
    job = Job(request.store, products_of(settings), code_version(), settings.timeout_s, again=request.retry)
    probe(request.store)
    prepare(request.store)
    for product in job.products.values():
        describe(product, request.store)
    tell = watch({site: n * len(job.products) for site, n in rows.count("site").items()})
    compact, computed, fleet = partial(ledger.compact, request.store), 0, Fleet()
    with cluster.session(request.workers):
        for site, status in look_and_compute(rows, job, request, tell, work, after=compact, fleet=fleet):
            computed += status != "unchanged"
            tell(site, status)
    summary = _summarise(rows, job, request, run, computed, clock() - begin)
    summary = replace(summary, notes=(*rows.notes, *fleet.notes))
    _record(request, rows, summary)
    return summary


def look_and_compute(
    scans: Scans,
    job: Job,
    request: Request,
    tell: Tell,
    work: Work = process_scan,
    *,
    after: Callable[[], object],
    fleet: Fleet,
) -> Iterator[tuple[str, str]]:
    """(site, status) of every product that is computed, as it is committed; within ``cluster.session``.

    tell: hears of those that are unchanged. after: called when a wave has ended. fleet: takes the nodes that get no
    work.
    """

    def look(asked: list[tuple[ScanRow, str]]) -> list[Survey]:
        return cluster.map_chunks(_survey, asked, SURVEY_CHUNK, lambda _: Survey("", 0), fleet.selector)

    cluster.node_memory()  # a cluster without a worker is waited for here, where it has an end
    settings = request.study.extract
    expected = muster(request.store, scans, fleet, mixed_cpu=request.mixed_cpu)
    try:
        history = read_history(request.store, scans, job)
        planned = plan_waves(history, job, look, tell, size=settings.wave_scans, verify=request.verify)
        way = Way(job, work, settings.attempts, request.workers, expected)
        with cluster.quiet_data(no_progress_s=4 * (job.timeout_s + job.grace_s)):
            for plan, outcome in run_waves(planned, way, RayTasks(way, fleet), settings.wave_scans, after):
                yield plan.task.row.site, outcome["status"]
    finally:
        dismiss(request.store, expected.beacon)


def _survey(asked: tuple[ScanRow, str]) -> Survey:
    return survey_scan(*asked)


def _summarise(scans: Scans, job: Job, request: Request, run: str, computed: int, seconds: float) -> Summary:
    """Count the ledger against the manifests; a result that no ledger row accounts for is an error of ours."""
    held = ledger.read_ledger(request.store, ("site", "status", "reason"))
    found = results_of(scans, held, job.products)
    for name, where in found.items():
        if where.null_count:
            lost = scans[pc.indices_nonzero(where.is_null())[0].as_py()]
            raise RuntimeError(
                f"{where.null_count} results have no ledger row, the first is {(*lost.key, name)}; report this bug"
            )
    asked = pa.concat_tables([held.take(where) for where in found.values()])
    return summarise(asked, run, computed, request.study.extract.failure_budget, seconds)


def _record(request: Request, rows: Scans, summary: Summary) -> None:
    """Write the run record, last of all: its presence says that the run came to its end."""
    record = {
        "run": summary.run,
        "command": "extract",
        "exit_code": exit_code(summary.problems),
        "outlines": len(rows),
        "results": [{"site": site, "status": s, "n": n} for (site, s), n in sorted(summary.counts.items())],
        "computed": summary.computed,
        "lost": [{"reason": reason, "scans": scans} for reason, scans in summary.lost],
        "seconds": summary.seconds,
        "notes": summary.notes,
        "study": request.study.model_dump(mode="json"),
        "limit": request.limit,
        "verify": request.verify,
        "retry": request.retry,
        "code_version": code_version(),
        "libraries": library_versions(),
    }
    write_record(request.store, summary.run, record)
