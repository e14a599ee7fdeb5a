"""Many scans at once: one Ray Data dataset per memory class, and a second way for scans that kill their worker."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import LocalRayletDiedError, NodeDiedError, OutOfMemoryError, RayError, RayTaskError
from ray.util.annotations import RayDeprecationWarning

from gc_ray import ledger
from gc_ray.errors import StoreError
from gc_ray.runtime import cluster
from gc_ray.runtime.memory import class_of, classes_up_to
from gc_ray.runtime.plan import Planned
from gc_ray.runtime.scan_work import (
    LARGER,
    Job,
    Reading,
    ScanTask,
    failed_by_worker,
    ledger_row,
    outcome,
)

Work = Callable[[ScanTask, Job], list[dict]]
Outcome = dict  # scan (index into the wave), product, status, stage, reason

OUTCOME = pa.schema(
    [
        ("scan", pa.int64()),
        *((name, pa.string()) for name in ("product", "status", "stage", "reason")),
        ("memory", pa.int64()),
    ]
)
WORKER_SCANS = 200  # a worker is replaced after this many scans, so that no library's leak grows over a long run
NODE_LOSSES = 20  # lost nodes (spot machines) that one scan may meet before its attempts count
DIED = "died (a decoder crashed, or it was killed)"


@dataclass(frozen=True)
class Way:
    """How scans are worked on.

    work: the function of one scan, ``process_scan``. attempts: how often a scan may kill its worker before it is
    ``failed``. workers: the most tasks at a time, None for as many as there are CPUs.
    """

    job: Job
    work: Work
    attempts: int
    workers: int | None


def run_wave(planned: list[Planned], way: Way) -> Iterator[Outcome]:
    """Run every task of a wave and yield what became of it; afterwards each has its ledger rows, whatever crashed.

    StoreError when a worker could not write to the store.
    """
    classes = classes_up_to(cluster.node_memory())
    memory = [class_of(p.memory, classes) for p in planned]
    lost = []
    for promised in classes:  # ascending: a scan that turns out larger moves to a class that is still to come
        group = [i for i, needed in enumerate(memory) if needed == promised]
        bound = None if promised == classes[-1] else promised  # nothing larger exists: it must do
        tasks = {i: replace(planned[i].task, memory=bound) for i in group}
        seen = set()
        for found in _run_class(tasks, promised, way):
            seen.add(found["scan"])
            if found["status"] == LARGER:
                memory[found["scan"]] = class_of(found["memory"], classes)
            else:
                yield found
        lost += [i for i in group if i not in seen]
    yield from _run_again({i: planned[i] for i in lost}, way)


def _run_class(tasks: dict[int, ScanTask], promised: int, way: Way) -> Iterator[Outcome]:
    """The tasks of one memory class through Ray Data: one scan, one block, one Ray task."""
    if not tasks:
        return

    def batch(table: pa.Table) -> pa.Table:
        (index,) = table["scan"].to_pylist()
        return pa.Table.from_pylist(_run_one(index, tasks[index], way), schema=OUTCOME)

    with cluster.quiet_data(no_progress_s=4 * (way.job.timeout_s + way.job.grace_s)):
        blocks = ray.data.from_items([{"scan": i} for i in tasks], override_num_blocks=len(tasks))
        with warnings.catch_warnings():
            # Ray deprecates further options in favour of named ones, and has no named one for max_retries yet
            warnings.simplefilter("ignore", RayDeprecationWarning)
            outcomes = blocks.map_batches(
                batch,
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=1,
                memory=promised,
                concurrency=way.workers and min(way.workers, len(tasks)),
                max_calls=WORKER_SCANS,
                max_retries=0,  # a scan that kills its worker is tried again apart, where attempts are counted
            )
        try:
            for table in outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                yield from _checked(table.to_pylist())
        except RayError:
            return  # a lost node can take finished blocks with it; the ledger knows what is committed


def _run_one(index: int, task: ScanTask, way: Way) -> list[Outcome]:
    try:
        outcomes = way.work(task, way.job)
    except StoreError as error:
        outcomes = [{"product": "", "status": "unwritten", "stage": "write", "reason": str(error)}]
    return [{"scan": index, **found} for found in outcomes]


def _checked(outcomes: list[Outcome]) -> list[Outcome]:
    for found in outcomes:
        if found["status"] == "unwritten":
            raise StoreError(found["reason"])
    return outcomes


def _run_again(lost: dict[int, Planned], way: Way) -> Iterator[Outcome]:
    """Tasks whose worker died: each alone in a fresh worker, every time with twice the memory."""
    run = ray.remote(max_retries=0, num_cpus=1, max_calls=1)(_run_one)
    limit = cluster.node_memory()
    waiting = deque(_Again(i, planned, tries=1) for i, planned in lost.items())
    running: dict[ray.ObjectRef, _Again] = {}
    while waiting or running:
        while waiting and len(running) < (way.workers or len(lost)):
            again = waiting.popleft()
            settled, again = _settle(again, way.job)
            yield from settled
            if again.planned.task.wanted and again.tries < way.attempts:
                memory = min(again.planned.memory << again.tries, limit)
                running[run.options(memory=memory).remote(again.index, again.planned.task, way)] = again
            elif again.planned.task.wanted:
                yield from _write_off(again, way.job)
        for ref in ray.wait(list(running), num_returns=1)[0] if running else ():
            again = running.pop(ref)
            try:
                yield from _checked(ray.get(ref))
            except RayError as error:
                waiting.append(again.after(error))


@dataclass(frozen=True)
class _Again:
    """A task whose worker died ``tries`` times; ``losses`` counts nodes that went away under it."""

    index: int
    planned: Planned
    tries: int
    losses: int = 0
    cause: str = DIED

    def after(self, error: RayError) -> _Again:
        if isinstance(error, (NodeDiedError, LocalRayletDiedError)) and self.losses < NODE_LOSSES:
            return replace(self, losses=self.losses + 1)
        if isinstance(error, RayTaskError):
            cause = f"raised {type(error.cause).__name__} (a bug, please report it)"
        else:
            cause = "was killed for memory" if isinstance(error, OutOfMemoryError) else DIED
        return replace(self, tries=self.tries + 1, cause=cause)


def _settle(again: _Again, job: Job) -> tuple[list[Outcome], _Again]:
    """(outcomes of products that were committed before the worker died, the task with the others)."""
    task, outcomes, left = again.planned.task, [], []
    for wanted in task.wanted:
        row = ledger.read_commit(job.store, ledger_row(task, wanted, job, Reading()))
        if row is None:
            left.append(wanted)
        else:
            outcomes.append({"scan": again.index, **outcome(wanted, row)})
    task = replace(task, wanted=tuple(left))
    return outcomes, replace(again, planned=replace(again.planned, task=task))


def _write_off(again: _Again, job: Job) -> list[Outcome]:
    reason = f"the worker process {again.cause} in {again.tries} of {again.tries} tries; run this scan by itself"
    return [{"scan": again.index, **o} for o in failed_by_worker(again.planned.task, job, reason)]
