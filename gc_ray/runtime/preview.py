"""What an extraction would do: counts, memory, time and nodes, without writing anything."""

from __future__ import annotations

import functools
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import ledger
from gc_ray.code_versions import EXTRACTION, code_version
from gc_ray.runtime import cluster
from gc_ray.runtime.extract import Request
from gc_ray.runtime.extract_scans import SURVEY_CHUNK
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.memory import class_of, classes_up_to
from gc_ray.runtime.node import this_node
from gc_ray.runtime.node_facts import facts_for
from gc_ray.runtime.places import Demand, wait_for
from gc_ray.runtime.plan import Planned, plan_waves, read_history
from gc_ray.runtime.preflight import IMAGES, Answer, describe_here, judge
from gc_ray.runtime.products import products_of
from gc_ray.runtime.scan_places import ScanPlace, scan_places
from gc_ray.runtime.scan_work import Job
from gc_ray.runtime.survey import Survey, survey_scan

TIMED = ("ok", "repaired")  # results whose seconds tell how long such a scan takes


@dataclass(frozen=True)
class Counts:
    """What would be done for one site and one product.

    Parameters
    ----------
    new : int
        Results that the store does not have.
    again : int
        Results that would be looked at again: their source, settings or code changed, they failed, or ``verify`` or
        ``retry`` asks for them. A source whose content turns out to be equal is not computed again.
    unchanged : int
        Results that are there.
    """

    site: str
    product: str
    new: int
    again: int
    unchanged: int


@dataclass(frozen=True)
class MemoryClass:
    """Scans that would be promised so much memory.

    Parameters
    ----------
    bytes : int
        Promised to each scan, as far as headers tell.
    scans : int
    at_a_time : int
        Scans that the nodes can hold at once; 0 when no node is large enough.
    """

    bytes: int
    scans: int
    at_a_time: int


@dataclass(frozen=True)
class NodeSeen:
    """A node of the cluster. refusal: why it would get no work; empty when it would."""

    name: str
    cpus: int
    memory: int
    refusal: str


@dataclass(frozen=True)
class Preview:
    """What an extraction would do.

    Parameters
    ----------
    outlines : int
        Rows of the manifests.
    counts : tuple of Counts
    memory : tuple of MemoryClass
        Of the scans with something to do.
    seconds : float or None
        Expected time of the whole run, from the median time of earlier scans of the same site and product; None when
        the store has no such scan for some of them.
    timed : int
        Earlier results that the time is taken from.
    nodes : tuple of NodeSeen
    notes : tuple of str
        Of the manifests' reader.
    """

    outlines: int
    counts: tuple[Counts, ...]
    memory: tuple[MemoryClass, ...]
    seconds: float | None
    timed: int
    nodes: tuple[NodeSeen, ...]
    notes: tuple[str, ...] = ()


def preview(request: Request) -> Preview:
    """Plan an extraction as ``extract`` would, and write nothing.

    Sources are listed and headers are read, as a run does before its work.

    Parameters
    ----------
    request : Request
        As for ``extract``.

    Returns
    -------
    Preview

    Raises
    ------
    TableError, StudyError, StoreError, ClusterError
        As ``extract`` would, but that the store can be written is not tried.
    """
    settings = request.study.extract
    scans = read_manifests(request.manifests, request.encoding)[: request.limit]
    job = Job(request.store, products_of(settings), code_version(EXTRACTION), settings.timeout_s, again=request.retry)
    sites = scans.count("site")
    with cluster.session(request.workers):
        wait_for(Demand("extraction"), {})
        nodes = _nodes(scan_places(scans), mixed_cpu=settings.allow_mixed_cpu)
        look = functools.partial(
            cluster.map_chunks, _survey, chunk=SURVEY_CHUNK, lost=lambda _: Survey("", 0), selector=None
        )
        history = read_history(request.store, scans, job)
        waves = plan_waves(
            history, job, look, lambda site, status: None, size=settings.wave_scans, verify=request.verify
        )
        planned = [plan for wave in waves for plan in wave]
    usual = _usual_seconds(request, job)
    counts = _counts(planned, sites, job.products)
    usable = [node for node in nodes if not node.refusal]
    memory, seconds = _time(planned, usable, usual.medians, request.workers)
    return Preview(len(scans), counts, memory, seconds, usual.results, nodes, scans.notes)


def _survey(asked: tuple) -> Survey:
    return survey_scan(*asked)


def _counts(planned: list[Planned], sites: dict[str, int], products: Iterable[str]) -> tuple[Counts, ...]:
    new, again = Counter(), Counter()
    for plan in planned:
        for wanted in plan.task.wanted:
            (new if wanted.generation == 1 else again)[plan.task.row.site, wanted.product] += 1
    return tuple(
        Counts(site, name, new[site, name], again[site, name], n - new[site, name] - again[site, name])
        for site, n in sorted(sites.items())
        for name in products
    )


@dataclass(frozen=True)
class _Usual:
    """Median seconds of a scan by (site, product), by product with the site None; from so many results."""

    medians: dict[tuple[str | None, str], float]
    results: int


def _usual_seconds(request: Request, job: Job) -> _Usual:
    rows = ledger.read_ledger(request.store, ("site", "feature_set", "status", "seconds", "settings_hash"))
    wanted = pc.is_in(rows["settings_hash"], value_set=_text_array(job.settings_hashes.values()))
    rows = rows.filter(pc.and_(wanted, pc.is_in(rows["status"], value_set=_text_array(TIMED))))
    found = defaultdict(list)
    for row in rows.select(["site", "feature_set", "seconds"]).to_pylist():
        found[row["site"], row["feature_set"]].append(row["seconds"])
        found[None, row["feature_set"]].append(row["seconds"])
    return _Usual({key: statistics.median(values) for key, values in found.items()}, rows.num_rows)


def _text_array(values: Iterable[str]) -> pa.Array:
    return pa.array(sorted(values), pa.string())


def _time(
    planned: list[Planned], nodes: list[NodeSeen], medians: dict, workers: int | None
) -> tuple[tuple[MemoryClass, ...], float | None]:
    """(memory classes, seconds of the whole run): classes one after the other, each on all nodes."""
    classes = classes_up_to(max((node.memory for node in nodes), default=0))
    by_class, seconds, known = Counter(), Counter(), True
    for plan in planned:
        needed = class_of(plan.memory, classes)
        by_class[needed] += 1
        # a result's seconds are those of the scan's whole task, so the largest of its products stands for all
        each = [_median(medians, plan.task.row.site, wanted.product) for wanted in plan.task.wanted]
        known = known and None not in each
        seconds[needed] += max((value for value in each if value is not None), default=0.0)
    found, total = [], 0.0
    for needed in sorted(by_class):
        slots = sum(min(node.cpus, node.memory // needed) for node in nodes)
        slots = min(slots, by_class[needed], workers or slots)
        found.append(MemoryClass(needed, by_class[needed], slots))
        known = known and slots > 0
        total += seconds[needed] / max(slots, 1)
    return tuple(found), total if known else None


def _median(medians: dict, site: str, product: str) -> float | None:
    return medians.get((site, product), medians.get((None, product)))


def _nodes(places: tuple[ScanPlace, ...], *, mixed_cpu: bool) -> tuple[NodeSeen, ...]:
    if cluster.is_private():
        return tuple(NodeSeen(this_node(), cpus, memory, "") for cpus, memory in cluster.slots().values())
    answers = cluster.ask_nodes(functools.partial(describe_here, None, "", places))
    _, reasons = judge(facts_for(*IMAGES), answers, places, mixed_cpu=mixed_cpu)
    found = []
    for node_id, (cpus, memory) in cluster.slots().items():
        answer = answers.get(node_id)
        name = answer.facts.node if isinstance(answer, Answer) else node_id[:8]
        found.append(NodeSeen(name, cpus, memory, reasons.get(node_id, "")))
    return tuple(sorted(found, key=lambda node: node.name))
