"""The planner on 100 workers that do not exist: how full they are, and how long after the ideal a cohort is finished.

    python benchmarks/fleet.py --scans 10000 100000

What is driven is ``plan_waves`` and ``run_waves`` as a run drives them; in place of Ray stands a clock. Scans take
what was measured (docs/performance.md), drawn again: log-normal, every hundredth up to ten times as long; their
memory follows from it. Of the tries 0.5 % end with the worker, and 2 % of scans are failures, which take as long.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from ray.exceptions import WorkerCrashedError

from gc_ray.cohort.manifest import ScanRow, Scans
from gc_ray.runtime.memory import scan_bytes
from gc_ray.runtime.plan import History, plan_waves
from gc_ray.runtime.scan_work import LARGER, Job, ScanTask
from gc_ray.runtime.survey import Survey
from gc_ray.runtime.waves import Outcome, Way, run_waves
from gc_ray.tables import SCAN_KEY

MEASURED_S = (
    *(0.36, 1.14, 0.70, 0.73, 1.16, 0.74, 0.75, 0.82, 1.36, 1.82, 1.80, 3.29, 2.67, 3.76, 4.19, 7.41, 5.51),
    *(10.17, 7.55, 12.01, 16.81, 14.79),
)  # CPU seconds of 22 outlines, docs/performance.md
VOXEL_S = 1.5e-5  # a region's voxel at 1 mm, from the larger of these
TAIL_SHARE, TAIL_TIMES = 0.01, 10.0
FAILED, KILLED = 0.02, 0.005
SLICES = (40, 600)  # of 512 x 512, int16
SLOTS, NODE_BYTES = 8, 27 << 30  # of a worker of cluster.yaml
DATASET_S = 0.25  # from one dataset to the next, measured (small ones on a warm cluster)
TASK_S = 0.01  # between two tasks of a slot: 0.6 % of a scan, measured
LOOK_S = 0.05  # of the driver for a scan that a stretch looks at: a LIST or two, 16 to a task
LARGER_S = 0.5  # until a scan knows that it needs more memory: headers and mask


class Fleet:
    """A clock, and the executor that moves it: a task begins where a slot and memory are free, oldest wave first."""

    def __init__(self, workers: int, seconds: np.ndarray, needed: np.ndarray, rng: np.random.Generator):
        self.now, self.busy, self.waves = 0.0, 0.0, 0
        self._seconds, self._needed, self._rng = seconds, needed, rng
        self._free = [[SLOTS, NODE_BYTES] for _ in range(workers // SLOTS)]
        self._free += [[workers % SLOTS, NODE_BYTES]] if workers % SLOTS else []
        self._waiting: dict[int, list[tuple[int, ScanTask]]] = {}  # by wave, the next one last
        self._promised: dict[int, int] = {}
        self._left: dict[int, int] = {}
        self._events: list[tuple] = []  # (when, number, wave, node, bytes, outcome)
        self._numbers = itertools.count()

    def memory(self) -> int:
        """Of a worker."""
        return NODE_BYTES

    def begin(self, tasks: dict[int, ScanTask], promised: int) -> int:
        """Queue a wave."""
        self.waves += 1
        wave = self.waves
        self._waiting[wave], self._promised[wave] = list(tasks.items())[::-1], promised
        self._left[wave] = len(tasks)
        self._push(DATASET_S, wave, None, None)
        return wave

    def news(self) -> tuple[int, Outcome | None]:
        """The next outcome, the clock moved there; None when its wave has ended."""
        while True:
            self._fill()
            self.now, _, wave, node, found = heapq.heappop(self._events)
            if node is not None:
                self._free[node][0] += 1
                self._free[node][1] += self._promised[wave]
                self._left[wave] -= 1
            elif found == "end":
                return wave, None
            if node is not None and not self._left[wave]:
                self._push(0.0, wave, None, "end")
            if found and found != "end":
                return wave, found

    def start(self, index: int, task: ScanTask, memory: int) -> tuple[float, int]:
        """One task alone."""
        spent, _ = self._work(index, task, killed=False)
        self.busy += spent
        return self.now + spent, index

    def ended(self, running: list) -> tuple[tuple[float, int], list[Outcome] | WorkerCrashedError]:
        """The first to end; of those whose worker died once, so many die again."""
        first = min(running)
        self.now = max(self.now, first[0])
        died = self._rng.random() < KILLED
        return first, WorkerCrashedError() if died else [self._outcome(first[1], "ok")]

    def _push(self, after: float, wave: int, node: int | None, found: object) -> None:
        heapq.heappush(self._events, (self.now + after, next(self._numbers), wave, node, found))

    def _fill(self) -> None:
        for wave, tasks in self._waiting.items():
            for node, free in enumerate(self._free):
                while tasks and free[0] and free[1] >= self._promised[wave]:
                    index, task = tasks.pop()
                    spent, found = self._work(index, task)
                    self.busy += spent
                    free[0] -= 1
                    free[1] -= self._promised[wave]
                    self._push(spent + TASK_S, wave, node, found)

    def _work(self, index: int, task: ScanTask, killed: bool = True) -> tuple[float, Outcome | None]:
        scan = int(task.row.scan_id)
        if task.memory is not None and self._needed[scan] > task.memory:
            return LARGER_S, self._outcome(index, LARGER) | {"memory": int(self._needed[scan])}
        if killed and self._rng.random() < KILLED:
            return self._rng.random() * self._seconds[scan], None
        return self._seconds[scan], self._outcome(index, "failed" if self._rng.random() < FAILED else "ok")

    @staticmethod
    def _outcome(index: int, status: str) -> Outcome:
        return {"scan": index, "product": "p", "status": status, "stage": "done", "reason": ""}


class NoStore:
    """Holds nothing and takes everything: the planner asks it for commits of workers that died."""

    def get(self, key: str) -> bytes:
        """Nothing."""
        raise FileNotFoundError(key)

    def put(self, key: str, data: bytes) -> None:
        """Take it."""

    def create(self, key: str, data: bytes) -> bool:
        """Take it."""
        return True


def draw(scans: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(seconds, bytes that the header tells, bytes needed) of each scan."""
    logs = np.log(MEASURED_S)
    seconds = np.exp(rng.normal(logs.mean(), logs.std(ddof=1), scans))
    tail = rng.random(scans) < TAIL_SHARE
    seconds[tail] *= rng.uniform(1, TAIL_TIMES, tail.sum())
    volumes = rng.integers(*SLICES, scans) * 512 * 512 * 2
    regions = seconds / VOXEL_S
    header = np.array([scan_bytes(int(v)) for v in volumes])
    return seconds, header, np.array([scan_bytes(int(v), r) for v, r in zip(volumes, regions, strict=True)])


def longest_first(seconds: np.ndarray, workers: int) -> float:
    """When the last of these is done on so many workers, each taking the longest that is left (LPT)."""
    free = [0.0] * workers
    for spent in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + spent)
    return max(free)


def simulate(scans: int, workers: int, seed: int) -> str:
    """One run as a row of the table."""
    rng = np.random.default_rng(seed)
    seconds, header, needed = draw(scans, rng)
    fleet = Fleet(workers, seconds, needed, rng)
    rows = Scans.of(ScanRow(str(i), "R1", 0, "", "p", "a", "v", "i", "m", "", "i", "m") for i in range(scans))
    product = SimpleNamespace(name="p", settings={})
    job = Job(NoStore(), {"p": product}, "1", 600.0)
    nothing = {"p": pa.nulls(scans, pa.int64())}
    empty = pa.table({name: pa.array([], pa.string()) for name in (*SCAN_KEY, "feature_set")})

    def look(asked: list) -> list[Survey]:
        fleet.now += LOOK_S * len(asked) / workers
        return [Survey("", int(header[int(row.scan_id)])) for row, _ in asked]

    planned = plan_waves(
        History(rows, empty, nothing, frozenset()), job, look, lambda *_: None, size=1000, verify=False
    )
    way = Way(job, lambda task, job: [], 3, None)
    ended = sum(1 for _ in run_waves(planned, way, fleet, 1000, lambda: None))
    assert ended == scans, (ended, scans)
    ideal = seconds.sum() / workers
    bound = longest_first(seconds, workers)
    return (
        f"| {scans:,} | {fleet.waves} | {fleet.now:,.0f} | {ideal:,.0f} | {bound:,.0f} | {fleet.now / bound:.2f} "
        f"| {100 * fleet.busy / workers / fleet.now:.0f} % |"
    )


def main() -> None:
    """Simulate and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"{asked.workers} workers, seed {asked.seed}\n")
    print("| scans | waves | finished, s | sum / workers, s | longest first, s | finished / that | used |")
    print("|---|---|---|---|---|---|---|")
    for scans in asked.scans:
        print(simulate(scans, asked.workers, asked.seed), flush=True)


if __name__ == "__main__":
    main()
