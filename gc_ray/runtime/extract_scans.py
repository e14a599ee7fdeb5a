"""Scans brought into the store, for extract and rescore alike: looked at, planned and computed on checked nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gc_ray.cohort.manifest import ScanRow, Scans
from gc_ray.runtime import cluster
from gc_ray.runtime.places import Demand
from gc_ray.runtime.plan import Planned, plan_waves, read_history
from gc_ray.runtime.preflight import Expected, RefusedNodes, checked_nodes
from gc_ray.runtime.products import describe
from gc_ray.runtime.ray_tasks import RayTasks
from gc_ray.runtime.scan_places import scan_places
from gc_ray.runtime.scan_work import Job, process_scan
from gc_ray.runtime.survey import Survey, survey_scan
from gc_ray.runtime.waves import Way, Work, run_waves
from gc_ray.study import ExtractSettings

SURVEY_CHUNK = 16  # scans one survey task looks at: listing is short work, a task for each would be mostly overhead

Tell = Callable[[str, str], None]  # of (site, status)
Nodes = tuple[Expected | None, RefusedNodes]  # what a worker must be, and the nodes that get no work


@dataclass(frozen=True)
class Extraction:
    """How scans are extracted.

    job: what is computed, and the store that takes it. settings: attempts of a scan, scans of a wave, and which nodes
    may compute. workers: tasks at a time, None for all CPUs. verify: the content of every scan is hashed, also where
    its stamp is known. work: the function of one scan.
    """

    job: Job
    settings: ExtractSettings
    workers: int | None = None
    verify: bool = False
    work: Work = process_scan


@dataclass(frozen=True)
class Extracted:
    """computed: results. notes: a line for each node that got no work."""

    computed: int = 0
    notes: tuple[str, ...] = ()


def extract_scans(scans: Scans, how: Extraction, tell: Tell, after: Callable[[], object] = lambda: None) -> Extracted:
    """Bring the store up to date with some scans, on Ray.

    Parameters
    ----------
    scans
        The outlines.
    how
        What is computed, and how.
    tell
        Called with (site, status) of every product, ``unchanged`` or as it is committed.
    after
        Called when a wave has ended.

    Raises
    ------
    StoreError
        When a worker cannot write.
    ClusterError
        When no node may compute.
    """
    for product in how.job.products.values():
        describe(product, how.job.store)
    refused, computed = RefusedNodes(demand=Demand("extraction")), 0
    with cluster.session(how.workers):
        places = scan_places(scans)
        with checked_nodes(refused, how.job.store, places, mixed_cpu=how.settings.allow_mixed_cpu) as expected:
            for site, status in _by_ray(scans, how, tell, after, (expected, refused)):
                computed += status != "unchanged"
                tell(site, status)
    return Extracted(computed, refused.notes)


def extract_here(plans: Iterable[Planned], job: Job, tell: Tell) -> Extracted:
    """The same in this process alone, without Ray, for scans that are planned already."""
    for product in job.products.values():
        describe(product, job.store)
    computed = 0
    for plan in plans:
        for outcome in process_scan(plan.task, job):
            computed += outcome["status"] != "unchanged"
            tell(plan.task.row.site, outcome["status"])
    return Extracted(computed)


def _by_ray(
    scans: Scans, how: Extraction, tell: Tell, after: Callable[[], object], nodes: Nodes
) -> Iterator[tuple[str, str]]:
    """(site, status) of every product that is computed, as it is committed."""
    expected, refused = nodes
    job, settings = how.job, how.settings

    def look(asked: list[tuple[ScanRow, str]]) -> list[Survey]:
        return cluster.map_chunks(_survey, asked, SURVEY_CHUNK, lambda _: Survey("", 0), refused.others)

    history = read_history(job.store, scans, job)
    planned = plan_waves(history, job, look, tell, size=settings.wave_scans, verify=how.verify)
    way = Way(job, how.work, settings.attempts, how.workers, expected)
    with cluster.quiet_data(no_progress_s=4 * (job.timeout_s + job.grace_s)):
        for plan, outcome in run_waves(planned, way, RayTasks(way, refused), settings.wave_scans, after):
            yield plan.task.row.site, outcome["status"]


def _survey(asked: tuple[ScanRow, str]) -> Survey:
    return survey_scan(*asked)
