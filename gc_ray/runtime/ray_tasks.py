"""What Ray does of a wave: one dataset per memory class, and single tasks for scans that killed their worker."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterable

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError

from gc_ray.errors import StoreError
from gc_ray.runtime import cluster
from gc_ray.runtime.begun import Begun
from gc_ray.runtime.places import node_memory
from gc_ray.runtime.preflight import RefusedNodes, why_not_here
from gc_ray.runtime.scan_work import ScanTask
from gc_ray.runtime.waves import WRONG_NODE, Outcome, Way

OUTCOME = pa.schema(
    [
        ("scan", pa.int64()),
        *((name, pa.string()) for name in ("product", "status", "stage", "reason")),
        ("memory", pa.int64()),
    ]
)
WORKER_SCANS = 200  # a worker is replaced after this many scans, so that no library's leak grows over a long run


class RayTasks:
    """Runs the tasks of a wave on the session's cluster.

    way: what is done with each scan. refused: the nodes that get no work.
    """

    def __init__(self, way: Way, refused: RefusedNodes):
        self._way, self._refused, self._begun = way, refused, Begun()
        self._numbers, self._news = itertools.count(), queue.SimpleQueue()
        self._run = ray.remote(max_retries=0, num_cpus=1, max_calls=1)(_run_one)

    def memory(self) -> int:
        """The most memory, in bytes, that one task can be promised."""
        return node_memory(self._refused.others, self._refused.reasons)

    def begin(self, tasks: dict[int, ScanTask], promised: int) -> int:
        """Begin one dataset: one scan, one block, one Ray task."""
        wave = next(self._numbers)
        threading.Thread(target=self._follow, args=(wave, tasks, promised), daemon=True).start()
        return wave

    def news(self) -> tuple[int, Outcome | None]:
        """(dataset, an outcome of it), None when it has ended."""
        wave, found = self._news.get()
        if isinstance(found, Exception):
            raise found
        return wave, found

    def _follow(self, wave: int, tasks: dict[int, ScanTask], promised: int) -> None:
        """Tell all news of a dataset, which runs in threads of its own."""
        try:
            for table in self._outcomes(wave, tasks, promised):
                for found in _checked(table.to_pylist()):
                    self._news.put((wave, found))
        except RayError:
            pass  # a lost node can take finished blocks with it; the ledger knows what is committed
        except Exception as error:  # noqa: BLE001 - raised where news are awaited
            self._news.put((wave, error))
        self._news.put((wave, None))

    def _outcomes(self, wave: int, tasks: dict[int, ScanTask], promised: int) -> Iterable[pa.Table]:
        way, begun = self._way, self._begun

        def batch(table: pa.Table) -> pa.Table:
            (index,) = table["scan"].to_pylist()
            # a scan that kills its worker is tried again apart, where attempts are counted
            outcomes = _run_one(index, tasks[index], way) if begun.is_new((wave, index)) else []
            return pa.Table.from_pylist(outcomes, schema=OUTCOME)

        blocks = ray.data.from_items([{"scan": i} for i in tasks], override_num_blocks=len(tasks))
        outcomes = blocks.map_batches(
            batch,
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.TaskPoolStrategy(size=way.workers and min(way.workers, len(tasks))),
            num_cpus=1,
            memory=promised,
            label_selector=self._refused.others or None,
            max_calls=WORKER_SCANS,
        )
        return outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)

    def start(self, index: int, task: ScanTask, memory: int) -> ray.ObjectRef:
        """Begin one task in a worker of its own."""
        where = {"label_selector": others} if (others := self._refused.others) else {}
        return self._run.options(memory=memory, **where).remote(index, task, self._way)

    def refuse(self, found: Outcome) -> None:
        """Give the node that sent this outcome no more work; ClusterError when no other is left."""
        self._refused.add(found["stage"], found["reason"])

    def ended(self, running: list[ray.ObjectRef]) -> tuple[ray.ObjectRef, list[Outcome] | RayError]:
        """The first of these tasks to end: (task, its outcomes, or why there are none)."""
        (ref,), _ = ray.wait(running, num_returns=1)
        try:
            return ref, _checked(ray.get(ref))
        except RayError as error:
            return ref, error


def _run_one(index: int, task: ScanTask, way: Way) -> list[Outcome]:
    if way.expected is not None and (reason := why_not_here(way.expected)):
        return [{"scan": index, "product": "", "status": WRONG_NODE, "stage": cluster.node_id(), "reason": reason}]
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
