"""Many scans at once: one Ray Data dataset per memory class, and a second way for scans that kill their worker."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import LocalRayletDiedError, NodeDiedError, OutOfMemoryError, RayError
from ray.util.annotations import RayDeprecationWarning

from gc_ray import ledger
from gc_ray.errors import StoreError
from gc_ray.runtime import cluster
from gc_ray.runtime.plan import Planned
from gc_ray.runtime.scan_work import (
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
    [("scan", pa.int64()), *((name, pa.string()) for name in ("product", "status", "stage", "reason"))]
)
WORKER_SCANS = 200  # a worker is replaced after this many scans, so that no library's leak grows over a long run
NODE_LOSSES = 20  # lost nodes (spot machines) that one scan may meet before its attempts count
DIED = "died (a decoder crashed, or it was killed)"


def run_wave(planned: list[Planned], job: Job, work: Work, attempts: int, workers: int | None) -> Iterator[Outcome]:
    """Run every task of a wave and yield what became of it; afterwards each has its ledger rows, whatever crashed.

    work: the function of one scan, ``process_scan``. attempts: how often a scan may kill its worker before it is
    ``failed``. workers: the most tasks at a time, None for as many as there are CPUs.
    StoreError when a worker could not write to the store.
    """
    finished: set[int] = set()
    limit = cluster.node_memory()
    for memory in sorted({p.memory for p in planned}):
        group = [i for i, p in enumerate(planned) if p.memory == memory]
        for found in _run_class(planned, group, min(memory, limit), job, work, workers):
            finished.add(found["scan"])
            yield found
    lost = [i for i in range(len(planned)) if i not in finished]
    yield from _run_again(planned, lost, job, work, attempts, workers)


def _run_class(planned, group, memory, job, work, workers) -> Iterator[Outcome]:
    """The tasks of one memory class through Ray Data: one scan, one block, one Ray task."""

    def batch(table: pa.Table) -> pa.Table:
        return pa.Table.from_pylist(
            [o for i in table["scan"].to_pylist() for o in _run_one(i, planned[i], job, work)]
        )

    with cluster.quiet_data(no_progress_s=4 * (job.timeout_s + job.grace_s)):
        blocks = ray.data.from_items([{"scan": i} for i in group], override_num_blocks=len(group))
        with warnings.catch_warnings():
            # Ray deprecates further options in favour of named ones, and has no named one for max_retries yet
            warnings.simplefilter("ignore", RayDeprecationWarning)
            outcomes = blocks.map_batches(
                batch,
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=1,
                memory=memory,
                concurrency=workers,
                max_calls=WORKER_SCANS,
                max_retries=0,  # a scan that kills its worker is tried again apart, where attempts are counted
            )
        try:
            for table in outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                yield from _checked(table.to_pylist())
        except RayError:
            return  # a lost node can take finished blocks with it; the ledger knows what is committed


def _run_one(index: int, planned: Planned, job: Job, work: Work) -> list[Outcome]:
    try:
        outcomes = work(planned.task, job)
    except StoreError as error:
        outcomes = [{"product": "", "status": "unwritten", "stage": "write", "reason": str(error)}]
    return [{"scan": index, **found} for found in outcomes]


def _checked(outcomes: list[Outcome]) -> list[Outcome]:
    for found in outcomes:
        if found["status"] == "unwritten":
            raise StoreError(found["reason"])
    return outcomes


def _run_again(planned, lost, job, work, attempts, workers) -> Iterator[Outcome]:
    """Tasks whose worker died: each alone in a fresh worker, every time with twice the memory."""
    run = ray.remote(max_retries=0, num_cpus=1, max_calls=1)(_run_one)
    limit = cluster.node_memory()
    waiting = deque(_Again(i, planned[i], tries=1) for i in lost)
    running: dict[ray.ObjectRef, _Again] = {}
    while waiting or running:
        while waiting and len(running) < (workers or len(lost)):
            again = waiting.popleft()
            settled, again = _settle(again, job)
            yield from settled
            if again.planned.task.wanted and again.tries < attempts:
                memory = min(again.planned.memory << again.tries, limit)
                running[run.options(memory=memory).remote(again.index, again.planned, job, work)] = again
            elif again.planned.task.wanted:
                yield from _write_off(again, job)
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
