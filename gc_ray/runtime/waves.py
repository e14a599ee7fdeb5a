"""Many scans at once: waves of one memory class each, and a second way for scans that kill their worker.

A wave ends with its slowest scan, which may take a hundred times as long as most: so others begin while it lasts.
Scans that need much memory, or turned out to, wait until they are a wave of their own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from ray.exceptions import LocalRayletDiedError, NodeDiedError, OutOfMemoryError, RayError, RayTaskError

from gc_ray import ledger
from gc_ray.runtime.memory import class_of, classes_up_to
from gc_ray.runtime.plan import Planned
from gc_ray.runtime.preflight import Expected
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

WAVES_AT_A_TIME = 3  # simulated on 100 workers, 10,000 scans: 1, 2, 3, 4 use them to 38, 64, 72, 73 %
LEAST_WAVE = 0.1  # of a whole one: scans of a rare memory class wait for so many of them
NODE_LOSSES = 20  # lost nodes (spot machines) that one scan may meet before its attempts count
WRONG_NODE = "wrong node"  # the outcome of a scan on a node that may not compute: nothing was computed
DIED = "died (a decoder crashed, or it was killed)"


@dataclass(frozen=True)
class Way:
    """How scans are worked on.

    work: the function of one scan, ``process_scan``. attempts: how often a scan may kill its worker before it is
    ``failed``. workers: the most tasks at a time, None for as many as there are CPUs. expected: what a worker must be
    to compute; None: it is not asked.
    """

    job: Job
    work: Work
    attempts: int
    workers: int | None
    expected: Expected | None = None


class Executor(Protocol):
    """Where tasks run: a Ray cluster, or what stands for one."""

    def memory(self) -> int:
        """The most memory, in bytes, that one task can be promised."""

    def begin(self, tasks: dict[int, ScanTask], promised: int) -> Hashable:
        """Begin a wave: tasks that are promised so many bytes each."""

    def news(self) -> tuple[Hashable, Outcome | None]:
        """(wave, an outcome of it), None when it has ended; a task whose worker died has no outcome."""

    def start(self, index: int, task: ScanTask, memory: int) -> Hashable:
        """Begin one task in a worker of its own."""

    def ended(self, running: list) -> tuple[Hashable, list[Outcome] | RayError]:
        """The first of these tasks to end: (task, its outcomes, or why there are none)."""

    def refuse(self, found: Outcome) -> None:
        """Give the node that sent this outcome no more work."""


def run_waves(
    planned: Iterable[list[Planned]], way: Way, executor: Executor, size: int, after: Callable[[], None]
) -> Iterator[tuple[Planned, Outcome]]:
    """Run every task and yield what became of it; afterwards each has its ledger rows, whatever crashed.

    planned: taken when workers would run dry. size: most scans of a wave. after: called when a wave has ended.
    StoreError when a worker could not write to the store, ClusterError when no node may compute.
    """
    queues = _Queues(planned, classes_up_to(executor.memory()), size)
    begun: dict[Hashable, list[Planned]] = {}
    seen: dict[Hashable, set[int]] = {}
    lost: list[Planned] = []
    most = WAVES_AT_A_TIME if way.workers is None else 1  # two waves at a time would be twice as many tasks
    while True:
        while len(begun) < most and (group := queues.take()):
            wave = executor.begin({i: queues.task(each) for i, each in enumerate(group)}, queues.promised(group[0]))
            begun[wave], seen[wave] = group, set()
        if not begun:
            break
        wave, found = executor.news()
        if found is None:
            told = seen.pop(wave)
            lost += [each for i, each in enumerate(begun.pop(wave)) if i not in told]
            after()
            continue
        seen[wave].add(found["scan"])
        each = begun[wave][found["scan"]]
        if found["status"] == WRONG_NODE:
            executor.refuse(found)
            queues.put(each)
        elif found["status"] == LARGER:
            queues.put(replace(each, memory=found["memory"]))
        else:
            yield each, found
    for found in _run_again(dict(enumerate(lost)), way, executor):
        yield lost[found["scan"]], found
    if lost:
        after()


class _Queues:
    """Scans that wait for a wave of their memory class.

    planned, size: as for ``run_waves``. classes: bytes, ascending.
    """

    def __init__(self, planned: Iterable[list[Planned]], classes: list[int], size: int):
        self._planned, self._size, self._least = iter(planned), size, math.ceil(size * LEAST_WAVE)
        self._waiting: dict[int, deque[Planned]] = {promised: deque() for promised in classes}
        self._largest = classes[-1]

    def put(self, each: Planned) -> None:
        """Let a scan wait."""
        self._waiting[self.promised(each)].append(each)

    def take(self) -> list[Planned]:
        """The next wave, of one class: the one that needs most memory, since such scans also last longest.

        Small waves wait while there are more scans to come.
        """
        while not (ready := [queue for queue in self._waiting.values() if len(queue) >= self._least]):
            more = next(self._planned, None)
            if more is None:
                ready = [queue for queue in self._waiting.values() if queue]
                break
            for each in more:
                self.put(each)
        return [ready[-1].popleft() for _ in range(min(len(ready[-1]), self._size))] if ready else []

    def promised(self, each: Planned) -> int:
        """Bytes that a scan's class is promised."""
        return class_of(each.memory, list(self._waiting))

    def task(self, each: Planned) -> ScanTask:
        """A scan's task, which computes nothing where it needs more memory than promised and another class has it."""
        promised = self.promised(each)
        return replace(each.task, memory=None if promised == self._largest else promised)


def _run_again(lost: dict[int, Planned], way: Way, executor: Executor) -> Iterator[Outcome]:
    """Tasks whose worker died: each alone in a fresh worker, every time with twice the memory."""
    if not lost:
        return
    limit = executor.memory()
    waiting = deque(_Again(i, planned, tries=1) for i, planned in lost.items())
    running: dict[Hashable, _Again] = {}
    while waiting or running:
        while waiting and len(running) < (way.workers or len(lost)):
            again = waiting.popleft()
            settled, again = _settle(again, way.job)
            yield from settled
            if again.planned.task.wanted and again.tries < way.attempts:
                memory = min(again.planned.memory << again.tries, limit)
                running[executor.start(again.index, again.planned.task, memory)] = again
            elif again.planned.task.wanted:
                yield from _write_off(again, way.job)
        if running:
            ended, found = executor.ended(list(running))
            again = running.pop(ended)
            if isinstance(found, RayError):
                waiting.append(again.after(found))
            elif found and found[0]["status"] == WRONG_NODE:
                executor.refuse(found[0])
                waiting.append(again)
            else:
                yield from found


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
