"""The main job: every outline of the manifests ends in the ledger, and what can be computed ends in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import ledger
from gc_ray.code_versions import EXTRACTION, code_version, library_versions
from gc_ray.cohort.manifest import Scans
from gc_ray.exit_codes import exit_code
from gc_ray.run_records import write_record
from gc_ray.runtime.extract_scans import Extraction, extract_scans
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.plan import results_of
from gc_ray.runtime.products import products_of
from gc_ray.runtime.scan_work import Job, process_scan
from gc_ray.runtime.summary import Summary, cpu_notes, summarise
from gc_ray.runtime.waves import Work
from gc_ray.store import Store
from gc_ray.store_format import prepare
from gc_ray.study import Study


@dataclass(frozen=True)
class Request:
    """What the command was asked for. workers: tasks at a time, None for all CPUs. limit: first N outlines only.

    encoding: of manifests that are neither UTF-8 nor UTF-16. retry: ``refused`` or ``failed``: compute these again,
    also where their files are unchanged (failed ones are tried again anyway).
    """

    manifests: tuple[str, ...]
    store: Store
    study: Study
    workers: int | None = None
    limit: int | None = None
    verify: bool = False
    encoding: str | None = None
    retry: tuple[str, ...] = ()


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
    job = Job(request.store, products_of(settings), code_version(EXTRACTION), settings.timeout_s, again=request.retry)
    prepare(request.store)
    before = ledger.read_ledger(request.store, ())
    tell = watch({site: n * len(job.products) for site, n in rows.count("site").items()})
    how = Extraction(job, settings, request.workers, request.verify, work)
    done = extract_scans(rows, how, tell, partial(ledger.compact, request.store))
    summary = _summarise(rows, job, request, run, done.computed, clock() - begin)
    summary = replace(summary, notes=(*rows.notes, *done.notes, *summary.notes))
    _record(request, rows, summary, ledger.commits_since(request.store, before))
    return summary


def _summarise(scans: Scans, job: Job, request: Request, run: str, computed: int, seconds: float) -> Summary:
    """Count the ledger against the manifests; a result that no ledger row accounts for is an error of ours."""
    held = ledger.read_ledger(request.store, ("site", "status", "reason", "cpu"))
    found = results_of(scans, held, job.products)
    for name, where in found.items():
        if where.null_count:
            lost = scans[pc.indices_nonzero(where.is_null())[0].as_py()]
            raise RuntimeError(
                f"{where.null_count} results have no ledger row, the first is {(*lost.key, name)}; report this bug"
            )
    asked = pa.concat_tables([held.take(where) for where in found.values()])
    summary = summarise(asked, run, computed, request.study.extract.failure_budget, seconds)
    return replace(summary, notes=cpu_notes(asked))


def _record(request: Request, rows: Scans, summary: Summary, commits: list[str]) -> None:
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
        "code_version": code_version(EXTRACTION),
        "libraries": library_versions(EXTRACTION.libraries),
    }
    write_record(request.store, summary.run, record, commits)
